//! `meridian.status.v1.StatusService`: what an operator asks one cluster about its peers.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use history::History;
use metadata::Clusters;
use proto::meridian::status::v1::{
    GetReplicationStatusRequest, GetReplicationStatusResponse, PeerStatus, status_service_server::StatusService,
};
use replicator::{
    ids::{ClusterId, ShardId},
    shard::io::{Lag, Limit, StreamRole},
    time::{Timestamp, proto_duration},
};
use tonic::{Request, Response, Status, async_trait};

use crate::ports::Clock;

/// Knows how far peers are behind. Clones share everything.
#[derive(Clone)]
pub(crate) struct Lags {
    pub(crate) history: History,
    pub(crate) clusters: Clusters,
    pub(crate) now: Clock,
}

/// How far one peer is behind, over all shards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PeerLag {
    /// Whether every shard has a stream to it.
    pub(crate) is_connected: bool,
    /// Tasks that it has not acknowledged; none when they are too many to be counted.
    pub(crate) tasks: Option<usize>,
    /// Age of the oldest of them.
    pub(crate) age: Duration,
    /// Whether it was away for longer than tasks are kept for it.
    pub(crate) has_gap: bool,
    /// Namespaces of which it is being told everything, at most of one shard.
    pub(crate) seeding: usize,
    /// What keeps more from being sent to it, and for how long.
    pub(crate) held_back: Option<(Limit, Duration)>,
}

impl Lags {
    /// The lag of every peer, by name.
    pub(crate) async fn by_peer(&self) -> BTreeMap<Arc<str>, PeerLag> {
        let (view, of_shards) = (self.clusters.view(), self.history.lags().await);
        let now = (self.now)();
        let peers = view.peers.values();
        peers.map(|peer| (Arc::from(peer.name.as_str()), sum(&of_shards, peer.id, now))).collect()
    }
}

fn sum(of_shards: &BTreeMap<ShardId, Vec<Lag>>, peer: ClusterId, now: Timestamp) -> PeerLag {
    let mut sum = PeerLag {
        is_connected: !of_shards.is_empty(),
        tasks: Some(0),
        age: Duration::ZERO,
        has_gap: false,
        seeding: 0,
        held_back: None,
    };
    for lags in of_shards.values() {
        let ours = |lag: &&Lag| lag.stream.cluster == peer && lag.stream.role == StreamRole::Source;
        let mut is_open = false;
        for lag in lags.iter().filter(ours) {
            is_open |= lag.is_open;
            sum.tasks = sum.tasks.zip(lag.tasks).map(|(all, some)| all + some);
            sum.has_gap |= lag.has_gap;
            sum.seeding = sum.seeding.max(lag.seeding);
            let held_back = lag.held_back.map(|(limit, since)| (limit, now.since(since)));
            sum.held_back = [sum.held_back, held_back].into_iter().flatten().max_by_key(|(_, time)| *time);
            sum.age = sum.age.max(lag.since.map_or(Duration::ZERO, |since| now.since(since)));
        }
        sum.is_connected &= is_open;
    }
    sum
}

#[async_trait]
impl StatusService for Lags {
    async fn get_replication_status(
        &self,
        _: Request<GetReplicationStatusRequest>,
    ) -> Result<Response<GetReplicationStatusResponse>, Status> {
        let peers = self.by_peer().await.into_iter().map(|(name, lag)| PeerStatus {
            cluster_name: name.to_string(),
            connected: lag.is_connected,
            lag_tasks: lag.tasks.map(|tasks| i64::try_from(tasks).unwrap_or(i64::MAX)),
            lag: Some(proto_duration(lag.age)),
            has_gap: lag.has_gap,
            seeding_namespaces: i64::try_from(lag.seeding).unwrap_or(i64::MAX),
            held_back_by: lag.held_back.map(|(limit, _)| limit.as_str().into()).unwrap_or_default(),
            held_back: lag.held_back.map(|(_, time)| proto_duration(time)),
        });
        Ok(Response::new(GetReplicationStatusResponse { peers: peers.collect() }))
    }
}

#[cfg(test)]
mod tests {
    use replicator::shard::io::StreamKey;

    use super::*;

    fn lag(cluster: i32, shard: u32, is_open: bool, tasks: Option<usize>, since: i64) -> Lag {
        let stream = StreamKey { cluster: ClusterId(cluster), shard: ShardId(shard), role: StreamRole::Source };
        let since = tasks.filter(|tasks| 0 < *tasks).map(|_| Timestamp::from_millis(since));
        Lag { stream, is_open, tasks, since, has_gap: false, seeding: 0, held_back: None }
    }

    #[test]
    fn the_lag_of_a_peer_is_that_of_all_its_streams() {
        let shards = |lags: [Vec<Lag>; 2]| (1..).map(ShardId).zip(lags).collect::<BTreeMap<_, _>>();
        let now = Timestamp::from_millis(1000);
        let check = |lags, expected: (bool, Option<usize>, u64)| {
            let found = sum(&shards(lags), ClusterId(2), now);
            assert_eq!(
                (found.is_connected, found.tasks, found.age),
                (expected.0, expected.1, Duration::from_millis(expected.2))
            );
        };
        let (here, other) = (lag(2, 1, true, Some(3), 900), lag(3, 1, true, Some(9), 0));
        check([vec![here, other], vec![lag(2, 2, true, Some(4), 700)]], (true, Some(7), 300));
        check([vec![here], vec![lag(2, 2, false, Some(0), 0)]], (false, Some(3), 100));
        check([vec![here], vec![]], (false, Some(3), 100));
        check([vec![here], vec![lag(2, 2, true, None, 0)]], (true, None, 100));
    }

    #[test]
    fn what_is_wrong_with_one_stream_is_said_of_the_peer() {
        let mut held = lag(2, 1, true, Some(3), 900);
        held.held_back = Some((Limit::Bytes, Timestamp::from_millis(400)));
        let mut gap = lag(2, 2, false, None, 0);
        (gap.has_gap, gap.seeding) = (true, 2);
        let shards = [(ShardId(1), vec![held]), (ShardId(2), vec![gap])].into();
        let found = sum(&shards, ClusterId(2), Timestamp::from_millis(1000));
        assert_eq!((found.has_gap, found.seeding), (true, 2));
        assert_eq!(found.held_back, Some((Limit::Bytes, Duration::from_millis(600))));
    }
}
