//! Which clusters `meridian dev` runs, and where. A plan starts nothing.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use config::{Cluster, Config, Format, Frontend, Level, Location, Log, Persistence, Redirection, ReplicationBacklog};

/// The clusters of a development process, in the order of their names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Never empty; the namespace `default` is active in the first.
    pub clusters: Vec<Config>,
}

/// Why there is no such plan.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Ask for a number of clusters that can be named.
    #[error("1 to {MAX_CLUSTERS} clusters can be run, and not {0}")]
    Clusters(usize),
    /// Ask for a lower port.
    #[error("{clusters} clusters from port {port} on need ports up to {last}, and there are none above 65535")]
    Ports {
        /// The first port.
        port: u16,
        /// Clusters that were asked for.
        clusters: usize,
        /// Where they would end.
        last: usize,
    },
}

impl Plan {
    /// `clusters` clusters named `a`, `b`, ..., with ports from `port` on; in memory, or each in a file of its own.
    ///
    /// # Errors
    ///
    /// [`PlanError`].
    pub fn new(clusters: usize, port: u16, folder: Option<&Path>, level: Level) -> Result<Self, PlanError> {
        if !(1..=MAX_CLUSTERS).contains(&clusters) {
            return Err(PlanError::Clusters(clusters));
        }
        let last = usize::from(port) + (clusters - 1) * usize::from(STEP) + usize::from(METRICS);
        if usize::from(u16::MAX) < last {
            return Err(PlanError::Ports { port, clusters, last });
        }
        let clusters = (0..).take(clusters).zip('a'..).map(|(index, letter)| {
            let at = |offset| SocketAddr::from((Ipv4Addr::LOCALHOST, port + STEP * index + offset));
            let name = letter.to_string();
            Config {
                log: Log { level, format: Format::Text, stdout: false },
                persistence: Persistence {
                    location: folder.map_or(Location::Memory, |folder| Location::File(file(folder, &name))),
                    num_history_shards: SHARDS,
                    backlog: ReplicationBacklog::default(),
                },
                frontend: Frontend { grpc: at(0), http: Some(at(HEALTH)) },
                host: None,
                metrics: Some(at(METRICS)),
                gossip_keys: None,
                dynamic: None,
                tls: config::Tls::default(),
                cluster: Cluster {
                    name,
                    // A global namespace can be registered at the first and moved from anywhere.
                    master: "a".to_owned(),
                    failover_version_increment: INCREMENT,
                    initial_failover_version: i64::from(index) + 1,
                    enable_global_namespace: true,
                    rpc_address: at(0).to_string(),
                    http_address: Some(at(HEALTH).to_string()),
                },
                redirection: Redirection::AllApis,
            }
        });
        Ok(Self { clusters: clusters.collect() })
    }
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.db"))
}

/// As many as one letter and versions below the increment leave room for.
pub const MAX_CLUSTERS: usize = 9;

/// The namespace that is there from the start.
pub const NAMESPACE: &str = "default";

/// Between the ports of two clusters.
const STEP: u16 = 100;

/// HTTP, after gRPC.
const HEALTH: u16 = 10;

/// Metrics, after gRPC.
const METRICS: u16 = 20;

/// Distance of the failover versions of one cluster.
const INCREMENT: i64 = 10;

/// Enough for two cores to work side by side; each costs memory and a stream to every peer.
const SHARDS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_numbered_and_placed_one_after_the_other() {
        let plan = Plan::new(3, 7233, Some(Path::new("data")), Level::Info).unwrap();
        let seen: Vec<_> = plan
            .clusters
            .iter()
            .map(|config| {
                let Config { cluster, frontend, metrics, persistence, .. } = config;
                let ports = [frontend.grpc, frontend.http.unwrap(), metrics.unwrap()].map(|address| address.port());
                assert_eq!((cluster.rpc_address.as_str(), cluster.master.as_str()), (&*frontend.grpc.to_string(), "a"));
                (cluster.name.as_str(), cluster.initial_failover_version, ports, persistence.location.clone())
            })
            .collect();
        let file = |name: &str| Location::File(format!("data/{name}").into());
        let expected = [
            ("a", 1, [7233, 7243, 7253], file("a.db")),
            ("b", 2, [7333, 7343, 7353], file("b.db")),
            ("c", 3, [7433, 7443, 7453], file("c.db")),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn without_a_folder_everything_is_in_memory() {
        let plan = Plan::new(1, 1, None, Level::Warn).unwrap();
        assert_eq!(plan.clusters[0].persistence.location, Location::Memory);
    }

    #[test]
    fn what_cannot_be() {
        let refusal = |clusters, port| Plan::new(clusters, port, None, Level::Info).unwrap_err().to_string();
        assert_eq!(refusal(0, 7233), "1 to 9 clusters can be run, and not 0");
        assert_eq!(refusal(10, 7233), "1 to 9 clusters can be run, and not 10");
        let expected = "9 clusters from port 65000 on need ports up to 65820, and there are none above 65535";
        assert_eq!(refusal(9, 65000), expected);
        assert!(Plan::new(9, 65535 - 820, None, Level::Info).is_ok());
    }
}
