//! Polls for activities.

use matching::{Match, MatchedTask, Poller, QueueKey, QueueKind};
use proto::temporal::api::workflowservice::v1::{PollActivityTaskQueueRequest, PollActivityTaskQueueResponse};
use replicator::{
    ids::RunKey,
    shard::io::{self, Response, StartedActivity},
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
    validation::poll(request.task_queue.as_ref(), &request.identity, deployment, version)?;
    let name = request.task_queue.as_ref().map(|queue| queue.name.as_str()).unwrap_or_default();
    let poller = Poller {
        identity: request.identity.clone(),
        max_tasks_per_second: request.task_queue_metadata.and_then(|metadata| metadata.max_tasks_per_second),
        deployment: deployment.cloned(),
        version: version.cloned(),
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
                if let Some(activity) = start(frontend, task, &request).await? {
                    return Ok(Raw(activity.into_bytes()));
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
    let run = task.run().clone();
    let request = io::Request {
        workflow: run.workflow.clone(),
        run: Some(run.run),
        call: io::Call::StartActivity {
            scheduled: task.scheduled(),
            attempt: task.attempt(),
            request_id: frontend.fresh_id(),
            poll: Box::new(poll.clone()),
        },
    };
    match frontend.shards.call(request).await {
        Ok(Response::ActivityTask(started)) => {
            let decision = poll::scaling(task.handed(), frontend.now());
            task.taken();
            let mut activity = activity_task(&run, *started);
            activity.poller_scaling_decision = decision;
            Ok(Some(activity))
        }
        Ok(other) => Err(unexpected(&other)),
        Err(failure) => {
            poll::give_up(task, failure);
            Ok(None)
        }
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
