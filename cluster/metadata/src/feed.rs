//! What peers are told: the namespace replication queue as they read it (NS-30 to NS-33, NS-45).
//!
//! A reader that has no place in the queue, or whose place is gone, is told everything as it is now, and goes on from the
//! end of the queue. So nothing has to be kept for a peer that never came, one that stayed away too long misses nothing,
//! and neither does one that knows a queue that this cluster lost.

use std::{collections::BTreeMap, time::Duration};

use prost::Message;
use proto::temporal::server::api::{
    adminservice::v1::{GetNamespaceReplicationMessagesRequest, GetNamespaceReplicationMessagesResponse},
    enums::v1::NamespaceOperation,
    replication::v1::{ReplicationMessages, ReplicationTask},
};
use replicator::namespace::{NamespaceState, replication};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{clusters::Clusters, namespaces::Namespaces, ports::Ports, status::unavailable};

/// Metadata by which a Meridian asks another to answer when there is something to say, and learns that it does. A Temporal
/// cluster neither sends nor answers it.
pub(crate) const WAIT: &str = "meridian-wait";

/// Reads the queue for peers.
#[derive(Clone)]
pub(crate) struct Feed {
    pub(crate) ports: Ports,
    pub(crate) clusters: Clusters,
    pub(crate) namespaces: Namespaces,
    pub(crate) stop: CancellationToken,
}

impl Feed {
    /// Answer a peer: what is new since it asked last. With `wait` an answer without news is held back for a while, in case
    /// there are some.
    pub(crate) async fn messages(
        &self,
        request: &GetNamespaceReplicationMessagesRequest,
        wait: bool,
    ) -> Result<GetNamespaceReplicationMessagesResponse, Status> {
        if request.cluster_name.is_empty() {
            return Err(Status::invalid_argument("Cluster name is not set."));
        }
        let mut published = self.namespaces.published();
        let place = self.place(request).await?;
        let until = tokio::time::sleep(LONGEST_WAIT);
        tokio::pin!(until);
        loop {
            published.mark_unchanged();
            let messages = self.read(place).await?;
            let has_moved = messages.last_retrieved_message_id != place.unwrap_or(NOTHING);
            let is_news = has_moved || !messages.replication_tasks.is_empty();
            if is_news || !wait {
                return Ok(GetNamespaceReplicationMessagesResponse { messages: Some(messages) });
            }
            tokio::select! {
                biased;
                // Whoever is told to come back comes back to another host, or later.
                () = self.stop.cancelled() => return Err(Status::unavailable("the server is stopping")),
                changed = published.changed() => if changed.is_ok() { continue },
                () = &mut until => {}
            }
            return Ok(GetNamespaceReplicationMessagesResponse { messages: Some(messages) });
        }
    }

    /// Where the reader goes on; `None` when it has no place. What it has taken is noted, and forgotten when all have.
    async fn place(&self, request: &GetNamespaceReplicationMessagesRequest) -> Result<Option<i64>, Status> {
        let reader = request.cluster_name.as_str();
        let store = &self.ports.store;
        let mut acks = store.published_acks().await.map_err(|cause| unavailable(&cause))?;
        let known = acks.get(reader).copied();
        let taken = request.last_processed_message_id;
        if taken > NOTHING && known.is_none_or(|known| known < taken) {
            let last = store.last_published().await.map_err(|cause| unavailable(&cause))?;
            if taken <= last {
                store.ack_published(reader, Some(taken)).await.map_err(|cause| unavailable(&cause))?;
                acks.insert(reader.to_owned(), taken);
                self.forget(&acks, last).await;
            }
        }
        Ok(match request.last_retrieved_message_id {
            // It begins anew: the last time is remembered here (NS-33).
            NOTHING => known,
            place => Some(place),
        })
    }

    /// Forget what every connected peer has taken, and what is too much to keep for one that does not come.
    async fn forget(&self, acks: &BTreeMap<String, i64>, last: i64) {
        let view = self.clusters.view();
        let taken_by_all =
            view.records.keys().filter(|name| *name != view.current()).filter_map(|name| acks.get(name.as_str())).min();
        let taken_by_all = taken_by_all.copied().unwrap_or(NOTHING);
        let forget = taken_by_all.max(last - LONGEST_QUEUE);
        if forget > NOTHING
            && let Err(cause) = self.ports.store.forget_published(forget).await
        {
            tracing::warn!(%cause, "what every peer has heard stays in the namespace replication queue for now");
        }
    }

    async fn read(&self, place: Option<i64>) -> Result<ReplicationMessages, Status> {
        let store = &self.ports.store;
        let Some(place) = place else { return self.everything().await };
        let rows = store.published(place, PAGE).await.map_err(|cause| unavailable(&cause))?;
        let is_next = match rows.first() {
            Some((first, _)) => *first == place + 1,
            // All was read, unless the rest was forgotten or this queue never was so long.
            None => store.last_published().await.map_err(|cause| unavailable(&cause))? == place,
        };
        if !is_next {
            return self.everything().await;
        }
        let mut messages = ReplicationMessages { last_retrieved_message_id: place, ..Default::default() };
        for (id, bytes) in rows {
            messages.last_retrieved_message_id = id;
            match ReplicationTask::decode(bytes) {
                Ok(task) => messages.replication_tasks.push(task),
                Err(error) => tracing::error!(id, %error, "a stored namespace message cannot be read; it is left out"),
            }
        }
        Ok(messages)
    }

    /// Every global namespace as it is now, and the end of the queue as it was before.
    async fn everything(&self) -> Result<ReplicationMessages, Status> {
        let store = &self.ports.store;
        // What is in the queue may not be in the table yet, and whoever goes on after it would never hear of it.
        let mut settled = self.namespaces.settled().await;
        let mut last = store.last_published().await.map_err(|cause| unavailable(&cause))?;
        settled.read().await?;
        let namespaces = self.namespaces.list().into_iter();
        let told = namespaces.filter(|namespace| namespace.is_global && namespace.state != NamespaceState::Deleted);
        let tasks: Vec<_> = told.map(|namespace| replication::task(&namespace, NamespaceOperation::Update)).collect();
        if last == NOTHING
            && let Some(first) = tasks.first()
        {
            // On the wire an empty queue has no end to go on from. Saying something twice gives it one.
            let repeated = store.publish(vec![first.encode_to_vec().into()]).await;
            last = repeated.map_err(|cause| unavailable(&cause))?;
        }
        Ok(ReplicationMessages { replication_tasks: tasks, last_retrieved_message_id: last, ..Default::default() })
    }
}

/// A place before the first message, and the word for "wherever I was".
pub(crate) const NOTHING: i64 = -1;

/// How many messages one answer holds; as many as Temporal's (NS-31).
const PAGE: usize = 100;

/// How long a question is held back. Shorter than proxies take for dead.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// So many messages are kept for a peer that is known but does not read. Then it is told everything instead.
const LONGEST_QUEUE: i64 = 10_000;
