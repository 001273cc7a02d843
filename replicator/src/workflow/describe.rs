//! Everything an operator sees of a run (api 5.12, 9.8).

use alloc::string::{String, ToString};

use proto::temporal::api::{
    activity::v1::ActivityOptions,
    common::v1::{Memo, SearchAttributes, WorkflowExecution, WorkflowType},
    enums::v1::{EventType, PendingActivityState, PendingWorkflowTaskState, TaskQueueKind},
    taskqueue::v1::TaskQueue,
    workflow::v1::{
        PendingActivityInfo, PendingWorkflowTaskInfo, RequestIdInfo, ResetPoints, WorkflowExecutionConfig,
        WorkflowExecutionExtendedInfo, WorkflowExecutionInfo,
    },
    workflowservice::v1::DescribeWorkflowExecutionResponse,
};

use super::{MutableState, activity::Activity, request::normal_queue, workflow_task::WorkflowTask};
use crate::{
    ids::EventId,
    namespace::Namespace,
    time::{Timestamp, proto_duration},
};

/// The answer to DescribeWorkflowExecution.
#[must_use]
pub fn describe(state: &MutableState, namespace: &Namespace, now: Timestamp) -> DescribeWorkflowExecutionResponse {
    DescribeWorkflowExecutionResponse {
        execution_config: Some(config(state)),
        workflow_execution_info: Some(info(state, namespace)),
        pending_activities: state
            .activities
            .table
            .iter()
            .filter(|(_, activity)| !activity.is_closing)
            .map(|(_, activity)| pending_activity(activity, now))
            .collect(),
        pending_workflow_task: state.workflow_task.pending.as_ref().map(pending_workflow_task),
        workflow_extended_info: Some(extended_info(state)),
        ..DescribeWorkflowExecutionResponse::default()
    }
}

fn config(state: &MutableState) -> WorkflowExecutionConfig {
    let attributes = &state.execution.start.attributes;
    WorkflowExecutionConfig {
        task_queue: Some(normal_queue(state.execution.start.task_queue())),
        workflow_execution_timeout: attributes.workflow_execution_timeout,
        workflow_run_timeout: attributes.workflow_run_timeout,
        default_workflow_task_timeout: attributes.workflow_task_timeout,
        user_metadata: state.execution.start.user_metadata.clone(),
    }
}

fn info(state: &MutableState, namespace: &Namespace) -> WorkflowExecutionInfo {
    let execution = &state.execution;
    let start = &execution.start;
    let close = execution.close();
    let this =
        WorkflowExecution { workflow_id: state.run.workflow.workflow.to_string(), run_id: state.run.run.to_string() };
    let parent = start.attributes.parent_workflow_execution.clone();
    WorkflowExecutionInfo {
        r#type: Some(WorkflowType { name: start.workflow_type().into() }),
        start_time: Some(state.began().into()),
        close_time: close.map(|close| close.time.into()),
        status: execution.status().into(),
        history_length: state.next_event_id().previous().0,
        parent_namespace_id: parent.as_ref().map_or_else(String::new, |_| namespace.id.to_string()),
        parent_execution: parent,
        execution_time: Some(state.execution_time().into()),
        memo: Some(Memo { fields: execution.memo.clone() }),
        search_attributes: Some(SearchAttributes { indexed_fields: execution.search_attributes.clone() }),
        auto_reset_points: Some(ResetPoints::default()),
        task_queue: start.task_queue().into(),
        state_transition_count: state.local.state_transitions,
        history_size_bytes: state.local.history_size,
        execution_duration: close.map(|close| proto_duration(close.time.since(state.execution_time()))),
        root_execution: Some(state.root_execution()),
        first_run_id: start.first_run.to_string(),
        priority: start.priority().cloned(),
        execution: Some(this),
        ..WorkflowExecutionInfo::default()
    }
}

