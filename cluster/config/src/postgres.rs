//! `persistence.datastores.NAME.sql` with `pluginName: postgres12`: where a PostgreSQL database is.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{address, report::Report, section::Section};

/// A PostgreSQL database.
#[derive(Clone, Eq, PartialEq)]
pub struct Postgres {
    /// A host name or address, or the folder of a socket, which begins with `/`.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// Who connects.
    pub user: String,
    /// Their password; empty: none. Never shown.
    pub password: String,
    /// Connections at most; 2 ≤ it.
    pub max_connections: u32,
    /// How old a connection becomes; `None`: as old as it can.
    pub max_connection_lifetime: Option<Duration>,
    /// TLS to the server; `None`: there is none.
    pub tls: Option<DatabaseTls>,
}

/// TLS to a database.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DatabaseTls {
    /// Whether the server's certificate must carry the host's name.
    pub verify_host: bool,
    /// Authorities that are trusted, in PEM. `None`: those of the system if the name is verified, else nobody asks.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Postgres {
    /// Read the section, whose plugin is known.
    pub(crate) fn read(mut sql: Section<'_>, report: &mut Report) -> Option<Self> {
        let database = sql.required_text("databaseName", "the name of the database", report);
        let is_socket = sql.choice("connectProtocol", &[("tcp", false), ("unix", true)], report);
        let address = read_address(&mut sql, is_socket.unwrap_or(false), report).filter(|_| is_socket.is_some());
        let user = sql.required_text("user", "the name of a user of the database", report);
        let password = sql.text("password", report);
        for key in ["passwordCommand", "authPlugin"] {
            sql.refused(key, "does not exist yet; give the password in password", report);
        }
        let max_connections = match sql.is_set("maxConns") {
            true => sql.integer("maxConns", 2..=MAX_CONNECTIONS, report),
            false => Some(DEFAULT_CONNECTIONS),
        };
        let lifetime = sql.duration("maxConnLifetime", report);
        sql.inert("maxIdleConns", "a connection that nobody uses is closed after a minute", report);
        sql.inert("taskScanPartitions", "task queues are not kept in tables of their own", report);
        if sql.is_set("connectAttributes") {
            let attributes = sql.section("connectAttributes", report);
            attributes.into_iter().for_each(|attributes| read_attributes(attributes, report));
        }
        let tls = if sql.is_set("tls") {
            sql.section("tls", report).and_then(|tls| read_tls(tls, report))
        } else {
            Some(None)
        };
        sql.finish(report);
        let (host, port) = address?;
        Some(Self {
            host,
            port,
            database: database?,
            user: user?,
            password: password?,
            max_connections: u32::try_from(max_connections?).expect("in range"),
            max_connection_lifetime: lifetime.map(|lifetime| (!lifetime.is_zero()).then_some(lifetime))?,
            tls: tls?,
        })
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("max_connections", &self.max_connections)
            .field("max_connection_lifetime", &self.max_connection_lifetime)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

fn read_address(sql: &mut Section<'_>, is_socket: bool, report: &mut Report) -> Option<(String, u16)> {
    let what = if is_socket { "the folder of a socket" } else { "host:port" };
    let text = sql.required_text("connectAddr", what, report)?;
    let found = match is_socket {
        true => {
            let (folder, port) = text.rsplit_once(':').unwrap_or((&text, "5432"));
            port.parse().ok().filter(|_| folder.starts_with('/')).map(|port| (folder.to_owned(), port))
        }
        false => address::host_and_port(&text),
    };
    if found.is_none() {
        let required = match is_socket {
            true => "the folder of a socket is required, as /run/postgresql or /run/postgresql:5432",
            false => "host:port is required",
        };
        report.problem(sql.path("connectAddr"), format!("is {text:?}; {required}"));
    }
    found
}

fn read_attributes(mut attributes: Section<'_>, report: &mut Report) {
    for name in attributes.names() {
        if name.starts_with("ssl") {
            attributes.refused(name, "is not read here; say it in tls", report);
        } else {
            attributes.inert(name, "the server chooses how it uses PostgreSQL", report);
        }
    }
}

fn read_tls(mut tls: Section<'_>, report: &mut Report) -> Option<Option<DatabaseTls>> {
    let enabled = tls.boolean("enabled", report);
    let verify_host = tls.boolean("enableHostVerification", report);
    let mut file = |key| tls.text(key, report).map(|name| (!name.is_empty()).then(|| PathBuf::from(name)));
    let (authorities, certificate, key) = (file("caFile"), file("certFile"), file("keyFile"));
    for (key, file) in [("caData", "caFile"), ("certData", "certFile"), ("keyData", "keyFile")] {
        tls.refused(key, &format!("does not exist yet; write it to a file and name that in {file}"), report);
    }
    tls.refused("serverName", "does not exist yet; the name is that of connectAddr", report);
    let path = tls.path("keyFile");
    tls.finish(report);
    let client = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            report.problem(path, "and certFile belong together: give both or none");
            return None;
        }
    };
    let (verify_host, authorities) = (verify_host?, authorities?);
    Some(enabled?.then_some(DatabaseTls { verify_host, authorities, client }))
}

