//! Which tasks a run needs, as follows from its state, and the difference to those it has.
//!
//! Costs what changed. Of the deadlines of activities and timers only the earliest has a task; one that is already there
//! and fires earlier is left alone, for it finds nothing due and is then replaced (api 5.5).

use alloc::vec::Vec;

use super::{
    MutableState,
    activity::{Activity, ActivityTaskRef},
    draft::TaskIds,
    execution::Phase,
    outstanding::WorkflowTaskRef,
};
use crate::{
    defects::{Defect, planted},
    ids::{EventId, RunKey},
    ndc::divergence,
    task::{Category, HistoryTask, TaskKey, TaskKind, TimerTask, TransferTask},
    time::Timestamp,
    version::FailoverVersion,
};

/// Difference between the tasks that a run has and those that it needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskDiff {
    /// Needed, and new.
    pub added: Vec<HistoryTask>,
    /// Not needed any more.
    pub completed: Vec<(Category, TaskKey)>,
    /// Scheduled events of tasks among `completed` that no worker took.
    pub withdrawn: Vec<EventId>,
}

impl TaskDiff {
    /// Whether the run has what it needs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.completed.is_empty()
    }
}

/// How much of the state to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// What changed since the last transaction.
    Changed,
    /// Everything that is pending.
    All,
}

impl MutableState {
    /// Make the outstanding tasks those that the state needs.
    pub fn generate_tasks(&mut self, now: Timestamp, scope: Scope, ids: &mut TaskIds) -> TaskDiff {
        let mut plan = Plan { run: self.run.clone(), ids, diff: TaskDiff::default() };
        plan.activities(self, now, scope);
        plan.workflow_task(self);
        plan.timers(self);
        plan.reapplication(self);
        plan.divergence(self);
        plan.deletion(self);
        plan.diff
    }

    /// Find and add the tasks that a run should have and has not, however that came to be (TK-13). Costs what is
    /// pending. Changes nothing in a run that is whole.
    pub fn regenerate(&mut self, now: Timestamp, ids: &mut TaskIds) -> TaskDiff {
        self.generate_tasks(now, Scope::All, ids)
    }

    /// Whether the run works at all: a zombie waits for replication alone.
    fn is_running(&self) -> bool {
        self.execution.phase == Phase::Running || planted(Defect::ZombieHasTasks) && self.execution.is_zombie()
    }

    /// A deadline that comes before the run's own.
    fn within_life(&self, deadline: Timestamp) -> bool {
        let ends = self.run_expiration().into_iter().chain(self.execution_expiration()).min();
        ends.is_none_or(|end| deadline <= end)
    }
}

/// A task that the state needs.
struct Wanted {
    fire_time: Timestamp,
    version: FailoverVersion,
    kind: TaskKind,
}

impl Wanted {
    fn timer(fire_time: Timestamp, version: FailoverVersion, timer: TimerTask) -> Option<Self> {
        // What is due at the end of time is never due.
        (fire_time < Timestamp::MAX).then_some(Self { fire_time, version, kind: TaskKind::Timer(timer) })
    }
}

struct Plan<'i> {
    run: RunKey,
    ids: &'i mut TaskIds,
    diff: TaskDiff,
}

