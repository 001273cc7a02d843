//! Each command: what it writes, and what is refused (api 4).

use super::{signals::cause, world::*};
use crate::history::event::Attributes;
use proto::temporal::api::{
    command::v1::{
        ModifyWorkflowPropertiesCommandAttributes, UpsertWorkflowSearchAttributesCommandAttributes,
        command::Attributes as CommandAttributes,
    },
    common::v1::{ActivityType, Memo, Payload, SearchAttributes},
    enums::v1::CommandType,
};
use std::{format, string::ToString};

#[test]
fn commands_are_carried_out_in_order() {
    let mut world = World::taken();
    world.complete([activity("a"), timer("t", 60), marker("m"), cancel_timer("t")]).unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted ActScheduled TimerStarted MarkerRecorded TimerCanceled");
}

#[test]
fn activities_that_make_no_sense() {
    let bad = "BadScheduleActivityAttributes";
    check(
        [bare(CommandType::ScheduleActivityTask)],
        &format!("{bad}: ScheduleActivityTaskCommandAttributes is not set on ScheduleActivityTaskCommand."),
    );
    check([activity("")], &format!("{bad}: activityId is not set"));
    check([activity(&"x".repeat(1001))], &format!("{bad}: activityId exceeds length limit. Length=1001 Limit=1000"));
    check([activity_with("a", |a| a.task_queue = None)], &format!("{bad}: taskQueue is not set"));
    let nameless = activity_with("a", |a| a.activity_type = Some(ActivityType::default()));
    check([nameless], &format!("{bad}: activityType is not set"));
    let endless = activity_with("a", |a| a.start_to_close_timeout = None);
    let text = "a valid StartToCloseTimeout or ScheduleToCloseTimeout must be set on the activity. ActivityId=a \
                ActivityType=ship";
    check([endless], &format!("{bad}: {text}"));
    let minus = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    check(
        [activity_with("a", |a| a.heartbeat_timeout = minus)],
        &format!("{bad}: invalid HeartbeatTimeout: negative duration"),
    );
    check(
        [activity_with("a", |a| a.retry_policy = attempts(-1))],
        &format!("{bad}: MaximumAttempts cannot be negative on retry policy."),
    );
    check(
        [activity("a"), activity("a")],
        "ScheduleActivityDuplicateId: invalid history builder state for action: add-activitytask-scheduled-event, \
         ActivityID: a",
    );
}

#[test]
fn a_run_may_have_so_many_activities_pending() {
    let mut world = World::taken();
    let many = (0..2000).map(|n| activity(&n.to_string()));
    world
        .complete_with(|completion| {
            completion.commands = many.collect();
            completion.force_create_new_workflow_task = true;
            completion.return_new_workflow_task = true;
        })
        .unwrap();
    let text = "PendingActivitiesLimitExceeded: the number of pending activities, 2000, has reached the per-workflow \
                limit of 2000";
    assert_eq!(refusal(world.complete([activity("one more")])), format!("InvalidArgument: {text}"));
}

#[test]
fn timers_that_make_no_sense() {
    check([timer("", 1)], "BadStartTimerAttributes: TimerId is not set on StartTimerCommand.");
    check(
        [timer("t", 1), timer("t", 1)],
        "StartTimerDuplicateId: invalid history builder state for action: add-timer-started-event, TimerID: t",
    );
    check([cancel_timer("")], "BadCancelTimerAttributes: TimerId is not set on CancelTimerCommand.");
    check(
        [cancel_timer("t")],
        "BadCancelTimerAttributes: invalid history builder state for action: add-timer-canceled-event, TimerID: t",
    );
}

#[test]
fn cancellations_that_make_no_sense() {
    let bad = "BadRequestCancelActivityAttributes";
    check([cancel_activity(0)], &format!("{bad}: ScheduledEventId is not set on RequestCancelActivityTaskCommand."));
    check(
        [cancel_activity(99)],
        &format!(
            "{bad}: invalid history builder state for action: add-activitytask-cancel-requested-event, \
             ScheduledEventID: 99"
        ),
    );
}

#[test]
fn other_commands_that_make_no_sense() {
    check([marker("")], "BadRecordMarkerAttributes: MarkerName is not set on RecordMarkerCommand.");
    check(
        [bare(CommandType::CompleteWorkflowExecution)],
        "BadCompleteWorkflowExecutionAttributes: CompleteWorkflowExecutionCommandAttributes is not set on \
         CompleteWorkflowExecutionCommand.",
    );
    let no_failure = command(
        CommandType::FailWorkflowExecution,
        CommandAttributes::FailWorkflowExecutionCommandAttributes(Default::default()),
    );
    check([no_failure], "BadFailWorkflowExecutionAttributes: Failure is not set on FailWorkflowExecutionCommand.");
    check(
        [modify(&[])],
        "BadModifyWorkflowPropertiesAttributes: UpsertedMemo is not set on ModifyWorkflowPropertiesCommand.",
    );
    let can = |change: fn(&mut _)| [continue_as_new(change)];
    check(
        can(|c| c.cron_schedule = "@daily".to_string()),
        "BadContinueAsNewAttributes: cron_schedule is not supported",
    );
    check(
        can(|c| c.retry_policy = attempts(-1)),
        "BadContinueAsNewAttributes: MaximumAttempts cannot be negative on retry policy.",
    );
}

