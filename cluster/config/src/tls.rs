//! `global.tls`: by which certificates this process is known, and which ones it accepts.
//!
//! No file that is named here is opened: whether its text is a certificate is for whoever uses it to say.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{address, report::Report, section::Section, service::Services};

/// How connections are encrypted. Without any of it they are not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tls {
    /// Callers of the frontend reach it by TLS.
    pub frontend: Option<TlsServer>,
    /// Processes of the cluster reach each other by TLS.
    pub internode: Option<Internode>,
    /// Other clusters that are reached by TLS: by `host:port`, by `host`, or by `*.domain`.
    pub remote_clusters: BTreeMap<String, TlsClient>,
    /// How often files are looked at, and when it is said that a certificate ends.
    pub checks: TlsChecks,
}

/// Both ends of a connection between processes of a cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Internode {
    /// Who is called.
    pub server: TlsServer,
    /// Who calls.
    pub client: TlsClient,
}

/// Who is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsServer {
    /// What it shows.
    pub identity: TlsIdentity,
    /// Who vouches for callers.
    pub client_authorities: Vec<Pem>,
    /// Callers without a certificate are refused.
    pub require_client: bool,
    /// What it is for callers who ask for another name.
    pub host_overrides: BTreeMap<String, TlsServer>,
}

/// Who calls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsClient {
    /// The section that says so.
    pub path: String,
    /// What it shows whoever asks for a certificate.
    pub identity: Option<TlsIdentity>,
    /// Who vouches for the other side; nobody: whomever this machine trusts.
    pub authorities: Vec<Pem>,
    /// The name in the other side's certificate, if it is not the one that is dialled.
    pub server_name: Option<String>,
    /// Whether the other side's name is compared.
    pub verify_host: bool,
}

/// A certificate and its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsIdentity {
    /// The certificate, and those between it and whoever vouches for it.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
}

/// Text in PEM, and the key in the configuration that says where it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pem {
    /// The key.
    pub path: String,
    /// The text.
    pub source: PemSource,
}

/// Where the text is.
#[derive(Clone, Eq, PartialEq)]
pub enum PemSource {
    /// In a file, which may change.
    File(PathBuf),
    /// Here. It may be a secret.
    Text(Vec<u8>),
}

/// How often files are looked at, and when it is said that a certificate ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TlsChecks {
    /// Between two looks at the files.
    pub refresh: Duration,
    /// A certificate that ends within this is warned of.
    pub warning_window: Duration,
    /// One that ends within this is counted as ended.
    pub error_window: Duration,
    /// Between two warnings.
    pub interval: Duration,
}

impl Default for TlsChecks {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(10),
            warning_window: Duration::from_secs(14 * 24 * 3600),
            error_window: Duration::ZERO,
            interval: Duration::from_secs(3600),
        }
    }
}

impl Tls {
    pub(crate) fn read(mut tls: Section<'_>, services: Option<Services>, report: &mut Report) -> Option<Self> {
        let frontend = tls.section("frontend", report).and_then(|mut group| {
            let mut server = group.section("server", report).and_then(|section| read_server(section, report));
            let overrides = group.section("hostOverrides", report).and_then(|section| read_overrides(section, report));
            group.inert("client", "no process dials a frontend of its own cluster", report);
            if let (Some(Some(server)), Some(overrides)) = (&mut server, overrides) {
                server.host_overrides = overrides;
            } else if group.is_set("hostOverrides") {
                report.problem(group.path("hostOverrides"), "is given, and there is no server.certFile beside it");
                server = None;
            }
            group.finish(report);
            server
        });
        let internode = tls.section("internode", report).and_then(|section| read_internode(section, services, report));
        let remote = tls.section("remoteClusters", report).and_then(|section| read_remote(section, report));
        tls.inert("systemWorker", "the server's own workers share its process", report);
        let checks = read_checks(&mut tls, report);
        tls.finish(report);
        Some(Self { frontend: frontend?, internode: internode?, remote_clusters: remote?, checks: checks? })
    }
}

