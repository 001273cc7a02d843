//! `meridian.status.v1.StatusService`: what an operator asks one cluster about its peers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use metadata::Metadata;
use proto::meridian::status::v1::{
    GetReplicationStatusRequest, GetReplicationStatusResponse, PeerStatus, status_service_server::StatusService,
};
use replicator::{
    ids::{NamespaceId, ShardId},
    shard::{Exposure, Standing, io::Limit},
    time::{Timestamp, proto_duration},
    version::ClusterName,
};
use tonic::{Request, Response, Status, async_trait};

use crate::{hosts::AllShards, ports::Clock};

/// Knows how far peers are behind. Clones share everything.
#[derive(Clone)]
pub(crate) struct Lags {
    pub(crate) shards: AllShards,
    pub(crate) metadata: Metadata,
    pub(crate) now: Clock,
}

/// How far one peer is behind, over all shards.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PeerLag {
    /// Whether every shard has a stream to it.
    pub(crate) is_connected: bool,
    /// Whether everything that it does not have was counted.
    pub(crate) is_complete: bool,
    /// What it does not have.
    pub(crate) exposures: BTreeMap<NamespaceId, Exposure>,
    /// Whether it was away for longer than tasks are kept for it.
    pub(crate) has_gap: bool,
    /// Namespaces of which it is being told everything.
    pub(crate) seeding: BTreeSet<NamespaceId>,
    /// What has kept more from being sent to it, and since when.
    pub(crate) held_back: Option<(Limit, Timestamp)>,
}

impl Lags {
    /// The lag of every peer, by name. Counts everything that memory holds, and a little of what only the store does.
    pub(crate) async fn by_peer(&self) -> BTreeMap<Arc<str>, PeerLag> {
        let (view, of_shards) = (self.metadata.clusters().view(), self.shards.standings(STORED).await);
        let peers = view.peers.values().map(|peer| {
            let of_peer = of_shards.iter().map(|(shard, all)| (*shard, all.iter().find(|one| one.peer == peer.id)));
            (Arc::from(peer.name.as_str()), self.sum(&peer.name, of_peer))
        });
        peers.collect()
    }

    /// Age of something that was written then.
    pub(crate) fn age(&self, since: Option<Timestamp>) -> Duration {
        since.map_or(Duration::ZERO, |since| (self.now)().since(since))
    }

    fn sum<'a>(&self, peer: &ClusterName, of_shards: impl Iterator<Item = (ShardId, Option<&'a Standing>)>) -> PeerLag {
        let namespaces = self.metadata.namespaces();
        let is_there = |id: &NamespaceId| namespaces.get_by_id(*id).is_none_or(|namespace| namespace.is_on(peer));
        sum(of_shards, is_there)
    }
}

fn sum<'a>(
    of_shards: impl Iterator<Item = (ShardId, Option<&'a Standing>)>,
    is_there: impl Fn(&NamespaceId) -> bool,
) -> PeerLag {
    let mut sum = PeerLag {
        is_connected: true,
        is_complete: true,
        exposures: BTreeMap::new(),
        has_gap: false,
        seeding: BTreeSet::new(),
        held_back: None,
    };
    let mut shards = BTreeSet::new();
    for (shard, standing) in of_shards {
        shards.insert(shard);
        sum.is_connected &= standing.is_some_and(|standing| standing.is_open);
        sum.is_complete &= standing.is_some_and(|standing| standing.is_counted());
        let Some(standing) = standing else { continue };
        sum.has_gap |= standing.has_gap;
        sum.seeding.extend(&standing.seeding);
        sum.held_back = [sum.held_back, standing.held_back].into_iter().flatten().min_by_key(|(_, since)| *since);
        for (namespace, exposure) in &standing.exposures {
            if is_there(namespace) {
                sum.exposures.entry(*namespace).or_default().merge(exposure);
            }
        }
    }
    sum.is_connected &= !shards.is_empty();
    sum
}

impl PeerLag {
    /// What it does not have of all namespaces.
    pub(crate) fn total(&self) -> Exposure {
        let mut total = Exposure::default();
        self.exposures.values().for_each(|exposure| total.merge(exposure));
        total
    }
}

