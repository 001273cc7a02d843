//! A process that is one of several: which services it runs, where it is found, and how it finds the others.
//!
//! A process listens for its peers at one port, whatever services it runs: that of the first of its services that has one of
//! its own. The public port of a frontend is none, so a process that runs nothing else has `internal-frontend` for it.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use crate::{
    frontend::{INTERNAL_FRONTEND, TUNING, read_ip},
    report::Report,
    section::Section,
    service::{Service, Services},
};

/// A process that is one of several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Host {
    /// What it runs; never nothing.
    pub services: Services,
    /// Where it listens for the other processes of its cluster.
    pub internal: SocketAddr,
    /// Where it listens for gossip.
    pub gossip: SocketAddr,
    /// Where it says that it is alive when it runs no frontend, if anywhere.
    pub http: Option<SocketAddr>,
    /// At which IP address the others reach it.
    pub broadcast: IpAddr,
    /// How long it waits, when it starts, for those that seem to be there; `None`: as long as suits most.
    pub max_join: Option<Duration>,
    /// About how long a process that died is missed; `None`: as long as suits most.
    pub failure_detection: Option<Duration>,
}

/// `global.membership`: how processes find each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Membership {
    broadcast: Option<IpAddr>,
    max_join: Option<Duration>,
    failure_detection: Option<Duration>,
    /// The file with the keys of gossip.
    pub(crate) gossip_keys: Option<PathBuf>,
}

impl Membership {
    pub(crate) fn read(mut membership: Section<'_>, services: Option<Services>, report: &mut Report) -> Option<Self> {
        let max_join = membership.duration("maxJoinDuration", report);
        let failure_detection = membership.duration("failureDetection", report);
        let broadcast = membership.text("broadcastAddress", report);
        let keys = membership.text("gossipKeyFile", report);
        if services.is_none() {
            for key in ["maxJoinDuration", "broadcastAddress", "failureDetection", "gossipKeyFile"] {
                membership.inert(key, "one process is the whole cluster, there is nothing to join", report);
            }
            membership.finish(report);
            return Some(Self::default());
        }
        let failure_detection = failure_detection.map(|time| Some(time).filter(|time| !time.is_zero()));
        if let Some(Some(time)) = failure_detection
            && !DETECTIONS.contains(&time)
        {
            let problem = "is not from 200ms to 1m: a process that is missed sooner would be taken for dead whenever it is \
                           slow";
            report.problem(membership.path("failureDetection"), problem);
        }
        let broadcast = broadcast.and_then(|text| match text.as_str() {
            "" => Some(None),
            text => match text.parse::<IpAddr>() {
                Ok(ip) if !ip.is_unspecified() => Some(Some(ip)),
                _ => {
                    let problem =
                        format!("is {text:?}; the IP address at which the others reach this host is required");
                    report.problem(membership.path("broadcastAddress"), problem);
                    None
                }
            },
        });
        membership.finish(report);
        Some(Self {
            broadcast: broadcast?,
            max_join: max_join.map(|time| Some(time).filter(|time| !time.is_zero()))?,
            failure_detection: failure_detection?,
            gossip_keys: Some(keys?).filter(|name| !name.is_empty()).map(PathBuf::from),
        })
    }
}

/// Where a process listens for its peers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ports {
    /// Whose port it is.
    pub(crate) service: &'static str,
    pub(crate) internal: SocketAddr,
    pub(crate) gossip: SocketAddr,
    pub(crate) http: Option<SocketAddr>,
}

impl Ports {
    /// The service at whose ports a process with `services` listens for its peers.
    pub(crate) fn service_of(services: Services) -> &'static str {
        let own = [Service::History, Service::Matching, Service::Worker];
        own.into_iter().find(|service| services.contains(*service)).map_or(INTERNAL_FRONTEND, Service::as_str)
    }

    /// Read the `rpc` of that service. `frontend_gossip` is the port of the frontend's gossip, which counts when there is
    /// nothing but a frontend.
    pub(crate) fn read(
        mut rpc: Section<'_>,
        services: Services,
        frontend_gossip: Option<u16>,
        report: &mut Report,
    ) -> Option<Self> {
        let service = Self::service_of(services);
        let ip = read_ip(&mut rpc, report);
        let grpc = rpc.required_port("grpcPort", report);
        let http = rpc.port("httpPort", report);
        let gossip = if service == INTERNAL_FRONTEND {
            rpc.port("membershipPort", report);
            rpc.inert("membershipPort", "gossip is heard at services.frontend.rpc.membershipPort", report);
            frontend_gossip
        } else {
            rpc.required_port("membershipPort", report)
        };
        if services.contains(Service::Frontend) {
            rpc.inert("httpPort", "HTTP is at services.frontend.rpc.httpPort", report);
        }
        for key in TUNING {
            rpc.inert(key, "connections are not tuned from the file", report);
        }
        rpc.finish(report);
        let (ip, grpc, http, gossip) = (ip?, grpc?, http?, gossip?);
        Some(Self {
            service,
            internal: SocketAddr::new(ip, grpc),
            gossip: SocketAddr::new(ip, gossip),
            http: http.filter(|_| !services.contains(Service::Frontend)).map(|port| SocketAddr::new(ip, port)),
        })
    }
}