impl Plan<'_> {
    fn add(&mut self, wanted: Wanted) -> TaskKey {
        let key = TaskKey { fire_time: wanted.fire_time, id: self.ids.next() };
        self.diff.added.push(HistoryTask { key, run: self.run.clone(), version: wanted.version, kind: wanted.kind });
        key
    }

    fn complete(&mut self, category: Category, key: TaskKey) {
        if !planted(Defect::TasksOutliveTheirReason) {
            self.diff.completed.push((category, key));
        }
    }

    /// One timer. A `lazy` one may also fire early.
    fn keep_timer(&mut self, slot: &mut Option<TaskKey>, wanted: Option<Wanted>, lazy: bool) {
        let fits = |key: &TaskKey| {
            wanted
                .as_ref()
                .is_some_and(|wanted| key.fire_time == wanted.fire_time || lazy && key.fire_time < wanted.fire_time)
        };
        if slot.as_ref().is_some_and(fits) {
            return;
        }
        if let Some(key) = slot.take() {
            self.complete(Category::Timer, key);
        }
        *slot = wanted.map(|wanted| self.add(wanted));
    }

    /// One task about an attempt of the workflow task. Whether one was there that does not fit any more.
    fn keep_attempt(
        &mut self,
        category: Category,
        slot: &mut Option<WorkflowTaskRef>,
        wanted: Option<(EventId, i32, bool, Wanted)>,
    ) -> bool {
        let fits = |known: &WorkflowTaskRef| {
            wanted.as_ref().is_some_and(|(scheduled, attempt, sticky, wanted)| {
                (known.scheduled, known.attempt, known.sticky, known.version, known.key.fire_time)
                    == (*scheduled, *attempt, *sticky, wanted.version, wanted.fire_time)
            })
        };
        if slot.as_ref().is_some_and(fits) {
            return false;
        }
        let old = slot.take();
        *slot = wanted.map(|(scheduled, attempt, sticky, wanted)| {
            let version = wanted.version;
            let key = self.add(wanted);
            WorkflowTaskRef { scheduled, attempt, sticky, version, key }
        });
        if let Some(old) = &old {
            self.complete(category, old.key);
        }
        old.is_some()
    }

    fn workflow_task(&mut self, state: &mut MutableState) {
        let sticky_timeout = state.local.sticky.as_ref().map(|sticky| sticky.schedule_to_start);
        let task = state.workflow_task.pending.as_ref().filter(|_| state.is_running());
        let (mut waits, mut waits_sticky, mut runs) = (None, None, None);
        if let Some(task) = task {
            let (scheduled, attempt, version) = (task.scheduled, task.attempt, task.version);
            let sticky_timeout = sticky_timeout.filter(|_| task.sticky);
            let sticky = sticky_timeout.is_some();
            let about = |wanted| (scheduled, attempt, sticky, wanted);
            if let Some(start) = &task.started {
                let kind = TimerTask::WorkflowTaskStartToClose { scheduled, attempt };
                runs = Wanted::timer(start.time + task.timeout, version, kind).map(about);
            } else {
                let kind = TaskKind::Transfer(TransferTask::Workflow { scheduled, attempt });
                waits = Some(about(Wanted { fire_time: Timestamp::ZERO, version, kind }));
                let kind = TimerTask::WorkflowTaskScheduleToStart { scheduled, attempt };
                waits_sticky = sticky_timeout
                    .and_then(|timeout| Wanted::timer(task.scheduled_time + timeout, version, kind))
                    .map(about);
            }
        }
        let started = task.filter(|task| task.started.is_some()).map(|task| (task.scheduled, task.attempt));
        let outstanding = &mut state.local.outstanding;
        let old = outstanding.workflow_task.map(|task| (task.scheduled, task.attempt));
        if self.keep_attempt(Category::Transfer, &mut outstanding.workflow_task, waits) && old != started {
            self.diff.withdrawn.extend(old.map(|(scheduled, _)| scheduled));
        }
        self.keep_attempt(Category::Timer, &mut outstanding.workflow_task_schedule_to_start, waits_sticky);
        self.keep_attempt(Category::Timer, &mut outstanding.workflow_task_start_to_close, runs);
    }

    fn timers(&mut self, state: &mut MutableState) {
        let running = state.is_running();
        let start = &state.execution.start;
        let at = |time: Option<Timestamp>, timer| {
            time.filter(|_| running).and_then(|time| Wanted::timer(time, start.version, timer))
        };
        let backoff = at(state.execution.backoff_pending.then(|| state.execution_time()), TimerTask::WorkflowBackoff);
        let run_timeout = at(state.run_expiration(), TimerTask::RunTimeout);
        let execution_timeout = at(state.execution_expiration(), TimerTask::ExecutionTimeout);
        let activity = state.activities.table.earliest().filter(|(time, _)| running && state.within_life(*time));
        let activity = activity.and_then(|(time, scheduled)| {
            let version = state.activities.table.get(&scheduled)?.version;
            Wanted::timer(time, version, TimerTask::ActivityTimeout)
        });
        let timer = state.timers.table.earliest().filter(|(time, _)| running && state.within_life(*time));
        let timer = timer.and_then(|(time, started)| {
            let version = state.timers.table.get(&started)?.version;
            Wanted::timer(time, version, TimerTask::UserTimer)
        });
        let close = state.execution.close();
        let retention = close.and_then(|close| Wanted::timer(close.delete_after, close.version, TimerTask::Retention));

        let outstanding = &mut state.local.outstanding;
        self.keep_timer(&mut outstanding.activity_timeout, activity, true);
        self.keep_timer(&mut outstanding.user_timer, timer, true);
        self.keep_timer(&mut outstanding.backoff, backoff, false);
        self.keep_timer(&mut outstanding.run_timeout, run_timeout, false);
        self.keep_timer(&mut outstanding.execution_timeout, execution_timeout, false);
        self.keep_timer(&mut outstanding.retention, retention, false);
    }

    /// What a losing branch or run holds waits for the cluster that is active, a zombie's too.
    fn reapplication(&mut self, state: &mut MutableState) {
        let slot = &mut state.local.outstanding.reapply;
        let (had, owes) = (*slot, state.local.owed.owes(&state.histories));
        if owes && had.is_none() {
            let kind = TaskKind::Transfer(TransferTask::Reapply);
            let version = state.histories.current().versions.last().version;
            *slot = Some(self.add(Wanted { fire_time: Timestamp::ZERO, version, kind }));
        } else if !owes && let Some(key) = slot.take() {
            self.complete(Category::Transfer, key);
        }
    }

    /// A run that diverged can be found, for as long as it is kept.
    fn divergence(&mut self, state: &mut MutableState) {
        let diverged = divergence::has_diverged(state);
        let slot = &mut state.local.outstanding.diverged;
        if diverged && slot.is_none() {
            let version = state.histories.current().versions.last().version;
            *slot = Some(self.add(Wanted { fire_time: Timestamp::ZERO, version, kind: TaskKind::Diverged }));
        } else if !diverged && let Some(key) = slot.take() {
            self.complete(Category::Divergence, key);
        }
    }

    /// What a caller had deleted is removed.
    fn deletion(&mut self, state: &mut MutableState) {
        let slot = &mut state.local.outstanding.deletion;
        if state.local.is_deleted && slot.is_none() {
            let kind = TaskKind::Transfer(TransferTask::Delete);
            let version = state.histories.current().versions.last().version;
            *slot = Some(self.add(Wanted { fire_time: Timestamp::ZERO, version, kind }));
        }
    }

    fn activities(&mut self, state: &mut MutableState, now: Timestamp, scope: Scope) {
        for (scheduled, task) in state.activities.take_released() {
            self.complete_activity(scheduled, task, false);
        }
        let running = state.is_running();
        let table = &mut state.activities.table;
        let keys: Vec<EventId> = match scope {
            Scope::Changed => table.changed().copied().collect(),
            Scope::All => table.keys().copied().collect(),
        };
        for scheduled in keys {
            let Some(activity) = table.get(&scheduled) else { continue };
            let wanted = wanted_activity(activity, now).filter(|_| running);
            let (had, is_taken) = (activity.task, activity.started.is_some());
            let fits = match (&had, &wanted) {
                (Some(task), Some((is_retry, attempt, wanted))) => {
                    let is_about = (task.attempt, task.version) == (*attempt, wanted.version);
                    // A retry timer that is due is about to fire; it is not overtaken.
                    let is_timely = task.key.fire_time == activity.scheduled_time;
                    is_about && if task.is_retry { is_timely } else { !is_retry }
                }
                (had, wanted) => had.is_none() && wanted.is_none(),
            };
            if fits {
                continue;
            }
            if let Some(task) = had {
                self.complete_activity(scheduled, task, is_taken);
            }
            let task = wanted.map(|(is_retry, attempt, wanted)| {
                let version = wanted.version;
                ActivityTaskRef { is_retry, attempt, version, key: self.add(wanted) }
            });
            if let Some(activity) = table.get_mut(&scheduled) {
                activity.task = task;
            }
        }
    }

    fn complete_activity(&mut self, scheduled: EventId, task: ActivityTaskRef, is_taken: bool) {
        let category = if task.is_retry { Category::Timer } else { Category::Transfer };
        self.complete(category, task.key);
        if !task.is_retry && !is_taken {
            self.diff.withdrawn.push(scheduled);
        }
    }
}

/// The task that brings an activity to a worker: at once, or when its next attempt is due.
fn wanted_activity(activity: &Activity, now: Timestamp) -> Option<(bool, i32, Wanted)> {
    if activity.started.is_some() || activity.is_closing {
        return None;
    }
    let (scheduled, attempt, version) = (activity.scheduled, activity.attempt, activity.version);
    if activity.scheduled_time > now {
        let timer = TimerTask::ActivityRetry { scheduled, attempt };
        return Wanted::timer(activity.scheduled_time, version, timer).map(|wanted| (true, attempt, wanted));
    }
    let kind = TaskKind::Transfer(TransferTask::Activity { scheduled, attempt });
    Some((false, attempt, Wanted { fire_time: Timestamp::ZERO, version, kind }))
}
