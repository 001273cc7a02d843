//! Which clusters there are (CM-1 to CM-25).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use prost::Message;
use proto::temporal::server::api::{
    adminservice::v1::{DescribeClusterRequest, DescribeClusterResponse, admin_service_client::AdminServiceClient},
    persistence::v1::ClusterMetadata,
};
use replicator::{
    ids::ClusterId,
    namespace::Federation,
    version::{ClusterName, Topology, failover::TopologyError},
};
use store::{ClusterRecord, Unavailable};
use tokio::sync::Mutex;
use tonic::Status;
use uuid::Uuid;

use crate::{
    introduction::Introduction,
    peer::{Peer, is_address},
    ports::Ports,
    status::{cluster_not_found, unavailable},
};

/// What this cluster is, as its configuration says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Own {
    /// Its name.
    pub name: ClusterName,
    /// The id that its store was given at its first start.
    pub cluster_id: Uuid,
    /// How many shards it has.
    pub shard_count: u32,
    /// Where it says that its frontend is reached: `host:port`.
    pub address: String,
    /// Where it says that its HTTP endpoint is reached.
    pub http_address: String,
    /// Distance between two failover versions of one cluster.
    pub failover_version_increment: i64,
    /// Its first failover version.
    pub initial_failover_version: i64,
    /// Whether it has global namespaces.
    pub global_namespaces: bool,
    /// Whether global namespaces are registered here.
    pub is_master: bool,
}

/// The clusters of one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// Who they are, and what they allow a namespace to be.
    pub federation: Federation,
    /// Their records, as stored.
    pub records: BTreeMap<ClusterName, ClusterMetadata>,
    /// Those to be reached. Replication goes to and from each of them: as in Temporal the flag for the connection decides
    /// (CM-24).
    pub peers: BTreeMap<ClusterName, Peer>,
    /// How often each record was written.
    versions: BTreeMap<ClusterName, i64>,
}

impl View {
    /// This cluster.
    #[must_use]
    pub fn current(&self) -> &ClusterName {
        self.federation.topology.current()
    }

    /// The peer with this id.
    #[must_use]
    pub fn peer(&self, id: ClusterId) -> Option<&Peer> {
        self.peers.values().find(|peer| peer.id == id)
    }
}

/// The clusters that this one knows, itself among them. Clones share them.
///
/// Whoever depends on them holds a [`Self::watch`]: a peer that was added or removed is there or gone at once.
#[derive(Clone)]
pub struct Clusters {
    ports: Ports,
    own: Own,
    view: Arc<watch::Sender<Arc<View>>>,
    /// Writes go one after another: each is judged by what the one before left.
    writing: Arc<Mutex<()>>,
}

impl Clusters {
    /// Read the known clusters, and write down what this one is if that is new.
    ///
    /// # Errors
    ///
    /// When the configuration contradicts what the store has: the store belongs to another cluster, or something that can
    /// never change was changed (CM-8).
    pub async fn open(ports: Ports, own: Own) -> Result<Self, OpenError> {
        check_own(&own)?;
        let mine = own.record();
        for _ in 0..OTHERS {
            if let Some(clusters) = Self::try_open(&ports, &own, &mine).await? {
                return Ok(clusters);
            }
        }
        Err(OpenError::Unavailable(Unavailable("somebody else writes this cluster's record".into())))
    }

    /// Nothing when another host of the cluster wrote the record at the same time.
    async fn try_open(ports: &Ports, own: &Own, mine: &ClusterMetadata) -> Result<Option<Self>, OpenError> {
        let mut stored = ports.store.clusters().await.map_err(OpenError::Unavailable)?;
        let known = stored.iter().find(|record| record.name == own.name.as_str());
        if known.is_none()
            && let Some(other) = stored.iter().find(|record| owner(record) == Some(own.cluster_id.to_string()))
        {
            return Err(OpenError::Contradiction(format!(
                "this database belongs to cluster {:?}, not to {:?}",
                other.name,
                own.name.as_str()
            )));
        }
        let expected = match known {
            Some(known) => {
                let before = decode(known)?;
                check_immutable(&before, mine).map_err(OpenError::Contradiction)?;
                (before != *mine).then_some(Some(known.version))
            }
            None => Some(None),
        };
        if let Some(expected) = expected {
            let written = ports.store.put_cluster(own.name.as_str(), expected, encode(mine)).await;
            if written.map_err(OpenError::Unavailable)?.is_none() {
                return Ok(None);
            }
            stored = ports.store.clusters().await.map_err(OpenError::Unavailable)?;
        }
        let view = build(ports, own, &stored, None)?;
        let view = Arc::new(watch::Sender::new(Arc::new(view)));
        Ok(Some(Self { ports: ports.clone(), own: own.clone(), view, writing: Arc::default() }))
    }

