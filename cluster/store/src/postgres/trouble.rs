//! What PostgreSQL says when something fails, and what that means for a write.

use std::{future::Future, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{
    Unavailable,
    group::{Trouble, TroubleKind},
    server::CONNECT_TIMEOUT,
};

/// Connect, or say why not.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, String> {
    match timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(|error| text(&error)),
        Err(_) => Err(format!("no connection stands after {} s", CONNECT_TIMEOUT.as_secs())),
    }
}

/// A read failed, so nothing was written.
pub(crate) fn unwritten(error: &sqlx::Error) -> Trouble {
    Trouble { text: unavailable(error).0, kind: TroubleKind::World, reconnect: is_lost(error) }
}

/// A statement that writes and commits by itself failed.
pub(crate) fn written(error: &sqlx::Error) -> Trouble {
    let kind = match class(error).as_deref() {
        // The server answered, so it rolled back: bad values, broken rules of a table, limits.
        Some("22" | "23" | "54") => TroubleKind::Rows,
        Some(_) => TroubleKind::World,
        // Nobody answered. The commit may have been under way.
        None => TroubleKind::Unknown,
    };
    Trouble { text: unavailable(error).0, kind, reconnect: is_lost(error) }
}

/// Nobody answered a statement for too long.
pub(crate) fn silent(kind: TroubleKind) -> Trouble {
    Trouble { text: "the database does not answer in time".into(), kind, reconnect: true }
}

/// Wait for an answer for so long and no longer. A connection on which an answer is still to come is of no use.
pub(crate) async fn patiently<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Unavailable> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(|error| unavailable(&error)),
        Err(_) => Err(Unavailable("the database does not answer in time".into())),
    }
}

/// Say that something failed.
pub(crate) fn unavailable(error: &sqlx::Error) -> Unavailable {
    let text = match class(error).as_deref() {
        Some("53") => format!("the database has no room: {}", text(error)),
        Some("57") => format!("the database is stopping or too busy: {}", text(error)),
        Some("25") => format!("the database cannot be written to: {}", text(error)),
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

/// The first two signs of the code, which are the kind of the error.
fn class(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Database(cause) => Some(cause.code().unwrap_or_default().chars().take(2).collect()),
        _ => None,
    }
}

/// Whether the connection is of no use any more: broken, told to go, or to a server that may only be read.
fn is_lost(error: &sqlx::Error) -> bool {
    !matches!(error, sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. })
        && matches!(class(error).as_deref(), None | Some("08" | "25" | "57"))
}
