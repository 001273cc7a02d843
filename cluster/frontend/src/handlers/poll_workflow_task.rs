//! Polls for workflow tasks and queries.

use std::time::Duration;

use bytes::Bytes;
use hosts::Hosts;
use matching::{HandedTask, Match, MatchedTask, Poller, QueryTask, Question, QueueKey, QueueKind};
use prost::Message;
use proto::{
    meridian::internal::v1::{Kind, StartTaskRequest},
    temporal::api::{
        common::v1::{WorkflowExecution, WorkflowType},
        enums::v1::TaskQueueKind,
        query::v1::WorkflowQuery,
        taskqueue::v1::TaskQueue,
        workflowservice::v1::{PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse},
    },
};
use replicator::{
    ids::{EventId, RunKey},
    shard::io::{self, DirectQuery, Failure, Response, RunView, StartedWorkflowTask},
};
use tokio::time::sleep;

use super::{
    Call, history,
    poll::{self, Work},
};
use crate::{
    answer::{Answer, RawHistory, WorkflowTask},
    errors::Error,
    frontend::{Frontend, unexpected},
    rpcs::undecodable,
    tokens::{QueryToken, TaskOf, TaskToken},
    validation,
};

pub(super) async fn poll(
    frontend: &Frontend,
    call: Call<'_>,
    request: PollWorkflowTaskQueueRequest,
) -> Result<Raw, Error> {
    let until = poll::until(frontend, call)?;
    #[allow(deprecated, reason = "workers still send it")]
    let version = request.worker_version_capabilities.as_ref();
    let deployment = request.deployment_options.as_ref();
    validation::poll(request.task_queue.as_ref(), &request.identity, deployment, version, call.sizes)?;
    let queue = request.task_queue.clone().unwrap_or_default();
    let kind = if queue.kind() == TaskQueueKind::Sticky { QueueKind::Sticky } else { QueueKind::Workflow };
    let poller = Poller {
        identity: request.identity.clone(),
        max_tasks_per_second: None,
        share: None,
        deployment: deployment.cloned(),
        version: version.cloned(),
        normal: Some(queue.normal_name.clone()).filter(|name| kind == QueueKind::Sticky && !name.is_empty()),
    };
    loop {
        let key = QueueKey::new(call.id(), kind, queue.name.as_str());
        match poll::wait(frontend, call, key, poller.clone(), until).await? {
            Work::Nowhere => return Ok(Raw::default()),
            Work::There(answer) => return Ok(Raw(answer)),
            Work::Here(Match::Query(query)) => return ask(frontend, query).await,
            Work::Here(Match::Task(task)) => {
                let started = match poll::is_there(frontend, &task) {
                    Some(hosts) => start_there(frontend, hosts, task, call).await?,
                    None => start(frontend, task, &request).await?.map(WorkflowTask::into_bytes),
                };
                if let Some(task) = started {
                    return Ok(Raw(task));
                }
            }
        }
    }
}

/// An answer that is already encoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Raw(pub Bytes);