    /// What this cluster is.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The clusters as they are now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// The clusters as they are and as they become.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Ask who is at an address, and know it from now on, or know it differently (CM-15 to CM-18).
    ///
    /// A known peer that is only to be disconnected need not answer: it may be disconnected because it does not.
    ///
    /// # Errors
    ///
    /// `Unavailable` when nobody answers there, `InvalidArgument` when the two cannot belong together.
    pub async fn add_or_update(&self, join: Join) -> Result<(), Status> {
        if !is_address(&join.address) {
            let text = format!("{:?} is not an address: host:port", join.address);
            return Err(invalid_config(&text));
        }
        let answer = match self.ask(&join.address).await {
            Ok(answer) => answer,
            Err(cause) => match self.known_at(&join.address) {
                Some(known) if !join.connection => known,
                _ => {
                    return Err(Status::unavailable(format!(
                        "Unable connect to remote cluster {} with error: {}.",
                        join.address,
                        cause.message()
                    )));
                }
            },
        };
        let _writing = self.writing.lock().await;
        let view = self.view();
        self.check_remote(&view, &answer).map_err(invalid_config)?;
        let name = ClusterName::from(answer.cluster_name.as_str());
        let record = ClusterMetadata {
            cluster_name: answer.cluster_name,
            history_shard_count: answer.history_shard_count,
            cluster_id: answer.cluster_id,
            cluster_address: join.address,
            http_address: if join.http_address.is_empty() { answer.http_address } else { join.http_address },
            failover_version_increment: answer.failover_version_increment,
            initial_failover_version: answer.initial_failover_version,
            is_global_namespace_enabled: answer.is_global_namespace_enabled,
            is_connection_enabled: join.connection,
            is_replication_enabled: join.replication,
            tags: answer.tags,
            ..Default::default()
        };
        if let Some(before) = view.records.get(&name) {
            check_immutable(before, &record).map_err(|text| {
                Status::invalid_argument(format!("Unable to persist cluster info with error: {text}."))
            })?;
        }
        let expected = view.versions.get(&name).copied();
        let written = self.ports.store.put_cluster(name.as_str(), expected, encode(&record)).await;
        let written = written.map_err(|cause| unavailable(&cause))?;
        self.reload().await?;
        self.ports.tell().await;
        match written {
            Some(_) => Ok(()),
            None => Err(Status::unavailable(format!("cluster {name} was changed at the same time"))),
        }
    }

    /// Forget a peer (CM-19). `in_use` names a namespace that both clusters have, if there is one.
    ///
    /// # Errors
    ///
    /// `NotFound` for an unknown cluster, `InvalidArgument` for this one, `FailedPrecondition` when it is in use.
    pub async fn remove(&self, name: &str, in_use: impl Fn(&ClusterName) -> Option<String>) -> Result<(), Status> {
        let _writing = self.writing.lock().await;
        let name = ClusterName::from(name);
        let view = self.view();
        if !view.records.contains_key(&name) {
            return Err(cluster_not_found());
        }
        if name == self.own.name {
            return Err(Status::invalid_argument("Cannot remove current cluster metadata"));
        }
        if let Some(namespace) = in_use(&name) {
            return Err(Status::failed_precondition(format!(
                "cannot remove cluster {:?}: still referenced by namespace {namespace:?}",
                name.as_str()
            )));
        }
        // First what would make it skip messages if it came back; it starts over then.
        self.ports.store.ack_published(name.as_str(), None).await.map_err(|cause| unavailable(&cause))?;
        self.ports.store.delete_cluster(name.as_str()).await.map_err(|cause| unavailable(&cause))?;
        self.reload().await?;
        self.ports.tell().await;
        Ok(())
    }

    /// Another host changed something: read everything again, if that is not under way.
    pub(crate) async fn read_again(&self) -> Result<(), Status> {
        let before = self.view();
        let stored = self.ports.store.clusters().await.map_err(|cause| unavailable(&cause))?;
        let is_news = |record: &ClusterRecord| {
            before.versions.get(&ClusterName::from(record.name.as_str())) != Some(&record.version)
        };
        if stored.len() != before.versions.len() || stored.iter().any(is_news) {
            self.reload().await?;
        }
        Ok(())
    }

