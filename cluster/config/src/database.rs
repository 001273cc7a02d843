//! `persistence.datastores.NAME.sql` with a plugin of a database server: where the database is.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{address, report::Report, section::Section};

/// A database of a server.
#[derive(Clone, Eq, PartialEq)]
pub struct Database {
    /// A host name or address, or a socket, which begins with `/`: its folder for PostgreSQL, its file for MariaDB.
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

impl Database {
    /// Read the section, whose plugin is known.
    pub(crate) fn read(mut sql: Section<'_>, server: Server, report: &mut Report) -> Option<Self> {
        let database = sql.required_text("databaseName", "the name of the database", report);
        let is_socket = sql.choice("connectProtocol", &[("tcp", false), ("unix", true)], report);
        let address =
            read_address(&mut sql, server, is_socket.unwrap_or(false), report).filter(|_| is_socket.is_some());
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
            attributes.into_iter().for_each(|attributes| read_attributes(attributes, server, report));
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

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
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

/// Whose database it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    Postgres,
    Mariadb,
}

impl Server {
    /// What connections are made to when there is no network between.
    fn socket(self) -> &'static str {
        match self {
            Self::Postgres => "the folder of a socket",
            Self::Mariadb => "the file of a socket",
        }
    }
}

fn read_address(sql: &mut Section<'_>, server: Server, is_socket: bool, report: &mut Report) -> Option<(String, u16)> {
    let what = if is_socket { server.socket() } else { "host:port" };
    let text = sql.required_text("connectAddr", what, report)?;
    let found = match (is_socket, server) {
        (true, Server::Postgres) => {
            let (folder, port) = text.rsplit_once(':').unwrap_or((&text, "5432"));
            port.parse().ok().filter(|_| folder.starts_with('/')).map(|port| (folder.to_owned(), port))
        }
        (true, Server::Mariadb) => text.starts_with('/').then(|| (text.clone(), 0)),
        (false, _) => address::host_and_port(&text),
    };
    if found.is_none() {
        let required = match (is_socket, server) {
            (true, Server::Postgres) => {
                "the folder of a socket is required, as /run/postgresql or /run/postgresql:5432"
            }
            (true, Server::Mariadb) => "the file of a socket is required, as /run/mysqld/mysqld.sock",
            (false, _) => "host:port is required",
        };
        report.problem(sql.path("connectAddr"), format!("is {text:?}; {required}"));
    }
    found
}

fn read_attributes(mut attributes: Section<'_>, server: Server, report: &mut Report) {
    let name_of = match server {
        Server::Postgres => "PostgreSQL",
        Server::Mariadb => "MariaDB",
    };
    for name in attributes.names() {
        if name.starts_with("ssl") || name == "tls" {
            attributes.refused(name, "is not read here; say it in tls", report);
        } else {
            attributes.inert(name, &format!("the server chooses how it uses {name_of}"), report);
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

    fn postgres(sql: Section<'_>, report: &mut Report) -> Option<Database> {
        Database::read(sql, Server::Postgres, report)
    }

    fn mariadb(sql: Section<'_>, report: &mut Report) -> Option<Database> {
        Database::read(sql, Server::Mariadb, report)
    }

    fn whole() -> Database {
        Database {
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
        let check = |keys: &str, expected: Database| {
            assert_eq!(read("sql", &format!("{{{WHOLE}{keys}}}"), postgres), (Some(expected), vec![]), "{keys}");
        };
        check("", whole());
        check(", connectProtocol: tcp, maxIdleConns: 0, tls: {enabled: false}, connectAttributes: {}", whole());
        let limits =
            Database { max_connections: 5, max_connection_lifetime: Some(Duration::from_secs(3600)), ..whole() };
        check(", maxConns: 5, maxConnLifetime: 1h", limits);
        let tls = |tls| Database { tls: Some(tls), ..whole() };
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
            let (found, report) = read("sql", &text, postgres);
            assert_eq!(found.map(|found| (found.host, found.port)), Some((host.to_owned(), port)), "{report:?}");
        };
        check("/run/postgresql", "/run/postgresql", 5432);
        check("/run/postgresql:6000", "/run/postgresql", 6000);
    }

    #[test]
    fn sockets_of_mariadb_are_files() {
        let text =
            |address: &str| format!("{{databaseName: m, connectProtocol: unix, connectAddr: '{address}', user: me}}");
        let (found, report) = read("sql", &text("/run/mysqld/mysqld.sock"), mariadb);
        assert_eq!(found.map(|found| found.host), Some("/run/mysqld/mysqld.sock".to_owned()), "{report:?}");
        let problem = "! sql.connectAddr: is \"db:3306\"; the file of a socket is required, as /run/mysqld/mysqld.sock";
        assert_eq!(read("sql", &text("db:3306"), mariadb).1, [problem]);
    }

    #[test]
    fn problems() {
        let check = |text: &str, expected: &str| {
            assert_eq!(read("sql", &format!("{{{text}}}"), postgres).1.join("\n"), expected, "{text}");
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
            read("sql", &text, postgres).1.join("\n"),
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
