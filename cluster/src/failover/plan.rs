//! What moving a namespace at once would lose, and what stands in the way of losing nothing: from what every shard knows of
//! what its peer has acknowledged.

use std::collections::BTreeSet;

use super::{Failovers, readiness, wire::named};
use crate::status::count;
use proto::meridian::failover::v1 as wire;
use replicator::{
    ids::ShardId,
    namespace::{Namespace, handover::change},
    shard::{Exposure, Standing},
    time::proto_duration,
    version::ClusterName,
};

impl Failovers {
    /// The plan, as the active cluster knows it.
    pub(super) async fn plan(&self, namespace: &Namespace, to: &ClusterName) -> wire::FailoverPlan {
        let view = self.driver.metadata.clusters().view();
        let mut blockers = Vec::new();
        if let Err(refusal) = change::check(namespace, to, &view.federation) {
            blockers.push(refusal.to_string());
        }
        if namespace.replication_state.pause().is_some() {
            blockers.push("it is being handed over already".to_owned());
        }
        let standings = self.driver.shards.standings(LONGEST_COUNT).await;
        let peer = view.federation.topology.id_of(to);
        let of_peer = |all: &Vec<Standing>| all.iter().find(|standing| Some(standing.peer) == peer).cloned();
        let shards: Vec<_> = standings.iter().map(|(shard, all)| (*shard, of_peer(all))).collect();
        blockers.extend(stream_blockers(&shards, to));
        blockers.extend(self.peer_blockers(namespace, to).await);

        let mut total = Exposure::default();
        let mut is_complete = true;
        let told = shards.iter().map(|(shard, standing)| {
            let exposure = standing.iter().find_map(|standing| standing.exposures.get(&namespace.id));
            let exposure = exposure.cloned().unwrap_or_default();
            let is_whole =
                standing.as_ref().is_some_and(|one| one.is_counted() && !one.seeding.contains(&namespace.id));
            is_complete &= is_whole;
            total.merge(&exposure);
            wire::ShardExposure {
                shard: shard.0,
                connected: standing.as_ref().is_some_and(|standing| standing.is_open),
                acknowledged_task_id: standing.as_ref().map_or(0, |standing| standing.acked.0),
                next_task_id: standing.as_ref().map_or(0, |standing| standing.next.0),
                exposure: Some(self.exposure(&exposure, is_whole)),
            }
        });
        let shards = told.collect();
        wire::FailoverPlan {
            namespace: namespace.name.clone(),
            from_cluster: namespace.active.to_string(),
            to_cluster: to.to_string(),
            failover_version: namespace.failover_version.0,
            exposure: Some(self.exposure(&total, is_complete)),
            shards,
            blockers,
        }
    }

    fn exposure(&self, exposure: &Exposure, is_complete: bool) -> wire::Exposure {
        let age = exposure.since.map(|since| (self.driver.clock)().since(since));
        wire::Exposure {
            events: count(exposure.events),
            workflows: i64::try_from(exposure.workflows.len()).unwrap_or(i64::MAX),
            bytes: count(exposure.bytes),
            age: Some(proto_duration(age.unwrap_or_default())),
            at_least: !is_complete,
        }
    }

    /// What the new side says of itself.
    async fn peer_blockers(&self, namespace: &Namespace, to: &ClusterName) -> Vec<String> {
        let readiness = match readiness::ask(&self.driver.metadata, namespace, to).await {
            Ok(readiness) => readiness,
            Err(status) => return vec![format!("cluster {to} cannot be asked: {}", status.message())],
        };
        let mut blockers = readiness::all(&readiness, to, &BTreeSet::new());
        if readiness.failover_version < namespace.failover_version.0 {
            let (known, now) = (readiness.failover_version, namespace.failover_version);
            blockers.push(format!("cluster {to} knows failover version {known} of it, and not {now}"));
        }
        blockers
    }
}

/// What the streams of all shards say, whatever namespace they tell of: it goes before what this one has to tell.
fn stream_blockers(shards: &[(ShardId, Option<Standing>)], to: &ClusterName) -> Vec<String> {
    let mut blockers = Vec::new();
    let down: Vec<_> =
        shards.iter().filter(|(_, one)| !one.as_ref().is_some_and(|one| one.is_open)).map(|(id, _)| *id).collect();
    if !down.is_empty() {
        blockers.push(format!("no stream to {to} from {}", named(&down.into_iter().collect())));
    }
    let behind = |standing: &Standing| standing.exposures.values().map(|exposure| exposure.tasks).sum::<u64>();
    let far = shards.iter().filter_map(|(id, one)| one.as_ref().map(|one| (*id, behind(one), !one.is_counted())));
    for (shard, tasks, is_more) in far.filter(|(_, tasks, is_more)| *is_more || FAR < *tasks) {
        let more = if is_more { "more than " } else { "" };
        blockers.push(format!("{to} is {more}{tasks} tasks behind in shard {shard}"));
    }
    blockers
}

/// So many tasks of each shard are counted that are only in the store.
const LONGEST_COUNT: usize = 200_000;
/// A peer is far behind when a shard has more to tell than this: a handover would wait for it to come near.
const FAR: u64 = 1024;

#[cfg(test)]
mod tests {
    use replicator::ids::{ClusterId, NamespaceId, TaskId};

    use super::*;

    fn shard(is_open: bool, tasks: u64, stored: bool) -> Option<Standing> {
        let exposures = [(NamespaceId::from_bytes([1; 16]), Exposure { tasks, ..Exposure::default() })].into();
        let stored = stored.then_some(TaskId(5));
        Some(Standing {
            peer: ClusterId(2),
            is_open,
            acked: TaskId(1),
            stored,
            next: TaskId(9),
            exposures,
            has_gap: false,
            seeding: BTreeSet::new(),
            held_back: None,
        })
    }

    #[test]
    fn what_streams_say() {
        let check = |shards: [Option<Standing>; 2], expected: &[&str]| {
            let shards: Vec<_> = (1..).map(ShardId).zip(shards).collect();
            assert_eq!(stream_blockers(&shards, &"b".into()), expected);
        };
        check([shard(true, 0, false), shard(true, 1024, false)], &[]);
        check([shard(false, 0, false), None], &["no stream to b from shards 1, 2"]);
        check([shard(true, 1025, false), shard(true, 0, false)], &["b is 1025 tasks behind in shard 1"]);
        check([shard(true, 0, false), shard(true, 7, true)], &["b is more than 7 tasks behind in shard 2"]);
    }
}
