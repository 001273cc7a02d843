//! The raw worker: answers workflow tasks with one activity, then with its result.

use std::time::Duration;

use proto::temporal::api::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, ScheduleActivityTaskCommandAttributes, command::Attributes,
    },
    common::v1::{ActivityType, Payload, Payloads},
    enums::v1::CommandType,
    history::v1::{HistoryEvent, history_event},
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{
        PollActivityTaskQueueRequest, PollActivityTaskQueueResponse, PollWorkflowTaskQueueRequest,
        PollWorkflowTaskQueueResponse, RespondActivityTaskCompletedRequest, RespondWorkflowTaskCompletedRequest,
        workflow_service_client::WorkflowServiceClient,
    },
};
use tokio::task::JoinSet;
use tonic::{Request, Status, transport::Channel};

use crate::replication::RETRIED;

/// As long as SDKs poll.
const POLL: Duration = Duration::from_secs(70);

/// A client of one connection.
pub(crate) type Client = WorkflowServiceClient<Channel>;

/// What workers poll.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) queue: String,
}

/// So many pollers of workflow tasks and of activity tasks, until the set is dropped.
pub(crate) fn start(workflow: &Client, activity: &Client, place: &Place, pollers: usize) -> JoinSet<Status> {
    let mut workers = JoinSet::new();
    for _ in 0..pollers {
        workers.spawn(workflow_worker(workflow.clone(), place.clone()));
        workers.spawn(activity_worker(activity.clone(), place.clone()));
    }
    workers
}

/// A poll for a workflow task.
pub(crate) fn workflow_poll(place: &Place) -> Request<PollWorkflowTaskQueueRequest> {
    with_deadline(PollWorkflowTaskQueueRequest {
        namespace: place.namespace.clone(),
        task_queue: Some(queue_named(&place.queue)),
        identity: "bench".to_owned(),
        ..Default::default()
    })
}

/// A poll for an activity task.
pub(crate) fn activity_poll(place: &Place) -> Request<PollActivityTaskQueueRequest> {
    with_deadline(PollActivityTaskQueueRequest {
        namespace: place.namespace.clone(),
        task_queue: Some(queue_named(&place.queue)),
        identity: "bench".to_owned(),
        ..Default::default()
    })
}

/// Ends only with an error that no worker survives.
async fn workflow_worker(mut client: Client, place: Place) -> Status {
    loop {
        let answered =
            match client.poll_workflow_task_queue(workflow_poll(&place)).await.map(tonic::Response::into_inner) {
                Ok(task) if task.task_token.is_empty() => continue,
                Ok(task) => client.respond_workflow_task_completed(decide(task, &place)).await.map(drop),
                Err(status) => Err(status),
            };
        if let Err(status) = survive(answered).await {
            return status;
        }
    }
}

/// Ends only with an error that no worker survives.
async fn activity_worker(mut client: Client, place: Place) -> Status {
    loop {
        let answered =
            match client.poll_activity_task_queue(activity_poll(&place)).await.map(tonic::Response::into_inner) {
                Ok(task) if task.task_token.is_empty() => continue,
                Ok(task) => client.respond_activity_task_completed(work(task, &place)).await.map(drop),
                Err(status) => Err(status),
            };
        if let Err(status) = survive(answered).await {
            return status;
        }
    }
}

/// One activity with the workflow's input, whose result is the workflow's.
pub(crate) fn decide(task: PollWorkflowTaskQueueResponse, place: &Place) -> RespondWorkflowTaskCompletedRequest {
    let events = task.history.unwrap_or_default().events;
    let command = match events.iter().rev().find_map(activity_result) {
        Some(result) => Command {
            command_type: CommandType::CompleteWorkflowExecution.into(),
            attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(
                CompleteWorkflowExecutionCommandAttributes { result: Some(result) },
            )),
            ..Default::default()
        },
        None => Command {
            command_type: CommandType::ScheduleActivityTask.into(),
            attributes: Some(Attributes::ScheduleActivityTaskCommandAttributes(
                ScheduleActivityTaskCommandAttributes {
                    activity_id: "1".to_owned(),
                    activity_type: Some(ActivityType { name: "work".to_owned() }),
                    task_queue: Some(queue_named(&place.queue)),
                    input: events.iter().find_map(workflow_input),
                    start_to_close_timeout: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
                    ..Default::default()
                },
            )),
            ..Default::default()
        },
    };
    RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token,
        commands: vec![command],
        identity: "bench".to_owned(),
        namespace: place.namespace.clone(),
        ..Default::default()
    }
}

pub(crate) fn work(task: PollActivityTaskQueueResponse, place: &Place) -> RespondActivityTaskCompletedRequest {
    RespondActivityTaskCompletedRequest {
        task_token: task.task_token,
        result: task.input.map(result_for),
        identity: "bench".to_owned(),
        namespace: place.namespace.clone(),
        ..Default::default()
    }
}

/// What the activity makes of its input: the same payloads, each with a mark behind its data.
pub(crate) fn result_for(input: Payloads) -> Payloads {
    let mark = |payload: Payload| Payload { data: [&payload.data[..], b" done"].concat().into(), ..payload };
    Payloads { payloads: input.payloads.into_iter().map(mark).collect() }
}

fn workflow_input(event: &HistoryEvent) -> Option<Payloads> {
    match event.attributes.as_ref()? {
        history_event::Attributes::WorkflowExecutionStartedEventAttributes(started) => started.input.clone(),
        _ => None,
    }
}

fn activity_result(event: &HistoryEvent) -> Option<Payloads> {
    match event.attributes.as_ref()? {
        history_event::Attributes::ActivityTaskCompletedEventAttributes(completed) => completed.result.clone(),
        _ => None,
    }
}

/// A normal queue.
pub(crate) fn queue_named(name: &str) -> TaskQueue {
    TaskQueue { name: name.to_owned(), ..Default::default() }
}

pub(crate) fn with_deadline<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(POLL);
    request
}

/// Pause after an error that SDKs retry, hand out any other.
pub(crate) async fn survive(answered: Result<(), Status>) -> Result<(), Status> {
    use tonic::Code::{Cancelled, DeadlineExceeded};
    match answered {
        Err(status) if [Cancelled, DeadlineExceeded].contains(&status.code()) || RETRIED.contains(&status.code()) => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        }
        otherwise => otherwise,
    }
}
