//! What both polls of workers have in common: they wait here, and wherever else the work may be.

use std::time::Duration;

use bytes::Bytes;
use hosts::{Hosts, Owner, Trouble, wire};
use matching::{HandedTask, Match, MatchedTask, PollRefused, Poller, QueueKey};
use prost::Message;
use proto::{
    meridian::internal::v1::{
        Kind, StartTaskRequest, host_service_client::HostServiceClient, start_task_response::Outcome,
    },
    temporal::api::taskqueue::v1::PollerScalingDecision,
};
use replicator::{shard::io::Failure, time::Timestamp, version::ClusterName};
use tokio::{select, time::sleep};
use tonic::transport::Channel;
use uuid::Uuid;

use super::Call;
use crate::{errors::Error, frontend::Frontend, routing::PASSED_BY};

type HostClient = HostServiceClient<Channel>;

/// Where work was found.
pub(super) enum Work {
    /// In a queue of this cluster.
    Here(Match),
    /// In the cluster where the namespace is active: its answer, as it came.
    There(Bytes),
    /// Nowhere, and the worker may come again.
    Nowhere,
}

/// When a poll ends without work: before its caller gives up, so that a task never goes to somebody who has (api 3.13).
pub(super) fn until(frontend: &Frontend, call: Call<'_>) -> Result<Timestamp, Error> {
    let deadline = call.caller.deadline.ok_or_else(|| Error::invalid("Context timeout is not set."))?;
    let now = frontend.now();
    if deadline.since(now) < SHORTEST_POLL {
        return Err(Failure::FailedPrecondition("Context timeout is too short.".into()).into());
    }
    Ok((now + LONGEST_POLL).min(deadline - MARGIN))
}

/// Wait for work.
///
/// A worker stays with the cluster it chose, whichever is active. So its poll waits in the queue of this cluster at all
/// times, and also in the active cluster for as long as that is another one. A failover adds or ends the second wait and
/// leaves the first alone: nothing is answered, nothing comes late, no worker notices.
///
/// A task that the other cluster hands to a wait that ends in this very moment is offered again there.
pub(super) async fn wait(
    frontend: &Frontend,
    call: Call<'_>,
    queue: QueueKey,
    poller: Poller,
    until: Timestamp,
) -> Result<Work, Error> {
    select! {
        biased;
        found = frontend.matching.poll(queue, poller, until, called_back(frontend, call)) => match found {
            Ok(Some(found)) => Ok(Work::Here(found)),
            Ok(None) => Ok(Work::Nowhere),
            Err(PollRefused::Moved) => Err(Failure::Moved.into()),
            Err(PollRefused::Wanted(host)) => Err(Error::Wanted(Uuid::from_u128(host.0))),
            Err(PollRefused::BadName) => Err(Error::invalid("missing task queue name")),
            Err(PollRefused::TooMany) => {
                Err(Error::TooManyWaiting("namespace concurrent poller limit exceeded".into()))
            }
        },
        answer = wait_elsewhere(frontend, call) => Ok(Work::There(answer)),
    }
}

/// Wait until the host is about to stop, or is gone, that passed the poll on, if one did. It cannot end the poll by itself: were
/// a task on its way to it at that moment, nobody would have the task until its time is up. And one that is gone without a word
/// leaves its connections open for long: whatever was given to them would wait as long.
async fn called_back(frontend: &Frontend, call: Call<'_>) {
    let passer = Uuid::parse_str(call.caller.header(PASSED_BY)).ok().filter(|_| call.caller.is_inside);
    match frontend.hosts.as_ref().zip(passer) {
        Some((hosts, passer)) => hosts.leaves(passer).await,
        None => std::future::pending().await,
    }
}

/// Wait in the active cluster whenever that is another one. Whatever goes wrong there is no reason to answer: the worker
/// could do nothing but come again.
async fn wait_elsewhere(frontend: &Frontend, call: Call<'_>) -> Bytes {
    if !frontend.may_forward(call.caller) {
        return std::future::pending().await;
    }
    let mut namespace = call.namespace.clone();
    loop {
        let Some(cluster) = frontend.elsewhere(call.caller, &namespace) else {
            match frontend.namespaces.changed(&namespace).await {
                Some(changed) => namespace = changed,
                None => std::future::pending().await,
            }
            continue;
        };
        let there = wait_there(frontend, call, &cluster);
        let moved = async {
            loop {
                match frontend.namespaces.changed(&namespace).await {
                    Some(changed) => namespace = changed,
                    None => std::future::pending().await,
                }
                if frontend.elsewhere(call.caller, &namespace).as_ref() != Some(&cluster) {
                    return;
                }
            }
        };
        select! {
            biased;
            answer = there => return answer,
            () = moved => {}
        }
    }
}

/// Wait in this other cluster for as long as it takes.
async fn wait_there(frontend: &Frontend, call: Call<'_>, cluster: &ClusterName) -> Bytes {
    let caller = call.caller;
    loop {
        let left = caller.deadline.map_or(Duration::ZERO, |deadline| deadline.since(frontend.now()));
        if left < SHORTEST_POLL {
            return std::future::pending().await;
        }
        match frontend.forward(caller, cluster, call.id()).await {
            Ok(answer) if has_task(&answer) => return answer,
            // Its time is up a little before ours, or it shuts down.
            Ok(_) => {}
            Err(status) => tracing::debug!(%cluster, %status, "a poll did not wait in the active cluster"),
        }
        sleep(PAUSE).await;
    }
}

/// Whether an encoded answer to a poll has a task token, its first field.
fn has_task(answer: &Bytes) -> bool {
    answer.first() == Some(&TASK_TOKEN_KEY)
}

