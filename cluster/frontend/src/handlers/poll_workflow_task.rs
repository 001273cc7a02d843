//! Polls for workflow tasks and queries.

use std::time::Duration;

use bytes::Bytes;
use matching::{Match, MatchedTask, Poller, QueryTask, QueueKey, QueueKind};
use proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::TaskQueueKind,
    taskqueue::v1::TaskQueue,
    workflowservice::v1::{PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse},
};
use replicator::{
    ids::EventId,
    shard::io::{self, Failure, Response, RunView, StartedWorkflowTask},
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
    validation::poll(request.task_queue.as_ref(), &request.identity, deployment, version)?;
    let queue = request.task_queue.clone().unwrap_or_default();
    let kind = if queue.kind() == TaskQueueKind::Sticky { QueueKind::Sticky } else { QueueKind::Workflow };
    let poller = Poller {
        identity: request.identity.clone(),
        max_tasks_per_second: None,
        deployment: deployment.cloned(),
        version: version.cloned(),
    };
    loop {
        let key = QueueKey::new(call.id(), kind, queue.name.as_str());
        match poll::wait(frontend, call, key, poller.clone(), until).await? {
            Work::Nowhere => return Ok(Raw::default()),
            Work::There(answer) => return Ok(Raw(answer)),
            Work::Here(Match::Query(query)) => return Ok(Raw(ask(frontend, query).await?.into_bytes())),
            Work::Here(Match::Task(task)) => {
                if let Some(task) = start(frontend, task, &request).await? {
                    return Ok(Raw(task.into_bytes()));
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
    let run = task.run();
    let request = io::Request {
        workflow: run.workflow.clone(),
        run: Some(run.run),
        call: io::Call::StartWorkflowTask {
            scheduled: task.scheduled(),
            request_id: frontend.fresh_id(),
            poll: Box::new(poll.clone()),
        },
    };
    let started = match frontend.shards.call(request).await {
        Ok(Response::WorkflowTask(started)) => *started,
        Ok(other) => return Err(unexpected(&other)),
        Err(failure) => {
            poll::give_up(task, failure);
            return Ok(None);
        }
    };
    let handed = task.handed().clone();
    task.taken();
    // A worker that has the run cached polls its own queue; to any other the rest of the history would be of no use.
    let is_partial = started.sticky && handed.queue.kind == QueueKind::Sticky;
    let mut task = workflow_task(frontend, started, is_partial).await?;
    task.response.backlog_count_hint = i64::try_from(handed.backlog).unwrap_or(i64::MAX);
    task.response.poller_scaling_decision = poll::scaling(&handed, frontend.now());
    Ok(Some(task))
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

/// What a worker gets to answer a query. A worker that has the run cached needs no history.
async fn ask(frontend: &Frontend, task: QueryTask) -> Result<WorkflowTask, Error> {
    let direct = task.direct().clone();
    let (history, next_page_token) = match task.queue().kind {
        QueueKind::Sticky => Default::default(),
        _ => first_page(frontend, &direct.view, EventId::FIRST).await?,
    };
    let token = QueryToken {
        namespace: direct.view.run.workflow.namespace,
        task_queue: task.queue().name.as_ref().into(),
        query: task.id().0.to_string(),
    };
    let response = PollWorkflowTaskQueueResponse {
        task_token: token.encode(),
        previous_started_event_id: direct.previous_started.0,
        attempt: 1,
        next_page_token,
        query: Some(task.query().clone()),
        ..of_run(&direct.view, direct.workflow_type, direct.task_queue)
    };
    task.taken();
    Ok(WorkflowTask { response, history: Some(history) })
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
