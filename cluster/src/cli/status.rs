//! `meridian status`: clusters, namespaces, and how far peers are behind.

use std::{collections::BTreeMap, fmt, time::Duration};

use proto::{
    meridian::status::v1::{GetReplicationStatusRequest, PeerStatus, status_service_client::StatusServiceClient},
    temporal::api::{
        enums::v1::NamespaceState,
        operatorservice::v1::{ClusterMetadata, ListClustersRequest, operator_service_client::OperatorServiceClient},
        workflowservice::v1::{
            DescribeNamespaceResponse, GetClusterInfoRequest, ListNamespacesRequest,
            workflow_service_client::WorkflowServiceClient,
        },
    },
};
use serde::Serialize;
use tonic::Code;

use super::{Answer, Failed, Output, connection::Address, failover::seconds, table::Table};

/// Show clusters, namespaces and how far peers are behind, as the cluster that is asked knows them.
#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    address: Address,
}

/// What a cluster knows.
#[derive(Debug, Serialize)]
pub(crate) struct Known {
    /// The cluster that was asked.
    cluster: String,
    clusters: Vec<Cluster>,
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Serialize)]
struct Cluster {
    name: String,
    address: String,
    initial_failover_version: i64,
    /// Nothing for the cluster itself, or when the server does not say.
    lag: Option<Lag>,
    link: Link,
}

/// How two clusters are connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Link {
    /// It is the cluster that was asked.
    Itself,
    /// It takes what we have.
    Connected,
    /// It takes what we have, and is being told all that it missed.
    Seeding,
    /// It should take what we have and does not.
    Unreachable,
    /// It does not, and some of what it has not had is no longer kept: it will be told everything anew.
    Gap,
    /// An operator switched the connection off.
    Disabled,
    /// The server does not say.
    Unknown,
}

/// What a peer does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Lag {
    events: i64,
    bytes: i64,
    seconds: f64,
    /// There is more than was counted.
    at_least: bool,
}

#[derive(Debug, Serialize)]
struct Namespace {
    name: String,
    global: bool,
    state: &'static str,
    active: String,
    clusters: Vec<String>,
    failover_version: i64,
}

impl Status {
    /// Show it.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let channel = self.address.connect().await?;
        let mut workflows = WorkflowServiceClient::new(channel.clone());
        let failed = |status| self.address.failed("show the status", &status);
        let info = workflows.get_cluster_info(GetClusterInfoRequest {}).await.map_err(failed)?.into_inner();
        let peers =
            StatusServiceClient::new(channel.clone()).get_replication_status(GetReplicationStatusRequest {}).await;
        let peers = match peers {
            Ok(answer) => Some(answer.into_inner().peers),
            // Another server that speaks the public API.
            Err(status) if status.code() == Code::Unimplemented => None,
            Err(status) => return Err(failed(status)),
        };
        let mut known = Known { cluster: info.cluster_name, clusters: Vec::new(), namespaces: Vec::new() };
        let mut operator = OperatorServiceClient::new(channel);
        let mut token = Default::default();
        loop {
            let request = ListClustersRequest { page_size: PAGE, next_page_token: token };
            let page = operator.list_clusters(request).await.map_err(failed)?.into_inner();
            known.add_clusters(page.clusters, peers.as_deref());
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        loop {
            let request = ListNamespacesRequest { page_size: PAGE, next_page_token: token, ..Default::default() };
            let page = workflows.list_namespaces(request).await.map_err(failed)?.into_inner();
            known.add_namespaces(page.namespaces);
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        known.write(output);
        Ok(())
    }
}

impl Known {
    fn add_clusters(&mut self, clusters: Vec<ClusterMetadata>, peers: Option<&[PeerStatus]>) {
        let peers: Option<BTreeMap<_, _>> =
            peers.map(|peers| peers.iter().map(|peer| (peer.cluster_name.as_str(), peer)).collect());
        for cluster in clusters {
            let peer = peers.as_ref().map(|peers| peers.get(cluster.cluster_name.as_str()));
            let link = match peer {
                _ if cluster.cluster_name == self.cluster => Link::Itself,
                _ if !cluster.is_connection_enabled => Link::Disabled,
                None => Link::Unknown,
                Some(Some(peer)) if peer.seeding_namespaces > 0 => Link::Seeding,
                Some(Some(peer)) if peer.has_gap => Link::Gap,
                Some(Some(peer)) if peer.connected => Link::Connected,
                Some(_) => Link::Unreachable,
            };
            let lag = peer.flatten().map(|peer| Lag {
                events: peer.lag_events,
                bytes: peer.lag_bytes,
                at_least: peer.lag_tasks.is_none(),
                seconds: replicator::time::duration(peer.lag.as_ref()).as_secs_f64(),
            });
            self.clusters.push(Cluster {
                name: cluster.cluster_name,
                address: cluster.address,
                initial_failover_version: cluster.initial_failover_version,
                lag,
                link,
            });
        }
        self.clusters.sort_by_key(|cluster| cluster.initial_failover_version);
    }

