//! Where a database is, and how it is used.

use std::str::FromStr as _;

use sqlx::{
    ConnectOptions as _,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};

use crate::{
    Failed,
    server::{self, Address},
};

/// A database of a MariaDB or MySQL server, and how it is used.
pub type Options = server::Options<MySqlConnectOptions>;

impl Options {
    /// A database by its URL: `mysql://USER:PASSWORD@HOST:PORT/DATABASE?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE`. A socket is
    /// given as `?socket=/FILE`.
    ///
    /// # Errors
    ///
    /// The text is no such URL. The error does not repeat it, because of the password.
    pub fn from_url(url: &str) -> Result<Self, Failed> {
        if !["mysql://", "mariadb://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Failed("the URL of the store does not begin with mysql://".into()));
        }
        let connect = MySqlConnectOptions::from_str(url)
            .map_err(|_| Failed("the URL of the store is none of the form mysql://USER@HOST:PORT/DATABASE".into()))?;
        if connect.get_database().is_none_or(str::is_empty) {
            return Err(Failed("the URL of the store names no database".into()));
        }
        Ok(Self::new(connect))
    }

    /// A database by the parts of its address.
    #[must_use]
    pub fn from_address(address: &Address) -> Self {
        let mut connect =
            MySqlConnectOptions::new().port(address.port).database(&address.database).username(&address.user);
        connect = match address.host.starts_with('/') {
            true => connect.socket(&address.host),
            false => connect.host(&address.host),
        };
        if !address.password.is_empty() {
            connect = connect.password(&address.password);
        }
        let Some(tls) = &address.tls else { return Self::new(connect.ssl_mode(MySqlSslMode::Disabled)) };
        connect = connect.ssl_mode(match (tls.is_verified, tls.verify_host) {
            (false, _) => MySqlSslMode::Required,
            (true, false) => MySqlSslMode::VerifyCa,
            (true, true) => MySqlSslMode::VerifyIdentity,
        });
        if let Some(file) = &tls.authorities {
            connect = connect.ssl_ca(file);
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

    fn new(connect: MySqlConnectOptions) -> Self {
        let place = match connect.get_socket() {
            Some(file) => file.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let database = connect.get_database().unwrap_or_default().to_owned();
        Self::at(connect, &database, &place)
    }

    /// How a connection is made.
    pub(crate) fn connecting(&self) -> MySqlConnectOptions {
        self.connect.clone().statement_cache_capacity(PREPARED).disable_statement_logging()
    }
}

/// Texts that a connection keeps prepared: those of all tables with the numbers of rows that there are.
const PREPARED: usize = 384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: &str| {
            let shown = Options::from_url(url).map_or_else(|failed| failed.0, |options| options.to_string());
            assert_eq!(shown, expected, "{url}");
        };
        check("mysql://me:secret@db.example:6432/meridian", "database meridian at db.example:6432");
        check("mariadb://me@db/m?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca.pem", "database m at db:3306");
        check("mysql://me@localhost/m?socket=/run/mysqld/mysqld.sock", "database m at /run/mysqld/mysqld.sock");
        check("sqlite://a.db", "the URL of the store does not begin with mysql://");
        check("mysql://me:secret@db", "the URL of the store names no database");
        check("mysql://me:secret@db:x/m", "the URL of the store is none of the form mysql://USER@HOST:PORT/DATABASE");
    }

    #[test]
    fn the_password_is_not_shown() {
        let address = Address { host: "db".into(), password: "hunter2".into(), ..Address::default() };
        let (options, url) = (Options::from_address(&address), Options::from_url("mysql://u:hunter2@h/d").unwrap());
        for shown in [format!("{options:?} {options}"), format!("{url:?} {url}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
