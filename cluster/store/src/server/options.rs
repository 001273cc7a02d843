//! How a database of a server is used, whatever server it is.

use std::{fmt, time::Duration};

/// A database of a server, and how it is used. `C`: how its driver connects.
#[derive(Clone)]
pub struct Options<C> {
    pub(crate) connect: C,
    /// What people are told of it: everything but the password.
    shown: String,
    /// Connections of this process at most; one of them writes. At least 2.
    pub max_connections: u32,
    /// How old a connection becomes; `None`: as old as it can.
    pub max_lifetime: Option<Duration>,
    /// How long the server may work at one statement before it gives up.
    pub statement_timeout: Duration,
    /// Whether nobody else may have the database open in this way. Hosts that share shards do not ask for this.
    pub exclusive: bool,
}

impl<C> Options<C> {
    /// A database of this name at a place, as nothing else is said.
    pub(crate) fn at(connect: C, database: &str, place: &str) -> Self {
        Self {
            connect,
            shown: format!("database {database} at {place}"),
            max_connections: MAX_CONNECTIONS,
            max_lifetime: None,
            statement_timeout: STATEMENT_TIMEOUT,
            exclusive: false,
        }
    }

    /// How long an answer is waited for: somewhat longer than the server may work at it, so that a server that lives says
    /// itself that it gave up.
    pub(crate) fn patience(&self) -> Duration {
        self.statement_timeout + GRACE
    }
}

impl<C> fmt::Display for Options<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl<C> fmt::Debug for Options<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Options").field(&self.shown).finish()
    }
}

/// As Temporal's samples have it.
const MAX_CONNECTIONS: u32 = 20;

/// Longer than any statement of ours takes on a database that is well.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// What an answer may take on its way, see [`Options::patience`].
const GRACE: Duration = Duration::from_secs(5);
