//! Polls for activities.

use bytes::Bytes;
use hosts::Hosts;
use matching::{Match, MatchedTask, Poller, QueueKey, QueueKind};
use prost::Message;
use proto::{
    meridian::internal::v1::{Kind, StartTaskRequest},
    temporal::api::workflowservice::v1::{PollActivityTaskQueueRequest, PollActivityTaskQueueResponse},
};
use replicator::{
    ids::{EventId, RunKey},
    shard::io::{self, Failure, Response, StartedActivity},
};

use super::{
    Call,
    poll::{self, Work},
    poll_workflow_task::Raw,
};
use crate::{
    answer::Answer,
    errors::Error,
    frontend::{Frontend, unexpected},
    rpcs::undecodable,
    tokens::{TaskOf, TaskToken},
    validation,
};

pub(super) async fn poll(
    frontend: &Frontend,
    call: Call<'_>,
    request: PollActivityTaskQueueRequest,
) -> Result<Raw, Error> {
    let until = poll::until(frontend, call)?;
    #[allow(deprecated, reason = "workers still send it")]
    let version = request.worker_version_capabilities.as_ref();
    let deployment = request.deployment_options.as_ref();
    validation::poll(request.task_queue.as_ref(), &request.identity, deployment, version, call.sizes)?;
    let name = request.task_queue.as_ref().map(|queue| queue.name.as_str()).unwrap_or_default();
    let poller = Poller {
        identity: request.identity.clone(),
        max_tasks_per_second: request.task_queue_metadata.and_then(|metadata| metadata.max_tasks_per_second),
        deployment: deployment.cloned(),
        version: version.cloned(),
        normal: None,
        share: frontend.hosts.as_ref().map(|hosts| hosts.share(call.id(), name)),
    };
    loop {
        let key = QueueKey::new(call.id(), QueueKind::Activity, name);
        match poll::wait(frontend, call, key, poller.clone(), until).await? {
            Work::Nowhere => return Ok(Raw::default()),
            Work::There(answer) => return Ok(Raw(answer)),
            Work::Here(Match::Query(_)) => {
                return Err(Error::Internal("a query came through an activity queue".into()));
            }
            Work::Here(Match::Task(task)) => {
                let started = match poll::is_there(frontend, &task) {
                    Some(hosts) => start_there(frontend, hosts, task, call).await?,
                    None => start(frontend, task, &request).await?.map(Answer::into_bytes),
                };
                if let Some(activity) = started {
                    return Ok(Raw(activity));
                }
            }
        }
    }
}

/// Start an activity in the worker's name; `None` when it is no longer there to be started.
async fn start(
    frontend: &Frontend,
    task: MatchedTask,
    poll: &PollActivityTaskQueueRequest,
) -> Result<Option<PollActivityTaskQueueResponse>, Error> {
    let (scheduled, attempt) = (task.scheduled(), task.attempt());
    match begin(frontend, task.run(), scheduled, attempt, frontend.start_id(&task), poll.clone()).await? {
        Ok(mut activity) => {
            activity.poller_scaling_decision = poll::scaling(task.handed(), frontend.now());
            task.taken();
            Ok(Some(activity))
        }
        Err(failure) => {
            poll::give_up(task, failure);
            Ok(None)
        }
    }
}

/// The same for an activity whose shard is on another host.
async fn start_there(
    frontend: &Frontend,
    hosts: &Hosts,
    task: MatchedTask,
    call: Call<'_>,
) -> Result<Option<Bytes>, Error> {
    let started = poll::start_there(frontend, hosts, task, Kind::Activity, call.caller.request.clone()).await?;
    Ok(started.map(|(handed, activity)| {
        let poller_scaling_decision = poll::scaling(&handed, frontend.now());
        let rest = PollActivityTaskQueueResponse { poller_scaling_decision, ..Default::default() };
        poll::merged(&activity, &rest)
    }))
}

/// Start an activity for another host, whose worker waits for it.
pub(crate) async fn start_for(
    frontend: &Frontend,
    run: &RunKey,
    request: &StartTaskRequest,
) -> Result<Result<Bytes, Failure>, Error> {
    let poll = PollActivityTaskQueueRequest::decode(request.poll.clone()).map_err(undecodable)?;
    let scheduled = EventId(request.scheduled_event_id);
    let begun = begin(frontend, run, scheduled, request.attempt, request.request_id.clone(), poll).await?;
    Ok(begun.map(Answer::into_bytes))
}

/// Have the shard start an activity.
async fn begin(
    frontend: &Frontend,
    run: &RunKey,
    scheduled: EventId,
    attempt: i32,
    request_id: String,
    poll: PollActivityTaskQueueRequest,
) -> Result<Result<PollActivityTaskQueueResponse, Failure>, Error> {
    let call = io::Call::StartActivity { scheduled, attempt, request_id, poll: Box::new(poll) };
    let request = io::Request { workflow: run.workflow.clone(), run: Some(run.run), call };
    match frontend.shards.call(request).await {
        Ok(Response::ActivityTask(started)) => Ok(Ok(activity_task(run, *started))),
        Ok(other) => Err(unexpected(&other)),
        Err(failure) => Ok(Err(failure)),
    }
}

/// What a worker gets: what the shard said, and the token.
fn activity_task(run: &RunKey, started: StartedActivity) -> PollActivityTaskQueueResponse {
    let mut activity = started.poll;
    let token = TaskToken {
        workflow: run.workflow.clone(),
        run: run.run,
        task: TaskOf::Activity {
            scheduled: started.scheduled,
            attempt: activity.attempt,
            version: started.version,
            activity_id: activity.activity_id.clone(),
        },
    };
    activity.task_token = token.encode();
    activity
}
