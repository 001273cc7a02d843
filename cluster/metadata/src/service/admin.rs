//! AdminService: what clusters ask of each other (IN-9 to IN-13). Its other calls are not built.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use bytes::Bytes;
use proto::temporal::server::api::{
    adminservice::v1::{
        AddOrUpdateRemoteClusterRequest, AddOrUpdateRemoteClusterResponse, DescribeClusterRequest,
        DescribeClusterResponse, DescribeMutableStateRequest, DescribeMutableStateResponse,
        GetNamespaceReplicationMessagesRequest, GetNamespaceReplicationMessagesResponse, GetNamespaceRequest,
        GetNamespaceResponse, GetWorkflowExecutionRawHistoryV2Request, GetWorkflowExecutionRawHistoryV2Response,
        ListClustersRequest, ListClustersResponse, RemoveRemoteClusterRequest, RemoveRemoteClusterResponse,
        StreamWorkflowReplicationMessagesRequest, StreamWorkflowReplicationMessagesResponse,
        admin_service_server::AdminService, get_namespace_request::Attributes,
    },
    cluster::v1::{HostInfo, MembershipInfo, RingInfo},
    persistence::v1::ClusterMetadata,
};
use replicator::{ids::NamespaceId, namespace::replication, version::ClusterName};
use tonic::{
    Extensions, Request, Response, Status, Streaming, async_trait,
    codegen::BoxStream,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{
    Metadata,
    certificate::Certificate,
    clusters::{Join, View},
    confirm,
    endpoint::ReplicationEndpoint,
    feed::WAIT,
    introduction::Introduction,
    status::namespace_not_found,
};

/// Answers peers, and operators who speak to a cluster as a peer would.
#[derive(Clone)]
pub struct Admin {
    metadata: Metadata,
    about: About,
    runs: Arc<dyn ReplicationEndpoint>,
}

/// What a cluster says of itself besides its record.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct About {
    /// Version of Temporal's server whose wire this is.
    pub server_version: String,
    /// Clients that are known to work, with their versions (api 2.2).
    pub supported_clients: BTreeMap<String, String>,
    /// Kind of the store.
    pub persistence_store: String,
    /// Kind of the store of lists.
    pub visibility_store: String,
    /// This host, `host:port`.
    pub host: String,
}

impl Admin {
    /// Answers about `metadata`; what is about runs, `runs` answers.
    #[must_use]
    pub fn new(metadata: Metadata, about: About, runs: Arc<dyn ReplicationEndpoint>) -> Self {
        Self { metadata, about, runs }
    }

    /// Only a cluster that is known has a place in the queue, and only its own (W-34).
    fn check_reader(&self, metadata: &MetadataMap, extensions: &Extensions, reader: &str) -> Result<(), Status> {
        Certificate::check(extensions, reader)?;
        let view = self.metadata.clusters().view();
        let name = ClusterName::from(reader);
        if let Some(caller) = Introduction::of(metadata)?.filter(|caller| caller.name != name) {
            return Err(Status::failed_precondition(format!("cluster {} asks as cluster {name}", caller.name)));
        }
        // One without a name is refused for that.
        if !reader.is_empty() && (!view.records.contains_key(&name) || name == *view.current()) {
            return Err(Status::failed_precondition(format!("cluster {name} is not known here")));
        }
        Ok(())
    }

    /// This one host runs every service.
    fn membership(&self) -> MembershipInfo {
        let host = HostInfo { identity: self.about.host.clone() };
        let ring = |role: &str| RingInfo { role: role.into(), member_count: 1, members: vec![host.clone()] };
        MembershipInfo {
            current_host: Some(host.clone()),
            reachable_members: vec![self.about.host.clone()],
            rings: ["frontend", "history", "matching", "worker"].map(ring).into(),
        }
    }
}

#[async_trait]
impl AdminService for Admin {
    async fn describe_cluster(
        &self,
        request: Request<DescribeClusterRequest>,
    ) -> Result<Response<DescribeClusterResponse>, Status> {
        let name = request.into_inner().cluster_name;
        let view = self.metadata.clusters().view();
        let name = if name.is_empty() { view.current().clone() } else { ClusterName::from(name) };
        let Some(record) = view.records.get(&name).cloned() else {
            return Err(Status::not_found(format!("Cluster {name} is not found.")));
        };
        let about = self.about.clone();
        Ok(Response::new(DescribeClusterResponse {
            supported_clients: about.supported_clients,
            server_version: about.server_version,
            membership_info: Some(self.membership()),
            cluster_id: record.cluster_id,
            cluster_name: record.cluster_name,
            history_shard_count: record.history_shard_count,
            persistence_store: about.persistence_store,
            visibility_store: about.visibility_store,
            version_info: record.version_info,
            failover_version_increment: record.failover_version_increment,
            initial_failover_version: record.initial_failover_version,
            is_global_namespace_enabled: record.is_global_namespace_enabled,
            tags: record.tags,
            http_address: record.http_address,
        }))
    }