fn read_internode(
    mut group: Section<'_>,
    services: Option<Services>,
    report: &mut Report,
) -> Option<Option<Internode>> {
    if services.is_none() {
        for key in ["server", "client", "hostOverrides"] {
            group.inert(key, "one process is the whole cluster, and calls nobody of its own", report);
        }
        group.finish(report);
        return Some(None);
    }
    group.inert("hostOverrides", "processes call each other by their addresses", report);
    let server = group.section("server", report).and_then(|section| read_server(section, report));
    let asks = group.is_set("client");
    let client = group.section("client", report).and_then(|section| {
        let identity = server.as_ref().and_then(|server| server.as_ref().map(|server| server.identity.clone()));
        read_client(section, identity, report)
    });
    let path = group.path("server.certFile");
    group.finish(report);
    match (server?, client?) {
        (Some(server), client) => {
            if !server.require_client {
                let text = "is not set: whoever reaches the port for the other processes is taken for one of them";
                report.notice(path.replace("certFile", "requireClientAuth"), text);
            }
            let client = client.expect("there is an identity");
            Some(Some(Internode { server, client }))
        }
        (None, _) if asks => {
            report.problem(path, "is missing; the processes that are called need a certificate as well");
            None
        }
        (None, _) => Some(None),
    }
}

fn read_remote(mut section: Section<'_>, report: &mut Report) -> Option<BTreeMap<String, TlsClient>> {
    let (names, mut all) = (section.names().collect::<Vec<_>>(), Some(BTreeMap::new()));
    for name in names {
        let client = section.section(name, report).and_then(|mut group| {
            let server = group.section("server", report).and_then(|mut server| {
                let identity = read_identity(&mut server, report);
                for key in ["clientCaFiles", "clientCaData", "requireClientAuth"] {
                    server.inert(key, "callers are accepted by frontend.server", report);
                }
                server.finish(report);
                identity
            });
            group.inert("hostOverrides", "callers are accepted by frontend.server", report);
            let client = group.section("client", report);
            let client = client.and_then(|client| read_client(client, server.clone().flatten(), report));
            group.finish(report);
            client.filter(|_| server.is_some())
        });
        match (client, &mut all) {
            (Some(Some(client)), Some(all)) => _ = all.insert(name.to_owned(), client),
            (Some(None), _) => {
                report
                    .problem(section.path(name), "asks for no TLS; give client.rootCaFiles, or client.forceTLS: true");
                all = None;
            }
            (None, _) => all = None,
            (_, None) => {}
        }
        if !is_pattern(name) {
            report.problem(section.path(name), "is no host:port, host or *.domain");
            all = None;
        }
    }
    all
}

fn is_pattern(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || matches!(c, '*' | '/' | '@'));
    is_host && (!host.contains(':') || address::can_be_dialled(host) || host.parse::<std::net::IpAddr>().is_ok())
}

fn read_overrides(mut section: Section<'_>, report: &mut Report) -> Option<BTreeMap<String, TlsServer>> {
    let (names, mut all) = (section.names().collect::<Vec<_>>(), Some(BTreeMap::new()));
    for name in names {
        let server = section.section(name, report).and_then(|server| read_server(server, report));
        match (server, &mut all) {
            (Some(Some(server)), Some(all)) => _ = all.insert(name.to_ascii_lowercase(), server),
            (Some(None), _) => {
                report.problem(section.path(name), "has no certFile");
                all = None;
            }
            (None, _) => all = None,
            (_, None) => {}
        }
    }
    all
}

fn read_server(mut section: Section<'_>, report: &mut Report) -> Option<Option<TlsServer>> {
    let identity = read_identity(&mut section, report);
    let authorities = read_authorities(&mut section, "clientCaFiles", "clientCaData", report);
    let require = section.boolean("requireClientAuth", report);
    let (certificate, callers) = (section.path("certFile"), section.path("clientCaFiles"));
    let path = section.path("requireClientAuth");
    section.finish(report);
    let (identity, client_authorities, require_client) = (identity?, authorities?, require?);
    if identity.is_none() && (require_client || !client_authorities.is_empty()) {
        report.problem(certificate, "is missing; without a certificate of its own a server asks nobody for one");
        return None;
    }
    if require_client && client_authorities.is_empty() {
        report.problem(callers, "is missing; with requireClientAuth somebody has to vouch for callers");
        return None;
    }
    if !require_client && !client_authorities.is_empty() {
        report.notice(path, "is not set: callers who show no certificate are answered as well");
    }
    let made = |identity| TlsServer { identity, client_authorities, require_client, host_overrides: BTreeMap::new() };
    Some(identity.map(made))
}

/// `identity` is what is shown; without one, and without anything that asks for TLS, there is none.
fn read_client(
    mut section: Section<'_>,
    identity: Option<TlsIdentity>,
    report: &mut Report,
) -> Option<Option<TlsClient>> {
    let path = section.path("");
    let authorities = read_authorities(&mut section, "rootCaFiles", "rootCaData", report);
    let server_name = section.text("serverName", report);
    let blind = section.boolean("disableHostVerification", report);
    let force = section.boolean("forceTLS", report);
    section.finish(report);
    let (authorities, server_name, force) = (authorities?, server_name?, force?);
    let client = TlsClient {
        path: path.trim_end_matches('.').to_owned(),
        verify_host: !blind?,
        server_name: Some(server_name).filter(|name| !name.is_empty()),
        identity,
        authorities,
    };
    let asks = force || client.identity.is_some() || !client.authorities.is_empty();
    Some(asks.then_some(client))
}