impl Host {
    /// Put together where a process is and how it finds the others.
    pub(crate) fn new(services: Services, ports: Ports, membership: Membership, report: &mut Report) -> Option<Self> {
        let Ports { service, internal, gossip, http } = ports;
        let Some(broadcast) = membership.broadcast.or(Some(internal.ip()).filter(|ip| !ip.is_unspecified())) else {
            let problem = format!(
                "is missing; the IP address at which the others reach this host is required, because \
                 services.{service}.rpc listens on every interface"
            );
            report.problem("global.membership.broadcastAddress".to_owned(), problem);
            return None;
        };
        let Membership { max_join, failure_detection, .. } = membership;
        Some(Self { services, internal, gossip, http, broadcast, max_join, failure_detection })
    }

    /// Where the others call it: `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        SocketAddr::new(self.broadcast, self.internal.port()).to_string()
    }

    /// Where the others send gossip.
    #[must_use]
    pub fn gossip_address(&self) -> SocketAddr {
        SocketAddr::new(self.broadcast, self.gossip.port())
    }
}

/// What may be chosen.
const DETECTIONS: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    /// A file for several processes, without what follows `services`.
    const FILE: &str = "
persistence: {numHistoryShards: 1, defaultStore: d, datastores: {d: {sql: {pluginName: postgres12, databaseName: m, \
        connectAddr: 'db:5432', user: m}}}}
clusterMetadata:
  failoverVersionIncrement: 10
  masterClusterName: a
  currentClusterName: a
  clusterInformation: {a: {initialFailoverVersion: 1, rpcAddress: 'a:7233'}}
services:
  frontend: {rpc: {grpcPort: 7233, membershipPort: 6933, bindOnIP: 10.0.0.1, httpPort: 7243}}
  internal-frontend: {rpc: {grpcPort: 7236, bindOnIP: 10.0.0.1}}
  history: {rpc: {grpcPort: 7234, membershipPort: 6934, bindOnIP: 10.0.0.1, httpPort: 7244}}
  matching: {rpc: {grpcPort: 7235, membershipPort: 6935, bindOnIP: 0.0.0.0}}