#[test]
fn commands_that_are_not_built_are_refused_by_name() {
    for (kind, cause) in [
        (CommandType::StartChildWorkflowExecution, "BadStartChildExecutionAttributes"),
        (CommandType::SignalExternalWorkflowExecution, "BadSignalWorkflowExecutionAttributes"),
        (CommandType::RequestCancelExternalWorkflowExecution, "BadRequestCancelExternalWorkflowExecutionAttributes"),
        (CommandType::ProtocolMessage, "BadUpdateWorkflowExecutionMessage"),
        (CommandType::ScheduleNexusOperation, "BadScheduleNexusOperationAttributes"),
        (CommandType::RequestCancelNexusOperation, "BadRequestCancelNexusOperationAttributes"),
    ] {
        check([bare(kind)], &format!("{cause}: {kind:?} is not supported"));
    }
}

#[test]
fn payloads_too_large_to_ever_fit_end_the_run() {
    let mut world = World::taken();
    let huge = activity_with("a", |a| a.input = Some(payloads("x".repeat(3 << 20).leak())));
    let text = "BadScheduleActivityAttributes: ScheduleActivityTaskCommandAttributes.Input exceeds size limit.";
    assert_eq!(refusal(world.complete([huge])), format!("InvalidArgument: {text}"));
    world.check("Started WftScheduled WftStarted WftFailed Terminated");
    let Some(Attributes::WorkflowExecutionTerminatedEventAttributes(terminated)) = &world.last().attributes else {
        panic!("not terminated");
    };
    assert_eq!((terminated.reason.as_str(), terminated.identity.as_str()), (text, "history-service"));
}

#[test]
fn the_memo_changes() {
    let mut world = World::taken();
    world.complete([modify(&["a", "b"])]).unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted PropertiesModified");
    assert_eq!(world.cluster.state().execution.memo.keys().collect::<std::vec::Vec<_>>(), ["a", "b"]);
}

#[test]
fn only_predefined_search_attributes_may_be_set() {
    let mut world = World::taken();
    world.complete([upsert("TemporalChangeVersion")]).unwrap();
    world.check("Started WftScheduled WftStarted WftCompleted UpsertSearchAttributes");
    check([upsert("Colour")], "BadSearchAttributes: search attribute Colour is not defined");
}

#[test]
fn events_carry_what_the_command_says_of_itself() {
    use proto::temporal::api::sdk::v1::{EventGroupMarker, UserMetadata};
    let mut world = World::taken();
    let metadata = UserMetadata { summary: Some(Payload { data: "pay".into(), ..Default::default() }), details: None };
    let mut noted = timer("t", 60);
    noted.user_metadata = Some(metadata.clone());
    noted.event_group_markers = [EventGroupMarker::default()].into();
    world.complete([noted, timer("u", 60)]).unwrap();
    assert_eq!(world.event(5).user_metadata, Some(metadata));
    assert_eq!(world.event(5).event_group_markers.len(), 1);
    assert_eq!((&world.event(6).user_metadata, world.event(6).event_group_markers.len()), (&None, 0));
}

/// The completion is refused with this text, and its workflow task fails.
#[track_caller]
fn check<const N: usize>(commands: [proto::temporal::api::command::v1::Command; N], expected: &str) {
    let mut world = World::taken();
    assert_eq!(refusal(world.complete(commands)), format!("InvalidArgument: {expected}"));
    world.check("Started WftScheduled WftStarted WftFailed");
    assert!(expected.starts_with(&format!("{:?}", cause(&world, 4))));
}

fn modify(keys: &[&str]) -> proto::temporal::api::command::v1::Command {
    let fields = keys.iter().map(|key| (key.to_string(), Payload { data: "1".into(), ..Default::default() }));
    let attributes =
        ModifyWorkflowPropertiesCommandAttributes { upserted_memo: Some(Memo { fields: fields.collect() }) };
    command(
        CommandType::ModifyWorkflowProperties,
        CommandAttributes::ModifyWorkflowPropertiesCommandAttributes(attributes),
    )
}

fn upsert(key: &str) -> proto::temporal::api::command::v1::Command {
    let indexed_fields = [(key.to_string(), Payload { data: "1".into(), ..Default::default() })].into();
    let attributes = UpsertWorkflowSearchAttributesCommandAttributes {
        search_attributes: Some(SearchAttributes { indexed_fields }),
    };
    command(
        CommandType::UpsertWorkflowSearchAttributes,
        CommandAttributes::UpsertWorkflowSearchAttributesCommandAttributes(attributes),
    )
}
