//! What this cluster is and can do.

use proto::temporal::api::workflowservice::v1::{
    GetClusterInfoRequest, GetClusterInfoResponse, GetSearchAttributesRequest, GetSearchAttributesResponse,
    GetSystemInfoRequest, GetSystemInfoResponse, get_system_info_response::Capabilities,
};

use crate::{
    errors::Error,
    frontend::Frontend,
    versions::{SERVER_VERSION, SUPPORTED_CLIENTS},
};

pub(super) async fn get_system_info(_: &Frontend, _: GetSystemInfoRequest) -> Result<GetSystemInfoResponse, Error> {
    Ok(GetSystemInfoResponse { server_version: SERVER_VERSION.into(), capabilities: Some(capabilities()) })
}

/// What client libraries may count on (api 2.1). What is false is not built, whatever a running Temporal says.
fn capabilities() -> Capabilities {
    Capabilities {
        signal_and_query_header: true,
        internal_error_differentiation: true,
        activity_failure_include_heartbeat: true,
        encoded_failure_attributes: true,
        sdk_metadata: true,
        count_group_by_execution_status: true,
        ..Default::default()
    }
}

pub(super) async fn get_cluster_info(
    frontend: &Frontend,
    _: GetClusterInfoRequest,
) -> Result<GetClusterInfoResponse, Error> {
    let about = &frontend.about;
    Ok(GetClusterInfoResponse {
        supported_clients: SUPPORTED_CLIENTS.iter().map(|(name, range)| ((*name).into(), (*range).into())).collect(),
        server_version: SERVER_VERSION.into(),
        cluster_id: about.cluster_id.to_string(),
        // Empty: the Web UI would look for newer versions of another product.
        version_info: None,
        cluster_name: about.cluster.to_string(),
        history_shard_count: i32::try_from(about.shard_count).unwrap_or(i32::MAX),
        persistence_store: about.store.clone(),
        visibility_store: about.store.clone(),
        initial_failover_version: about.initial_failover_version,
        failover_version_increment: about.failover_version_increment,
    })
}

pub(super) async fn get_search_attributes(
    _: &Frontend,
    _: GetSearchAttributesRequest,
) -> Result<GetSearchAttributesResponse, Error> {
    Ok(GetSearchAttributesResponse { keys: metadata::service::system_search_attributes() })
}
