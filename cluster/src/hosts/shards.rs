//! `meridian.internal.v1.ShardService`: what another host, whom an operator asked, asks of the shards that are here.

use history::History;
use proto::meridian::internal::v1::{
    GetHandoverRequest, GetHandoverResponse, GetStandingsRequest, GetStandingsResponse, GetToldRequest,
    GetToldResponse, ListKeptRequest, ListKeptResponse, RetryKeptRequest, RetryKeptResponse, ShardStandings,
    SkipKeptRequest, SkipKeptResponse, TellHandoverRequest, TellHandoverResponse, WatchHandoverRequest,
    WatchHandoverResponse, shard_service_server::ShardService,
};
use replicator::{
    ids::{NamespaceId, ShardId, TaskId},
    shard::{HandoverProgress, io::Failure},
    version::ClusterName,
};
use tonic::{Request, Response, Status, async_trait};

use super::said;
use crate::failover::running::Running;

/// Answers for the shards of this host. Clones share everything.
#[derive(Clone)]
pub(crate) struct ShardsHere {
    pub(crate) history: History,
    /// The handovers that this host drives.
    pub(crate) running: Running,
}

impl ShardsHere {
    fn shard(&self, number: u32) -> Result<ShardId, Status> {
        let count = self.history.shard_count();
        let is_one = (1..=count).contains(&number);
        is_one
            .then_some(ShardId(number))
            .ok_or_else(|| Status::invalid_argument(format!("shard_id is {number}, and not one of 1 to {count}")))
    }
}

#[async_trait]
impl ShardService for ShardsHere {
    async fn get_standings(
        &self,
        request: Request<GetStandingsRequest>,
    ) -> Result<Response<GetStandingsResponse>, Status> {
        let limit = usize::try_from(request.into_inner().limit).unwrap_or(usize::MAX);
        let standings = self.history.standings(limit).await;
        let shards = standings.iter().map(|(shard, peers)| ShardStandings {
            shard_id: shard.0,
            peers: peers.iter().map(said::standing).collect(),
        });
        Ok(Response::new(GetStandingsResponse { shards: shards.collect() }))
    }

    async fn get_told(&self, request: Request<GetToldRequest>) -> Result<Response<GetToldResponse>, Status> {
        let namespace = namespace(&request.into_inner().namespace_id)?;
        let told = self.history.told(namespace).await;
        let those =
            |is_told| told.iter().filter(move |(_, told)| **told == is_told).map(|(shard, _)| shard.0).collect();
        let unheard = self.history.unheard(namespace).await;
        Ok(Response::new(GetToldResponse {
            seeded_shard_ids: those(true),
            unseeded_shard_ids: those(false),
            unheard_clusters: unheard.iter().map(ToString::to_string).collect(),
        }))
    }

    async fn list_kept(&self, _: Request<ListKeptRequest>) -> Result<Response<ListKeptResponse>, Status> {
        let kept = self.history.quarantined().await;
        let kept = kept.iter().flat_map(|(shard, tasks)| tasks.iter().map(|task| said::kept(*shard, task)));
        Ok(Response::new(ListKeptResponse { kept: kept.collect() }))
    }

    async fn retry_kept(&self, request: Request<RetryKeptRequest>) -> Result<Response<RetryKeptResponse>, Status> {
        let request = request.into_inner();
        let (shard, task) = (self.shard(request.shard_id)?, TaskId(request.task_id));
        let is_first = self.history.retry_quarantined(shard, task).await.map_err(refused)?;
        Ok(Response::new(RetryKeptResponse { is_first }))
    }

    async fn skip_kept(&self, request: Request<SkipKeptRequest>) -> Result<Response<SkipKeptResponse>, Status> {
        let request = request.into_inner();
        let tasks = request.task_ids.iter().copied().map(TaskId).collect();
        let skipped = self.history.skip_quarantined(self.shard(request.shard_id)?, tasks).await.map_err(refused)?;
        Ok(Response::new(SkipKeptResponse { task_ids: skipped.iter().map(|task| task.0).collect() }))
    }

    async fn watch_handover(
        &self,
        request: Request<WatchHandoverRequest>,
    ) -> Result<Response<WatchHandoverResponse>, Status> {
        let request = request.into_inner();
        let to = ClusterName::from(request.to_cluster.as_str());
        self.history.watch_handover(namespace(&request.namespace_id)?, &to);
        Ok(Response::new(WatchHandoverResponse {}))
    }

    async fn tell_handover(
        &self,
        request: Request<TellHandoverRequest>,
    ) -> Result<Response<TellHandoverResponse>, Status> {
        let request = request.into_inner();
        let progress = if request.is_drained { HandoverProgress::Drained } else { HandoverProgress::Near };
        self.running.progress(self.shard(request.shard_id)?, namespace(&request.namespace_id)?, progress);
        Ok(Response::new(TellHandoverResponse {}))
    }

    async fn get_handover(
        &self,
        request: Request<GetHandoverRequest>,
    ) -> Result<Response<GetHandoverResponse>, Status> {
        let is_driven = self.running.drives(namespace(&request.into_inner().namespace_id)?);
        Ok(Response::new(GetHandoverResponse { is_driven }))
    }
}

fn namespace(id: &str) -> Result<NamespaceId, Status> {
    NamespaceId::parse(id).map_err(|_| Status::invalid_argument("namespace_id is not a UUID"))
}

fn refused(failure: Failure) -> Status {
    match failure {
        Failure::Moved => Status::unavailable("the shard is on its way to another host"),
        failure => Status::unavailable(format!("{failure:?}")),
    }
}
