//! What happens when the time of a timer task has come, where the namespace is active (api 5.5, 6.1, 6.12).
//!
//! A task only says where to look; what is due is read from state. One that finds nothing due changes nothing, but that
//! it is no longer outstanding: the state asks for another if it needs one.

use alloc::string::String;

use proto::temporal::api::{
    enums::v1::{RetryState, TimeoutType},
    failure::v1::failure::FailureInfo,
    history::v1::{
        ActivityTaskTimedOutEventAttributes, TimerFiredEventAttributes, WorkflowExecutionTimedOutEventAttributes,
    },
};

use super::{
    EventMeta,
    activity::Activity,
    draft::{Draft, Run, Transition},
    execution::Close,
    failover, failure, request,
    retry::Decision,
    succession, task_failure,
    workflow_task::WorkflowTask,
};
use crate::{
    history::event::Attributes,
    ids::{EventId, RunId},
    task::{HistoryTask, TaskKey, TaskKind, TimerTask},
};

/// What became of a timer task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fired {
    /// The run changed.
    Changed,
    /// Nothing was due.
    Stale,
    /// The closed run was kept long enough; it is to be deleted.
    Delete,
}

/// The time of `task` has come. It leaves its queue, whatever the answer.
pub fn fire(draft: &mut Draft<'_>, task: &HistoryTask) -> Fired {
    let run = task.run.run;
    let TaskKind::Timer(timer) = task.kind else { return Fired::Stale };
    let now = draft.now;
    let Some(entry) = draft.runs.get_mut(&run) else { return Fired::Stale };
    forget(entry, timer, task.key);
    if let TimerTask::Retention = timer {
        let is_over = |close: &Close| close.delete_after <= now;
        return if entry.state.execution.close().is_some_and(is_over) { Fired::Delete } else { Fired::Stale };
    }
    if !request::is_running(&entry.state) {
        return Fired::Stale;
    }
    let mut transition = draft.transition(run).expect("the run is loaded");
    let failed_over = failover::on_version_change(&mut transition);
    let guarded = request::guard(draft, run, 0);
    let mut transition = draft.transition(run).expect("the run is loaded");
    let changed = match timer {
        TimerTask::WorkflowTaskStartToClose { scheduled, attempt } => {
            let is_due = |pending: &WorkflowTask| pending.started.is_some();
            end_workflow_task(&mut transition, task, (scheduled, attempt), TimeoutType::StartToClose, is_due)
        }
        TimerTask::WorkflowTaskScheduleToStart { scheduled, attempt } => {
            let is_due = |pending: &WorkflowTask| pending.started.is_none() && pending.sticky;
            end_workflow_task(&mut transition, task, (scheduled, attempt), TimeoutType::ScheduleToStart, is_due)
        }
        TimerTask::ActivityTimeout => end_activities(&mut transition),
        // The attempt is ready: forgetting the retry timer was all, for now the state asks for a dispatch.
        TimerTask::ActivityRetry { scheduled, attempt } => {
            transition.run.changes.uncounted = !failed_over;
            transition.activity(scheduled).is_some_and(|activity| activity.attempt == attempt)
        }
        TimerTask::UserTimer => fire_timers(&mut transition),
        TimerTask::WorkflowBackoff => {
            let is_pending = transition.run.state.execution.backoff_pending;
            if is_pending {
                transition.schedule_workflow_task_now();
            }
            is_pending
        }
        TimerTask::RunTimeout => time_out_run(draft, run),
        TimerTask::ExecutionTimeout => time_out_chain(&mut transition),
        TimerTask::Retention => unreachable!("answered above"),
    };
    if changed && let Some(guarded) = guarded {
        // Nobody asked, so nobody is told but who watches the run.
        let _ = request::enforce(draft, guarded);
    }
    request::enforce_limit(draft, run);
    request::settle(draft, run);
    if changed || failed_over { Fired::Changed } else { Fired::Stale }
}

/// The task no longer rests in a queue.
fn forget(run: &mut Run, timer: TimerTask, key: TaskKey) {
    let outstanding = &mut run.state.local.outstanding;
    let slot = match timer {
        TimerTask::WorkflowTaskStartToClose { .. } => {
            outstanding.workflow_task_start_to_close.take_if(|task| task.key == key);
            None
        }
        TimerTask::WorkflowTaskScheduleToStart { .. } => {
            outstanding.workflow_task_schedule_to_start.take_if(|task| task.key == key);
            None
        }
        TimerTask::ActivityRetry { scheduled, .. } => {
            let activities = &mut run.state.activities.table;
            // Look first: to ask for change is to be written.
            let is_held = activities.get(&scheduled).is_some_and(|a| a.task.is_some_and(|task| task.key == key));
            if let Some(activity) = activities.get_mut(&scheduled).filter(|_| is_held) {
                activity.task = None;
            }
            None
        }
        TimerTask::ActivityTimeout => Some(&mut outstanding.activity_timeout),
        TimerTask::UserTimer => Some(&mut outstanding.user_timer),
        TimerTask::WorkflowBackoff => Some(&mut outstanding.backoff),
        TimerTask::RunTimeout => Some(&mut outstanding.run_timeout),
        TimerTask::ExecutionTimeout => Some(&mut outstanding.execution_timeout),
        TimerTask::Retention => Some(&mut outstanding.retention),
    };
    if let Some(slot) = slot {
        slot.take_if(|held| *held == key);
    }
    run.changes.changed = true;
}

