//! The whole file: what it says, then what that means.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    address,
    cluster::Cluster,
    dynamic::DynamicFile,
    frontend::{self, Frontend},
    global::Global,
    host::{Host, Ports},
    log::Log,
    persistence::Persistence,
    redirection::Redirection,
    report::{Notice, Problem, Report},
    section::Section,
    service::{Service, Services},
    tls::Tls,
    yaml,
};

/// Everything a cluster needs to know to start. Every value has been checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// How the server logs.
    pub log: Log,
    /// Where this cluster keeps everything.
    pub persistence: Persistence,
    /// Where the frontend listens, if this process runs one. No two addresses of one file collide.
    pub frontend: Frontend,
    /// What this process is when it is one of several; `None`: it is the whole cluster.
    pub host: Option<Host>,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The file with the keys of gossip: one a line, of which the first is used and all are accepted.
    pub gossip_keys: Option<PathBuf>,
    /// How connections are encrypted, if they are.
    pub tls: Tls,
    /// Which cluster this is.
    pub cluster: Cluster,
    /// Where settings are that change while the server runs, if anywhere.
    pub dynamic: Option<DynamicFile>,
    /// Which calls are forwarded to the cluster where a namespace is active.
    pub redirection: Redirection,
}

/// Read a configuration from the text of its file, for a process that runs these services of several, or for one that is the
/// whole cluster.
///
/// # Errors
///
/// Every problem of the text, in the order in which its parts are read; never none. Nothing was opened or changed.
pub fn parse(text: &str, services: Option<Services>) -> Result<(Config, Vec<Notice>), Vec<Problem>> {
    let mut report = Report::default();
    if is_template(text) {
        report.problem(String::new(), TEMPLATE);
        return report.into_result(None);
    }
    let root = yaml::parse(text, &mut report);
    let root = root.as_ref().and_then(|root| Section::root(root, &mut report));
    let config = root.and_then(|root| Config::read(root, services, &mut report));
    report.into_result(config)
}

impl Config {
    fn read(mut root: Section<'_>, services: Option<Services>, report: &mut Report) -> Option<Self> {
        let log = root.section("log", report).and_then(|log| Log::read(log, report));
        let persistence = root.section("persistence", report).and_then(|section| Persistence::read(section, report));
        let global = root.section("global", report).and_then(|section| Global::read(section, services, report));
        let sections = root.section("services", report);
        let listening = sections.and_then(|section| frontend::read(section, services, report));
        let cluster = root.section("clusterMetadata", report).and_then(|section| Cluster::read(section, report));
        let redirection =
            root.section("dcRedirectionPolicy", report).and_then(|section| Redirection::read(section, report));
        let dynamic = root.section("dynamicConfigClient", report);
        let dynamic = dynamic.and_then(|section| DynamicFile::read(section, report));
        for (key, why) in WITHOUT_EFFECT {
            root.inert(key, why, report);
        }
        root.finish(report);
        let ((frontend, ports), Global { metrics, membership, tls }) = (listening?, global?);
        let gossip_keys = membership.gossip_keys.clone();
        let host = match services.zip(ports) {
            Some((services, ports)) => Some(Host::new(services, ports, membership, report)?),
            None => None,
        };
        if host.is_some() && tls.internode.is_some() && gossip_keys.is_none() {
            report.problem("global.membership.gossipKeyFile".to_owned(), NO_GOSSIP_KEY);
        }
        report_collisions(&frontend, host.as_ref(), metrics, report);
        if host.is_some()
            && let Some(persistence) = &persistence
            && !persistence.location.is_shared()
        {
            report.problem("persistence.defaultStore".to_owned(), ONE_OWNER);
        }
        Some(Self {
            log: log?,
            persistence: persistence?,
            frontend,
            host,
            metrics,
            gossip_keys,
            tls,
            cluster: cluster?,
            dynamic: dynamic?,
            redirection: redirection?,
        })
    }
}

