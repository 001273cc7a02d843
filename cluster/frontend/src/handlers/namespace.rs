//! Namespaces: handed to whoever keeps them.

use proto::temporal::api::workflowservice::v1 as api;

use crate::{errors::Error, frontend::Frontend};

pub(super) async fn register(
    frontend: &Frontend,
    request: api::RegisterNamespaceRequest,
) -> Result<api::RegisterNamespaceResponse, Error> {
    Ok(frontend.namespaces.register(request).await?)
}

pub(super) async fn describe(
    frontend: &Frontend,
    request: api::DescribeNamespaceRequest,
) -> Result<api::DescribeNamespaceResponse, Error> {
    Ok(frontend.namespaces.describe(&request)?)
}

pub(super) async fn list(
    frontend: &Frontend,
    request: api::ListNamespacesRequest,
) -> Result<api::ListNamespacesResponse, Error> {
    Ok(frontend.namespaces.list(&request)?)
}

pub(super) async fn update(
    frontend: &Frontend,
    request: api::UpdateNamespaceRequest,
) -> Result<api::UpdateNamespaceResponse, Error> {
    Ok(frontend.namespaces.update(request).await?)
}

pub(super) async fn deprecate(
    frontend: &Frontend,
    request: api::DeprecateNamespaceRequest,
) -> Result<api::DeprecateNamespaceResponse, Error> {
    Ok(frontend.namespaces.deprecate(request).await?)
}
