//! The streams that we dial: one for every pair of a shard here and a shard of a connected peer.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metadata::peer::Peer;
use proto::temporal::server::api::adminservice::v1::{
    StreamWorkflowReplicationMessagesRequest, stream_workflow_replication_messages_request,
    stream_workflow_replication_messages_response,
};
use replicator::{
    ids::{ClusterId, ShardId},
    shard::io::{Frame, StreamKey, StreamRole},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{Request, Status, metadata::MetadataValue};

use crate::{driver::Event, history::Ports};

/// Where a shard hears of its streams.
type Events = mpsc::UnboundedSender<Event>;

/// Numbers streams of this process, so that late news of a replaced one are recognised.
static NEXT_STREAM: AtomicU64 = AtomicU64::new(1);

/// A number that no other stream has.
pub(crate) fn next_number() -> u64 {
    NEXT_STREAM.fetch_add(1, Ordering::Relaxed)
}

/// Follow the known clusters for one shard of ours, until that has ended: dial those that are new or have another address,
/// let go of those that are gone.
pub(crate) async fn follow_clusters(
    ports: Ports,
    shard: ShardId,
    count: u32,
    events: Events,
    mut ended: watch::Receiver<()>,
) {
    let mut clusters = ports.clusters.clone();
    let mut followed: BTreeMap<ClusterId, (String, watch::Sender<bool>)> = BTreeMap::new();
    loop {
        let view = clusters.borrow_and_update().clone();
        followed.retain(|id, (address, _)| view.peer(*id).is_some_and(|peer| peer.address == *address));
        for peer in view.peers.values() {
            if followed.contains_key(&peer.id) {
                continue;
            }
            let (alive, gone) = watch::channel(true);
            for (ours, theirs) in pairs(count, peer.shard_count).into_iter().filter(|(ours, _)| *ours == shard) {
                let way = Way { ports: ports.clone(), peer: peer.clone(), ours, theirs, events: events.clone() };
                (ports.spawn)(Box::pin(way.follow(gone.clone())));
            }
            followed.insert(peer.id, (peer.address.clone(), alive));
        }
        tokio::select! {
            biased;
            _ = ended.changed() => return,
            changed = clusters.changed() => if changed.is_err() { return },
        }
    }
}

/// Shards that share a stream: those that are congruent modulo the smaller count (ST-5).
fn pairs(ours: u32, theirs: u32) -> Vec<(ShardId, ShardId)> {
    let (fewer, more) = (ours.min(theirs), ours.max(theirs));
    let fold = |shard: u32, count: u32| ShardId(if count == fewer { (shard - 1) % fewer + 1 } else { shard });
    (1..=more).map(|shard| (fold(shard, ours), fold(shard, theirs))).collect()
}

/// From a shard here to a shard of a peer.
struct Way {
    ports: Ports,
    peer: Peer,
    ours: ShardId,
    theirs: ShardId,
    events: Events,
}

impl Way {
    /// Keep a stream open until the peer or the shard is gone.
    async fn follow(self, mut gone: watch::Receiver<bool>) {
        let (peer, shard) = (&self.peer.name, self.ours.0);
        let mut pause = FIRST_PAUSE;
        loop {
            let ended = tokio::select! {
                biased;
                _ = gone.changed() => return,
                ended = self.stream() => ended,
            };
            match ended {
                // The stream had worked: whatever ended it may be over.
                Ok(()) => pause = FIRST_PAUSE,
                Err(status) => {
                    tracing::debug!(%peer, shard, reason = status.message(), "no replication stream");
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            tokio::select! {
                biased;
                _ = gone.changed() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Dial, and carry frames until the stream ends. `Err`: it did not open.
    async fn stream(&self) -> Result<(), Status> {
        let Self { ports, peer, ours, theirs, events } = self;
        let (frames, outgoing) = mpsc::unbounded_channel();
        let acks = UnboundedReceiverStream::new(outgoing).filter_map(request);
        let mut request = Request::new(acks);
        let me = ports.clusters.borrow().federation.topology.current_id();
        let numbers = [me.0.to_string(), ours.0.to_string(), peer.id.0.to_string(), theirs.0.to_string()];
        for (name, number) in HEADERS.into_iter().zip(numbers) {
            let value = MetadataValue::try_from(number).map_err(|_| Status::internal("a number is no header"))?;
            request.metadata_mut().insert(name, value);
        }
        let mut incoming = peer.admin().stream_workflow_replication_messages(request).await?.into_inner();

        let key = StreamKey { cluster: peer.id, shard: *theirs, role: StreamRole::Target };
        let _open = Open::new(key, events.clone(), frames);
        loop {
            let message = match incoming.next().await {
                Some(Ok(message)) => message,
                Some(Err(status)) => {
                    tracing::debug!(peer = %peer.name, shard = ours.0, reason = status.message(), "a stream broke");
                    return Ok(());
                }
                None => return Ok(()),
            };
            let Some(stream_workflow_replication_messages_response::Attributes::Messages(messages)) =
                message.attributes
            else {
                continue;
            };
            if events.send(Event::StreamFrame(key, _open.number, Box::new(Frame::Tasks(messages)))).is_err() {
                return Ok(());
            }
        }
    }
}

/// A stream that its shard knows to be open; dropping it says that it is not.
pub(crate) struct Open {
    key: StreamKey,
    pub(crate) number: u64,
    events: Events,
}

impl Open {
    /// Tell the shard that a stream opened, and where frames for its other end go.
    pub(crate) fn new(key: StreamKey, events: Events, frames: mpsc::UnboundedSender<Frame>) -> Arc<Self> {
        let number = next_number();
        // A shard that has stopped needs no stream.
        let _ = events.send(Event::StreamOpened(key, number, frames));
        Arc::new(Self { key, number, events })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = self.events.send(Event::StreamClosed(self.key, self.number));
    }
}

fn request(frame: Frame) -> Option<StreamWorkflowReplicationMessagesRequest> {
    use stream_workflow_replication_messages_request::Attributes;
    match frame {
        Frame::Ack(state) => {
            Some(StreamWorkflowReplicationMessagesRequest { attributes: Some(Attributes::SyncReplicationState(state)) })
        }
        Frame::Tasks(_) => None,
    }
}

/// What says which shards the ends of a stream are: client cluster and shard, server cluster and shard (ST-2).
pub(crate) const HEADERS: [&str; 4] = [
    "temporal-client-cluster-id",
    "temporal-client-shard-id",
    "temporal-server-cluster-id",
    "temporal-server-shard-id",
];

/// A stream that broke is dialled again at once; one that cannot be had, less and less often.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// A peer that is back is noticed within this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_pair_up_when_one_count_divides_the_other() {
        check(2, 2, &[(1, 1), (2, 2)]);
        check(2, 4, &[(1, 1), (2, 2), (1, 3), (2, 4)]);
        check(4, 2, &[(1, 1), (2, 2), (3, 1), (4, 2)]);
    }

    #[track_caller]
    fn check(ours: u32, theirs: u32, expected: &[(u32, u32)]) {
        let pairs: Vec<(u32, u32)> = pairs(ours, theirs).iter().map(|(a, b)| (a.0, b.0)).collect();
        assert_eq!(pairs, expected);
    }
}