fn end_workflow_task(
    transition: &mut Transition<'_>,
    task: &HistoryTask,
    (scheduled, attempt): (EventId, i32),
    kind: TimeoutType,
    is_due: impl Fn(&WorkflowTask) -> bool,
) -> bool {
    let pending = transition.run.state.workflow_task.pending.as_ref();
    let is_meant = pending.is_some_and(|pending| {
        let is_named = pending.scheduled == scheduled && pending.attempt == attempt;
        is_named && pending.version == task.version && is_due(pending)
    });
    if is_meant {
        task_failure::time_out(transition, kind);
    }
    is_meant
}

/// Act on all activity timeouts that have passed, in order.
fn end_activities(transition: &mut Transition<'_>) -> bool {
    let due = transition.run.state.activities.due(transition.now);
    for &(time, scheduled, kind) in &due {
        // An earlier timeout may have ended the attempt.
        let is_due = |activity: &Activity| activity.timeouts().any(|timeout| timeout == (time, kind));
        if transition.activity(scheduled).is_some_and(is_due) {
            time_out_activity(transition, scheduled, kind);
        }
    }
    !due.is_empty()
}

fn time_out_activity(transition: &mut Transition<'_>, scheduled: EventId, kind: TimeoutType) {
    let activity = transition.activity(scheduled).expect("a pending activity");
    let failure = failure::timeout(kind);
    match request::decide_activity(activity, &failure, transition.now) {
        Decision::Again(delay) => transition.retry_attempt(scheduled, &failure, delay),
        Decision::Over(retry_state) => {
            let is_out_of_time = retry_state == RetryState::Timeout && kind != TimeoutType::ScheduleToStart;
            let mut failure = if is_out_of_time { failure::out_of_time() } else { failure };
            if let Some(FailureInfo::TimeoutFailureInfo(info)) = &mut failure.failure_info {
                info.last_heartbeat_details = activity.heartbeat_details().cloned();
            }
            let attributes = ActivityTaskTimedOutEventAttributes {
                failure: Some(failure::caused_by(failure, activity.last_failure.as_deref().cloned())),
                scheduled_event_id: scheduled.0,
                retry_state: retry_state.into(),
                ..ActivityTaskTimedOutEventAttributes::default()
            };
            transition.end_activity(scheduled, None, Attributes::ActivityTaskTimedOutEventAttributes(attributes));
        }
    }
}

/// Fire all timers that have expired, in order.
fn fire_timers(transition: &mut Transition<'_>) -> bool {
    let due = transition.run.state.timers.due(transition.now);
    for &started in &due {
        let Some(timer) = transition.timer(started) else { continue };
        let attributes = TimerFiredEventAttributes { timer_id: timer.id.clone(), started_event_id: started.0 };
        transition.receive(Attributes::TimerFiredEventAttributes(attributes), EventMeta::default());
    }
    !due.is_empty()
}

/// The run has used its time: it closes, and is retried if its policy says so.
fn time_out_run(draft: &mut Draft<'_>, run: RunId) -> bool {
    let mut transition = draft.transition(run).expect("the run is loaded");
    let expiration = transition.run.state.run_expiration();
    if expiration.is_none_or(|expiration| transition.now < expiration) {
        return false;
    }
    let successor = succession::retry(&mut transition, &failure::workflow_timeout());
    let retry_state = successor.as_ref().map_or_else(|state| *state, |_| RetryState::InProgress);
    close_timed_out(&mut transition, retry_state, succession::run_id(successor.as_ref().ok()));
    if let Ok(successor) = successor {
        succession::begin(draft, run, successor);
    }
    true
}

/// The chain of runs has used its time.
fn time_out_chain(transition: &mut Transition<'_>) -> bool {
    let expiration = transition.run.state.execution_expiration();
    if expiration.is_none_or(|expiration| transition.now < expiration) {
        return false;
    }
    close_timed_out(transition, RetryState::Timeout, String::new());
    true
}

fn close_timed_out(transition: &mut Transition<'_>, retry_state: RetryState, new_execution_run_id: String) {
    request::make_way(transition);
    let attributes = WorkflowExecutionTimedOutEventAttributes { retry_state: retry_state.into(), new_execution_run_id };
    transition.record(Attributes::WorkflowExecutionTimedOutEventAttributes(attributes));
}