impl Answer for Raw {
    fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Start a task in the worker's name; `None` when it is no longer there to be started.
async fn start(
    frontend: &Frontend,
    task: MatchedTask,
    poll: &PollWorkflowTaskQueueRequest,
) -> Result<Option<WorkflowTask>, Error> {
    let begun = begin(frontend, task.run(), task.scheduled(), frontend.start_id(&task), poll.clone()).await?;
    let started = match begun {
        Ok(started) => started,
        Err(failure) => {
            poll::give_up(task, failure);
            return Ok(None);
        }
    };
    let is_partial = is_partial(&started, task.queue().kind);
    let answer = workflow_task(frontend, started, is_partial).await;
    let handed = task.handed().clone();
    // Only now: nothing waits from here on, so the poll cannot break off before it has the answer.
    task.taken();
    let mut answer = answer?;
    say_of_queue(frontend, &handed, &mut answer.response);
    Ok(Some(answer))
}

/// The same for a task whose shard is on another host.
async fn start_there(
    frontend: &Frontend,
    hosts: &Hosts,
    task: MatchedTask,
    call: Call<'_>,
) -> Result<Option<Bytes>, Error> {
    let kind = if task.queue().kind == QueueKind::Sticky { Kind::Sticky } else { Kind::Workflow };
    let started = poll::start_there(frontend, hosts, task, kind, call.caller.request.clone()).await?;
    Ok(started.map(|(handed, task)| {
        let mut rest = PollWorkflowTaskQueueResponse::default();
        say_of_queue(frontend, &handed, &mut rest);
        poll::merged(&task, &rest)
    }))
}

/// Start a task for another host, whose worker waits for it.
pub(crate) async fn start_for(
    frontend: &Frontend,
    run: &RunKey,
    request: &StartTaskRequest,
) -> Result<Result<Bytes, Failure>, Error> {
    let poll = PollWorkflowTaskQueueRequest::decode(request.poll.clone()).map_err(undecodable)?;
    let scheduled = EventId(request.scheduled_event_id);
    let started = match begin(frontend, run, scheduled, request.request_id.clone(), poll).await? {
        Ok(started) => started,
        Err(failure) => return Ok(Err(failure)),
    };
    let from = if request.kind() == Kind::Sticky { QueueKind::Sticky } else { QueueKind::Workflow };
    let is_partial = is_partial(&started, from);
    Ok(Ok(workflow_task(frontend, started, is_partial).await?.into_bytes()))
}

/// Have the shard start a task.
async fn begin(
    frontend: &Frontend,
    run: &RunKey,
    scheduled: EventId,
    request_id: String,
    poll: PollWorkflowTaskQueueRequest,
) -> Result<Result<StartedWorkflowTask, Failure>, Error> {
    let call = io::Call::StartWorkflowTask { scheduled, request_id, poll: Box::new(poll) };
    let request = io::Request { workflow: run.workflow.clone(), run: Some(run.run), call };
    match frontend.shards.call(request).await {
        Ok(Response::WorkflowTask(started)) => Ok(Ok(*started)),
        Ok(other) => Err(unexpected(&other)),
        Err(failure) => Ok(Err(failure)),
    }
}

/// A worker that has the run cached polls its own queue; to any other the rest of the history would be of no use.
fn is_partial(started: &StartedWorkflowTask, from: QueueKind) -> bool {
    started.sticky && from == QueueKind::Sticky
}

/// What the queue knows and the shard does not.
fn say_of_queue(frontend: &Frontend, handed: &HandedTask, response: &mut PollWorkflowTaskQueueResponse) {
    response.backlog_count_hint = i64::try_from(handed.backlog).unwrap_or(i64::MAX);
    response.poller_scaling_decision = poll::scaling(handed, frontend.now());
}

/// What a worker gets to carry out a started task. Its history ends with the start of the task.
pub(super) async fn workflow_task(
    frontend: &Frontend,
    started: StartedWorkflowTask,
    is_partial: bool,
) -> Result<WorkflowTask, Error> {
    let first = if is_partial { started.previous_started.next() } else { EventId::FIRST };
    let (mut history, next_page_token) = first_page(frontend, &started.view, first).await?;
    if next_page_token.is_empty() {
        history.extend(&started.transient);
    }
    let run = &started.view.run;
    let token =
        TaskToken { workflow: run.workflow.clone(), run: run.run, task: TaskOf::Workflow(started.claim.clone()) };
    let response = PollWorkflowTaskQueueResponse {
        task_token: token.encode(),
        previous_started_event_id: started.previous_started.0,
        started_event_id: started.claim.started.0,
        attempt: started.claim.attempt,
        next_page_token,
        scheduled_time: Some(started.scheduled_time.into()),
        started_time: Some(started.claim.started_time.into()),
        queries: started.queries,
        ..of_run(&started.view, started.workflow_type, started.task_queue)
    };
    Ok(WorkflowTask { response, history: Some(history) })
}

/// What a worker gets to answer a query.
async fn ask(frontend: &Frontend, task: QueryTask) -> Result<Raw, Error> {
    let normal = task.question().normal().to_owned();
    let token = QueryToken { namespace: task.queue().namespace, task_queue: normal, query: task.id().0.to_string() };
    let token = PollWorkflowTaskQueueResponse { task_token: token.encode(), ..Default::default() };
    let response = match task.question() {
        Question::Run(query, direct) => question(frontend, query, direct, task.queue().kind).await?,
        Question::Written { response, .. } => response.clone(),
    };
    task.taken();
    // The token comes first: another cluster knows by that whether it got something (see `poll::has_task`).
    Ok(Raw([token.encode_to_vec().into(), response].concat().into()))
}

/// What a worker gets to answer a query, but for the token. A worker that has the run cached needs no history.
pub(super) async fn question(
    frontend: &Frontend,
    query: &WorkflowQuery,
    direct: &DirectQuery,
    kind: QueueKind,
) -> Result<Bytes, Error> {
    let (history, next_page_token) = match kind {
        QueueKind::Sticky => Default::default(),
        _ => first_page(frontend, &direct.view, EventId::FIRST).await?,
    };
    let response = PollWorkflowTaskQueueResponse {
        previous_started_event_id: direct.previous_started.0,
        attempt: 1,
        next_page_token,
        query: Some(query.clone()),
        ..of_run(&direct.view, direct.workflow_type.clone(), direct.task_queue.clone())
    };
    Ok(WorkflowTask { response, history: Some(history) }.into_bytes())
}

fn of_run(view: &RunView, workflow_type: String, task_queue: String) -> PollWorkflowTaskQueueResponse {
    PollWorkflowTaskQueueResponse {
        workflow_execution: Some(WorkflowExecution {
            workflow_id: view.run.workflow.workflow.to_string(),
            run_id: view.run.run.to_string(),
        }),
        workflow_type: Some(WorkflowType { name: workflow_type }),
        workflow_execution_task_queue: Some(TaskQueue {
            name: task_queue,
            kind: TaskQueueKind::Normal.into(),
            normal_name: String::new(),
        }),
        ..Default::default()
    }
}

/// The first page from `first` on, and the token of the next one if there is one.
///
/// The task is started: if nobody gets it, the workflow stands still until it times out. So a store that is away for a moment
/// is waited for.
async fn first_page(frontend: &Frontend, view: &RunView, first: EventId) -> Result<(RawHistory, Bytes), Error> {
    let give_up_at = frontend.now() + PATIENCE;
    loop {
        match history::first_page(frontend, view, first).await {
            Err(Error::Refused(Failure::Unavailable(_))) if frontend.now() < give_up_at => sleep(PAUSE).await,
            outcome => return outcome,
        }
    }
}

/// Before the history is read again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the history is asked for. Tasks time out after ten seconds at most, unless somebody said otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
