//! Fetching one namespace from a peer that knows better (NS-43).

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use proto::temporal::server::api::adminservice::v1::{GetNamespaceRequest, get_namespace_request::Attributes};
use replicator::{
    ids::{ClusterId, NamespaceId},
    namespace::replication::task_of_answer,
};
use tonic::Status;

use crate::{clusters::Clusters, namespaces::Namespaces};

/// Fetches namespaces, each once at a time.
#[derive(Clone)]
pub(crate) struct Refresher {
    clusters: Clusters,
    namespaces: Namespaces,
    under_way: Arc<Mutex<HashSet<NamespaceId>>>,
}

impl Refresher {
    pub(crate) fn new(clusters: Clusters, namespaces: Namespaces) -> Self {
        Self { clusters, namespaces, under_way: Arc::default() }
    }

    /// Ask a peer for a namespace and take over what it says. Nothing happens when that is under way already.
    pub(crate) async fn refresh(&self, namespace: NamespaceId, from: ClusterId) -> Result<(), Status> {
        let Some(_turn) = Turn::begin(&self.under_way, namespace) else { return Ok(()) };
        let view = self.clusters.view();
        let peer = view.peer(from).ok_or_else(|| Status::not_found(format!("no peer has the id {from}")))?;
        let request = GetNamespaceRequest { attributes: Some(Attributes::Id(namespace.to_string())) };
        let mut admin = peer.admin();
        let answer = tokio::time::timeout(FETCH, admin.get_namespace(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")))?.into_inner();
        if answer.is_global_namespace {
            self.namespaces.hear(task_of_answer(answer)).await?;
        }
        Ok(())
    }
}

/// Marks a namespace as being fetched, until dropped.
struct Turn<'a> {
    under_way: &'a Mutex<HashSet<NamespaceId>>,
    namespace: NamespaceId,
}

impl<'a> Turn<'a> {
    fn begin(under_way: &'a Mutex<HashSet<NamespaceId>>, namespace: NamespaceId) -> Option<Self> {
        let is_first = under_way.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace);
        is_first.then_some(Self { under_way, namespace })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.namespace);
    }
}

const FETCH: Duration = Duration::from_secs(10);
