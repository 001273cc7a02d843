//! What others know of namespaces, asked after the store was brought back from a backup ([`replicator::namespace::recovery`]).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use replicator::{ids::Life, namespace::recovery, version::ClusterName};

use crate::{clusters::Clusters, namespaces::Namespaces};

/// Who was asked in this life of the store.
#[derive(Clone)]
pub(crate) struct Recall {
    clusters: Clusters,
    namespaces: Namespaces,
    heard: Arc<Mutex<BTreeSet<ClusterName>>>,
}

impl Recall {
    pub(crate) fn new(clusters: Clusters, namespaces: Namespaces) -> Self {
        let recall = Self { clusters, namespaces, heard: Arc::default() };
        for (namespace, others) in recall.unresumed() {
            tracing::warn!(
                namespace,
                clusters = others.iter().map(ClusterName::as_str).collect::<Vec<_>>().join(", "),
                "the store was brought back from a backup: the namespace rests until these were asked"
            );
        }
        recall
    }

    /// Whether a peer has to say all it knows of namespaces.
    pub(crate) fn wants(&self, peer: &ClusterName) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).contains(peer);
        !heard && self.unresumed().iter().any(|(_, others)| others.contains(peer))
    }

    /// A peer has said all it knows of namespaces, and that was taken over.
    pub(crate) fn note(&self, peer: &ClusterName) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(peer.clone());
    }

    /// Namespaces of which nobody is left to ask go on.
    pub(crate) async fn go_on(&self) {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (namespace, others) in self.unresumed() {
            if !others.is_subset(&heard) {
                continue;
            }
            match self.namespaces.resume(namespace.clone()).await {
                Ok(version) => tracing::info!(namespace, version, "goes on after the backup was brought back"),
                // The next answer of a peer brings it about.
                Err(status) => tracing::warn!(namespace, cause = status.message(), "cannot go on yet"),
            }
        }
    }

    /// Namespaces that rest, and the other clusters of each.
    fn unresumed(&self) -> Vec<(String, BTreeSet<ClusterName>)> {
        let (me, life) = (&self.clusters.own().name, self.namespaces.life());
        // Asked with every answer of a peer, and there is nothing to look for in a store that was never brought back.
        let all = if life == Life::FIRST { Vec::new() } else { self.namespaces.list() };
        let resting = all.into_iter().filter(|known| recovery::is_wanted(known, life));
        let others =
            |known: &replicator::namespace::Namespace| known.members().filter(|name| *name != me).cloned().collect();
        resting.map(|known| (known.name.clone(), others(&known))).collect()
    }
}
