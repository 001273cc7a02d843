//! Clusters for tests: the real crate over a store in memory, joined by real gRPC over loopback.

#![allow(dead_code, unreachable_pub, reason = "every test uses a part of it")]

pub mod memory;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use metadata::{
    Guard, MessageStream, Metadata, Own, Ports, ReplicationEndpoint,
    service::{About, Admin, NamespaceCalls, Offer, Operator},
};
use proto::temporal::{
    api::{
        operatorservice::v1::{
            AddOrUpdateRemoteClusterRequest, operator_service_client::OperatorServiceClient,
            operator_service_server::OperatorServiceServer,
        },
        replication::v1::ClusterReplicationConfig,
        workflowservice::v1::{RegisterNamespaceRequest, UpdateNamespaceRequest, UpdateNamespaceResponse},
    },
    server::api::adminservice::v1::{self as admin, admin_service_server::AdminServiceServer},
};
use replicator::{namespace::Namespace, time::Timestamp, version::ClusterName};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, async_trait,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use self::memory::MemoryStore;

/// One running cluster.
pub struct Node {
    pub metadata: Metadata,
    pub calls: NamespaceCalls,
    pub store: Arc<MemoryStore>,
    pub address: SocketAddr,
    name: &'static str,
    id: i64,
    stop: CancellationToken,
}

impl Node {
    /// A new cluster.
    pub async fn start(name: &'static str, id: i64) -> Self {
        Self::start_on(name, id, Arc::default(), "127.0.0.1:0".parse().unwrap()).await
    }

    /// A cluster with a memory.
    pub async fn start_on(name: &'static str, id: i64, store: Arc<MemoryStore>, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = own(name, id, address);
        let metadata = Metadata::open(ports(store.clone(), id as u64), own).await.unwrap();
        metadata.start();
        let stop = CancellationToken::new();
        let server = tonic::transport::Server::builder()
            .add_service(admin_of(&metadata))
            .add_service(OperatorServiceServer::new(Operator::new(metadata.clone())))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        tokio::spawn(server);
        let calls = NamespaceCalls::new(metadata.namespaces().clone(), Offer::default());
        Self { metadata, calls, store, address, name, id, stop }
    }

