//! `services`: where the frontend listens. The other services share its process and listen nowhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::{report::Report, section::Section};

/// Where the frontend listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frontend {
    /// For gRPC: workers, clients, operators and the other clusters.
    pub grpc: SocketAddr,
    /// For HTTP, if anywhere.
    pub http: Option<SocketAddr>,
}

impl Frontend {
    /// Read `services`, of which only `frontend` has an effect.
    pub(crate) fn read(mut services: Section<'_>, report: &mut Report) -> Option<Self> {
        let frontend = services.section("frontend", report).and_then(|mut frontend| {
            let rpc = frontend.section("rpc", report).and_then(|rpc| read_frontend_rpc(rpc, report));
            frontend.finish(report);
            rpc
        });
        for service in ["history", "matching", "worker", "internal-frontend"] {
            if let Some(mut service) = services.section(service, report) {
                if let Some(rpc) = service.section("rpc", report) {
                    read_inert_rpc(rpc, report);
                }
                service.finish(report);
            }
        }
        services.finish(report);
        frontend
    }
}

fn read_frontend_rpc(mut rpc: Section<'_>, report: &mut Report) -> Option<Frontend> {
    let ip = read_ip(&mut rpc, report);
    let grpc = rpc.required_port("grpcPort", report);
    let http = rpc.port("httpPort", report);
    rpc.port("membershipPort", report);
    rpc.inert("membershipPort", ONE_PROCESS, report);
    for key in TUNING {
        rpc.inert(key, NO_TUNING, report);
    }
    rpc.finish(report);
    let (ip, grpc, http) = (ip?, grpc?, http?);
    Some(Frontend { grpc: SocketAddr::new(ip, grpc), http: http.map(|port| SocketAddr::new(ip, port)) })
}

fn read_ip(rpc: &mut Section<'_>, report: &mut Report) -> Option<IpAddr> {
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

fn read_inert_rpc(mut rpc: Section<'_>, report: &mut Report) {
    for key in ["grpcPort", "membershipPort", "httpPort"] {
        rpc.port(key, report);
        rpc.inert(key, ONE_PROCESS, report);
    }
    rpc.boolean("bindOnLocalHost", report);
    rpc.text("bindOnIP", report);
    for key in ["bindOnLocalHost", "bindOnIP"] {
        rpc.inert(key, ONE_PROCESS, report);
    }
    for key in TUNING {
        rpc.inert(key, ONE_PROCESS, report);
    }
    rpc.finish(report);
}

const TUNING: [&str; 3] = ["httpAdditionalForwardedHeaders", "keepAliveServerConfig", "clientConnectionConfig"];

const NO_TUNING: &str = "connections are not tuned from the file";

const ONE_PROCESS: &str = "all services share one process, and only the frontend listens";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn addresses() {
        let check = |rpc: &str, grpc: &str, http: Option<&str>| {
            let expected = Frontend { grpc: grpc.parse().unwrap(), http: http.map(|http| http.parse().unwrap()) };
            let text = format!("frontend: {{rpc: {{{rpc}}}}}");
            assert_eq!(read("services", &text, Frontend::read), (Some(expected), vec![]), "{text}");
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
            let (_, lines) = read("services", &format!("{{{frontend}, {other}}}"), Frontend::read);
            assert_eq!(lines.join("\n"), expected);
        };
        let why = "has no effect: all services share one process, and only the frontend listens";
        check("history: {rpc: {grpcPort: 7234}}", &format!("~ services.history.rpc.grpcPort: {why}"));
        check("worker: {rpc: {bindOnIP: 0.0.0.0}}", &format!("~ services.worker.rpc.bindOnIP: {why}"));
        check("history: , matching: {}, worker: {rpc: }", "");
        check("archiver: {rpc: {grpcPort: 1}}", "~ services.archiver: is not a known key and is ignored");
        check("matching: {rpc: 1}", "! services.matching.rpc: is a whole number; a section of keys is required");
    }

    #[track_caller]
    fn check_frontend(rpc: &str, expected: &str) {
        let (_, lines) = read("services", &format!("frontend: {{rpc: {{{rpc}}}}}"), Frontend::read);
        assert_eq!(lines.join("\n"), expected);
    }
}
