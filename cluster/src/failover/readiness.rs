//! What a new side says of itself: what it lacks that the streams of the active cluster do not show.

use std::{collections::BTreeSet, time::Duration};

use metadata::Metadata;
use proto::meridian::failover::v1 as wire;
use replicator::{
    ids::ShardId,
    namespace::Namespace,
    version::{ClusterName, FailoverVersion},
};
use tonic::{Code, Status};

use super::wire::named;

/// Ask it.
pub(super) async fn ask(
    metadata: &Metadata,
    namespace: &Namespace,
    to: &ClusterName,
) -> Result<wire::Readiness, Status> {
    let view = metadata.clusters().view();
    let peer = view.peers.get(to).ok_or_else(|| Status::unavailable("it is not connected"))?;
    let mut client = wire::failover_service_client::FailoverServiceClient::new(peer.channel.clone());
    let mut request = tonic::Request::new(wire::GetReadinessRequest { namespace: namespace.name.clone() });
    request.set_timeout(PATIENCE);
    let answer = tokio::time::timeout(PATIENCE, client.get_readiness(request)).await;
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer"))).map(tonic::Response::into_inner)
}

/// Refuse a new side that lacks what no stream is about to bring. What one is about to bring is waited for, and so is a new side
/// that does not answer, or has not heard of the namespace: it may yet.
///
/// # Errors
///
/// FAILED_PRECONDITION, and what it lacks.
pub(super) async fn check(metadata: &Metadata, namespace: &Namespace, to: &ClusterName) -> Result<(), Status> {
    let answer = ask(metadata, namespace, to).await;
    let Some(why) = answer.ok().and_then(|readiness| quarantined(&readiness, to)) else { return Ok(()) };
    Err(Status::failed_precondition(format!("namespace {} cannot be handed over: {why}", namespace.name)))
}

/// Ask it until it lacks nothing; what it lacks meanwhile is told.
pub(super) async fn awaited(
    metadata: &Metadata,
    namespace: &Namespace,
    to: &ClusterName,
    without: &BTreeSet<ClusterName>,
    tell: impl Fn(String),
) {
    loop {
        match lacks(ask(metadata, namespace, to).await, namespace.failover_version, to, without) {
            None => return,
            Some(lacks) => tell(lacks),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn lacks(
    answer: Result<wire::Readiness, Status>,
    version: FailoverVersion,
    to: &ClusterName,
    without: &BTreeSet<ClusterName>,
) -> Option<String> {
    let readiness = match answer {
        Ok(readiness) => readiness,
        Err(status) if status.code() == Code::NotFound => return Some(format!("cluster {to} does not know it yet")),
        Err(status) => return Some(format!("cluster {to} cannot be asked: {}", status.message())),
    };
    if readiness.failover_version < version.0 {
        return Some(format!("cluster {to} has not heard of failover version {version}"));
    }
    let blockers = all(&readiness, to, without);
    (!blockers.is_empty()).then(|| blockers.join("; "))
}

/// Everything that a new side lacks.
pub(super) fn all(readiness: &wire::Readiness, to: &ClusterName, without: &BTreeSet<ClusterName>) -> Vec<String> {
    let blockers =
        [quarantined(readiness, to), untold(readiness, to), silent(readiness, to), unheard(readiness, to, without)];
    blockers.into_iter().flatten().collect()
}

/// What a new side lacks until an operator has seen to it.
fn quarantined(readiness: &wire::Readiness, to: &ClusterName) -> Option<String> {
    let kept = readiness.quarantined_tasks;
    (kept > 0).then(|| format!("cluster {to} keeps {kept} tasks of it in quarantine, which it could not apply"))
}

/// What a new side is about to be told, since it was no part of the namespace before, or has lost its own.
fn untold(readiness: &wire::Readiness, to: &ClusterName) -> Option<String> {
    let shards = named(&readiness.untold_shards.iter().copied().map(ShardId).collect());
    (!readiness.untold_shards.is_empty())
        .then(|| format!("cluster {to} is still to be told of earlier runs in {shards}"))
}

/// Shards of the new side that say nothing, because they are on their way from one host to another.
fn silent(readiness: &wire::Readiness, to: &ClusterName) -> Option<String> {
    let shards = named(&readiness.silent_shards.iter().copied().map(ShardId).collect());
    (!readiness.silent_shards.is_empty()).then(|| format!("no host of cluster {to} answers for {shards} at the moment"))
}

/// What a new side lacks that streams from third clusters bring, if they are there.
fn unheard(readiness: &wire::Readiness, to: &ClusterName, without: &BTreeSet<ClusterName>) -> Option<String> {
    let mut names = readiness.unheard_clusters.clone();
    names.retain(|name| !without.contains(&ClusterName::from(name.as_str())));
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("cluster {to} has not heard all that {names} wrote (--without names clusters that are gone)")
    })
}

/// How long the new side may take to say how it stands.
const PATIENCE: Duration = Duration::from_secs(3);
/// When it is asked again.
const AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness() -> wire::Readiness {
        wire::Readiness { failover_version: 3, ..wire::Readiness::default() }
    }

    #[test]
    fn what_a_new_side_lacks() {
        let found = |answer| lacks(answer, FailoverVersion(3), &"b".into(), &[ClusterName::from("d")].into());
        let check = |change: fn(&mut wire::Readiness), expected: Option<&str>| {
            let mut readiness = readiness();
            change(&mut readiness);
            assert_eq!(found(Ok(readiness)).as_deref(), expected);
        };
        check(|_| {}, None);
        check(|told| told.failover_version = 2, Some("cluster b has not heard of failover version 3"));
        let kept = "cluster b keeps 2 tasks of it in quarantine, which it could not apply";
        check(|told| told.quarantined_tasks = 2, Some(kept));
        let untold = "cluster b is still to be told of earlier runs in shards 1, 3";
        check(|told| told.untold_shards = vec![1, 3], Some(untold));
        let silent = "no host of cluster b answers for shards 2, 4 at the moment";
        check(|told| told.silent_shards = vec![2, 4], Some(silent));
        let unheard = "cluster b has not heard all that c wrote (--without names clusters that are gone)";
        check(|told| told.unheard_clusters = vec!["c".into(), "d".into()], Some(unheard));
        check(|told| told.unheard_clusters = vec!["d".into()], None);
        let refused = |status| found(Err(status));
        assert_eq!(refused(Status::not_found("default")).as_deref(), Some("cluster b does not know it yet"));
        assert_eq!(refused(Status::unavailable("gone")).as_deref(), Some("cluster b cannot be asked: gone"));
    }
}