/// Advice to the worker on how many polls it should have waiting (api 10.5).
pub(super) fn scaling(handed: &HandedTask, now: Timestamp) -> Option<PollerScalingDecision> {
    let delta = if handed.is_sync && IDLE <= handed.waited {
        -1
    } else if 0 < handed.backlog && LATE < now.since(handed.scheduled_time) {
        1
    } else {
        return None;
    };
    Some(PollerScalingDecision { poll_request_delta_suggestion: delta })
}

/// The way to the other hosts, if one of them has the shard of a task.
pub(super) fn is_there<'a>(frontend: &'a Frontend, task: &MatchedTask) -> Option<&'a Hosts> {
    let hosts = frontend.hosts.as_ref()?;
    (!matches!(hosts.of_workflow(&task.run().workflow), Owner::Here)).then_some(hosts)
}

/// Have the host that has the shard of a task start it in the worker's name. Answers what the worker gets; nothing when the
/// task is no longer there to be started.
///
/// When it is not known whether it was started, it is asked for once more under the same id: otherwise it would be nobody's
/// until it times out.
pub(super) async fn start_there(
    frontend: &Frontend,
    hosts: &Hosts,
    task: MatchedTask,
    kind: Kind,
    poll: Bytes,
) -> Result<Option<(HandedTask, Bytes)>, Error> {
    let request = StartTaskRequest {
        run: Some(wire::run(task.run())),
        scheduled_event_id: task.scheduled().0,
        attempt: task.attempt(),
        kind: kind.into(),
        request_id: frontend.start_id(&task),
        poll,
    };
    let give_up_at = frontend.now() + PATIENCE;
    let mut is_doubtful = false;
    loop {
        let outcome = match hosts.of_workflow(&task.run().workflow) {
            Owner::There(host) => {
                let call = async |mut client: HostClient, request| client.start_task(request).await;
                host.call(PATIENCE, request.clone(), call).await
            }
            Owner::Here => frontend.start_task(request.clone()).await.map_err(Trouble::of),
            Owner::Nobody => Err(Trouble::Moved),
        };
        match outcome.map(|response| response.outcome) {
            Ok(Some(Outcome::Response(response))) => {
                let handed = task.handed().clone();
                task.taken();
                return Ok(Some((handed, response)));
            }
            Ok(Some(Outcome::IsStale(_))) => {
                task.stale();
                return Ok(None);
            }
            Err(Trouble::Refused(status)) => {
                task.taken();
                return Err(status.into());
            }
            Err(Trouble::Lost) => is_doubtful = true,
            Ok(Some(Outcome::IsBusy(_)) | None) | Err(Trouble::Moved | Trouble::NotReached) => {}
        }
        if !is_doubtful || give_up_at <= frontend.now() {
            task.put_off(BUSY);
            return Ok(None);
        }
        sleep(PAUSE_HERE).await;
    }
}

/// An encoded answer with more of its fields.
pub(super) fn merged(answer: &Bytes, rest: &impl Message) -> Bytes {
    [answer.clone(), rest.encode_to_vec().into()].concat().into()
}

/// How much a task is still worth after its shard refused to have it started.
pub(super) fn give_up(task: MatchedTask, failure: Failure) {
    match failure {
        // The shard is busy or away. The task is as good as it was.
        Failure::Moved | Failure::Unavailable(_) | Failure::ResourceExhausted { .. } => task.put_off(BUSY),
        // Closed, started by another, scheduled anew, or active elsewhere: a shard offers again what is still wanted.
        Failure::NotFound(_) | Failure::NotActive { .. } => task.stale(),
        failure => {
            tracing::warn!(?failure, run = ?task.run(), "a task could not be started");
            task.stale();
        }
    }
}

/// A poll never waits longer.
const LONGEST_POLL: Duration = Duration::from_secs(60);

/// A poll that may not wait as long is refused.
const SHORTEST_POLL: Duration = Duration::from_secs(2);

/// A poll is answered so long before its caller gives up.
const MARGIN: Duration = Duration::from_secs(1);

/// Between two attempts to wait in another cluster.
const PAUSE: Duration = Duration::from_millis(500);

/// Between two attempts to have a task started on another host.
const PAUSE_HERE: Duration = Duration::from_millis(50);

/// How long another host may take to start a task. Tasks time out after ten seconds at most, unless somebody said otherwise.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before a task is offered again whose shard was busy.
const BUSY: Duration = Duration::from_millis(100);

/// A poll that waited so long for a task was one too many.
const IDLE: Duration = Duration::from_secs(1);

/// A task that waited so long for a poll waited too long.
const LATE: Duration = Duration::from_millis(200);

/// Key of field 1, length-delimited.
const TASK_TOKEN_KEY: u8 = 1 << 3 | 2;

#[cfg(test)]
mod tests {
    use proto::temporal::api::workflowservice::v1::{PollActivityTaskQueueResponse, PollWorkflowTaskQueueResponse};

    use super::*;
    use crate::answer::Answer;

    #[test]
    fn an_answer_with_a_token_has_a_task() {
        let token = Bytes::from_static(b"token");
        let task = PollWorkflowTaskQueueResponse { task_token: token.clone(), attempt: 1, ..Default::default() };
        assert!(has_task(&task.into_bytes()));
        let task = PollActivityTaskQueueResponse { task_token: token, attempt: 1, ..Default::default() };
        assert!(has_task(&task.into_bytes()));
        assert!(!has_task(&PollWorkflowTaskQueueResponse::default().into_bytes()));
        let nothing = PollWorkflowTaskQueueResponse { poller_group_id: "g".into(), ..Default::default() };
        assert!(!has_task(&nothing.into_bytes()));
    }
}
