//! `meridian.failover.v1.FailoverService`: what an operator asks one cluster about moving a namespace.

pub(crate) mod keeper;
pub(crate) mod running;

mod plan;
mod readiness;
mod wire;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hosts::{Hosts, Owner};
use proto::meridian::failover::v1::{
    AbortHandoverRequest, AbortHandoverResponse, FailoverPlan, GetReadinessRequest, HandOverRequest, HandoverProgress,
    PlanFailoverRequest, Readiness, failover_service_client::FailoverServiceClient,
    failover_service_server::FailoverService,
};
use replicator::{
    namespace::{
        Namespace, Terms,
        handover::{Stage, change},
    },
    version::ClusterName,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{
    Request, Response, Status, async_trait,
    codegen::BoxStream,
    metadata::{MetadataMap, MetadataValue},
    transport::Channel,
};

use self::running::Driver;

/// Answers operators. Clones share everything.
#[derive(Clone)]
pub(crate) struct Failovers {
    pub(crate) driver: Driver,
    /// The way to the host that drives a handover; nothing when it is this one.
    pub(crate) hosts: Option<Hosts>,
}

impl Failovers {
    /// The namespace, and the way to the cluster where it is active if that is another one.
    fn find(
        &self,
        name: &str,
        headers: &MetadataMap,
    ) -> Result<(Arc<Namespace>, Option<FailoverServiceClient<Channel>>), Status> {
        if name.is_empty() {
            return Err(Status::invalid_argument("namespace is not set"));
        }
        let namespace = self.driver.metadata.namespaces().resolve(name)?;
        let view = self.driver.metadata.clusters().view();
        if namespace.is_active_in(view.current()) {
            return Ok((namespace, None));
        }
        let active = &namespace.active;
        if headers.contains_key(PASSED_ON) {
            return Err(Status::unavailable(format!("namespace {name} is moving to cluster {active}, try again")));
        }
        let peer = view.peers.get(active).ok_or_else(|| {
            Status::failed_precondition(format!("cluster {active}, where {name} is active, is not connected"))
        })?;
        let channel = peer.channel.clone();
        Ok((namespace, Some(FailoverServiceClient::new(channel))))
    }
}

impl Failovers {
    /// The other host of this cluster that drives the handovers of a namespace, if it is another one.
    fn home(&self, namespace: &Namespace) -> Option<FailoverServiceClient<Channel>> {
        match self.hosts.as_ref()?.of_duty(&format!("handover {}", namespace.id)) {
            Owner::There(host) => Some(FailoverServiceClient::new(host.channel())),
            Owner::Here | Owner::Nobody => None,
        }
    }
}

#[async_trait]
impl FailoverService for Failovers {
    async fn hand_over(
        &self,
        request: Request<HandOverRequest>,
    ) -> Result<Response<BoxStream<HandoverProgress>>, Status> {
        let (headers, _, request) = request.into_parts();
        let (namespace, elsewhere) = self.find(&request.namespace, &headers)?;
        if let Some(mut active) = elsewhere {
            let stream = active.hand_over(passed_on(request)).await.map_err(|status| unreached(&namespace, status))?;
            return Ok(Response::new(Box::pin(stream.into_inner())));
        }
        if let Some(mut home) = self.home(&namespace) {
            let stream = home.hand_over(passed_on(request)).await.map_err(|status| at_home(&namespace, status))?;
            return Ok(Response::new(Box::pin(stream.into_inner())));
        }
        let to = ClusterName::from(request.to_cluster.as_str());
        let view = self.driver.metadata.clusters().view();
        let checked = change::check(&namespace, &to, &view.federation);
        checked.map_err(|refusal| Status::failed_precondition(refusal.to_string()))?;
        let without: BTreeSet<ClusterName> = request.without_clusters.iter().map(|name| name.as_str().into()).collect();
        for name in &without {
            if !namespace.is_on(name) || *name == to || *name == namespace.active {
                let text = format!("without_clusters: {name} is no third cluster of namespace {}", namespace.name);
                return Err(Status::invalid_argument(text));
            }
        }
        readiness::check(&self.driver.metadata, &namespace, &to).await?;
        let terms = Terms {
            to,
            version: namespace.failover_version,
            shards: self.driver.shards.here.shard_count(),
            catch_up: bounded("catch_up", request.catch_up.as_ref(), CATCH_UP)?,
            max_pause: bounded("max_pause", request.max_pause.as_ref(), MAX_PAUSE)?,
        };
        let stages = self.driver.begin(&namespace, terms, without).ok_or_else(|| {
            Status::failed_precondition(format!("namespace {} is being handed over already", namespace.name))
        })?;
        let (told, messages) = mpsc::unbounded_channel();
        (self.driver.spawn)(Box::pin(tell(stages, wire::Teller::of(&namespace, &view), told)));
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(messages).map(Ok))))
    }

    async fn abort_handover(
        &self,
        request: Request<AbortHandoverRequest>,
    ) -> Result<Response<AbortHandoverResponse>, Status> {
        let (headers, _, request) = request.into_parts();
        let (namespace, elsewhere) = self.find(&request.namespace, &headers)?;
        if let Some(mut home) = self.home(&namespace) {
            let answer = home.abort_handover(passed_on(request)).await;
            return answer.map_err(|status| at_home(&namespace, status));
        }
        // It may be active elsewhere since a moment, and not confirmed.
        if let Some(in_time) = self.driver.running.abort(namespace.id).await {
            return Ok(Response::new(AbortHandoverResponse { in_time }));
        }
        match elsewhere {
            Some(mut active) => {
                active.abort_handover(passed_on(request)).await.map_err(|status| unreached(&namespace, status))
            }
            None => {
                let text = format!("namespace {} is not being handed over", namespace.name);
                Err(Status::failed_precondition(text))
            }
        }
    }

    async fn plan_failover(&self, request: Request<PlanFailoverRequest>) -> Result<Response<FailoverPlan>, Status> {
        let (headers, _, request) = request.into_parts();
        let (namespace, elsewhere) = self.find(&request.namespace, &headers)?;
        if let Some(mut active) = elsewhere {
            let answer = active.plan_failover(passed_on(request)).await;
            return answer.map_err(|status| unreached(&namespace, status));
        }
        Ok(Response::new(self.plan(&namespace, &ClusterName::from(request.to_cluster.as_str())).await))
    }

    async fn get_readiness(&self, request: Request<GetReadinessRequest>) -> Result<Response<Readiness>, Status> {
        let namespace = self.driver.metadata.namespaces().resolve(&request.into_inner().namespace)?;
        let kept = self.driver.shards.quarantined().await.into_values().flatten();
        let kept = kept.filter(|kept| kept.run.workflow.namespace == namespace.id).count();
        let lacking = self.driver.shards.lacking(namespace.id).await;
        Ok(Response::new(Readiness {
            quarantined_tasks: i64::try_from(kept).unwrap_or(i64::MAX),
            failover_version: namespace.failover_version.0,
            untold_shards: lacking.untold.iter().map(|shard| shard.0).collect(),
            unheard_clusters: lacking.unheard.iter().map(ToString::to_string).collect(),
            silent_shards: lacking.silent.iter().map(|shard| shard.0).collect(),
        }))
    }
}

