//! One cluster of several processes, each of which runs one service, on one database.

use std::{fs, net::TcpStream};

use serde_json::Value;

use crate::{
    certificates::Authority,
    cli,
    pages::Metrics,
    server::{Server, free_port},
    wait, written,
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
        let global = internode(authority) + REFRESH;
        Start { global: &global, ..Start::of("a", name, services) }.on(server, |_| {})
    }

    /// The clusters `a` and `b`, whose processes reach each other, and are reached, by TLS alone. Those of a cluster show each
    /// other the certificate `host` of `authority`, and show everybody else that of their cluster. The clusters do not know
    /// each other yet.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn pair_by_tls(
        name: &str,
        authority: &Authority,
        server: &scratch_postgres::Server,
        services: &[&'static str],
    ) -> [Self; 2] {
        ["host", "a", "b"].iter().for_each(|shown| authority.vouch(shown, shown));
        let folder = authority.folder().display();
        let count = u16::try_from(services.len()).expect("a few");
        let base = free_port(2 * count);
        let bases = [("a", base), ("b", base + PORTS * count)];
        bases.map(|(cluster, base)| {
            let (peer, there) = bases.into_iter().find(|(other, _)| *other != cluster).expect("there are two");
            let own = format!("certFile: {folder}/{cluster}.pem, keyFile: {folder}/{cluster}.key");
            let more = format!(
                "    frontend:
      server: {{{own}, clientCaFiles: [{folder}/ca.pem], requireClientAuth: true}}
    remoteClusters:
      \"127.0.0.1:{there}\":
        server: {{{own}}}
        client: {{rootCaFiles: [{folder}/ca.pem], serverName: {peer}}}
"
            );
            let global = internode(authority) + &more + REFRESH;
            let name = format!("{name}-{cluster}");
            let start = Start { global: &global, base, is_asked: false, ..Start::of(cluster, &name, services) };
            start.on(server, |_| {})
        })
    }

    /// The same of the cluster `a` or `b`. They do not know each other yet.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_as(cluster: &str, name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        Start::of(cluster, name, services).on(server, |_| {})
    }

    /// The same of the cluster `a`, and the database notes what each of them writes.
    ///
    /// # Panics
    ///
    /// As [`Self::start`].
    #[must_use]
    pub fn start_noted(name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        Start::of("a", name, services).on(server, |database| written::note(server, database))
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

    /// The same of one that began just now.
    ///
    /// # Errors
    ///
    /// It does not answer yet.
    pub fn metrics_yet(&self, host: usize) -> Result<Metrics, String> {
        let address = self.address(host, METRICS);
        drop(TcpStream::connect(&address).map_err(|error| format!("{address}: {error}"))?);
        Ok(Metrics::read(&address))
    }

    /// Wait until each history host has what is its part now that all of them are there.
    ///
    /// # Panics
    ///
    /// When one never does.
    pub fn until_settled(&self) {
        wait::until("every shard to be where it stays", || {
            let shards = cli::meridian(&["cluster", "shards", "--address", &self.addresses()[0], "-o", "json"]);
            let shards: Value = serde_json::from_str(&shards.out).map_err(|_| shards.err)?;
            let owners = shards["owners"].as_array().map(Vec::as_slice).unwrap_or_default();
            for host in (0..self.hosts.len()).filter(|host| self.hosts[*host].0 == "history") {
                let address = self.internal_address(host);
                let part =
                    owners.iter().find(|owner| owner["address"] == *address).and_then(|it| it["shards"].as_array());
                let has = self.metrics_yet(host)?.sum("numshards_gauge", &[]);
                if part.map(|part| part.len() as f64) != Some(has) {
                    return Err(format!("{address} has {has} shards; {shards}"));
                }
            }
            Ok(())
        });
    }

    /// Where clients call a host that is a frontend.
    #[must_use]
    pub fn client_address(&self, host: usize) -> String {
        self.address(host, 0)
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

/// What is to be started.
struct Start<'a> {
    cluster: &'a str,
    name: &'a str,
    services: &'a [&'static str],
    /// More lines of the configuration's section `global`.
    global: &'a str,
    /// The first port of the first process.
    base: u16,
    /// Whether frontends answer whoever asks, so that it can be seen when they do.
    is_asked: bool,
}

impl<'a> Start<'a> {
    fn of(cluster: &'a str, name: &'a str, services: &'a [&'static str]) -> Self {
        let base = free_port(u16::try_from(services.len()).expect("a few"));
        Self { cluster, name, services, global: "", base, is_asked: true }
    }

    fn on(self, server: &scratch_postgres::Server, prepare: impl FnOnce(&str)) -> Apart {
        let Self { cluster, name, services, global, base, is_asked } = self;
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
        let hosts = services.iter().zip(0..).map(|(service, number)| {
            let config = config(cluster, service, &sql(number), base, base + PORTS * number) + global;
            let port = (*service == "frontend" && is_asked).then_some(base + PORTS * number);
            (*service, Server::meridian_service(&format!("{name}-{number}-{service}"), &config, service, port))
        });
        Apart { hosts: hosts.collect(), database, base }
    }
}

/// The beginning of the section `tls`, and what goes before it: processes reach each other by TLS alone, each shows the
/// certificate `host`, and they hear gossip only of each other.
fn internode(authority: &Authority) -> String {
    let folder = authority.folder().display();
    fs::write(authority.folder().join("gossip.key"), "a key that only the hosts of the cluster have")
        .expect("write the key of gossip");
    format!(
        "  membership: {{gossipKeyFile: {folder}/gossip.key}}
  tls:
    internode:
      server: {{certFile: {folder}/host.pem, keyFile: {folder}/host.key, clientCaFiles: [{folder}/ca.pem], requireClientAuth: true}}
      client: {{rootCaFiles: [{folder}/ca.pem], serverName: host}}
"
    )
}

/// The end of the section `tls`.
const REFRESH: &str = "    refreshInterval: 200ms\n";

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
