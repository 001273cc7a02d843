//! OperatorService: clusters and search attributes (api 1.10). Its other calls are not built.

use proto::temporal::api::operatorservice::v1::{
    AddOrUpdateRemoteClusterRequest, AddOrUpdateRemoteClusterResponse, ClusterMetadata, ListClustersRequest,
    ListClustersResponse, ListSearchAttributesRequest, ListSearchAttributesResponse, RemoveRemoteClusterRequest,
    RemoveRemoteClusterResponse, operator_service_server::OperatorService,
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    Metadata,
    clusters::Join,
    service::{admin::cluster_page, system_search_attributes},
};

/// Answers operators.
#[derive(Clone)]
pub struct Operator {
    metadata: Metadata,
}

impl Operator {
    /// Answers about `metadata`.
    #[must_use]
    pub fn new(metadata: Metadata) -> Self {
        Self { metadata }
    }
}

#[async_trait]
impl OperatorService for Operator {
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

    async fn list_clusters(
        &self,
        request: Request<ListClustersRequest>,
    ) -> Result<Response<ListClustersResponse>, Status> {
        let request = request.into_inner();
        let view = self.metadata.clusters().view();
        let (records, next_page_token) = cluster_page(&view, request.page_size, &request.next_page_token)?;
        let clusters = records.into_iter().map(|record| ClusterMetadata {
            cluster_name: record.cluster_name,
            cluster_id: record.cluster_id,
            address: record.cluster_address,
            http_address: record.http_address,
            initial_failover_version: record.initial_failover_version,
            history_shard_count: record.history_shard_count,
            is_connection_enabled: record.is_connection_enabled,
            is_replication_enabled: record.is_replication_enabled,
        });
        Ok(Response::new(ListClustersResponse { clusters: clusters.collect(), next_page_token }))
    }

    async fn list_search_attributes(
        &self,
        request: Request<ListSearchAttributesRequest>,
    ) -> Result<Response<ListSearchAttributesResponse>, Status> {
        let namespace = request.into_inner().namespace;
        if namespace.is_empty() {
            return Err(Status::invalid_argument("Namespace is not set on request."));
        }
        self.metadata.namespaces().resolve(&namespace)?;
        let system_attributes = system_search_attributes();
        Ok(Response::new(ListSearchAttributesResponse { system_attributes, ..Default::default() }))
    }
}
