//! Whether a file is ours, and of which age.
//!
//! SQLite keeps two numbers for its users in the header of every file: `application_id` says whose file it is and
//! `user_version` how old its tables are. A file is only written to after both were read.

use std::path::Path;

use sqlx::{Connection as _, Executor as _, Row as _, SqliteConnection};

use crate::Failed;

/// Whose file it is: "Mrdn" in ASCII.
pub(crate) const APPLICATION: i32 = 0x4d72_646e;

/// Version of the tables of this program.
pub(crate) const VERSION: i32 = STEPS.len() as i32;

/// The step from each version to the next. What is in a column: the module of its table.
pub(crate) const STEPS: [&str; 2] = [TABLES, MEMBERS];

const TABLES: &str = "
CREATE TABLE shard (id INTEGER PRIMARY KEY, range INTEGER NOT NULL, state BLOB NOT NULL);
CREATE TABLE name (
    namespace BLOB NOT NULL, workflow TEXT NOT NULL, run BLOB NOT NULL, row INTEGER NOT NULL,
    PRIMARY KEY (namespace, workflow, run)) WITHOUT ROWID;
CREATE TABLE run (
    row INTEGER PRIMARY KEY, id BLOB NOT NULL, record INTEGER NOT NULL, closed INTEGER, started INTEGER,
    state BLOB NOT NULL);
CREATE TABLE start (row INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL);
CREATE TABLE item (
    row INTEGER NOT NULL, kind INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (row, kind, key)) WITHOUT ROWID;
CREATE TABLE node (seq INTEGER PRIMARY KEY, next INTEGER NOT NULL, previous INTEGER NOT NULL, events BLOB NOT NULL);
CREATE TABLE node_at (
    tree INTEGER NOT NULL, branch BLOB NOT NULL, node INTEGER NOT NULL, txn INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (tree, branch, node, txn)) WITHOUT ROWID;
CREATE TABLE dropped (
    tree INTEGER NOT NULL, branch BLOB NOT NULL, PRIMARY KEY (tree, branch)) WITHOUT ROWID;
CREATE TABLE task (
    shard INTEGER NOT NULL, category INTEGER NOT NULL, fire_time INTEGER NOT NULL, id INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (shard, category, fire_time, id)) WITHOUT ROWID;
CREATE TABLE visibility (
    namespace BLOB NOT NULL, closed INTEGER NOT NULL, started INTEGER NOT NULL, run BLOB NOT NULL,
    workflow TEXT NOT NULL, type TEXT NOT NULL, queue TEXT NOT NULL, status INTEGER NOT NULL,
    execution INTEGER NOT NULL, length INTEGER, size INTEGER, transitions INTEGER,
    parent_workflow TEXT, parent_run TEXT, root_workflow TEXT, root_run TEXT,
    memo BLOB NOT NULL, search BLOB NOT NULL,
    PRIMARY KEY (namespace, closed, started, run)) WITHOUT ROWID;
CREATE TABLE namespace (id BLOB PRIMARY KEY, notification INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE message (id INTEGER PRIMARY KEY, message BLOB NOT NULL);
CREATE TABLE message_ack (cluster TEXT PRIMARY KEY, id INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE cluster (name TEXT PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (counter INTEGER PRIMARY KEY, value ANY NOT NULL);
";

const MEMBERS: &str = "
CREATE TABLE member (id BLOB PRIMARY KEY, heartbeat INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID;
";

/// What stands in a file that was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// Nothing: it may become ours.
    Empty,
    /// Our tables, of this version, which we know.
    Ours(i32),
}

/// Look at a file without changing it.
pub(crate) async fn inspect(connection: &mut SqliteConnection, path: &Path) -> Result<Found, Failed> {
    let path = path.display();
    let look = "SELECT (SELECT application_id FROM pragma_application_id()), \
                (SELECT user_version FROM pragma_user_version()), (SELECT count(*) FROM sqlite_schema)";
    let row = connection.fetch_one(look).await.map_err(|error| match &error {
        sqlx::Error::Database(cause) if cause.code().as_deref() == Some("26") => {
            Failed(format!("{path} is not a database: it holds something else"))
        }
        _ => Failed(format!("{path} cannot be read: {error}")),
    })?;
    let numbers = (row.try_get::<i32, _>(0), row.try_get::<i32, _>(1), row.try_get::<i64, _>(2));
    let (Ok(application), Ok(version), Ok(tables)) = numbers else {
        return Err(Failed(format!("{path} cannot be read: its header holds no numbers")));
    };
    match (application, version, tables) {
        (0, 0, 0) => Ok(Found::Empty),
        (APPLICATION, version, _) if version > VERSION => Err(Failed(format!(
            "{path} has schema version {version} and this program knows versions up to {VERSION}: \
             it was written by a newer release, use that one or a newer"
        ))),
        (APPLICATION, version, _) if version >= 1 => Ok(Found::Ours(version)),
        _ => Err(Failed(format!("{path} is a database of another program (its application id is {application})"))),
    }
}

/// Bring the tables to [`VERSION`], all steps in one transaction.
pub(crate) async fn migrate(connection: &mut SqliteConnection, found: Found, path: &Path) -> Result<(), Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{} cannot be prepared: {error}", path.display()));
    // What was inspected is not newer.
    let from = match found {
        Found::Ours(VERSION) => return Ok(()),
        Found::Ours(older) => older,
        Found::Empty => 0,
    };
    let mut transaction = connection.begin().await.map_err(failed)?;
    for (_, step) in (0..).zip(STEPS).skip_while(|(version, _)| *version < from) {
        transaction.execute(step).await.map_err(failed)?;
    }
    let marks = format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}");
    transaction.execute(sqlx::AssertSqlSafe(marks)).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}