fn read_identity(section: &mut Section<'_>, report: &mut Report) -> Option<Option<TlsIdentity>> {
    let certificate = read_one(section, "certFile", "certData", report);
    let key = read_one(section, "keyFile", "keyData", report);
    match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some(Some(TlsIdentity { certificate, key })),
        (None, None) => Some(None),
        (Some(_), None) => {
            report.problem(section.path("keyFile"), "is missing; a certificate needs its key");
            None
        }
        (None, Some(_)) => {
            report.problem(section.path("certFile"), "is missing; a key needs its certificate");
            None
        }
    }
}

fn read_one<'a>(section: &mut Section<'a>, file: &'a str, data: &'a str, report: &mut Report) -> Option<Option<Pem>> {
    let (name, text) = (section.text(file, report), section.text(data, report));
    let (name, text) = (name?, text?);
    match (name.as_str(), text.as_str()) {
        ("", "") => Some(None),
        (name, "") => Some(Some(Pem { path: section.path(file), source: PemSource::File(name.into()) })),
        ("", text) => decode(section.path(data), text, report).map(Some),
        _ => {
            report.problem(section.path(data), format!("and {file} are both given; keep one"));
            None
        }
    }
}

fn read_authorities<'a>(
    section: &mut Section<'a>,
    files: &'a str,
    data: &'a str,
    report: &mut Report,
) -> Option<Vec<Pem>> {
    let (names, texts) = (section.texts(files, report), section.texts(data, report));
    let (names, texts) = (names?, texts?);
    if !names.is_empty() && !texts.is_empty() {
        report.problem(section.path(data), format!("and {files} are both given; keep one"));
        return None;
    }
    let path = section.path(files);
    let named = names
        .into_iter()
        .map(|(at, name)| Some(Pem { path: format!("{path}[{at}]"), source: PemSource::File(name.into()) }));
    let path = section.path(data);
    let given = texts.into_iter().map(|(at, text)| decode(format!("{path}[{at}]"), &text, report));
    named.chain(given).collect()
}

fn decode(path: String, text: &str, report: &mut Report) -> Option<Pem> {
    match STANDARD.decode(text.split_whitespace().collect::<String>()) {
        Ok(text) => Some(Pem { path, source: PemSource::Text(text) }),
        Err(_) => {
            report.problem(path, "is not base64; text in PEM, encoded in base64, is required");
            None
        }
    }
}

fn read_checks(tls: &mut Section<'_>, report: &mut Report) -> Option<TlsChecks> {
    let default = TlsChecks::default();
    let refresh = tls.duration("refreshInterval", report);
    let windows = tls.section("expirationChecks", report).and_then(|mut checks| {
        let [warning, error, interval] =
            ["warningWindow", "errorWindow", "checkInterval"].map(|key| checks.duration(key, report));
        checks.finish(report);
        Some((warning?, error?, interval?))
    });
    let (refresh, (warning, error, interval)) = (refresh?, windows?);
    let or = |given: Duration, default| if given.is_zero() { default } else { given };
    if !refresh.is_zero() && refresh < SOONEST {
        report.problem(tls.path("refreshInterval"), "is less than 100ms");
        return None;
    }
    Some(TlsChecks {
        refresh: or(refresh, default.refresh),
        warning_window: or(warning, default.warning_window),
        error_window: error,
        interval: or(interval, default.interval),
    })
}

/// A text may be a secret.
impl fmt::Debug for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
        }
    }
}