/// Tell whoever asked how it goes, until it is over or nobody listens.
async fn tell(
    mut stages: tokio::sync::watch::Receiver<Stage>,
    teller: wire::Teller,
    told: mpsc::UnboundedSender<HandoverProgress>,
) {
    loop {
        let stage = stages.borrow_and_update().clone();
        let is_over = matches!(stage, Stage::Over(_));
        if told.send(teller.message(&stage)).is_err() || is_over || stages.changed().await.is_err() {
            return;
        }
    }
}

/// A request that was passed on is answered where it arrives, or refused: clusters may disagree about who is active.
fn passed_on<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(PASSED_ON, MetadataValue::from_static("true"));
    request
}

fn at_home(namespace: &Namespace, status: Status) -> Status {
    if std::error::Error::source(&status).is_none() {
        return status;
    }
    Status::unavailable(format!("the host that hands {} over is not reached, try again", namespace.name))
}

fn unreached(namespace: &Namespace, status: Status) -> Status {
    if std::error::Error::source(&status).is_none() {
        return status;
    }
    Status::unavailable(format!("cluster {}, where {} is active, is not reached", namespace.active, namespace.name))
}

/// A duration that a request sets, within reason.
fn bounded(field: &str, given: Option<&prost_types::Duration>, default: Duration) -> Result<Duration, Status> {
    let Some(given) = given else { return Ok(default) };
    let duration = replicator::time::duration(Some(given));
    if duration.is_zero() || LONGEST < duration {
        return Err(Status::invalid_argument(format!("{field} must be positive and at most {} s", LONGEST.as_secs())));
    }
    Ok(duration)
}

/// Metadata of a request that was passed on.
const PASSED_ON: &str = "meridian-passed-on";
/// How long writes may wait, if nobody says. Clients wait as long for an answer.
const MAX_PAUSE: Duration = Duration::from_secs(10);
/// How long the new side may take to come near, if nobody says.
const CATCH_UP: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