    async fn list_clusters(
        &self,
        request: Request<ListClustersRequest>,
    ) -> Result<Response<ListClustersResponse>, Status> {
        let request = request.into_inner();
        let view = self.metadata.clusters().view();
        let (clusters, next_page_token) = cluster_page(&view, request.page_size, &request.next_page_token)?;
        Ok(Response::new(ListClustersResponse { clusters, next_page_token }))
    }

    async fn add_or_update_remote_cluster(
        &self,
        request: Request<AddOrUpdateRemoteClusterRequest>,
    ) -> Result<Response<AddOrUpdateRemoteClusterResponse>, Status> {
        let request = request.into_inner();
        let join = Join {
            address: request.frontend_address,
            http_address: request.frontend_http_address,
            connection: request.enable_remote_cluster_connection,
            replication: request.enable_replication,
        };
        self.metadata.join(join).await?;
        Ok(Response::new(Default::default()))
    }

    async fn remove_remote_cluster(
        &self,
        request: Request<RemoveRemoteClusterRequest>,
    ) -> Result<Response<RemoveRemoteClusterResponse>, Status> {
        self.metadata.part(request.into_inner().cluster_name).await?;
        Ok(Response::new(Default::default()))
    }

    async fn get_namespace_replication_messages(
        &self,
        request: Request<GetNamespaceReplicationMessagesRequest>,
    ) -> Result<Response<GetNamespaceReplicationMessagesResponse>, Status> {
        self.check_reader(request.metadata(), request.extensions(), &request.get_ref().cluster_name)?;
        let wait = request.metadata().contains_key(WAIT);
        let mut response = Response::new(self.metadata.feed().messages(request.get_ref(), wait).await?);
        if wait {
            response.metadata_mut().insert(WAIT, MetadataValue::from_static("true"));
        }
        Ok(response)
    }

    async fn get_namespace(
        &self,
        request: Request<GetNamespaceRequest>,
    ) -> Result<Response<GetNamespaceResponse>, Status> {
        let namespaces = self.metadata.namespaces();
        let (metadata, _, request) = request.into_parts();
        let (found, asked) = match request.attributes {
            Some(Attributes::Namespace(name)) if !name.is_empty() => (namespaces.get(&name), name),
            Some(Attributes::Id(id)) if !id.is_empty() => {
                (NamespaceId::parse(&id).ok().and_then(|id| namespaces.get_by_id(id)), id)
            }
            _ => return Err(Status::invalid_argument("Request is nil.")),
        };
        let id = found.ok_or_else(|| namespace_not_found(&asked))?.id;
        confirm::wait(namespaces, id, &metadata).await;
        let namespace = namespaces.get_by_id(id).ok_or_else(|| namespace_not_found(&asked))?;
        Ok(Response::new(replication::describe(&namespace)))
    }

    async fn stream_workflow_replication_messages(
        &self,
        request: Request<Streaming<StreamWorkflowReplicationMessagesRequest>>,
    ) -> Result<Response<BoxStream<StreamWorkflowReplicationMessagesResponse>>, Status> {
        self.runs.stream_workflow_replication_messages(request.map(|stream| Box::pin(stream) as _)).await
    }

    async fn get_workflow_execution_raw_history_v2(
        &self,
        request: Request<GetWorkflowExecutionRawHistoryV2Request>,
    ) -> Result<Response<GetWorkflowExecutionRawHistoryV2Response>, Status> {
        self.runs.get_workflow_execution_raw_history_v2(request).await
    }

    async fn describe_mutable_state(
        &self,
        request: Request<DescribeMutableStateRequest>,
    ) -> Result<Response<DescribeMutableStateResponse>, Status> {
        self.runs.describe_mutable_state(request).await
    }
}

/// A page of the cluster table, by name, and the token of the next.
pub(super) fn cluster_page(view: &View, size: i32, token: &[u8]) -> Result<(Vec<ClusterMetadata>, Bytes), Status> {
    let size = usize::try_from(size).ok().filter(|size| *size > 0).unwrap_or(PAGE);
    let Ok(after) = str::from_utf8(token) else { return Err(Status::invalid_argument("Invalid NextPageToken.")) };
    let start = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(ClusterName::from(after)) };
    let mut rest = view.records.range((start, Bound::Unbounded));
    let page: Vec<_> = rest.by_ref().take(size).map(|(_, record)| record.clone()).collect();
    let next = match page.last() {
        Some(last) if rest.next().is_some() => Bytes::from(last.cluster_name.clone()),
        _ => Bytes::new(),
    };
    Ok((page, next))
}

/// Clusters on a page, if nobody says.
const PAGE: usize = 100;