";

    fn services(names: &str) -> Services {
        names.split(',').map(|name| Service::from_name(name).expect("a service")).collect()
    }

    /// Where a process with these services is, and what it is told.
    #[track_caller]
    fn check(names: &str, more: &str, expected: &str) {
        let lines: Vec<String> = match parse(&format!("{FILE}{more}"), Some(services(names))) {
            Ok((config, notices)) => {
                let host = config.host.expect("one of several");
                assert_eq!(host.services, services(names));
                let http = host.http.map(|http| format!(" http {http}")).unwrap_or_default();
                let place = format!("{} on {} gossip {}{http}", host.address(), host.internal, host.gossip_address());
                let notices = notices.iter().map(|notice| format!("~ {notice}"));
                std::iter::once(place).chain(notices).collect()
            }
            Err(problems) => problems.iter().map(|problem| format!("! {problem}")).collect(),
        };
        assert_eq!(lines.join("\n"), expected, "{names}: {more}");
    }

    #[test]
    fn a_process_listens_at_the_ports_of_its_first_service() {
        let why = "has no effect: a process listens for its peers at the ports of the first of its services";
        check(
            "history",
            "",
            &format!(
                "10.0.0.1:7234 on 10.0.0.1:7234 gossip 10.0.0.1:6934 http 10.0.0.1:7244\n\
             ~ services.frontend.rpc.membershipPort: {why}"
            ),
        );
        check("frontend", "", "10.0.0.1:7236 on 10.0.0.1:7236 gossip 10.0.0.1:6933");
        check(
            "frontend,history",
            "",
            &format!(
                "10.0.0.1:7234 on 10.0.0.1:7234 gossip 10.0.0.1:6934\n\
             ~ services.frontend.rpc.membershipPort: {why}\n\
             ~ services.history.rpc.httpPort: has no effect: HTTP is at services.frontend.rpc.httpPort"
            ),
        );
    }

    #[test]
    fn a_process_says_how_it_is_reached() {
        let quiet = "~ services.frontend.rpc.membershipPort: has no effect: a process listens for its peers at the ports of \
                     the first of its services";
        check(
            "matching",
            "",
            "! global.membership.broadcastAddress: is missing; the IP address at which the others reach this host is \
             required, because services.matching.rpc listens on every interface",
        );
        let global = |membership: &str| format!("global: {{membership: {{{membership}}}}}");
        check(
            "matching",
            &global("broadcastAddress: 10.0.0.9"),
            &format!("10.0.0.9:7235 on 0.0.0.0:7235 gossip 10.0.0.9:6935\n{quiet}"),
        );
        for address in ["0.0.0.0", "host-1"] {
            check(
                "history",
                &global(&format!("broadcastAddress: {address}")),
                &format!(
                    "! global.membership.broadcastAddress: is {address:?}; the IP address at which the others reach this \
                     host is required"
                ),
            );
        }
    }

    #[test]
    fn with_tls_between_processes_gossip_has_a_key() {
        let pair = "server: {certFile: c.pem, keyFile: c.key, clientCaFiles: [ca.pem], requireClientAuth: true}";
        let global = |more: &str| format!("global: {{tls: {{internode: {{{pair}}}}}{more}}}");
        let place = "10.0.0.1:7236 on 10.0.0.1:7236 gossip 10.0.0.1:6933";
        check("frontend", &global(", membership: {gossipKeyFile: gossip.key}"), place);
        check("frontend", "global: {membership: {gossipKeyFile: gossip.key}}", place);
        check(
            "frontend",
            &global(""),
            "! global.membership.gossipKeyFile: is missing; with global.tls.internode a file with a key is required, or \
             whoever reaches the port of gossip is heard",
        );
    }

    #[test]
    fn times() {
        let check = |membership: &str, expected: Result<(Option<u64>, Option<u64>), &str>| {
            let text = format!("{FILE}global: {{membership: {{{membership}}}}}");
            let times = match parse(&text, Some(services("history"))) {
                Ok((config, _)) => {
                    let host = config.host.expect("one of several");
                    let millis = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
                    Ok((millis(host.max_join), millis(host.failure_detection)))
                }
                Err(problems) => Err(problems[0].path.clone()),
            };
            assert_eq!(times, expected.map_err(str::to_owned), "{membership}");
        };
        check("", Ok((None, None)));
        check("maxJoinDuration: 30s, failureDetection: 500ms", Ok((Some(30_000), Some(500))));
        check("failureDetection: 100ms", Err("global.membership.failureDetection"));
        check("maxJoinDuration: soon", Err("global.membership.maxJoinDuration"));
    }

    #[test]
    fn what_several_processes_need_and_one_does_not() {
        let check = |from: &str, to: &str, expected: &str| {
            let text = FILE.replace(from, to);
            let problems = parse(&text, Some(services("history"))).expect_err("refused");
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            assert_eq!(lines.join("\n"), expected);
        };
        check(
            "membershipPort: 6934, ",
            "",
            "services.history.rpc.membershipPort: is missing; a whole number from 1 to 65535 is required",
        );
        check(
            "grpcPort: 7234",
            "grpcPort: 7244",
            "services.history.rpc.httpPort: is the port of services.history.rpc.grpcPort; each needs its own",
        );
        check(
            "pluginName: postgres12, databaseName: m, connectAddr: 'db:5432', user: m",
            "pluginName: sqlite, databaseName: a.db",
            "persistence.defaultStore: is SQLite, which one process has for itself; several share a database of \
             PostgreSQL (pluginName: postgres12) or MariaDB (pluginName: mysql8)",
        );
    }

    #[test]
    fn a_process_that_is_the_whole_cluster_is_no_host() {
        let (config, notices) = parse(FILE, None).expect("it is enough");
        assert_eq!(config.host, None);
        assert!(notices.iter().any(|notice| notice.path == "services.history.rpc.grpcPort"), "{notices:?}");
    }
}