    /// Read the records again, and tell who watches.
    async fn reload(&self) -> Result<(), Status> {
        let stored = self.ports.store.clusters().await.map_err(|cause| unavailable(&cause))?;
        let view = build(&self.ports, &self.own, &stored, Some(&self.view()))
            .map_err(|error| Status::internal(error.to_string()))?;
        self.view.send_replace(Arc::new(view));
        Ok(())
    }

    async fn ask(&self, address: &str) -> Result<DescribeClusterResponse, Status> {
        let mut peer = AdminServiceClient::new((self.ports.dial)(address));
        let question = peer.describe_cluster(DescribeClusterRequest::default());
        let answer = tokio::time::timeout(DESCRIBE, question).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer within 10 s"))).map(|a| a.into_inner())
    }

    /// What is known of the cluster at an address, as if it had answered.
    fn known_at(&self, address: &str) -> Option<DescribeClusterResponse> {
        let view = self.view();
        let known = view.records.values().find(|record| record.cluster_address == address)?;
        Some(DescribeClusterResponse {
            cluster_id: known.cluster_id.clone(),
            cluster_name: known.cluster_name.clone(),
            history_shard_count: known.history_shard_count,
            failover_version_increment: known.failover_version_increment,
            initial_failover_version: known.initial_failover_version,
            is_global_namespace_enabled: known.is_global_namespace_enabled,
            tags: known.tags.clone(),
            http_address: known.http_address.clone(),
            ..Default::default()
        })
    }

    /// Whether a cluster can belong to this one's federation (CM-16), in the API's words.
    fn check_remote(&self, view: &View, remote: &DescribeClusterResponse) -> Result<(), &'static str> {
        let own = &self.own;
        if remote.cluster_name == own.name.as_str() {
            return Err("Cannot update current cluster metadata from rpc calls");
        }
        if remote.failover_version_increment != own.failover_version_increment {
            return Err("Cannot add remote cluster due to failover version increment mismatch");
        }
        let Some(shards) = u32::try_from(remote.history_shard_count).ok().filter(|count| *count > 0) else {
            return Err("Remote cluster HistoryShardCount must be positive");
        };
        if shards.max(own.shard_count) % shards.min(own.shard_count) != 0 {
            return Err("Remote cluster shard number and local cluster shard number are not multiples.");
        }
        if !remote.is_global_namespace_enabled {
            return Err("Cannot add remote cluster as global namespace is not supported");
        }
        if remote.cluster_name.is_empty() {
            return Err("cluster name must not be empty");
        }
        let name = ClusterName::from(remote.cluster_name.as_str());
        let id = i32::try_from(remote.initial_failover_version).unwrap_or(0);
        // Its old record does not stand in its own way.
        let mut others = view.federation.topology.clone();
        others.remove(&name);
        match others.add(name, ClusterId(id)) {
            Ok(()) => Ok(()),
            Err(TopologyError::Collision) => Err("Cannot add remote cluster due to initial failover version conflict"),
            Err(_) => Err("InitialFailoverVersion must be > 0 and < FailoverVersionIncrement"),
        }
    }
}

/// How a peer is to be known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Join {
    /// Where it is reached.
    pub address: String,
    /// Where its HTTP endpoint is reached; empty: where it says.
    pub http_address: String,
    /// Whether the two are connected.
    pub connection: bool,
    /// Whether runs go between them, where that is told apart (CM-24).
    pub replication: bool,
}

impl Own {
    fn record(&self) -> ClusterMetadata {
        ClusterMetadata {
            cluster_name: self.name.to_string(),
            history_shard_count: i32::try_from(self.shard_count).unwrap_or(i32::MAX),
            cluster_id: self.cluster_id.to_string(),
            cluster_address: self.address.clone(),
            http_address: self.http_address.clone(),
            failover_version_increment: self.failover_version_increment,
            initial_failover_version: self.initial_failover_version,
            is_global_namespace_enabled: self.global_namespaces,
            is_connection_enabled: true,
            use_cluster_id_membership: true,
            ..Default::default()
        }
    }

    fn introduction(&self, to: ClusterId) -> Introduction {
        Introduction {
            name: self.name.clone(),
            id: ClusterId(i32::try_from(self.initial_failover_version).unwrap_or(0)),
            cluster_id: self.cluster_id.to_string().into(),
            increment: self.failover_version_increment,
            to,
        }
    }

    fn topology(&self) -> Result<Topology, TopologyError> {
        let id = i32::try_from(self.initial_failover_version).map_err(|_| TopologyError::InitialVersion)?;
        let mut topology = Topology::new(self.failover_version_increment, self.name.clone(), ClusterId(id))?;
        topology.set_shards(ClusterId(id), self.shard_count);
        Ok(topology)
    }
}