    /// Stop, and start again with the same memory at the same address.
    pub async fn restart(self) -> Self {
        self.metadata.stop();
        self.stop.cancel();
        let (name, id, store, address) = (self.name, self.id, self.store.clone(), self.address);
        drop(self);
        for _ in 0..100 {
            if TcpListener::bind(address).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self::start_on(name, id, store, address).await
    }

    /// Stop, and answer nobody any more.
    pub async fn stopped(self) {
        self.metadata.stop();
        self.stop.cancel();
        while TcpListener::bind(self.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As an operator does it.
    pub async fn upsert(&self, address: impl ToString) -> Result<(), Status> {
        let request = AddOrUpdateRemoteClusterRequest {
            frontend_address: address.to_string(),
            enable_remote_cluster_connection: true,
            enable_replication: true,
            ..Default::default()
        };
        self.operator().add_or_update_remote_cluster(request).await.map(|_| ())
    }

    pub fn operator(&self) -> OperatorServiceClient<Channel> {
        OperatorServiceClient::new(dial(&self.address.to_string()))
    }

    pub fn peer_view(&self) -> admin::admin_service_client::AdminServiceClient<Channel> {
        admin::admin_service_client::AdminServiceClient::new(dial(&self.address.to_string()))
    }

    pub async fn register(&self, name: &str, clusters: &[&str]) -> Result<(), Status> {
        self.calls.register(registration(name, clusters)).await.map(|_| ())
    }

    pub async fn fail_over(&self, name: &str, to: &str) -> Result<UpdateNamespaceResponse, Status> {
        let mut request = UpdateNamespaceRequest { namespace: name.into(), ..Default::default() };
        request.replication_config.get_or_insert_default().active_cluster_name = to.into();
        self.calls.update(request).await
    }

    pub async fn describe(&self, name: &str, description: &str) -> Result<UpdateNamespaceResponse, Status> {
        let mut request = UpdateNamespaceRequest { namespace: name.into(), ..Default::default() };
        request.update_info.get_or_insert_default().description = description.into();
        self.calls.update(request).await
    }

    /// Give a namespace to these clusters.
    pub async fn move_to(&self, name: &str, clusters: &[&str]) -> Result<UpdateNamespaceResponse, Status> {
        let mut request = UpdateNamespaceRequest { namespace: name.into(), ..Default::default() };
        request.replication_config.get_or_insert_default().clusters = registration(name, clusters).clusters;
        self.calls.update(request).await
    }

    /// The namespace, as soon as `wanted` holds for it.
    #[track_caller]
    pub fn wait(&self, name: &str, wanted: impl Fn(&Namespace) -> bool) -> impl Future<Output = Arc<Namespace>> {
        let namespaces = self.metadata.namespaces().clone();
        let (here, name) = (self.name, name.to_owned());
        async move {
            let reached = async {
                let mut namespace = namespaces.appeared(&name).await.unwrap();
                while !wanted(&namespace) {
                    namespace = namespaces.changed(&namespace).await.unwrap();
                }
                namespace
            };
            let reached = tokio::time::timeout(Duration::from_secs(5), reached).await;
            reached.unwrap_or_else(|_| panic!("{here} has {:?}", namespaces.get(&name)))
        }
    }
}

/// What peers call.
fn admin_of(metadata: &Metadata) -> InterceptedService<AdminServiceServer<Admin>, Guard> {
    let admin = Admin::new(metadata.clone(), About::default(), Arc::new(NoRuns));
    AdminServiceServer::with_interceptor(admin, Guard::new(metadata.clusters().clone()))
}

/// Answer peers at an address of its own.
pub async fn serve(metadata: Metadata) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(admin_of(&metadata))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    address
}

/// Two clusters that know each other.
pub async fn pair() -> (Node, Node) {
    let (a, b) = (Node::start("a", 1).await, Node::start("b", 2).await);
    a.upsert(b.address).await.unwrap();
    b.upsert(a.address).await.unwrap();
    (a, b)
}

pub fn own(name: &str, id: i64, address: impl ToString) -> Own {
    Own {
        name: ClusterName::from(name),
        cluster_id: Uuid::from_u128(id as u128),
        shard_count: 4,
        address: address.to_string(),
        http_address: String::new(),
        failover_version_increment: 10,
        initial_failover_version: id,
        global_namespaces: true,
        is_master: true,
    }
}

pub fn ports(store: Arc<MemoryStore>, seed: u64) -> Ports {
    Ports {
        store,
        clock: Arc::new(|| Timestamp::from_millis(1_000)),
        spawn: Arc::new(|work| drop(tokio::spawn(work))),
        dial: Arc::new(dial),
        seed,
        tell: None,
    }
}

/// A namespace of these clusters, active in the first; none: a local one.
pub fn registration(name: &str, clusters: &[&str]) -> RegisterNamespaceRequest {
    let list =
        clusters.iter().map(|name| ClusterReplicationConfig { cluster_name: (*name).into(), ..Default::default() });
    RegisterNamespaceRequest {
        namespace: name.into(),
        workflow_execution_retention_period: Some(prost_types::Duration { seconds: 24 * 3600, nanos: 0 }),
        is_global_namespace: !clusters.is_empty(),
        active_cluster_name: clusters.first().map(ToString::to_string).unwrap_or_default(),
        clusters: list.collect(),
        ..Default::default()
    }
}

/// A cluster that has no runs.
struct NoRuns;

#[async_trait]
impl ReplicationEndpoint for NoRuns {
    async fn stream_workflow_replication_messages(
        &self,
        request: Request<MessageStream<admin::StreamWorkflowReplicationMessagesRequest>>,
    ) -> Result<Response<MessageStream<admin::StreamWorkflowReplicationMessagesResponse>>, Status> {
        let shard = request.metadata().get("temporal-client-shard-id").cloned();
        Err(Status::aborted(format!("no runs for shard {shard:?}")))
    }

    async fn get_workflow_execution_raw_history_v2(
        &self,
        _: Request<admin::GetWorkflowExecutionRawHistoryV2Request>,
    ) -> Result<Response<admin::GetWorkflowExecutionRawHistoryV2Response>, Status> {
        Err(Status::not_found("no runs"))
    }

    async fn describe_mutable_state(
        &self,
        _: Request<admin::DescribeMutableStateRequest>,
    ) -> Result<Response<admin::DescribeMutableStateResponse>, Status> {
        Err(Status::not_found("no runs"))
    }
}

/// A channel that connects when it is first used.
pub fn dial(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy()
}