fn report_collisions(frontend: &Frontend, host: Option<&Host>, metrics: Option<SocketAddr>, report: &mut Report) {
    let is_frontend = host.is_none_or(|host| host.services.contains(Service::Frontend));
    let rpc = |service: &str, key: &str| format!("services.{service}.rpc.{key}");
    let mut all = vec![("global.metrics.prometheus.listenAddress".to_owned(), metrics)];
    if let Some(host) = host {
        let service = Ports::service_of(host.services);
        all.insert(0, (rpc(service, "httpPort"), host.http));
        all.insert(0, (rpc(service, "grpcPort"), Some(host.internal)));
    }
    if is_frontend {
        all.insert(0, (rpc("frontend", "httpPort"), frontend.http));
        all.insert(0, (rpc("frontend", "grpcPort"), Some(frontend.grpc)));
    }
    for (index, (path, address)) in all.iter().enumerate() {
        let earlier = all[..index].iter().find_map(|(path, other)| {
            let taken = address::collide((*address)?, (*other)?);
            taken.then_some(path)
        });
        if let Some(earlier) = earlier {
            report.problem(path.clone(), format!("is the port of {earlier}; each needs its own"));
        }
    }
}

/// Whether Temporal would run `text` through its template engine before reading it: a comment near the top asks for it.
fn is_template(text: &str) -> bool {
    text[..text.floor_char_boundary(TEMPLATE_SEARCH_BYTES)].lines().any(|line| {
        let comment = line.trim_start().strip_prefix('#');
        comment.is_some_and(|comment| comment.trim_start_matches('#').trim_start().starts_with("enable-template"))
    })
}

/// As far as Temporal looks.
const TEMPLATE_SEARCH_BYTES: usize = 1024;

const TEMPLATE: &str = "this is a template (a comment near its top says enable-template), and templates are not \
                        rendered; \
                        render it first, and remove that comment from the result";

const NO_GOSSIP_KEY: &str = "is missing; with global.tls.internode a file with a key is required, or whoever reaches the \
                             port of gossip is heard";

const ONE_OWNER: &str = "is SQLite, which one process has for itself; several share a database of PostgreSQL \
                         (pluginName: postgres12) or MariaDB (pluginName: mysql8)";