    fn add_namespaces(&mut self, namespaces: Vec<DescribeNamespaceResponse>) {
        for namespace in namespaces {
            let info = namespace.namespace_info.unwrap_or_default();
            let replication = namespace.replication_config.unwrap_or_default();
            let state = match info.state() {
                NamespaceState::Registered => "registered",
                NamespaceState::Deprecated => "deprecated",
                NamespaceState::Deleted => "deleted",
                NamespaceState::Unspecified => "unknown",
            };
            self.namespaces.push(Namespace {
                name: info.name,
                global: namespace.is_global_namespace,
                state,
                active: replication.active_cluster_name,
                clusters: replication.clusters.into_iter().map(|cluster| cluster.cluster_name).collect(),
                failover_version: namespace.failover_version,
            });
        }
        self.namespaces.sort_by(|left, right| left.name.cmp(&right.name));
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["CLUSTER", "VERSION", "ADDRESS", "LINK", "LAG (EVENTS)", "LAG (BYTES)", "LAG (TIME)"];
        let mut table = Table::new(&header);
        for cluster in &self.clusters {
            let unknown = || "-".to_owned();
            table.row([
                cluster.name.clone(),
                cluster.initial_failover_version.to_string(),
                cluster.address.clone(),
                cluster.link.to_string(),
                cluster.lag.map_or_else(unknown, |lag| lag.counted(lag.events)),
                cluster.lag.map_or_else(unknown, |lag| lag.counted(lag.bytes)),
                cluster
                    .lag
                    .map_or_else(unknown, |lag| seconds(Duration::try_from_secs_f64(lag.seconds).unwrap_or_default())),
            ]);
        }
        writeln!(f, "As cluster {} knows them:\n\n{table}", self.cluster)?;
        let mut table = Table::new(&["NAMESPACE", "ACTIVE", "CLUSTERS", "VERSION", "STATE"]);
        for namespace in &self.namespaces {
            let clusters = if namespace.global { namespace.clusters.join(" ") } else { "local".to_owned() };
            table.row([
                namespace.name.clone(),
                namespace.active.clone(),
                clusters,
                namespace.failover_version.to_string(),
                namespace.state.to_owned(),
            ]);
        }
        table.fmt(f)
    }
}

impl Lag {
    /// A count as people read it.
    fn counted(self, count: i64) -> String {
        let more = if self.at_least { "+" } else { "" };
        format!("{count}{more}")
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Itself => "itself",
            Self::Connected => "connected",
            Self::Seeding => "being re-seeded",
            Self::Unreachable => "unreachable",
            Self::Gap => "to be re-seeded",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        })
    }
}

const PAGE: i32 = 100;

#[cfg(test)]
mod tests {
    use proto::temporal::api::{
        namespace::v1::NamespaceInfo,
        replication::v1::{ClusterReplicationConfig, NamespaceReplicationConfig},
    };

