//! What peers tell: their namespace replication queues, read without end (NS-31 to NS-35).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::temporal::server::api::{
    adminservice::v1::GetNamespaceReplicationMessagesRequest,
    enums::v1::ReplicationTaskType,
    replication::v1::{ReplicationMessages, ReplicationTask, replication_task::Attributes},
};
use replicator::version::ClusterName;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, metadata::MetadataValue};

use crate::{
    clusters::Clusters,
    feed::{NOTHING, WAIT},
    namespaces::Namespaces,
    peer::Peer,
    ports::Ports,
    recall::Recall,
};

/// Reads the queue of every connected peer.
#[derive(Clone)]
pub(crate) struct Pullers {
    ports: Ports,
    clusters: Clusters,
    namespaces: Namespaces,
    recall: Recall,
    stop: CancellationToken,
    aside: Arc<Mutex<VecDeque<SetAside>>>,
}

/// A message that could not be taken over. What follows it was.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    /// Who told it.
    pub from: ClusterName,
    /// The message.
    pub task: ReplicationTask,
    /// Why not.
    pub cause: String,
}

impl Pullers {
    pub(crate) fn new(ports: Ports, clusters: Clusters, namespaces: Namespaces, stop: CancellationToken) -> Self {
        let recall = Recall::new(clusters.clone(), namespaces.clone());
        Self { ports, clusters, namespaces, recall, stop, aside: Arc::default() }
    }

    /// The same, until another moment.
    pub(crate) fn until(&self, stop: CancellationToken) -> Self {
        Self { stop, ..self.clone() }
    }

    /// The latest messages that could not be taken over, oldest first.
    pub(crate) fn aside(&self) -> Vec<SetAside> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Keep one reader for each connected peer, until the end.
    pub(crate) async fn run(self) {
        let mut view = self.clusters.watch();
        let mut readers: BTreeMap<ClusterName, (String, CancellationToken)> = BTreeMap::new();
        loop {
            let peers = view.borrow_and_update().peers.clone();
            readers.retain(|name, (address, stop)| {
                let wanted = peers.get(name).is_some_and(|peer| peer.address == *address);
                if !wanted {
                    stop.cancel();
                }
                wanted
            });
            for (name, peer) in peers {
                readers.entry(name).or_insert_with(|| {
                    let stop = self.stop.child_token();
                    let address = peer.address.clone();
                    (self.ports.spawn)(Box::pin(Puller { shared: self.clone(), peer, stop: stop.clone() }.run()));
                    (address, stop)
                });
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                changed = view.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Reads the queue of one peer.
struct Puller {
    shared: Pullers,
    peer: Peer,
    stop: CancellationToken,
}

impl Puller {
    async fn run(self) {
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.read() => {}
        }
    }

    async fn read(&self) {
        let mut place = NOTHING;
        let mut pause = Duration::ZERO;
        let recall = &self.shared.recall;
        let mut is_asked_for_all = false;
        loop {
            let asked = Instant::now();
            match self.ask(place).await {
                Ok((messages, waited)) => {
                    if !pause.is_zero() {
                        tracing::info!(peer = %self.peer.name, "namespaces are heard of again");
                    }
                    pause = Duration::ZERO;
                    place = messages.last_retrieved_message_id;
                    let was_silent = messages.replication_tasks.is_empty();
                    for task in messages.replication_tasks {
                        self.take(task).await;
                    }
                    if is_asked_for_all {
                        recall.note(&self.peer.name);
                        is_asked_for_all = false;
                    } else if recall.wants(&self.peer.name) {
                        // Who names a place that is not there is told everything; a Temporal cluster tells what it has kept.
                        place = if waited { i64::MAX } else { 0 };
                        is_asked_for_all = true;
                        continue;
                    }
                    recall.go_on().await;
                    if was_silent && !waited {
                        // A Temporal cluster answers at once, so it is asked once a second.
                        tokio::time::sleep_until(asked + POLL).await;
                    }
                }
                Err(cause) => {
                    if pause.is_zero() {
                        tracing::warn!(peer = %self.peer.name, %cause, "namespaces are not heard of");
                    }
                    pause = (2 * pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Ask what is new after `place`, saying that everything up to it was taken. Answers too whether the peer would have
    /// waited for news.
    async fn ask(&self, place: i64) -> Result<(ReplicationMessages, bool), Status> {
        let mut request = Request::new(GetNamespaceReplicationMessagesRequest {
            last_retrieved_message_id: place,
            last_processed_message_id: place,
            cluster_name: self.shared.clusters.own().name.to_string(),
        });
        request.metadata_mut().insert(WAIT, MetadataValue::from_static("true"));
        request.set_timeout(FETCH);
        let mut admin = self.peer.admin();
        let answer = tokio::time::timeout(FETCH, admin.get_namespace_replication_messages(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))?;
        let waited = answer.metadata().contains_key(WAIT);
        let messages = answer.into_inner().messages;
        Ok((messages.ok_or_else(|| Status::internal("an answer without messages"))?, waited))
    }

    /// Take a message over, or set it aside when that cannot be.
    async fn take(&self, task: ReplicationTask) {
        let cause = match &task.attributes {
            Some(Attributes::NamespaceTaskAttributes(attributes)) => {
                let mut attempt = 1;
                loop {
                    match self.shared.namespaces.hear(attributes.clone()).await {
                        Ok(_) => return,
                        Err(status) if is_final(&status) => break status.message().to_owned(),
                        // The store is away: not the fault of the message, and nothing else could be taken either.
                        Err(status) if status.code() == Code::Unavailable => {}
                        Err(status) if attempt == ATTEMPTS => break status.message().to_owned(),
                        Err(_) => attempt += 1,
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
            // Task queues have no user data here, and what is not used need not be kept (IN-28).
            Some(Attributes::TaskQueueUserDataAttributes(_)) => return,
            _ => format!("messages of type {} are not known", type_name(&task)),
        };
        tracing::error!(peer = %self.peer.name, cause, "a message about a namespace is set aside");
        let mut aside = self.shared.aside.lock().unwrap_or_else(PoisonError::into_inner);
        if aside.len() == LONGEST_ASIDE {
            aside.pop_front();
        }
        aside.push_back(SetAside { from: self.peer.name.clone(), task, cause });
    }
}

/// Whether the same message will always fail in the same way.
fn is_final(status: &Status) -> bool {
    matches!(status.code(), Code::InvalidArgument | Code::Unimplemented)
}

fn type_name(task: &ReplicationTask) -> String {
    ReplicationTaskType::try_from(task.task_type)
        .map_or_else(|_| task.task_type.to_string(), |known| known.as_str_name().to_owned())
}

/// How often a Temporal cluster is asked (NS-31).
const POLL: Duration = Duration::from_secs(1);

/// A question that is held back by the peer is answered well before.
const FETCH: Duration = Duration::from_secs(30);

/// Pauses while a peer is away. The longest is how much later than its return it is heard.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How often and how fast a message is tried again (NS-34).
const ATTEMPTS: usize = 30;
const RETRY: Duration = Duration::from_millis(200);

/// So many messages are remembered that could not be taken over.
const LONGEST_ASIDE: usize = 1000;
