//! `services`: where a process listens. When it is the whole cluster, the frontend alone does; else it listens for the other
//! processes too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{
    host::Ports,
    report::Report,
    section::Section,
    service::{Service, Services},
};

/// Where the frontend listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frontend {
    /// For gRPC: workers, clients, operators and the other clusters.
    pub grpc: SocketAddr,
    /// For HTTP, if anywhere.
    pub http: Option<SocketAddr>,
}

/// What `services` says: where the frontend listens, and where a process that is one of several does.
pub(crate) type Listening = (Frontend, Option<Ports>);

/// Read `services`.
pub(crate) fn read(mut sections: Section<'_>, services: Option<Services>, report: &mut Report) -> Option<Listening> {
    let own = services.map(Ports::service_of);
    let frontend = sections.section("frontend", report).and_then(|mut frontend| {
        let rpc = frontend.section("rpc", report).and_then(|rpc| read_frontend_rpc(rpc, own, report));
        frontend.finish(report);
        rpc
    });
    let gossip = frontend.and_then(|(_, gossip)| gossip);
    let mut ports = None;
    for name in ["history", "matching", "worker", INTERNAL_FRONTEND] {
        let Some(mut service) = sections.section(name, report) else { continue };
        if let Some(rpc) = service.section("rpc", report) {
            match services {
                Some(services) if own == Some(name) => ports = Ports::read(rpc, services, gossip, report),
                _ => read_inert_rpc(rpc, why_inert(name, services), report),
            }
        }
        service.finish(report);
    }
    sections.finish(report);
    let (frontend, _) = frontend?;
    match services {
        None => Some((frontend, None)),
        Some(_) => Some((frontend, Some(ports?))),
    }
}

/// Why the ports of a service change nothing; `None`: they are those of another process.
fn why_inert(name: &str, services: Option<Services>) -> Option<&'static str> {
    match services {
        None => Some(ONE_PROCESS),
        Some(services) => Service::from_name(name).filter(|service| services.contains(*service)).map(|_| ONE_PORT),
    }
}

/// The frontend, and where its gossip is heard if that is where this process hears it.
fn read_frontend_rpc(mut rpc: Section<'_>, own: Option<&str>, report: &mut Report) -> Option<(Frontend, Option<u16>)> {
    let ip = read_ip(&mut rpc, report);
    let grpc = rpc.required_port("grpcPort", report);
    let http = rpc.port("httpPort", report);
    let gossip = match own {
        Some(INTERNAL_FRONTEND) => rpc.required_port("membershipPort", report),
        own => {
            let port = rpc.port("membershipPort", report).flatten();
            rpc.inert("membershipPort", if own.is_none() { ONE_PROCESS } else { ONE_PORT }, report);
            port
        }
    };
    for key in TUNING {
        rpc.inert(key, NO_TUNING, report);
    }
    rpc.finish(report);
    let (ip, grpc, http) = (ip?, grpc?, http?);
    Some((Frontend { grpc: SocketAddr::new(ip, grpc), http: http.map(|port| SocketAddr::new(ip, port)) }, gossip))
}

pub(crate) fn read_ip(rpc: &mut Section<'_>, report: &mut Report) -> Option<IpAddr> {
    let (local, text) = (rpc.boolean("bindOnLocalHost", report), rpc.text("bindOnIP", report));
    let (local, text) = (local?, text?);
    let problem = match (local, text.as_str()) {
        (true, "") => return Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        (true, _) => "is given together with bindOnLocalHost: true; keep one of the two".to_owned(),
        (false, "") => "is missing; the IP address to listen on is required, or bindOnLocalHost: true".to_owned(),
        (false, text) => match text.parse() {
            Ok(ip) => return Some(ip),
            Err(_) => {
                format!("is {text:?}; an IP address such as 192.0.2.7, or 0.0.0.0 for every interface, is required")
            }
        },
    };
    report.problem(rpc.path("bindOnIP"), problem);
    None
}

/// Check the ports of a service at which this process does not listen, and say so where somebody may believe otherwise.
fn read_inert_rpc(mut rpc: Section<'_>, why: Option<&str>, report: &mut Report) {
    const PORTS: [&str; 3] = ["grpcPort", "membershipPort", "httpPort"];
    const IPS: [&str; 2] = ["bindOnLocalHost", "bindOnIP"];
    for key in PORTS {
        rpc.port(key, report);
    }
    rpc.boolean("bindOnLocalHost", report);
    rpc.text("bindOnIP", report);
    for key in PORTS.into_iter().chain(IPS).chain(TUNING) {
        match why {
            Some(why) => rpc.inert(key, why, report),
            None => _ = rpc.is_set(key),
        }
    }
    rpc.finish(report);
}

