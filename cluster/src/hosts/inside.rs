//! `meridian.internal.v1.HostService`: what other hosts of the cluster ask.
//!
//! What arrives is of other hosts and still not believed: sizes are bounded, and what says nothing is refused by its name.

use frontend::Frontend;
use history::History;
use hosts::{
    Hosts,
    wire::{self, Change, Malformed, Want},
};
use matching::{HostId, MAX_NAME_BYTES, Matching, QueueKey, QueueKind};
use metadata::Metadata;
use proto::meridian::internal::v1::{
    OfferRequest, OfferResponse, QueryRequest, QueryResponse, RefreshRequest, RefreshResponse, StartTaskRequest,
    StartTaskResponse, WantRequest, WantResponse, YieldRequest, YieldResponse, host_service_server::HostService,
};
use replicator::{ids::ShardId, shard::io::Dispatch};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

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

impl Inside {
    fn is_mine(&self, dispatch: &Dispatch, partition: u32) -> bool {
        let (namespace, queue) = (dispatch.run.workflow.namespace, normal_queue(dispatch));
        self.hosts.as_ref().is_none_or(|hosts| hosts.is_my_partition(namespace, queue, partition))
    }
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
                // It would be forgotten with its partition, and nobody would know.
                Ok(Change::Offered(dispatch, partition)) if !self.is_mine(&dispatch, partition) => {
                    elsewhere.push(number);
                }
                Ok(Change::Offered(dispatch, partition)) => self.matching.offer(dispatch, partition),
                Ok(Change::Withdrawn(run, scheduled)) => self.matching.withdraw(run, scheduled),
                // The others are not worse for it.
                Err(Malformed(field)) => tracing::warn!(field, "another host offers a task that says nothing"),
            }
        }
        Ok(Response::new(OfferResponse { elsewhere }))
    }

    async fn want(&self, request: Request<WantRequest>) -> Result<Response<WantResponse>, Status> {
        let WantRequest { host_id, wants } = request.into_inner();
        if MOST < wants.len() {
            return Err(Status::invalid_argument(format!("wants has {} entries, more than {MOST}", wants.len())));
        }
        let id = Uuid::parse_str(&host_id).map_err(|_| Status::invalid_argument("host_id is not a UUID"))?;
        // What is wanted by a host that is not known would not be forgotten when it is gone.
        if self.hosts.as_ref().is_none_or(|hosts| hosts.of_life(id).is_none()) {
            return Err(Status::unavailable("host_id is not known yet; ask again"));
        }
        for want in wants {
            match wire::read_want(want) {
                // Nobody could poll it.
                Ok(Want { queue, .. }) if MAX_NAME_BYTES < queue.len() => {}
                Ok(Want { namespace, is_activity, queue, pollers }) => {
                    let kind = if is_activity { QueueKind::Activity } else { QueueKind::Workflow };
                    self.matching.want(QueueKey::new(namespace, kind, queue), HostId(id.as_u128()), pollers as usize);
                }
                Err(Malformed(field)) => {
                    tracing::warn!(field, "another host wants pollers at a queue that says nothing")
                }
            }
        }
        Ok(Response::new(WantResponse {}))
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
