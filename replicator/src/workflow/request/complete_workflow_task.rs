//! A worker completes a workflow task (api 3.7).

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use proto::temporal::api::{
    deployment::v1::WorkerDeploymentVersion,
    enums::v1::{TimeoutType, VersioningBehavior, WorkerVersioningMode, WorkflowTaskFailedCause},
    history::v1::WorkflowTaskCompletedEventAttributes,
    workflowservice::v1::RespondWorkflowTaskCompletedRequest,
};

use super::{
    find, queries,
    start_workflow_task::{self, INLINE},
    terminate, view,
};
use crate::{
    history::event::Attributes,
    ids::RunId,
    shard::io::{Failure, Request, Response, StartedWorkflowTask, TaskClaim},
    time::duration,
    workflow::{
        command::{self, Completion, Refusal},
        draft::{Draft, Transition},
        failure,
        mutable_state::Sticky,
        succession, task_failure,
        workflow_task::WorkflowTask,
    },
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    claim: &TaskClaim,
    completion: &RespondWorkflowTaskCompletedRequest,
) -> Result<Response, Failure> {
    let run = find::run(draft, request)?;
    let task = find::started_task(&draft.runs[&run].state, claim)?.clone();
    check_fields(completion)?;
    command::check_sequence(&completion.commands)?;
    let is_heartbeat = completion.force_create_new_workflow_task && completion.commands.is_empty();
    if is_heartbeat && draft.now.since(task.original_scheduled_time) > LONGEST_HEARTBEAT {
        task_failure::time_out(&mut draft.transition(run).expect("the run is loaded"), TimeoutType::StartToClose);
        return Err(find::no_task());
    }
    // Only commands can be refused once the completion is written.
    let before = (!completion.commands.is_empty()).then(|| draft.runs[&run].clone());
    match complete(draft, run, &task, completion) {
        Ok(next) => Ok(Response::WorkflowTaskCompleted { next: next.map(Box::new) }),
        Err(refusal) => {
            draft.runs.insert(run, before.expect("a command was refused"));
            let mut transition = draft.transition(run).expect("the run is loaded");
            Err(refuse(&mut transition, &task, &refusal, &completion.identity))
        }
    }
}

fn complete(
    draft: &mut Draft<'_>,
    run: RunId,
    task: &WorkflowTask,
    completion: &RespondWorkflowTaskCompletedRequest,
) -> Result<Option<StartedWorkflowTask>, Refusal> {
    let mut replies = Vec::new();
    let mut transition = draft.transition(run).expect("the run is loaded");
    record_transient(&mut transition, task);
    let event = transition.record(Attributes::WorkflowTaskCompletedEventAttributes(completed(task, completion)));
    transition.run.state.local.sticky = sticky(completion);
    let identity = &completion.identity;
    let mut work = Completion { transition: &mut transition, event, identity, caused: 0, successor: None };
    completion.commands.iter().try_for_each(|command| work.execute(command))?;
    let successor = work.successor;

    queries::answer(transition.run, &completion.query_results, &mut replies);
    let next = follow(&mut transition, completion);
    draft.replies.append(&mut replies);
    if let Some(successor) = successor {
        succession::begin(draft, run, successor);
    }
    Ok(next)
}

/// Write what waited for the completion, and schedule the next task if there is a reason for one.
fn follow(
    transition: &mut Transition<'_>,
    completion: &RespondWorkflowTaskCompletedRequest,
) -> Option<StartedWorkflowTask> {
    if !transition.run.state.is_open() {
        return None;
    }
    let flushed = transition.flush_buffered();
    if !(flushed || completion.force_create_new_workflow_task || transition.run.changes.wants_workflow_task) {
        return None;
    }
    transition.schedule_workflow_task();
    if !completion.return_new_workflow_task {
        return None;
    }
    start_workflow_task::start(transition, INLINE, &completion.identity);
    // The worker has the run at hand, whether it asked for its sticky queue or not.
    Some(start_workflow_task::started(transition.run, true))
}

