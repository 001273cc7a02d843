//! One cluster of several processes, each of which runs one service, on one database.

use std::fs;

use crate::{
    certificates::Authority,
    cli,
    server::{Server, free_port},
};

/// The processes of a cluster.
#[derive(Debug)]
pub struct Apart {
    /// Each with the service that it runs.
    pub hosts: Vec<(&'static str, Server)>,
}

impl Apart {
    /// Start a process for each of these services, on a fresh database of `server`.
    ///
    /// # Panics
    ///
    /// When the database cannot be prepared, or a process does not start.
    #[must_use]
    pub fn start(name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        Self::start_as("a", name, server, services)
    }

    /// The same, and they reach each other by TLS alone, and hear gossip only of each other. Each shows the certificate
    /// `host` of `authority`.
    ///
    /// # Panics
    ///
    /// As [`Self::start`], and when the key of gossip cannot be written.
    #[must_use]
    pub fn start_by_tls(
        name: &str,
        authority: &Authority,
        server: &scratch_postgres::Server,
        services: &[&'static str],
    ) -> Self {
        let folder = authority.folder().display();
        fs::write(authority.folder().join("gossip.key"), "a key that only the hosts of the cluster have")
            .expect("write the key of gossip");
        let global = format!(
            "global:
  membership: {{gossipKeyFile: {folder}/gossip.key}}
  tls:
    internode:
      server: {{certFile: {folder}/host.pem, keyFile: {folder}/host.key, clientCaFiles: [{folder}/ca.pem], requireClientAuth: true}}
      client: {{rootCaFiles: [{folder}/ca.pem], serverName: host}}
    refreshInterval: 200ms
"
        );
        Self::start_in("a", name, server, services, &global)
    }

    /// The same of the cluster `a` or `b`. They do not know each other yet.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_as(cluster: &str, name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        Self::start_in(cluster, name, server, services, "")
    }

    fn start_in(
        cluster: &str,
        name: &str,
        server: &scratch_postgres::Server,
        services: &[&'static str],
        global: &str,
    ) -> Self {
        let database = server.create();
        let _ = cli::meridian(&["schema", "setup", "--store", &server.url(&database)]).ok();
        let sql = format!(
            "{{pluginName: postgres12, databaseName: {database}, connectProtocol: unix, connectAddr: '{}', user: meridian, maxConns: 8}}",
            server.folder().display()
        );
        let base = free_port(u16::try_from(services.len()).expect("a few"));
        let hosts = services.iter().zip(0..).map(|(service, number)| {
            let config = config(cluster, service, &sql, base, base + PORTS * number) + global;
            let port = (*service == "frontend").then_some(base + PORTS * number);
            (*service, Server::meridian_service(&format!("{name}-{number}-{service}"), &config, service, port))
        });
        Self { hosts: hosts.collect() }
    }

    /// Where clients ask.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.hosts.iter().flat_map(|(_, server)| server.addresses().to_vec()).collect()
    }
}

/// The file of a process at three ports from `port` on, of a cluster whose first is at `first`.
fn config(cluster: &str, service: &str, sql: &str, first: u16, port: u16) -> String {
    let version = if cluster == "a" { 1 } else { 2 };
    let (internal, gossip) = (port + 10, port + 20);
    let own = match service {
        "frontend" => format!("  internal-frontend: {{rpc: {{grpcPort: {internal}, bindOnLocalHost: true}}}}"),
        other => {
            format!("  {other}: {{rpc: {{grpcPort: {internal}, membershipPort: {gossip}, bindOnLocalHost: true}}}}")
        }
    };
    format!(
        "log: {{stdout: true, level: info}}
persistence:
  defaultStore: default
  visibilityStore: default
  numHistoryShards: 16
  datastores: {{default: {{sql: {sql}}}}}
services:
  frontend: {{rpc: {{grpcPort: {port}, membershipPort: {gossip}, bindOnLocalHost: true}}}}
{own}
clusterMetadata:
  enableGlobalNamespace: true
  failoverVersionIncrement: 10
  masterClusterName: {cluster}
  currentClusterName: {cluster}
  clusterInformation:
    {cluster}: {{enabled: true, initialFailoverVersion: {version}, rpcName: frontend, rpcAddress: \"127.0.0.1:{first}\"}}
dcRedirectionPolicy: {{policy: all-apis-forwarding}}
"
    )
}

/// From the ports of one process to those of the next.
const PORTS: u16 = 100;