fn check_own(own: &Own) -> Result<(), OpenError> {
    own.topology().map_err(|error| OpenError::Contradiction(error.to_string()))?;
    if own.name.as_str().is_empty() || own.shard_count == 0 {
        return Err(OpenError::Contradiction("a cluster has a name and at least one shard".into()));
    }
    Ok(())
}

/// What never changes once it is written (CM-8).
fn check_immutable(before: &ClusterMetadata, now: &ClusterMetadata) -> Result<(), String> {
    let name = &before.cluster_name;
    let same = |what: &str, before: &dyn fmt::Display, now: &dyn fmt::Display| {
        let (before, now) = (before.to_string(), now.to_string());
        if before == now { Ok(()) } else { Err(format!("cluster {name} has {what} {before}, not {now}")) }
    };
    same("the id", &before.cluster_id, &now.cluster_id)?;
    same("the shard count", &before.history_shard_count, &now.history_shard_count)?;
    if before.is_global_namespace_enabled {
        same("the failover version increment", &before.failover_version_increment, &now.failover_version_increment)?;
        same("the initial failover version", &before.initial_failover_version, &now.initial_failover_version)?;
        if !now.is_global_namespace_enabled {
            return Err(format!("cluster {name} has global namespaces and cannot be without them again"));
        }
    }
    Ok(())
}

fn build(ports: &Ports, own: &Own, stored: &[ClusterRecord], before: Option<&View>) -> Result<View, OpenError> {
    let topology = own.topology().map_err(|error| OpenError::Contradiction(error.to_string()))?;
    let mut view = View {
        federation: Federation {
            global_namespaces: own.global_namespaces,
            is_master: own.is_master,
            ..Federation::alone(topology)
        },
        records: BTreeMap::new(),
        peers: BTreeMap::new(),
        versions: BTreeMap::new(),
    };
    let mut disconnected = BTreeSet::new();
    for row in stored {
        let record = decode(row)?;
        let name = ClusterName::from(row.name.as_str());
        if name != own.name {
            let id = ClusterId(i32::try_from(record.initial_failover_version).unwrap_or(0));
            view.federation
                .topology
                .add(name.clone(), id)
                .map_err(|error| OpenError::Contradiction(format!("cluster {name}: {error}")))?;
            let shard_count = u32::try_from(record.history_shard_count).unwrap_or(0);
            view.federation.topology.set_shards(id, shard_count);
            if record.is_connection_enabled {
                let known = before.and_then(|view| view.peers.get(&name));
                let known = known.filter(|peer| peer.address == record.cluster_address);
                let channel = match known {
                    Some(peer) => peer.channel.clone(),
                    None => (ports.dial)(&record.cluster_address),
                };
                let address = record.cluster_address.clone();
                let introduction = own.introduction(id);
                let peer = Peer { name: name.clone(), id, address, shard_count, channel, introduction };
                view.peers.insert(name.clone(), peer);
            } else {
                disconnected.insert(name.clone());
            }
        }
        view.versions.insert(name.clone(), row.version);
        view.records.insert(name, record);
    }
    view.federation.disconnected = disconnected;
    Ok(view)
}

fn encode(record: &ClusterMetadata) -> Bytes {
    record.encode_to_vec().into()
}

fn decode(row: &ClusterRecord) -> Result<ClusterMetadata, OpenError> {
    let corrupt = |_| OpenError::Contradiction(format!("the stored record of cluster {:?} cannot be read", row.name));
    ClusterMetadata::decode(row.record.clone()).map_err(corrupt)
}

fn owner(row: &ClusterRecord) -> Option<String> {
    decode(row).ok().map(|record| record.cluster_id)
}

fn invalid_config(text: &str) -> Status {
    Status::invalid_argument(format!("Unable connect to remote cluster with invalid config: {text}."))
}

/// Why a cluster does not start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OpenError {
    /// The store is not there.
    Unavailable(Unavailable),
    /// What the configuration says and what the store has exclude each other; a person has to act. Nothing was changed.
    Contradiction(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) => write!(f, "the store is not available: {cause}"),
            Self::Contradiction(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for OpenError {}

/// So many hosts of a cluster may start for the first time at the same moment.
const OTHERS: usize = 100;

/// How long a cluster that is to be added may take to say who it is (CM-15).
const DESCRIBE: Duration = Duration::from_secs(10);