/// A completion that was refused fails its task. A transient attempt is left to time out instead, so that a worker which
/// repeats its mistake neither fills the history nor spins (api 3.5).
fn refuse(transition: &mut Transition<'_>, task: &WorkflowTask, refusal: &Refusal, identity: &str) -> Failure {
    let message = refusal.message();
    let failure = Some(failure::server(message.clone()));
    if refusal.terminates {
        task_failure::end_started(transition, refusal.cause, failure, identity);
        let order = terminate::Order {
            reason: message.clone(),
            details: None,
            identity: terminate::SERVER.into(),
            links: Vec::new(),
        };
        terminate::terminate(transition, order);
    } else if !task.is_transient() || refusal.cause == WorkflowTaskFailedCause::UnhandledCommand {
        task_failure::fail(transition, refusal.cause, failure, identity);
    }
    Failure::InvalidArgument(message)
}

/// The history shows a transient task from its completion on.
pub(in crate::workflow) fn record_transient(transition: &mut Transition<'_>, task: &WorkflowTask) {
    if !task.is_transient() {
        return;
    }
    let start = task.started.as_ref().expect("the task is started");
    let scheduled = view::scheduled_attributes(&transition.run.state, task);
    transition.record_at(task.scheduled_time, Attributes::WorkflowTaskScheduledEventAttributes(scheduled));
    let started = start_workflow_task::started_attributes(task, start);
    transition.record_at(start.time, Attributes::WorkflowTaskStartedEventAttributes(started));
}

fn completed(
    task: &WorkflowTask,
    completion: &RespondWorkflowTaskCompletedRequest,
) -> WorkflowTaskCompletedEventAttributes {
    let start = task.started.as_ref().expect("the task is started");
    let deployment = completion.deployment_options.as_ref().filter(|options| !options.deployment_name.is_empty());
    #[allow(deprecated, reason = "what workers send is kept for them")]
    WorkflowTaskCompletedEventAttributes {
        scheduled_event_id: task.scheduled.0,
        started_event_id: start.event.0,
        identity: completion.identity.clone(),
        binary_checksum: completion.binary_checksum.clone(),
        worker_version: completion.worker_version_stamp.clone(),
        sdk_metadata: completion.sdk_metadata.clone(),
        metering_metadata: completion.metering_metadata,
        worker_deployment_name: deployment.map(|options| options.deployment_name.clone()).unwrap_or_default(),
        deployment_version: deployment.map(|options| WorkerDeploymentVersion {
            deployment_name: options.deployment_name.clone(),
            build_id: options.build_id.clone(),
        }),
        ..WorkflowTaskCompletedEventAttributes::default()
    }
}

/// The queue of the worker, if it keeps the run in its cache.
fn sticky(completion: &RespondWorkflowTaskCompletedRequest) -> Option<Sticky> {
    let attributes = completion.sticky_attributes.as_ref()?;
    let queue = attributes.worker_task_queue.as_ref().filter(|queue| !queue.name.is_empty())?;
    Some(Sticky {
        task_queue: queue.name.clone(),
        schedule_to_start: duration(attributes.schedule_to_start_timeout.as_ref()),
    })
}

/// Refuse fields that are not built.
fn check_fields(completion: &RespondWorkflowTaskCompletedRequest) -> Result<(), Failure> {
    let versioning = |options: &proto::temporal::api::deployment::v1::WorkerDeploymentOptions| {
        options.worker_versioning_mode() == WorkerVersioningMode::Versioned
    };
    let filled = [
        ("messages", !completion.messages.is_empty()),
        ("versioning_behavior", completion.versioning_behavior() != VersioningBehavior::Unspecified),
        ("deployment_options.worker_versioning_mode", completion.deployment_options.as_ref().is_some_and(versioning)),
        ("page_number", completion.page_number != 0),
        ("intermediate_page", completion.intermediate_page),
    ];
    match filled.into_iter().find(|(_, is_filled)| *is_filled) {
        Some((field, _)) => Err(Failure::InvalidArgument(alloc::format!("{field} is not supported"))),
        None => Ok(()),
    }
}

/// A worker may keep a task alive with heartbeats for so long (api 3.7).
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(30 * 60);