/// Parts of Temporal's configuration that this server does not have.
const WITHOUT_EFFECT: [(&str, &str); 5] = [
    ("archival", "nothing is archived"),
    ("namespaceDefaults", "nothing is archived"),
    ("publicClient", "the server's own workers share its process"),
    (
        "otel",
        "spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, if the program was built with otel; metrics are served to Prometheus",
    ),
    ("visibility", "search attributes are added at run time"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that a file can say.
    const LEAST: &str = "
persistence: {numHistoryShards: 1, defaultStore: d, datastores: {d: {sql: {pluginName: sqlite, databaseName: a.db}}}}
services: {frontend: {rpc: {grpcPort: 7233, bindOnLocalHost: true}}}
clusterMetadata:
  failoverVersionIncrement: 10
  masterClusterName: a
  currentClusterName: a
  clusterInformation: {a: {initialFailoverVersion: 1, rpcAddress: 'a:7233'}}
";

    #[test]
    fn least() {
        let (config, notices) = parse(LEAST, None).unwrap();
        assert_eq!(notices, []);
        assert_eq!((config.metrics, config.frontend.http, config.redirection), (None, None, Redirection::Noop));
    }

    #[test]
    fn nothing_at_all() {
        for text in ["", "# nothing", "{}", "---\n"] {
            check(
                text,
                "! persistence.numHistoryShards: is missing; a whole number from 1 to 16384 is required\n\
                 ! persistence.defaultStore: is missing; the name of one of the datastores is required\n\
                 ! services.frontend.rpc.bindOnIP: is missing; the IP address to listen on is required, or \
                 bindOnLocalHost: true\n\
                 ! services.frontend.rpc.grpcPort: is missing; a whole number from 1 to 65535 is required\n\
                 ! clusterMetadata.failoverVersionIncrement: is missing; a whole number from 2 to 2147483647 is \
                 required\n\
                 ! clusterMetadata.masterClusterName: is missing; the name of a cluster in clusterInformation is \
                 required\n\
                 ! clusterMetadata.currentClusterName: is missing; the name of this cluster is required",
            );
        }
        check("- 1", "! is a list; a section of keys is required");
    }

    #[test]
    fn parts_without_effect() {
        check(
            &format!("{LEAST}\notel: {{exporters: [a]}}\narchival:\npublicclient: {{}}\n"),
            "~ otel: has no effect: spans go where OTEL_EXPORTER_OTLP_ENDPOINT says, if the program was built with otel; metrics are served to Prometheus\n\
             ~ publicclient: is not a known key and is ignored; is publicClient meant?",
        );
    }

    #[test]
    fn dynamic_configuration() {
        let read =
            |text: &str| parse(&format!("{LEAST}\ndynamicConfigClient: {{{text}}}"), None).map(|read| read.0.dynamic);
        let file = |poll| Some(DynamicFile { path: "a.yaml".into(), poll: std::time::Duration::from_secs(poll) });
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("filepath: a.yaml"), Ok(file(10)));
        assert_eq!(read("filepath: a.yaml, pollInterval: 60s"), Ok(file(60)));
        assert_eq!(read("pollInterval: 60s").unwrap_err()[0].path, "dynamicConfigClient.filepath");
        assert_eq!(read("filepath: a, pollInterval: 1ms").unwrap_err()[0].path, "dynamicConfigClient.pollInterval");
    }

    #[test]
    fn problems_of_every_part_at_once() {
        check(
            &format!(
                "{LEAST}\nlog: {{level: loud}}\nglobal: {{tls: on}}\ndcRedirectionPolicy: {{policy: all}}\notel: \
                 1\notel: 1"
            ),
            "! otel: given more than once; keep one\n\
             ! log.level: is \"loud\"; allowed are: info, debug, warn, error\n\
             ! global.tls: is text; a section of keys is required\n\
             ! dcRedirectionPolicy.policy: is \"all\"; allowed are: noop, selected-apis-forwarding, \
             all-apis-forwarding",
        );
    }

    #[test]
    fn ports_collide() {
        let check = |http: &str, metrics: &str, expected: &str| {
            let text = LEAST.replace("grpcPort: 7233", &format!("grpcPort: 7233, httpPort: {http}"));
            let metrics = format!("global: {{metrics: {{prometheus: {{listenAddress: '{metrics}'}}}}}}");
            tests::check(&format!("{text}{metrics}"), expected);
        };
        check("7243", "127.0.0.1:7253", "");
        check("7243", "127.0.0.2:7243", "");
        check(
            "7233",
            "127.0.0.1:7253",
            "! services.frontend.rpc.httpPort: is the port of services.frontend.rpc.grpcPort; each needs its own",
        );
        check(
            "7243",
            ":7243",
            "! global.metrics.prometheus.listenAddress: is the port of services.frontend.rpc.httpPort; each needs \
             its own",
        );
    }

    #[test]
    fn templates_are_refused() {
        let refused = format!("! {TEMPLATE}");
        check(&format!("# enable-template\n{LEAST}"), &refused);
        check("log:\n  ##  enable-template\n  level: {{ env \"LOG_LEVEL\" }}", &refused);
        check(&format!("# do not enable-template\n{LEAST}"), "");
        check(&format!("{LEAST}# {}\n# enable-template", "é".repeat(512)), "");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let lines: Vec<_> = match parse(text, None) {
            Ok((_, notices)) => notices.iter().map(|notice| format!("~ {notice}")).collect(),
            Err(problems) => problems.iter().map(|problem| format!("! {problem}")).collect(),
        };
        assert_eq!(lines.join("\n"), expected, "{text}");
    }
}
