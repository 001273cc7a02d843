//! What MariaDB says when something fails, and what that means for a write.

use std::{future::Future, time::Duration};

use sqlx::{
    ConnectOptions as _, MySqlConnection,
    mysql::{MySqlConnectOptions, MySqlDatabaseError},
};
use tokio::time::timeout;

use crate::{
    Unavailable,
    group::{Trouble, TroubleKind},
    server::CONNECT_TIMEOUT,
};

/// Connect, or say why not.
pub(crate) async fn connect(options: &MySqlConnectOptions) -> Result<MySqlConnection, String> {
    match timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(|error| text(&error)),
        Err(_) => Err(format!("no connection stands after {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

/// Something failed before the commit, so nothing was written.
pub(crate) fn unwritten(error: &sqlx::Error) -> Trouble {
    let kind = match said(error) {
        // What does not fit into a column or a packet, and broken rules of a table.
        Some(cause) if cause.number() == TOO_LARGE || is_about_rows(cause) => TroubleKind::Rows,
        _ => TroubleKind::World,
    };
    Trouble { text: unavailable(error).0, kind, reconnect: is_lost(error) }
}

/// A commit failed. When nobody answered, it may have been under way.
pub(crate) fn uncommitted(error: &sqlx::Error) -> Trouble {
    let kind = if said(error).is_some() { TroubleKind::World } else { TroubleKind::Unknown };
    Trouble { text: unavailable(error).0, kind, reconnect: true }
}

/// Nobody answered for too long.
pub(crate) fn silent(kind: TroubleKind) -> Trouble {
    Trouble { text: "the database does not answer in time".into(), kind, reconnect: true }
}

/// Wait for something before the commit, for so long and no longer. A connection on which an answer is still to come is of
/// no use.
pub(crate) async fn before<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Trouble> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(|error| unwritten(&error)),
        Err(_) => Err(silent(TroubleKind::World)),
    }
}

/// Say that something failed.
pub(crate) fn unavailable(error: &sqlx::Error) -> Unavailable {
    let text = match said(error).map(MySqlDatabaseError::number) {
        Some(1021 | 1041 | 1114) => format!("the database has no room: {}", text(error)),
        Some(1040 | 1053 | 1205 | 1213 | 1317 | 1927 | 1969 | 3024) => {
            format!("the database is stopping or too busy: {}", text(error))
        }
        Some(1290 | 1792 | 1836) => format!("the database cannot be written to: {}", text(error)),
        _ => format!("the database does not answer: {}", text(error)),
    };
    Unavailable(text)
}

/// What the server or the connection says, in one line, without what we said.
pub(crate) fn text(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(cause) => cause.message().to_owned(),
        sqlx::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// What the server said, if it was the server.
fn said(error: &sqlx::Error) -> Option<&MySqlDatabaseError> {
    match error {
        sqlx::Error::Database(cause) => cause.try_downcast_ref::<MySqlDatabaseError>(),
        _ => None,
    }
}

/// Whether values are bad or break a rule of a table.
fn is_about_rows(cause: &MySqlDatabaseError) -> bool {
    cause.code().is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

/// Whether the connection is of no use any more: broken, told to go, or to a server that may only be read.
fn is_lost(error: &sqlx::Error) -> bool {
    match said(error) {
        Some(cause) => matches!(cause.number(), 1053 | TOO_LARGE | 1290 | 1792 | 1836 | 1927),
        None => !matches!(error, sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. }),
    }
}

/// A packet is larger than the server takes.
const TOO_LARGE: u16 = 1153;