    use super::*;

    fn cluster(name: &str, version: i64, enabled: bool) -> ClusterMetadata {
        ClusterMetadata {
            cluster_name: name.into(),
            address: format!("127.0.0.1:7{}33", version + 1),
            initial_failover_version: version,
            is_connection_enabled: enabled,
            ..Default::default()
        }
    }

    fn namespace(name: &str, clusters: &[&str], version: i64) -> DescribeNamespaceResponse {
        let clusters: Vec<_> = clusters
            .iter()
            .map(|name| ClusterReplicationConfig { cluster_name: (*name).into(), ..Default::default() })
            .collect();
        DescribeNamespaceResponse {
            namespace_info: Some(NamespaceInfo { name: name.into(), state: 1, ..Default::default() }),
            is_global_namespace: 1 < clusters.len(),
            replication_config: Some(NamespaceReplicationConfig {
                active_cluster_name: clusters[0].cluster_name.clone(),
                clusters,
                ..Default::default()
            }),
            failover_version: version,
            ..Default::default()
        }
    }

    fn known(peers: Option<&[PeerStatus]>) -> Known {
        let mut known = Known { cluster: "a".into(), clusters: Vec::new(), namespaces: Vec::new() };
        let clusters =
            vec![cluster("c", 3, false), cluster("b", 2, true), cluster("a", 1, true), cluster("d", 4, true)];
        known.add_clusters(clusters, peers);
        known.add_namespaces(vec![namespace("orders", &["b", "a"], 12), namespace("mine", &["a"], 0)]);
        known
    }

    fn peers() -> Vec<PeerStatus> {
        let lag = Some(prost_types::Duration { seconds: 1, nanos: 250_000_000 });
        let (lag_tasks, lag_events, lag_bytes) = (Some(3), 7, 900);
        let name = "b".into();
        let status = PeerStatus {
            cluster_name: name,
            connected: true,
            lag_tasks,
            lag,
            lag_events,
            lag_bytes,
            ..Default::default()
        };
        vec![status]
    }

    #[test]
    fn text() {
        let expected = "\
As cluster a knows them:

CLUSTER  VERSION  ADDRESS         LINK         LAG (EVENTS)  LAG (BYTES)  LAG (TIME)
a        1        127.0.0.1:7233  itself       -             -            -
b        2        127.0.0.1:7333  connected    7             900          1.2 s
c        3        127.0.0.1:7433  disabled     -             -            -
d        4        127.0.0.1:7533  unreachable  -             -            -

NAMESPACE  ACTIVE  CLUSTERS  VERSION  STATE
mine       a       local     0        registered
orders     b       b a       12       registered
";
        assert_eq!(known(Some(&peers())).render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&known(Some(&peers())).render(Output::Json)).unwrap();
        assert_eq!(
            value["clusters"][1]["lag"],
            serde_json::json!({"events": 7, "bytes": 900, "seconds": 1.25, "at_least": false})
        );
        assert_eq!(value["clusters"][3]["link"], "unreachable");
        assert_eq!(value["namespaces"][1]["failover_version"], 12);
    }

    #[test]
    fn a_peer_that_missed_too_much_is_shown_so() {
        let link = |peer: PeerStatus| known(Some(&[peer])).clusters[1].link.to_string();
        let peer = PeerStatus { cluster_name: "b".into(), has_gap: true, ..Default::default() };
        assert_eq!(link(peer.clone()), "to be re-seeded");
        assert_eq!(link(PeerStatus { connected: true, seeding_namespaces: 2, ..peer }), "being re-seeded");
    }

    #[test]
    fn a_server_that_does_not_tell_lags_is_shown_nonetheless() {
        let known = known(None);
        assert_eq!(known.clusters[1].link, Link::Unknown);
        assert_eq!(known.clusters[1].lag, None);
    }
}