fn extended_info(state: &MutableState) -> WorkflowExecutionExtendedInfo {
    let execution = &state.execution;
    let start = &execution.start;
    let started = RequestIdInfo {
        event_type: EventType::WorkflowExecutionStarted.into(),
        event_id: EventId::FIRST.0,
        buffered: false,
    };
    let asked = |event: &crate::history::event::HistoryEvent| {
        event.event_type == i32::from(EventType::WorkflowExecutionCancelRequested)
    };
    WorkflowExecutionExtendedInfo {
        execution_expiration_time: state.execution_expiration().map(Into::into),
        run_expiration_time: Some(state.run_expiration().map_or(NEVER, Into::into)),
        cancel_requested: execution.cancel_requested.is_some() || state.local.buffered.iter().any(asked),
        last_reset_time: state.lineage.begin(state.run.run).map(|reset| reset.time.into()),
        reset_run_id: state.local.reset_run.map(|run| run.to_string()).unwrap_or_default(),
        original_start_time: Some(start.time.into()),
        request_id_infos: [(start.own_request_id(), started)].into(),
        ..WorkflowExecutionExtendedInfo::default()
    }
}

/// What stands for "never" in answers: the first moment of the calendar (api 5.12).
const NEVER: prost_types::Timestamp = prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 };

fn pending_workflow_task(task: &WorkflowTask) -> PendingWorkflowTaskInfo {
    let state = match task.started {
        Some(_) => PendingWorkflowTaskState::Started,
        None => PendingWorkflowTaskState::Scheduled,
    };
    PendingWorkflowTaskInfo {
        state: state.into(),
        scheduled_time: Some(task.scheduled_time.into()),
        original_scheduled_time: Some(task.original_scheduled_time.into()),
        started_time: task.started.as_ref().map(|start| start.time.into()),
        attempt: task.attempt,
    }
}

fn pending_activity(activity: &Activity, now: Timestamp) -> PendingActivityInfo {
    let attributes = &activity.attributes;
    let state = match (&activity.started, activity.cancel_requested) {
        (None, _) => PendingActivityState::Scheduled,
        (Some(_), None) => PendingActivityState::Started,
        (Some(_), Some(_)) => PendingActivityState::CancelRequested,
    };
    let waits = activity.started.is_none() && activity.scheduled_time > now;
    let ended = activity.last_attempt_complete_time.filter(|_| waits);
    let queue = attributes.task_queue.as_ref().map_or("", |queue| &queue.name);
    PendingActivityInfo {
        activity_id: attributes.activity_id.clone(),
        activity_type: attributes.activity_type.clone(),
        state: state.into(),
        heartbeat_details: activity.heartbeat_details().cloned(),
        last_heartbeat_time: activity.heartbeat.as_ref().map(|heartbeat| heartbeat.time.into()),
        last_started_time: activity.started.as_ref().map(|start| start.time.into()),
        attempt: activity.attempt,
        maximum_attempts: attributes.retry_policy.as_ref().map_or(0, |policy| policy.maximum_attempts),
        scheduled_time: Some(activity.scheduled_time.into()),
        expiration_time: activity.expiration().map(Into::into),
        last_failure: activity.last_failure.as_deref().cloned(),
        last_worker_identity: activity.last_worker_identity.clone(),
        current_retry_interval: ended.map(|ended| proto_duration(activity.scheduled_time.since(ended))),
        last_attempt_complete_time: activity.last_attempt_complete_time.map(Into::into),
        next_attempt_schedule_time: waits.then(|| activity.scheduled_time.into()),
        priority: attributes.priority.clone(),
        activity_options: Some(ActivityOptions {
            // Options are what can be changed; a queue's kind cannot.
            task_queue: Some(TaskQueue {
                name: queue.into(),
                normal_name: queue.into(),
                kind: TaskQueueKind::Unspecified.into(),
            }),
            schedule_to_close_timeout: attributes.schedule_to_close_timeout,
            schedule_to_start_timeout: attributes.schedule_to_start_timeout,
            start_to_close_timeout: attributes.start_to_close_timeout,
            heartbeat_timeout: attributes.heartbeat_timeout,
            retry_policy: attributes.retry_policy.clone(),
            priority: attributes.priority.clone(),
            ..ActivityOptions::default()
        }),
        ..PendingActivityInfo::default()
    }
}
