//! This crate runs no workflow and knows no shard. It decides nothing about a namespace: the rules are in
//! [`replicator::namespace`], and what they say is written and told here. It asks nobody for a change that somebody could
//! have told it: whatever changes is pushed to whoever waits.
//!
//! It holds which namespaces there are ([`Namespaces`]), which clusters ([`Clusters`]), tells peers about the namespaces and
//! hears about theirs, and answers the calls about all of it ([`service`]). [`Metadata`] is the whole.
//!
//! Whoever answers calls packs the details of its errors with [`status::status`].

pub mod ports;
pub mod status;

mod certificate;
pub mod clusters;
pub mod introduction;
pub mod namespaces;
pub mod peer;

mod confirm;
mod detached;
mod feed;
mod pull;
mod recall;
mod refresh;

pub mod endpoint;
pub mod service;

pub use certificate::Certificate;
pub use clusters::{Clusters, Join, OpenError, Own, View};
pub use endpoint::{MessageStream, ReplicationEndpoint};
pub use introduction::{Guard, Introduction};
pub use namespaces::Namespaces;
pub use peer::Peer;
pub use ports::Ports;
pub use pull::SetAside;

use replicator::{
    ids::{ClusterId, NamespaceId},
    namespace::NamespaceState,
    version::{ClusterName, FailoverVersion},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{feed::Feed, pull::Pullers, refresh::Refresher};

/// Namespaces and clusters of one cluster. Clones share them.
#[derive(Clone)]
pub struct Metadata {
    ports: Ports,
    clusters: Clusters,
    namespaces: Namespaces,
    feed: Feed,
    pullers: Pullers,
    refresher: Refresher,
    stop: CancellationToken,
}

impl Metadata {
    /// Read what is stored. Nobody is told or heard before [`Self::start`].
    ///
    /// # Errors
    ///
    /// When the store is away, or contradicts `own`.
    pub async fn open(ports: Ports, own: Own) -> Result<Self, OpenError> {
        let clusters = Clusters::open(ports.clone(), own).await?;
        let namespaces = Namespaces::open(ports.clone(), clusters.clone()).await?;
        let stop = CancellationToken::new();
        let feed = Feed {
            ports: ports.clone(),
            clusters: clusters.clone(),
            namespaces: namespaces.clone(),
            stop: stop.clone(),
        };
        let pullers = Pullers::new(ports.clone(), clusters.clone(), namespaces.clone(), stop.clone());
        let refresher = Refresher::new(clusters.clone(), namespaces.clone());
        Ok(Self { ports, clusters, namespaces, feed, pullers, refresher, stop })
    }

    /// Hear every connected peer from now on.
    pub fn start(&self) {
        self.hear_peers(self.stop.clone());
    }

    /// Hear every connected peer until `stop`: of several hosts one does.
    pub fn hear_peers(&self, stop: CancellationToken) {
        (self.ports.spawn)(Box::pin(self.pullers.until(stop).run()));
    }

    /// Another host of this cluster changed something: read it again.
    ///
    /// # Errors
    ///
    /// When the store is away.
    pub async fn read_again(&self) -> Result<(), Status> {
        // Namespaces may name clusters.
        self.clusters.read_again().await?;
        self.namespaces.read_again().await
    }

    /// Hear nobody any more, and answer those who wait for news.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// The namespaces.
    #[must_use]
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The clusters.
    #[must_use]
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// Connect to a peer, or know it differently.
    ///
    /// # Errors
    ///
    /// See [`Clusters::add_or_update`].
    pub async fn join(&self, join: Join) -> Result<(), Status> {
        let clusters = self.clusters.clone();
        detached::detached(&self.ports.spawn, async move { clusters.add_or_update(join).await }).await
    }

    /// Forget a peer that shares no namespace with this cluster.
    ///
    /// # Errors
    ///
    /// See [`Clusters::remove`].
    pub async fn part(&self, cluster: String) -> Result<(), Status> {
        let (clusters, namespaces) = (self.clusters.clone(), self.namespaces.clone());
        let work = async move { clusters.remove(&cluster, |name| in_use(&clusters, &namespaces, name)).await };
        detached::detached(&self.ports.spawn, work).await
    }

    /// Fetch a namespace from a peer that is known to know better: what a shard wants with
    /// [`replicator::shard::io::Output::RefreshNamespace`]. Listeners hear of it like of any change; asking again while it
    /// is under way does nothing.
    ///
    /// # Errors
    ///
    /// When the peer is not there, does not have it, or what it says cannot be taken over.
    pub async fn refresh(&self, namespace: NamespaceId, from: ClusterId) -> Result<(), Status> {
        self.refresher.refresh(namespace, from).await
    }

    /// Wait until a peer has heard of a failover version of a namespace, however long that takes.
    pub async fn confirmed(&self, namespace: NamespaceId, by: &ClusterName, version: FailoverVersion) {
        confirm::confirmed(&self.clusters, namespace, by, version).await;
    }

    /// The latest messages of peers that could not be taken over, oldest first.
    #[must_use]
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.pullers.aside()
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }
}

/// A namespace that this cluster shares with `other`, if there is one (CM-19).
fn in_use(clusters: &Clusters, namespaces: &Namespaces, other: &ClusterName) -> Option<String> {
    let here = &clusters.own().name;
    let shared = namespaces.list().into_iter().find(|namespace| {
        let is_alive = namespace.state != NamespaceState::Deleted;
        is_alive && namespace.is_replicated() && namespace.is_on(here) && namespace.is_on(other)
    });
    shared.map(|namespace| namespace.name.clone())
}
