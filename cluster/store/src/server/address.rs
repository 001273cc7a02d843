//! Where a database is, in parts.

use std::{fmt, path::PathBuf, time::Duration};

/// The parts of an address, for whoever has them apart.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Address {
    /// A host name or address, or the folder of a socket, which begins with `/`.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// Who connects.
    pub user: String,
    /// Their password; empty: none.
    pub password: String,
    /// TLS to the server; `None`: there is none.
    pub tls: Option<Tls>,
}

/// TLS to a database.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tls {
    /// Whether the server's certificate must be of an authority that is trusted; else nobody asks who the server is.
    pub is_verified: bool,
    /// Whether the certificate must also carry the server's name.
    pub verify_host: bool,
    /// Authorities that are trusted, in PEM; `None`: those of the system.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// How long it may take until a connection stands.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
