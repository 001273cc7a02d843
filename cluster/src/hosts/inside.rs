//! `meridian.internal.v1.HostService`: what other hosts of the cluster ask.
//!
//! What arrives is of other hosts and still not believed: sizes are bounded, and what says nothing is refused by its name.

use frontend::Frontend;
use history::History;
use hosts::{
    Hosts,
    wire::{self, Change, Malformed},
};
use matching::Matching;
use metadata::Metadata;
use proto::meridian::internal::v1::{
    OfferRequest, OfferResponse, QueryRequest, QueryResponse, RefreshRequest, RefreshResponse, StartTaskRequest,
    StartTaskResponse, YieldRequest, YieldResponse, host_service_server::HostService,
};
use replicator::{ids::ShardId, shard::io::Dispatch};
use tonic::{Request, Response, Status, async_trait};

use super::offers::{MOST, normal_queue};

/// Answers other hosts. Clones share everything.
#[derive(Clone)]
pub(crate) struct Inside {
    pub(crate) frontend: Frontend,
    pub(crate) history: History,
    pub(crate) matching: Matching,
    pub(crate) metadata: Metadata,
    /// Nothing: this host is alone.
    pub(crate) hosts: Option<Hosts>,
}

fn is_mine(hosts: &Hosts, dispatch: &Dispatch) -> bool {
    hosts.is_my_queue(dispatch.run.workflow.namespace, normal_queue(dispatch))
}

#[async_trait]
impl HostService for Inside {
    async fn offer(&self, request: Request<OfferRequest>) -> Result<Response<OfferResponse>, Status> {
        let changes = request.into_inner().changes;
        if MOST < changes.len() {
            return Err(Status::invalid_argument(format!("changes has {} entries, more than {MOST}", changes.len())));
        }
        let mut elsewhere = Vec::new();
        for (number, change) in (0..).zip(changes) {
            match wire::read_change(change) {
                // It would be forgotten with its queue, and nobody would know.
                Ok(Change::Offered(dispatch)) if !self.hosts.as_ref().is_none_or(|hosts| is_mine(hosts, &dispatch)) => {
                    elsewhere.push(number);
                }
                Ok(Change::Offered(dispatch)) => self.matching.offer(dispatch),
                Ok(Change::Withdrawn(run, scheduled)) => self.matching.withdraw(run, scheduled),
                // The others are not worse for it.
                Err(Malformed(field)) => tracing::warn!(field, "another host offers a task that says nothing"),
            }
        }
        Ok(Response::new(OfferResponse { elsewhere }))
    }

    async fn start_task(&self, request: Request<StartTaskRequest>) -> Result<Response<StartTaskResponse>, Status> {
        self.frontend.start_task(request.into_inner()).await.map(Response::new)
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        self.frontend.put_question(request.into_inner()).await.map(Response::new)
    }

    /// Lasts until the shards are let go, for whoever asks waits no longer than he wants to.
    async fn r#yield(&self, request: Request<YieldRequest>) -> Result<Response<YieldResponse>, Status> {
        let shards: Vec<_> = request.into_inner().shard_ids.into_iter().map(ShardId).collect();
        let count = self.history.shard_count();
        if (count as usize) < shards.len() || !shards.iter().all(|shard| (1..=count).contains(&shard.0)) {
            return Err(Status::invalid_argument(format!("shard_ids are not all of 1 to {count}")));
        }
        self.history.released(&shards).await;
        Ok(Response::new(YieldResponse {}))
    }

    async fn refresh(&self, _: Request<RefreshRequest>) -> Result<Response<RefreshResponse>, Status> {
        self.metadata.read_again().await?;
        Ok(Response::new(RefreshResponse {}))
    }
}
