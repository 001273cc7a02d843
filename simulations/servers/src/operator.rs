//! An operator: he joins the clusters, makes the namespace, and moves it, by the calls that `meridian failover` makes.

use std::time::Duration;

use proto::{
    meridian::failover::v1::{
        HandOverRequest, HandoverResult, failover_service_client::FailoverServiceClient, handover_progress::Stage,
    },
    temporal::api::{
        operatorservice::v1::{AddOrUpdateRemoteClusterRequest, operator_service_client::OperatorServiceClient},
        replication::v1::{ClusterReplicationConfig, NamespaceReplicationConfig},
        workflowservice::v1::{DescribeNamespaceRequest, RegisterNamespaceRequest, UpdateNamespaceRequest},
    },
};
use replicator::{ids::NamespaceId, time::proto_duration};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use crate::{
    client::NAMESPACE,
    people::{Patience, People, is_retried},
    plan::{CLUSTERS, Move},
};

/// The name of a cluster.
pub(crate) fn name(cluster: usize) -> &'static str {
    ["a", "b"][cluster]
}

/// Join the clusters and make the namespace, active in the first. Answers its id when every cluster knows it.
pub(crate) async fn prepare(people: &People, addresses: &[String]) -> NamespaceId {
    for here in 0..CLUSTERS {
        let there = addresses.iter().enumerate().filter(|(there, _)| *there != here);
        for (_, address) in there {
            let request = AddOrUpdateRemoteClusterRequest {
                frontend_address: address.clone(),
                enable_remote_cluster_connection: true,
                enable_replication: true,
                ..Default::default()
            };
            let client = OperatorServiceClient::new(people.channel(here, here));
            let join = || {
                let (mut client, request) = (client.clone(), request.clone());
                async move { client.add_or_update_remote_cluster(request).await }
            };
            again("AddOrUpdateRemoteCluster", people, join).await;
        }
    }
    let cluster = |number| ClusterReplicationConfig { cluster_name: name(number).into(), ..Default::default() };
    let request = RegisterNamespaceRequest {
        namespace: NAMESPACE.into(),
        workflow_execution_retention_period: Some(proto_duration(RETENTION)),
        clusters: (0..CLUSTERS).map(cluster).collect(),
        active_cluster_name: name(0).into(),
        is_global_namespace: true,
        ..Default::default()
    };
    let register = || {
        let (mut client, request) = (people.client(0, 0), request.clone());
        async move { client.register_namespace(request).await }
    };
    again("RegisterNamespace", people, register).await;
    let mut id = None;
    for cluster in 0..CLUSTERS {
        while id.is_none() || cluster > 0 {
            let request = DescribeNamespaceRequest { namespace: NAMESPACE.into(), ..Default::default() };
            let mut client = people.client(cluster, cluster);
            let described = client.describe_namespace(request);
            let known = people.once("DescribeNamespace", Patience::UntilHeard, described).await;
            if let Some(info) = known.and_then(|known| known.namespace_info) {
                id = NamespaceId::parse(&info.id).ok();
                break;
            }
            sleep(PAUSE).await;
        }
    }
    id.unwrap_or(NamespaceId::from_bytes([0; 16]))
}

/// Call until it is answered.
async fn again<T, A>(what: &'static str, people: &People, mut call: impl FnMut() -> A) -> T
where
    A: Future<Output = Result<tonic::Response<T>, Status>>,
{
    loop {
        if let Some(answer) = people.once(what, Patience::UntilHeard, call()).await {
            return answer;
        }
        sleep(PAUSE).await;
    }
}

/// Move the namespace. What operators are told they accept: they look, and try again another time.
pub(crate) async fn fail_over(people: People, failover: Move) {
    let Move { to, is_forced, asks, .. } = failover;
    if is_forced { force(&people, to).await } else { hand_over(&people, asks, to).await }
}

async fn force(people: &People, to: usize) {
    people.ledger.note(format!("the operator forces {NAMESPACE} to {}", name(to)));
    let config = NamespaceReplicationConfig { active_cluster_name: name(to).into(), ..Default::default() };
    let request =
        UpdateNamespaceRequest { namespace: NAMESPACE.into(), replication_config: Some(config), ..Default::default() };
    let mut client = people.client(to, to);
    match timeout(PATIENCE, client.update_namespace(request)).await {
        Ok(Ok(answer)) => {
            people.ledger.count("operator: forced");
            people.ledger.note(format!("{} is active under {}", name(to), answer.into_inner().failover_version));
        }
        Ok(Err(status)) => told(people, "UpdateNamespace", &status),
        Err(_) => people.ledger.count("operator: no answer"),
    }
}

async fn hand_over(people: &People, asks: usize, to: usize) {
    people.ledger.note(format!("the operator asks {} to hand {NAMESPACE} over to {}", name(asks), name(to)));
    let request = HandOverRequest {
        namespace: NAMESPACE.into(),
        to_cluster: name(to).into(),
        max_pause: Some(proto_duration(Duration::from_secs(3))),
        catch_up: Some(proto_duration(Duration::from_secs(10))),
        without_clusters: Vec::new(),
    };
    let mut client = FailoverServiceClient::new(people.channel(asks, asks));
    let mut stages = match timeout(PATIENCE, client.hand_over(request)).await {
        Ok(Ok(stages)) => stages.into_inner(),
        Ok(Err(status)) => return told(people, "HandOver", &status),
        Err(_) => return people.ledger.count("operator: no answer"),
    };
    loop {
        let stage = match timeout(PATIENCE, stages.message()).await {
            Ok(Ok(Some(progress))) => progress.stage,
            Ok(Ok(None) | Err(_)) => return people.ledger.count("operator: handover broke off"),
            Err(_) => return people.ledger.count("operator: no answer"),
        };
        let Some(Stage::Ended(ended)) = stage else { continue };
        people.ledger.note(format!("the handover ended: {ended:?}"));
        return people.ledger.count(match ended.result() {
            HandoverResult::Moved => "operator: handed over",
            HandoverResult::Kept => "operator: handover kept",
            HandoverResult::TakenBack => "operator: handover taken back",
            HandoverResult::Overtaken => "operator: handover overtaken",
            HandoverResult::Unspecified => "operator: handover without a result",
        });
    }
}

/// A failover is refused when the namespace is where it is to be, or moving, or the other side cannot be reached.
fn told(people: &People, what: &'static str, status: &Status) {
    people.ledger.count("operator: refused");
    people.ledger.note(format!("{what} is refused: {}", status.message()));
    if status.code() != Code::FailedPrecondition && !is_retried(status.code()) {
        people.refused(what, status);
    }
}

const PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(40);
const RETENTION: Duration = Duration::from_secs(3 * 24 * 3600);