/// Files are not looked at more often.
const SOONEST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{section::tests::read, service::Service};

    fn several(section: Section<'_>, report: &mut Report) -> Option<Tls> {
        Tls::read(section, Some(Service::ALL.into_iter().collect()), report)
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read("tls", text, several).1.join("\n"), expected, "{text}");
    }

    const SHOWN: &str = "certFile: c.pem, keyFile: k.pem";

    #[test]
    fn nothing_is_asked_for() {
        for text in [
            "",
            "{refreshInterval: 0s, internode: {server: {certFile: , clientCaFiles: [''], requireClientAuth: false}}}",
            "{frontend: {server: {certFile: ''}, client: {}}, remoteClusters: {}}",
        ] {
            assert_eq!(read("tls", text, several), (Some(Tls::default()), vec![]), "{text}");
        }
    }

    #[test]
    fn everything() {
        let text = format!(
            "frontend: {{server: {{{SHOWN}, clientCaFiles: [a.pem, b.pem], requireClientAuth: true}}, hostOverrides: {{Other: \
             {{certData: QQ==, keyData: QUI=}}}}}}\n\
             internode: {{server: {{{SHOWN}, clientCaFiles: [a.pem], requireClientAuth: true}}, client: {{rootCaFiles: \
             [a.pem], serverName: inside}}}}\n\
             remoteClusters: {{'b:7233': {{server: {{{SHOWN}}}, client: {{rootCaFiles: [a.pem]}}}}, '*.c': {{client: \
             {{forceTLS: true, disableHostVerification: true}}}}}}\n\
             refreshInterval: 1s\nexpirationChecks: {{warningWindow: 48h, errorWindow: 1h, checkInterval: 5m}}"
        );
        let (tls, lines) = read("tls", &text, several);
        assert_eq!(lines, Vec::<String>::new());
        let tls = tls.expect("reads");
        let frontend = tls.frontend.expect("a frontend");
        assert!(frontend.require_client);
        let paths: Vec<_> = frontend.client_authorities.iter().map(|pem| pem.path.as_str()).collect();
        assert_eq!(paths, ["tls.frontend.server.clientCaFiles[0]", "tls.frontend.server.clientCaFiles[1]"]);
        assert_eq!(frontend.host_overrides["other"].identity.key.source, PemSource::Text(b"AB".to_vec()));
        let inside = tls.internode.expect("internode");
        assert_eq!(inside.client.identity, Some(inside.server.identity));
        assert_eq!(inside.client.server_name.as_deref(), Some("inside"));
        assert_eq!(tls.remote_clusters.keys().collect::<Vec<_>>(), ["*.c", "b:7233"]);
        assert!(!tls.remote_clusters["*.c"].verify_host && tls.remote_clusters["b:7233"].verify_host);
        assert_eq!(tls.checks.warning_window, Duration::from_secs(48 * 3600));
    }

    #[test]
    fn mistakes_are_named_by_their_keys() {
        check(
            "{frontend: {server: {certFile: c.pem}}}",
            "! tls.frontend.server.keyFile: is missing; a certificate needs its key",
        );
        check(
            "{frontend: {server: {certFile: c.pem, certData: QQ==, keyFile: k.pem}}}",
            "! tls.frontend.server.certData: and certFile are both given; keep one",
        );
        check(
            "{frontend: {server: {certData: '?', keyFile: k.pem}}}",
            "! tls.frontend.server.certData: is not base64; text in PEM, encoded in base64, is required",
        );
        check(
            "{frontend: {server: {requireClientAuth: true}}}",
            "! tls.frontend.server.certFile: is missing; without a certificate of its own a server asks nobody for one",
        );
        check(
            &format!("{{frontend: {{server: {{{SHOWN}, requireClientAuth: true}}}}}}"),
            "! tls.frontend.server.clientCaFiles: is missing; with requireClientAuth somebody has to vouch for callers",
        );
        check(
            "{internode: {client: {rootCaFiles: [a.pem]}}}",
            "! tls.internode.server.certFile: is missing; the processes that are called need a certificate as well",
        );
        check(
            "{remoteClusters: {'b:1': {client: {serverName: b}}}}",
            "! tls.remoteClusters.b:1: asks for no TLS; give client.rootCaFiles, or client.forceTLS: true",
        );
        check(
            "{remoteClusters: {'b:x': {client: {forceTLS: true}}}}",
            "! tls.remoteClusters.b:x: is no host:port, host or *.domain",
        );
        check("{refreshInterval: 1ms}", "! tls.refreshInterval: is less than 100ms");
        check(
            "{frontend: {sever: 1}, extra: 1}",
            "~ tls.frontend.sever: is not a known key and is ignored\n~ tls.extra: is not a known key and is ignored",
        );
        check("on", "! tls: is text; a section of keys is required");
    }

    #[test]
    fn what_is_not_asked_of_callers_is_said() {
        check(
            &format!("{{internode: {{server: {{{SHOWN}}}}}}}"),
            "~ tls.internode.server.requireClientAuth: is not set: whoever reaches the port for the other processes is \
             taken for one of them",
        );
        check(
            &format!("{{frontend: {{server: {{{SHOWN}, clientCaFiles: [a.pem]}}}}}}"),
            "~ tls.frontend.server.requireClientAuth: is not set: callers who show no certificate are answered as well",
        );
    }

    #[test]
    fn a_secret_is_not_shown() {
        let source = PemSource::Text(b"secret".to_vec());
        assert_eq!(format!("{source:?}"), "Text(6 bytes)");
    }
}
