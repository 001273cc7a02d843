//! The five calls of WorkflowService about namespaces (api 1.1, 11.1 to 11.3).

use proto::temporal::api::{
    namespace::v1::{NamespaceInfo, namespace_info},
    workflowservice::v1::{
        DeprecateNamespaceRequest, DeprecateNamespaceResponse, DescribeNamespaceRequest, DescribeNamespaceResponse,
        ListNamespacesRequest, ListNamespacesResponse, RegisterNamespaceRequest, RegisterNamespaceResponse,
        UpdateNamespaceRequest, UpdateNamespaceResponse,
    },
};
use replicator::{
    ids::NamespaceId,
    namespace::{
        Namespace, NamespaceState, register,
        replication::{config, failover_history, info, replication_config},
        update,
    },
};
use tonic::Status;

use crate::{namespaces::Namespaces, status::namespace_not_found};

/// Answers the calls about namespaces. The frontend's WorkflowService hands them on.
#[derive(Clone)]
pub struct NamespaceCalls {
    namespaces: Namespaces,
    offer: Offer,
}

/// What the server can do with a namespace (api 2.3). SDKs rely on it, so it is true: nothing, unless somebody says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// Announced features.
    pub capabilities: namespace_info::Capabilities,
    /// Announced limits.
    pub limits: namespace_info::Limits,
    /// Whether there are schedules.
    pub schedules: bool,
}

impl Default for Offer {
    fn default() -> Self {
        const MEBIBYTE: i64 = 1 << 20;
        Self {
            capabilities: namespace_info::Capabilities::default(),
            limits: namespace_info::Limits {
                blob_size_limit_error: 2 * MEBIBYTE,
                memo_size_limit_error: 2 * MEBIBYTE,
                workflow_task_completion_size_limit_error: 0,
            },
            schedules: false,
        }
    }
}

impl NamespaceCalls {
    /// Answers about `namespaces`, announcing `offer`.
    #[must_use]
    pub fn new(namespaces: Namespaces, offer: Offer) -> Self {
        Self { namespaces, offer }
    }

    /// RegisterNamespace. The namespace is there for every other call when this answers.
    ///
    /// # Errors
    ///
    /// See api 1.1.
    pub async fn register(&self, request: RegisterNamespaceRequest) -> Result<RegisterNamespaceResponse, Status> {
        let name = request.namespace.clone();
        let added = self
            .namespaces
            .add(name, move |taken, id, federation| register::register(&request, taken, id, federation))
            .await?;
        tracing::info!(namespace = added.name, id = %added.id, version = %added.failover_version, "namespace registered");
        Ok(RegisterNamespaceResponse::default())
    }

    /// DescribeNamespace, by name or by id.
    ///
    /// # Errors
    ///
    /// See api 1.1.
    pub fn describe(&self, request: &DescribeNamespaceRequest) -> Result<DescribeNamespaceResponse, Status> {
        let (name, id) = (request.namespace.as_str(), request.id.as_str());
        let found = match (name, id) {
            ("", "") => {
                let text = "GetNamespace operation failed.  Both ID and Name are empty.";
                return Err(Status::invalid_argument(text));
            }
            (name, "") => self.namespaces.get(name),
            ("", id) => NamespaceId::parse(id).ok().and_then(|id| self.namespaces.get_by_id(id)),
            _ => {
                let text = "GetNamespace operation failed.  Both ID and Name specified in request.";
                return Err(Status::invalid_argument(text));
            }
        };
        let namespace = found.ok_or_else(|| namespace_not_found(if name.is_empty() { id } else { name }))?;
        Ok(self.description(&namespace))
    }

    /// ListNamespaces, ordered by name.
    ///
    /// # Errors
    ///
    /// When the page token is not one of ours.
    pub fn list(&self, request: &ListNamespacesRequest) -> Result<ListNamespacesResponse, Status> {
        let size = usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(PAGE);
        let include_deleted = request.namespace_filter.is_some_and(|filter| filter.include_deleted);
        let Ok(token) = str::from_utf8(&request.next_page_token) else {
            return Err(Status::invalid_argument("Invalid NextPageToken."));
        };
        let mut after = (!token.is_empty()).then(|| token.to_owned());
        let mut response = ListNamespacesResponse::default();
        while response.namespaces.len() < size {
            let wanted = size - response.namespaces.len();
            let found = self.namespaces.list_after(after.as_deref(), wanted);
            after = found.last().map(|namespace| namespace.name.clone());
            let is_end = found.len() < wanted;
            let shown = found.iter().filter(|n| include_deleted || n.state != NamespaceState::Deleted);
            response.namespaces.extend(shown.map(|namespace| self.description(namespace)));
            if is_end {
                return Ok(response);
            }
        }
        if let Some(after) = after.filter(|after| !self.namespaces.list_after(Some(after), 1).is_empty()) {
            response.next_page_token = after.into();
        }
        Ok(response)
    }

    /// UpdateNamespace: settings, failover, promotion, or writes held back. A failover is known to every shard when this answers.
    ///
    /// # Errors
    ///
    /// See api 1.1.
    pub async fn update(&self, request: UpdateNamespaceRequest) -> Result<UpdateNamespaceResponse, Status> {
        check_name(&request.namespace)?;
        let name = request.namespace.clone();
        let new = self
            .namespaces
            .change(name, move |old, now, federation| update::update(old, &request, now, federation))
            .await?;
        tracing::info!(
            namespace = new.name,
            config = new.config_version,
            active = %new.active,
            version = %new.failover_version,
            "namespace updated"
        );
        Ok(UpdateNamespaceResponse {
            namespace_info: Some(self.info(&new)),
            config: Some(config(&new)),
            replication_config: Some(replication_config(&new)),
            failover_version: new.failover_version.0,
            is_global_namespace: new.is_global,
        })
    }

    /// DeprecateNamespace.
    ///
    /// # Errors
    ///
    /// See api 1.1.
    pub async fn deprecate(&self, request: DeprecateNamespaceRequest) -> Result<DeprecateNamespaceResponse, Status> {
        check_name(&request.namespace)?;
        let deprecate = |old: &Namespace, _, federation: &_| update::deprecate(old, federation);
        self.namespaces.change(request.namespace, deprecate).await?;
        Ok(DeprecateNamespaceResponse::default())
    }

    fn description(&self, namespace: &Namespace) -> DescribeNamespaceResponse {
        DescribeNamespaceResponse {
            namespace_info: Some(self.info(namespace)),
            config: Some(config(namespace)),
            replication_config: Some(replication_config(namespace)),
            failover_version: namespace.failover_version.0,
            is_global_namespace: namespace.is_global,
            failover_history: failover_history(&namespace.failover_history),
            ..Default::default()
        }
    }

    fn info(&self, namespace: &Namespace) -> NamespaceInfo {
        NamespaceInfo {
            capabilities: Some(self.offer.capabilities),
            limits: Some(self.offer.limits),
            supports_schedules: self.offer.schedules,
            ..info(namespace)
        }
    }
}

fn check_name(name: &str) -> Result<(), Status> {
    if name.is_empty() { Err(Status::invalid_argument("Namespace is not set on request.")) } else { Ok(()) }
}

/// Namespaces on a page, if nobody says.
const PAGE: usize = 100;
