//! Schedule an activity (api 5.1, 5.2).

use alloc::{format, string::String};
use core::time::Duration;

use proto::temporal::api::{
    command::v1::ScheduleActivityTaskCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::ActivityTaskScheduledEventAttributes,
};

use super::{Completion, LONGEST_NAME, Refusal, check_queue, check_size};
use crate::{
    history::event::Attributes,
    time::{duration, proto_duration},
    workflow::{EventMeta, request::normal_queue, retry},
};

const BAD: Cause = Cause::BadScheduleActivityAttributes;

impl Completion<'_, '_> {
    pub(super) fn schedule_activity(
        &mut self,
        command: &ScheduleActivityTaskCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        let state = &self.transition.run.state;
        let mut attributes = scheduled(command, state.execution.start.run_timeout())?;
        check_size(BAD, "ScheduleActivityTaskCommandAttributes.Input", command.input.as_ref())?;
        let namesake = state.activities.by_id(&command.activity_id);
        // One that a command before cancelled while nobody had it is over.
        if namesake.is_some_and(|activity| !activity.is_closing || activity.started.is_some()) {
            let detail = format!(
                "invalid history builder state for action: add-activitytask-scheduled-event, ActivityID: {}",
                command.activity_id
            );
            return Err(Refusal::new(Cause::ScheduleActivityDuplicateId, detail));
        }
        let (pending, most) = (state.activities.table.len(), self.transition.limits.pending_activities);
        if 0 < most && most <= pending {
            let detail =
                format!("the number of pending activities, {pending}, has reached the per-workflow limit of {most}");
            return Err(Refusal::new(Cause::PendingActivitiesLimitExceeded, detail));
        }
        attributes.workflow_task_completed_event_id = self.event.0;
        self.transition.record_with(Attributes::ActivityTaskScheduledEventAttributes(attributes), meta);
        Ok(())
    }
}

/// What the event will say, if the command makes sense by itself. `run` is the run's timeout, zero for none.
fn scheduled(
    command: &ScheduleActivityTaskCommandAttributes,
    run: Duration,
) -> Result<ActivityTaskScheduledEventAttributes, Refusal> {
    let refuse = |detail: String| Refusal::new(BAD, detail);
    let queue = command.task_queue.as_ref().map_or("", |queue| &queue.name);
    let kind = command.activity_type.as_ref().map_or("", |kind| &kind.name);
    for (what, name) in [("taskQueue", queue), ("activityId", &command.activity_id), ("activityType", kind)] {
        if name.is_empty() {
            return Err(refuse(format!("{what} is not set")));
        }
        if what == "taskQueue" {
            check_queue(name).map_err(|problem| refuse(problem.into()))?;
        } else if name.len() > LONGEST_NAME {
            let length = name.len();
            return Err(refuse(format!("{what} exceeds length limit. Length={length} Limit={LONGEST_NAME}")));
        }
    }
    let mut retry_policy = command.retry_policy.clone().unwrap_or_default();
    retry::check(&retry_policy).map_err(refuse)?;
    retry::fill_in(&mut retry_policy);
    let asked = [
        ("ScheduleToCloseTimeout", &command.schedule_to_close_timeout),
        ("ScheduleToStartTimeout", &command.schedule_to_start_timeout),
        ("StartToCloseTimeout", &command.start_to_close_timeout),
        ("HeartbeatTimeout", &command.heartbeat_timeout),
    ];
    for (name, timeout) in asked {
        retry::check_duration(timeout.as_ref()).map_err(|problem| refuse(format!("invalid {name}: {problem}")))?;
    }
    let Some(timeouts) = effective(asked.map(|(_, timeout)| duration(timeout.as_ref())), run) else {
        return Err(refuse(format!(
            "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. ActivityId={} \
             ActivityType={kind}",
            command.activity_id
        )));
    };
    let [schedule_to_close, schedule_to_start, start_to_close, heartbeat] =
        timeouts.map(|timeout| Some(proto_duration(timeout)));
    Ok(ActivityTaskScheduledEventAttributes {
        activity_id: command.activity_id.clone(),
        activity_type: command.activity_type.clone(),
        task_queue: Some(normal_queue(queue)),
        header: command.header.clone(),
        input: command.input.clone(),
        schedule_to_close_timeout: schedule_to_close,
        schedule_to_start_timeout: schedule_to_start,
        start_to_close_timeout: start_to_close,
        heartbeat_timeout: heartbeat,
        retry_policy: Some(retry_policy),
        priority: command.priority.clone(),
        ..ActivityTaskScheduledEventAttributes::default()
    })
}

/// Schedule-to-close, schedule-to-start, start-to-close and heartbeat timeout as they hold, zero for none (api 5.1).
/// `None` when nothing would ever end an attempt.
fn effective(asked: [Duration; 4], run: Duration) -> Option<[Duration; 4]> {
    let [schedule_to_close, schedule_to_start, start_to_close, heartbeat] = asked;
    if schedule_to_close.is_zero() && start_to_close.is_zero() {
        return None;
    }
    let schedule_to_close = within(schedule_to_close, run);
    let start_to_close = within(start_to_close, schedule_to_close);
    Some([
        schedule_to_close,
        within(schedule_to_start, schedule_to_close),
        start_to_close,
        if heartbeat.is_zero() { heartbeat } else { within(heartbeat, start_to_close) },
    ])
}

/// `time`, or no more than `limit`; zero is without end.
fn within(time: Duration, limit: Duration) -> Duration {
    match (time.is_zero(), limit.is_zero()) {
        (true, _) => limit,
        (false, true) => time,
        (false, false) => time.min(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_fill_each_other_in() {
        // Schedule-to-close, schedule-to-start, start-to-close, heartbeat; run timeout.
        check([0, 0, 0, 9], 0, None);
        check([50, 0, 0, 0], 0, Some([50, 50, 50, 0]));
        check([50, 60, 5, 9], 0, Some([50, 50, 5, 5]));
        check([0, 0, 5, 3], 0, Some([0, 0, 5, 3]));
        check([0, 7, 5, 0], 0, Some([0, 7, 5, 0]));
        check([0, 0, 5, 0], 100, Some([100, 100, 5, 0]));
        check([500, 0, 0, 500], 100, Some([100, 100, 100, 100]));
    }

    #[track_caller]
    fn check(asked: [u64; 4], run: u64, expected: Option<[u64; 4]>) {
        let timeouts = effective(asked.map(Duration::from_secs), Duration::from_secs(run));
        assert_eq!(timeouts.map(|timeouts| timeouts.map(|timeout| timeout.as_secs())), expected);
    }
}
