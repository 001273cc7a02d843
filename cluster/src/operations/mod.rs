//! What an operator asks of one cluster beside the public API, a file for each service: tasks that could not be
//! applied, what became of events that two clusters wrote at the same time, and whether two clusters hold the
//! same.

use std::sync::Arc;

use history::History;
use membership::Membership;
use metadata::Metadata;
use replicator::{
    ids::{ClusterId, NamespaceId, RunId},
    namespace::Namespace,
    shard::io::Failure,
};
use store::Store;
use tonic::Status;

use crate::{
    hosts::AllShards,
    ports::{Clock, Spawner},
    status::Lags,
};

mod comparison;
mod digests;
mod divergence;
mod members;
mod quarantine;
mod routing;
mod verification;

/// Answers operators. Clones share everything.
#[derive(Clone)]
pub(crate) struct Operations {
    pub(crate) history: History,
    pub(crate) shards: AllShards,
    pub(crate) metadata: Metadata,
    pub(crate) membership: Membership,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lags: Lags,
    pub(crate) now: Clock,
    pub(crate) spawn: Spawner,
}

impl Operations {
    /// The namespace of this name or id.
    fn namespace(&self, named: &str) -> Result<Arc<Namespace>, Status> {
        if named.is_empty() {
            return Err(Status::invalid_argument("namespace is missing"));
        }
        let namespaces = self.metadata.namespaces();
        let by_id = || NamespaceId::parse(named).ok().and_then(|id| namespaces.get_by_id(id));
        namespaces.get(named).or_else(by_id).ok_or_else(|| metadata::status::namespace_not_found(named))
    }

    /// The name of a namespace, or its id where it is not known.
    pub(crate) fn namespace_name(&self, id: NamespaceId) -> String {
        self.metadata.namespaces().get_by_id(id).map_or_else(|| id.to_string(), |namespace| namespace.name.clone())
    }

    /// The name of a cluster, or its number where it is not known.
    pub(crate) fn cluster_name(&self, id: ClusterId) -> String {
        let view = self.metadata.clusters().view();
        view.federation.topology.name_of(id).map_or_else(|| id.to_string(), |name| name.as_str().to_owned())
    }
}

/// What an operator is told about a refusal of a shard.
fn refused(failure: Failure) -> Status {
    match failure {
        Failure::NotFound(text) => Status::not_found(text),
        Failure::InvalidArgument(text) => Status::invalid_argument(text),
        Failure::Moved => routing::moved(),
        Failure::Unavailable(text) => Status::unavailable(text),
        failure => Status::unavailable(format!("{failure:?}")),
    }
}

/// A run, if one is named.
fn run_id(text: &str) -> Result<Option<RunId>, Status> {
    let run = Some(text).filter(|text| !text.is_empty()).map(RunId::parse).transpose();
    run.map_err(|_| Status::invalid_argument("run_id is not a UUID"))
}

/// How many entries a page has, if nobody says.
const PAGE: usize = 100;

/// More than these no page has.
const LONGEST_PAGE: usize = 1000;

/// How many entries are wanted on a page.
fn page_size(wanted: i32) -> usize {
    usize::try_from(wanted).ok().filter(|size| *size > 0).unwrap_or(PAGE).min(LONGEST_PAGE)
}