/// As Temporal's samples have it.
const DEFAULT_CONNECTIONS: i64 = 20;

/// More than any server allows.
const MAX_CONNECTIONS: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    const WHOLE: &str = "databaseName: meridian, connectAddr: 'db.example:5432', user: me, password: hunter2";

    fn whole() -> Postgres {
        Postgres {
            host: "db.example".into(),
            port: 5432,
            database: "meridian".into(),
            user: "me".into(),
            password: "hunter2".into(),
            max_connections: 20,
            max_connection_lifetime: None,
            tls: None,
        }
    }

    #[test]
    fn databases() {
        let check = |keys: &str, expected: Postgres| {
            assert_eq!(read("sql", &format!("{{{WHOLE}{keys}}}"), Postgres::read), (Some(expected), vec![]), "{keys}");
        };
        check("", whole());
        check(", connectProtocol: tcp, maxIdleConns: 0, tls: {enabled: false}, connectAttributes: {}", whole());
        let limits =
            Postgres { max_connections: 5, max_connection_lifetime: Some(Duration::from_secs(3600)), ..whole() };
        check(", maxConns: 5, maxConnLifetime: 1h", limits);
        let tls = |tls| Postgres { tls: Some(tls), ..whole() };
        check(", tls: {enabled: true}", tls(DatabaseTls::default()));
        let verified = DatabaseTls {
            verify_host: true,
            authorities: Some("/ca.pem".into()),
            client: Some(("/c.pem".into(), "/k.pem".into())),
        };
        check(
            ", tls: {enabled: true, enableHostVerification: true, caFile: /ca.pem, certFile: /c.pem, keyFile: /k.pem}",
            tls(verified),
        );
    }

    #[test]
    fn sockets() {
        let check = |address: &str, host: &str, port| {
            let text = format!("{{databaseName: m, connectProtocol: unix, connectAddr: '{address}', user: me}}");
            let (found, report) = read("sql", &text, Postgres::read);
            assert_eq!(found.map(|found| (found.host, found.port)), Some((host.to_owned(), port)), "{report:?}");
        };
        check("/run/postgresql", "/run/postgresql", 5432);
        check("/run/postgresql:6000", "/run/postgresql", 6000);
    }

    #[test]
    fn problems() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read("sql", &format!("{{{text}}}"), Postgres::read).1.join("\n"), expected, "{text}");
        };
        check(
            "",
            "! sql.databaseName: is missing; the name of the database is required\n\
             ! sql.connectAddr: is missing; host:port is required\n\
             ! sql.user: is missing; the name of a user of the database is required",
        );
        check("databaseName: m, user: me, connectAddr: db", "! sql.connectAddr: is \"db\"; host:port is required");
        check(
            "databaseName: m, user: me, connectAddr: 'db:1', connectProtocol: unix",
            "! sql.connectAddr: is \"db:1\"; the folder of a socket is required, as /run/postgresql or \
             /run/postgresql:5432",
        );
        let with = |keys: &str| format!("{WHOLE}, {keys}");
        check(&with("maxConns: 1"), "! sql.maxConns: is 1; a whole number from 2 to 10000 is required");
        check(&with("connectProtocol: udp"), "! sql.connectProtocol: is \"udp\"; allowed are: tcp, unix");
        check(
            &with("authPlugin: {plugin: rds-iam-auth}, passwordCommand: {command: x}"),
            "! sql.passwordCommand: does not exist yet; give the password in password\n\
             ! sql.authPlugin: does not exist yet; give the password in password",
        );
        check(
            &with("tls: {enabled: true, certFile: c.pem, caData: QUJD, serverName: other}"),
            "! sql.tls.caData: does not exist yet; write it to a file and name that in caFile\n\
             ! sql.tls.serverName: does not exist yet; the name is that of connectAddr\n\
             ! sql.tls.keyFile: and certFile belong together: give both or none",
        );
        check(
            &with("connectAttributes: {sslmode: require}"),
            "! sql.connectAttributes.sslmode: is not read here; say it in tls",
        );
    }

    #[test]
    fn notices() {
        let text = format!("{{{WHOLE}, maxIdleConns: 20, connectAttributes: {{tx_isolation: x}}, journal: off}}");
        assert_eq!(
            read("sql", &text, Postgres::read).1.join("\n"),
            "~ sql.maxIdleConns: has no effect: a connection that nobody uses is closed after a minute\n\
             ~ sql.connectAttributes.tx_isolation: has no effect: the server chooses how it uses PostgreSQL\n\
             ~ sql.journal: is not a known key and is ignored",
        );
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!format!("{:?}", whole()).contains("hunter2"));
    }
}
