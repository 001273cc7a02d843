//! One cluster of several processes, each of which runs one service, on one database.

use std::fs;

use crate::{
    certificates::Authority,
    cli,
    pages::Metrics,
    server::{Server, free_port},
    written,
};

/// The processes of a cluster.
#[derive(Debug)]
pub struct Apart {
    /// Each with the service that it runs.
    pub hosts: Vec<(&'static str, Server)>,
    database: String,
    /// The first port of the first of them.
    base: u16,
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
            "  membership: {{gossipKeyFile: {folder}/gossip.key}}
  tls:
    internode:
      server: {{certFile: {folder}/host.pem, keyFile: {folder}/host.key, clientCaFiles: [{folder}/ca.pem], requireClientAuth: true}}
      client: {{rootCaFiles: [{folder}/ca.pem], serverName: host}}
    refreshInterval: 200ms
"
        );
        Self::start_in("a", name, server, services, &global, |_| {})
    }

    /// The same of the cluster `a` or `b`. They do not know each other yet.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_as(cluster: &str, name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        Self::start_in(cluster, name, server, services, "", |_| {})
    }

    /// The same of the cluster `a`, and the database notes what each of them writes.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_noted(name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        Self::start_in("a", name, server, services, "", |database| written::note(server, database))
    }

    fn start_in(
        cluster: &str,
        name: &str,
        server: &scratch_postgres::Server,
        services: &[&'static str],
        global: &str,
        prepare: impl FnOnce(&str),
    ) -> Self {
        let database = server.create();
        let _ = cli::meridian(&["schema", "setup", "--store", &server.url(&database)]).ok();
        prepare(&database);
        let sql = |host: u16| {
            let user = user(&database, host);
            server.query(&database, &format!("CREATE ROLE {user} SUPERUSER LOGIN"));
            let socket = server.folder().display();
            format!(
                "{{pluginName: postgres12, databaseName: {database}, connectProtocol: unix, connectAddr: '{socket}', user: {user}, maxConns: 8}}"
            )
        };
        let base = free_port(u16::try_from(services.len()).expect("a few"));
        let hosts = services.iter().zip(0..).map(|(service, number)| {
            let config = config(cluster, service, &sql(number), base, base + PORTS * number) + global;
            let port = (*service == "frontend").then_some(base + PORTS * number);
            (*service, Server::meridian_service(&format!("{name}-{number}-{service}"), &config, service, port))
        });
        Self { hosts: hosts.collect(), database, base }
    }

    /// The database that all of them share.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// What the database calls a host.
    ///
    /// # Panics
    ///
    /// When there are very many.
    #[must_use]
    pub fn user(&self, host: usize) -> String {
        user(&self.database, u16::try_from(host).expect("a few"))
    }

    /// Where the others call a host.
    #[must_use]
    pub fn internal_address(&self, host: usize) -> String {
        self.address(host, INTERNAL)
    }

    /// What a host has counted.
    #[must_use]
    pub fn metrics(&self, host: usize) -> Metrics {
        Metrics::read(&self.address(host, METRICS))
    }

    fn address(&self, host: usize, port: u16) -> String {
        format!("127.0.0.1:{}", usize::from(self.base + port) + host * usize::from(PORTS))
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
    let (internal, gossip, metrics) = (port + INTERNAL, port + 20, port + METRICS);
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
global:
  metrics: {{prometheus: {{listenAddress: \"127.0.0.1:{metrics}\"}}}}
"
    )
}

fn user(database: &str, host: u16) -> String {
    format!("{database}_host_{host}")
}

/// From the first port of a process to the one at which the others call it.
const INTERNAL: u16 = 10;

/// From the first port of a process to that of what it counts.
const METRICS: u16 = 30;

/// From the ports of one process to those of the next.
const PORTS: u16 = 100;
