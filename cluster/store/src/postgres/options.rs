//! Where a database is, and how it is used.

use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::{
    Failed,
    server::{self, Address},
};

/// A database of a PostgreSQL server, and how it is used.
pub type Options = server::Options<PgConnectOptions>;

impl Options {
    /// A database by its URL: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE`. A
    /// socket's folder is given as `?host=/FOLDER`.
    ///
    /// # Errors
    ///
    /// The text is no such URL. The error does not repeat it, because of the password.
    pub fn from_url(url: &str) -> Result<Self, Failed> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Failed("the URL of the store does not begin with postgres://".into()));
        }
        let connect = PgConnectOptions::from_str(url).map_err(|_| {
            Failed("the URL of the store is none of the form postgres://USER@HOST:PORT/DATABASE".into())
        })?;
        if connect.get_database().is_none_or(str::is_empty) {
            return Err(Failed("the URL of the store names no database".into()));
        }
        Ok(Self::new(connect))
    }

    /// A database by the parts of its address.
    #[must_use]
    pub fn from_address(address: &Address) -> Self {
        let mut connect = PgConnectOptions::new_without_pgpass()
            .port(address.port)
            .database(&address.database)
            .username(&address.user);
        connect = match address.host.starts_with('/') {
            true => connect.socket(&address.host),
            false => connect.host(&address.host),
        };
        if !address.password.is_empty() {
            connect = connect.password(&address.password);
        }
        let Some(tls) = &address.tls else { return Self::new(connect.ssl_mode(PgSslMode::Disable)) };
        connect = connect.ssl_mode(match (tls.is_verified, tls.verify_host) {
            (false, _) => PgSslMode::Require,
            (true, false) => PgSslMode::VerifyCa,
            (true, true) => PgSslMode::VerifyFull,
        });
        if let Some(file) = &tls.authorities {
            connect = connect.ssl_root_cert(file);
        }
        if let Some((certificate, key)) = &tls.client {
            connect = connect.ssl_client_cert(certificate).ssl_client_key(key);
        }
        Self::new(connect)
    }

    /// The name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        self.connect.get_database().unwrap_or_default()
    }

    fn new(connect: PgConnectOptions) -> Self {
        let place = match connect.get_socket() {
            Some(folder) => format!("{}:{}", folder.display(), connect.get_port()),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let database = connect.get_database().unwrap_or_default().to_owned();
        Self::at(connect, &database, &place)
    }

    /// For reads.
    pub(crate) fn reading(&self) -> PgConnectOptions {
        let timeout = self.statement_timeout.as_millis().to_string();
        self.connect
            .clone()
            .application_name("meridian")
            .statement_cache_capacity(PREPARED)
            .options([("statement_timeout", timeout.as_str()), ("default_transaction_isolation", "read committed")])
            // Who is gone without a word holds no lock for long.
            .options([("tcp_keepalives_idle", "15"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")])
            // Every table is read by its key, whatever the planner thinks of a table that was empty a moment ago.
            .options([("enable_seqscan", "off"), ("jit", "off")])
    }

    /// For the writer.
    pub(crate) fn writing(&self) -> PgConnectOptions {
        self.reading().options([
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            // A plan for each shape of a write, made once.
            ("plan_cache_mode", "force_generic_plan"),
        ])
    }
}

/// Texts that a connection keeps prepared.
const PREPARED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: &str| {
            let shown = Options::from_url(url).map_or_else(|failed| failed.0, |options| options.to_string());
            assert_eq!(shown, expected, "{url}");
        };
        check("postgres://me:secret@db.example:6432/meridian", "database meridian at db.example:6432");
        check("postgresql://me@db/m?sslmode=verify-full&sslrootcert=/ca.pem", "database m at db:5432");
        check("postgres://me@localhost/m?host=/run/postgresql", "database m at /run/postgresql:5432");
        check("sqlite://a.db", "the URL of the store does not begin with postgres://");
        check("postgres://me:secret@db", "the URL of the store names no database");
        check(
            "postgres://me:secret@db:x/m",
            "the URL of the store is none of the form postgres://USER@HOST:PORT/DATABASE",
        );
        check(
            "postgres://db/m?sslmode=maybe",
            "the URL of the store is none of the form postgres://USER@HOST:PORT/DATABASE",
        );
    }

    #[test]
    fn the_password_is_not_shown() {
        let address = Address { host: "db".into(), password: "hunter2".into(), ..Address::default() };
        let (options, url) = (Options::from_address(&address), Options::from_url("postgres://u:hunter2@h/d").unwrap());
        for shown in [format!("{address:?}"), format!("{options:?} {options}"), format!("{url:?} {url}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
