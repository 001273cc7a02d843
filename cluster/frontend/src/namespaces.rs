//! What the frontend wants of the part of a cluster that knows its namespaces: of [`Registry`], or of a stand-in under test.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::{FutureExt, future::BoxFuture};
use metadata::service::NamespaceCalls;
use proto::temporal::api::workflowservice::v1 as api;
use replicator::{ids::NamespaceId, namespace::Namespace};
use tonic::Status;

/// An answer that takes a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'a>>;

/// Knows the namespaces of this cluster, and changes them. Looking never waits.
pub trait Namespaces: Send + Sync + 'static {
    /// The namespace of this name.
    fn by_name(&self, name: &str) -> Option<Arc<Namespace>>;

    /// The namespace with this id.
    fn by_id(&self, id: NamespaceId) -> Option<Arc<Namespace>>;

    /// Wait until a namespace is other than it was `seen`; `None` when it is gone.
    fn changed<'a>(&'a self, seen: &'a Arc<Namespace>) -> BoxFuture<'a, Option<Arc<Namespace>>>;

    /// `RegisterNamespace`.
    fn register(&self, request: api::RegisterNamespaceRequest) -> Later<'_, api::RegisterNamespaceResponse>;

    /// `DescribeNamespace`.
    fn describe(&self, request: &api::DescribeNamespaceRequest) -> Result<api::DescribeNamespaceResponse, Status>;

    /// `ListNamespaces`.
    fn list(&self, request: &api::ListNamespacesRequest) -> Result<api::ListNamespacesResponse, Status>;

    /// `UpdateNamespace`.
    fn update(&self, request: api::UpdateNamespaceRequest) -> Later<'_, api::UpdateNamespaceResponse>;

    /// `DeprecateNamespace`.
    fn deprecate(&self, request: api::DeprecateNamespaceRequest) -> Later<'_, api::DeprecateNamespaceResponse>;
}

/// The namespaces of a running cluster.
pub struct Registry {
    namespaces: metadata::Namespaces,
    calls: NamespaceCalls,
}

impl Registry {
    /// Namespaces, and the calls that change them.
    #[must_use]
    pub fn new(namespaces: metadata::Namespaces, calls: NamespaceCalls) -> Self {
        Self { namespaces, calls }
    }
}

impl Namespaces for Registry {
    fn by_name(&self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.get(name)
    }

    fn by_id(&self, id: NamespaceId) -> Option<Arc<Namespace>> {
        self.namespaces.get_by_id(id)
    }

    fn changed<'a>(&'a self, seen: &'a Arc<Namespace>) -> BoxFuture<'a, Option<Arc<Namespace>>> {
        self.namespaces.changed(seen).boxed()
    }

    fn register(&self, request: api::RegisterNamespaceRequest) -> Later<'_, api::RegisterNamespaceResponse> {
        self.calls.register(request).boxed()
    }

    fn describe(&self, request: &api::DescribeNamespaceRequest) -> Result<api::DescribeNamespaceResponse, Status> {
        self.calls.describe(request)
    }

    fn list(&self, request: &api::ListNamespacesRequest) -> Result<api::ListNamespacesResponse, Status> {
        self.calls.list(request)
    }

    fn update(&self, request: api::UpdateNamespaceRequest) -> Later<'_, api::UpdateNamespaceResponse> {
        self.calls.update(request).boxed()
    }

    fn deprecate(&self, request: api::DeprecateNamespaceRequest) -> Later<'_, api::DeprecateNamespaceResponse> {
        self.calls.deprecate(request).boxed()
    }
}
