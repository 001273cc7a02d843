//! What peers send: replication tasks, whole conversations on a stream, and messages about namespaces.

use std::collections::BTreeMap;

use prost::Message;
use proto::temporal::server::api::{
    adminservice::v1::{
        self as admin, stream_workflow_replication_messages_request::Attributes as Ack,
        stream_workflow_replication_messages_response::Attributes as Told,
    },
    replication::v1::{NamespaceTaskAttributes, ReplicationTask, replication_task::Attributes},
};
use replicator::{
    ids::NamespaceId,
    namespace::{
        Namespace,
        merge::{Known, merge},
        stored,
    },
    shard::io::{Call, Frame, StreamEvent},
    stream::{Incoming, incoming::IncomingKind},
};

use crate::{
    chunks::Chunks,
    world::{self, PEERS, World},
};

/// One task.
pub fn frame(data: &[u8]) {
    let Ok(task) = ReplicationTask::decode(data) else { return };
    let Ok(incoming) = Incoming::parse(&task) else { return };
    let _ = incoming.version();
    if let IncomingKind::History(history) = incoming.kind {
        assert!(history.first() <= history.last(), "batches follow one another");
    }
}

/// What a chunk of [`shard`] is; its tag, modulo their number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// A frame of tasks from the first peer.
    Tasks,
    /// A frame of tasks from the other peer.
    OtherTasks,
    /// An acknowledgement from the first peer.
    Ack,
    /// Every stream closes and opens.
    Reconnect,
    /// So many seconds pass.
    Later,
    /// The answer of a peer that is asked for missing events.
    PeerHistory,
    /// A message about a namespace.
    Namespace,
    /// Every namespace fails over to this cluster.
    Promote,
    /// Every namespace fails over to the first peer.
    Demote,
    /// The process ends and another one takes the shard.
    Restart,
    /// Workers take what was dispatched.
    Work,
    /// Somebody looks at every run.
    Look,
}

impl Step {
    /// All, by their tags.
    pub const ALL: [Self; 12] = [
        Self::Tasks,
        Self::OtherTasks,
        Self::Ack,
        Self::Reconnect,
        Self::Later,
        Self::PeerHistory,
        Self::Namespace,
        Self::Promote,
        Self::Demote,
        Self::Restart,
        Self::Work,
        Self::Look,
    ];
}

/// What peers send to a shard, and what else happens to it meanwhile: chunks that are [`Step`]s.
pub fn shard(data: &[u8]) {
    let mut world = World::new();
    for (tag, chunk) in Chunks(data).take(64) {
        step(&mut world, Step::ALL[usize::from(tag) % Step::ALL.len()], &chunk);
    }
    world.restart();
    look(&mut world);
}

fn step(world: &mut World, step: Step, chunk: &[u8]) {
    match step {
        Step::Tasks | Step::OtherTasks => {
            let Ok(message) = admin::StreamWorkflowReplicationMessagesResponse::decode(chunk) else { return };
            let Some(Told::Messages(messages)) = message.attributes else { return };
            let peer = PEERS[usize::from(step == Step::OtherTasks)];
            world.stream(world::hearing(peer), StreamEvent::Frame(Box::new(Frame::Tasks(messages))));
        }
        Step::Ack => {
            let Ok(message) = admin::StreamWorkflowReplicationMessagesRequest::decode(chunk) else { return };
            let Some(Ack::SyncReplicationState(state)) = message.attributes else { return };
            world.stream(world::telling(PEERS[0]), StreamEvent::Frame(Box::new(Frame::Ack(state))));
        }
        Step::Reconnect => world.reconnect(),
        Step::Later => {
            world.later(chunk.iter().fold(1, |seconds, byte| seconds * 256 % 100_000_000 + u64::from(*byte)))
        }
        Step::PeerHistory => {
            world.peer_history.extend(admin::GetWorkflowExecutionRawHistoryV2Response::decode(chunk).ok());
        }
        Step::Namespace => {
            let Ok(task) = NamespaceTaskAttributes::decode(chunk) else { return };
            let namespace = hear(world.namespaces(), &task);
            world.namespace(namespace);
        }
        Step::Promote => world.fail_over(world::HERE),
        Step::Demote => world.fail_over(world::THERE),
        Step::Restart => world.restart(),
        Step::Work => world.work(),
        Step::Look => look(world),
    }
}

fn look(world: &mut World) {
    for run in world.runs() {
        world.call(&run, Call::View);
        world.call(&run, Call::Describe);
        world.call(&run, Call::Query(Box::default()));
    }
}

/// The answer of a peer that was asked for news of namespaces.
pub fn namespace_task(data: &[u8]) {
    let Ok(answer) = admin::GetNamespaceReplicationMessagesResponse::decode(data) else { return };
    let mut known = BTreeMap::new();
    for task in answer.messages.into_iter().flat_map(|messages| messages.replication_tasks) {
        let Some(Attributes::NamespaceTaskAttributes(task)) = task.attributes else { continue };
        if let Some(namespace) = hear(&known, &task) {
            assert_eq!(
                stored::decode(&stored::encode(&namespace)).as_ref(),
                Ok(&namespace),
                "what was heard is stored"
            );
            known.insert(namespace.id, namespace);
            assert_eq!(hear(&known, &task), None, "what is heard twice changes nothing");
        }
    }
}

/// What becomes of a namespace by a message, if it changes.
fn hear(known: &BTreeMap<NamespaceId, Namespace>, task: &NamespaceTaskAttributes) -> Option<Namespace> {
    let name = task.info.as_ref().map(|info| info.name.as_str());
    let known = Known {
        by_id: NamespaceId::parse(&task.id).ok().and_then(|id| known.get(&id)),
        by_name: known.values().find(|namespace| Some(namespace.name.as_str()) == name),
    };
    merge(known, task, &world::HERE.into()).ok().flatten()
}