#[async_trait]
impl StatusService for Lags {
    async fn get_replication_status(
        &self,
        _: Request<GetReplicationStatusRequest>,
    ) -> Result<Response<GetReplicationStatusResponse>, Status> {
        let peers = self.by_peer().await.into_iter().map(|(name, lag)| {
            let total = lag.total();
            PeerStatus {
                cluster_name: name.to_string(),
                connected: lag.is_connected,
                lag_tasks: lag.is_complete.then(|| count(total.tasks)),
                lag: Some(proto_duration(self.age(total.since))),
                lag_events: count(total.events),
                lag_bytes: count(total.bytes),
                has_gap: lag.has_gap,
                seeding_namespaces: i64::try_from(lag.seeding.len()).unwrap_or(i64::MAX),
                held_back_by: lag.held_back.map(|(limit, _)| limit.as_str().into()).unwrap_or_default(),
                held_back: lag.held_back.map(|(_, since)| proto_duration(self.age(Some(since)))),
            }
        });
        Ok(Response::new(GetReplicationStatusResponse { peers: peers.collect() }))
    }
}

/// A count on the wire.
pub(crate) fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// So many tasks are read back of each shard for a peer that is further behind than memory reaches: enough to tell since
/// when.
const STORED: usize = 128;

#[cfg(test)]
mod tests {
    use replicator::ids::{ClusterId, TaskId};

    use super::*;

    fn standing(is_open: bool, stored: bool, tasks: u64, since: i64) -> Standing {
        let exposure =
            Exposure { tasks, events: 2 * tasks, since: Some(Timestamp::from_millis(since)), ..Exposure::default() };
        Standing {
            peer: ClusterId(2),
            is_open,
            acked: TaskId(1),
            stored: stored.then_some(TaskId(5)),
            next: TaskId(9),
            exposures: [(NamespaceId::from_bytes([1; 16]), exposure)].into(),
            has_gap: false,
            seeding: BTreeSet::new(),
            held_back: None,
        }
    }

    #[test]
    fn the_lag_of_a_peer_is_that_of_all_shards() {
        let check = |shards: [Option<Standing>; 2], expected: (bool, bool, u64, Option<i64>)| {
            let lag = sum((1..).map(ShardId).zip(shards.iter().map(Option::as_ref)), |_| true);
            let total = lag.total();
            let since = total.since.map(|since| since.0 / 1_000_000);
            assert_eq!((lag.is_connected, lag.is_complete, total.events, since), expected);
        };
        let one = || Some(standing(true, false, 3, 900));
        check([one(), Some(standing(true, false, 4, 700))], (true, true, 14, Some(700)));
        check([one(), Some(standing(false, false, 0, 950))], (false, true, 6, Some(900)));
        check([one(), None], (false, false, 6, Some(900)));
        check([one(), Some(standing(true, true, 1, 100))], (true, false, 8, Some(100)));
    }

    #[test]
    fn what_a_peer_does_not_have_anyhow_it_does_not_lack() {
        let standing = standing(true, false, 3, 900);
        let lag = sum([(ShardId(1), Some(&standing))].into_iter(), |_| false);
        assert_eq!((lag.is_connected, lag.total()), (true, Exposure::default()));
    }

    #[test]
    fn what_is_wrong_with_one_shard_is_said_of_the_peer() {
        let (mut held, mut gap) = (standing(true, false, 3, 900), standing(false, false, 0, 950));
        held.held_back = Some((Limit::Bytes, Timestamp::from_millis(400)));
        (gap.has_gap, gap.seeding) = (true, [NamespaceId::from_bytes([1; 16])].into());
        let lag = sum([(ShardId(1), Some(&held)), (ShardId(2), Some(&gap))].into_iter(), |_| true);
        assert_eq!((lag.has_gap, lag.seeding.len(), lag.is_complete), (true, 1, false));
        assert_eq!(lag.held_back, Some((Limit::Bytes, Timestamp::from_millis(400))));
    }
}