pub(crate) const TUNING: [&str; 3] =
    ["httpAdditionalForwardedHeaders", "keepAliveServerConfig", "clientConnectionConfig"];

const NO_TUNING: &str = "connections are not tuned from the file";

const ONE_PROCESS: &str = "all services share one process, and only the frontend listens";

const ONE_PORT: &str = "a process listens for its peers at the ports of the first of its services";

/// The service at which a frontend listens for its peers.
pub(crate) const INTERNAL_FRONTEND: &str = "internal-frontend";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn addresses() {
        let check = |rpc: &str, grpc: &str, http: Option<&str>| {
            let expected = Frontend { grpc: grpc.parse().unwrap(), http: http.map(|http| http.parse().unwrap()) };
            let text = format!("frontend: {{rpc: {{{rpc}}}}}");
            assert_eq!(read("services", &text, alone), (Some((expected, None)), vec![]), "{text}");
        };
        check("grpcPort: 7233, bindOnLocalHost: true", "127.0.0.1:7233", None);
        check("grpcPort: 7233, bindOnLocalHost: true, bindOnIP: ''", "127.0.0.1:7233", None);
        check("grpcPort: 7233, bindOnIP: 0.0.0.0, httpPort: 7243", "0.0.0.0:7233", Some("0.0.0.0:7243"));
        check("grpcPort: 1, bindOnIP: '::1', httpPort: 0, membershipPort: ", "[::1]:1", None);
    }

    #[test]
    fn problems() {
        check_frontend(
            "",
            "! services.frontend.rpc.bindOnIP: is missing; the IP address to listen on is required, or \
             bindOnLocalHost: true\n\
             ! services.frontend.rpc.grpcPort: is missing; a whole number from 1 to 65535 is required",
        );
        check_frontend(
            "grpcPort: 1, bindOnLocalHost: true, bindOnIP: 0.0.0.0",
            "! services.frontend.rpc.bindOnIP: is given together with bindOnLocalHost: true; keep one of the two",
        );
        check_frontend(
            "grpcPort: 1, bindOnIP: localhost",
            "! services.frontend.rpc.bindOnIP: is \"localhost\"; an IP address such as 192.0.2.7, or 0.0.0.0 for every \
             interface, is required",
        );
        check_frontend(
            "grpcPort: 65536, httpPort: -1, membershipPort: x, bindOnLocalHost: true",
            "! services.frontend.rpc.grpcPort: is 65536; a whole number from 1 to 65535 is required\n\
             ! services.frontend.rpc.httpPort: is -1; a whole number from 1 to 65535 is required\n\
             ! services.frontend.rpc.membershipPort: is text; a whole number from 1 to 65535 is required\n\
             ~ services.frontend.rpc.membershipPort: has no effect: all services share one process, and only the \
             frontend listens",
        );
    }

    #[test]
    fn other_services() {
        let frontend = "frontend: {rpc: {grpcPort: 1, bindOnLocalHost: true}}";
        let check = |other: &str, expected: &str| {
            let (_, lines) = read("services", &format!("{{{frontend}, {other}}}"), alone);
            assert_eq!(lines.join("\n"), expected);
        };
        let why = "has no effect: all services share one process, and only the frontend listens";
        check("history: {rpc: {grpcPort: 7234}}", &format!("~ services.history.rpc.grpcPort: {why}"));
        check("worker: {rpc: {bindOnIP: 0.0.0.0}}", &format!("~ services.worker.rpc.bindOnIP: {why}"));
        check("history: , matching: {}, worker: {rpc: }", "");
        check("archiver: {rpc: {grpcPort: 1}}", "~ services.archiver: is not a known key and is ignored");
        check("matching: {rpc: 1}", "! services.matching.rpc: is a whole number; a section of keys is required");
    }

    /// As a process that is the whole cluster reads it.
    fn alone(section: Section<'_>, report: &mut Report) -> Option<Listening> {
        super::read(section, None, report)
    }

    #[track_caller]
    fn check_frontend(rpc: &str, expected: &str) {
        let (_, lines) = read("services", &format!("frontend: {{rpc: {{{rpc}}}}}"), alone);
        assert_eq!(lines.join("\n"), expected);
    }
}
