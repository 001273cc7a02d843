//! Whether a database is ours, and of which age; and how it becomes ours.
//!
//! A server never changes tables: an operator does, before it is started, so that several hosts never disagree about who
//! does, and so that a server needs no rights to. One table says whose database it is and how old its tables are.

use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    options::Options,
    trouble::{self, text},
};
pub use crate::server::schema::Found;
use crate::{Failed, server::schema, table::Columns as _};

/// Version of the tables of this program.
pub const VERSION: i64 = STEPS.len() as i64;

/// The step from each version to the next. What is in a column: the module of its table.
const STEPS: [&str; 3] = [TABLES, MEMBERS, LIVES];

/// The rows of `shard` and `run` change in place, and room in their pages keeps the indexes out of it.
const TABLES: &str = "
CREATE TABLE meridian_schema (single BOOLEAN PRIMARY KEY DEFAULT true CHECK (single), version BIGINT NOT NULL);
CREATE TABLE shard (id BIGINT PRIMARY KEY, range BIGINT NOT NULL, state BYTEA NOT NULL) WITH (fillfactor = 20);
CREATE TABLE name (
    namespace BYTEA NOT NULL, workflow BYTEA NOT NULL, run BYTEA NOT NULL, row BIGINT NOT NULL,
    PRIMARY KEY (namespace, workflow, run));
CREATE SEQUENCE row_number INCREMENT BY 65536;
CREATE TABLE run (
    row BIGINT PRIMARY KEY, id BYTEA NOT NULL, record BIGINT NOT NULL, closed BIGINT, started BIGINT,
    state BYTEA NOT NULL) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE start (row BIGINT PRIMARY KEY, key BYTEA NOT NULL, value BYTEA NOT NULL);
CREATE TABLE item (
    row BIGINT NOT NULL, kind BIGINT NOT NULL, key BYTEA NOT NULL, value BYTEA NOT NULL,
    PRIMARY KEY (row, kind, key)) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE node (
    tree BIGINT NOT NULL, branch BYTEA NOT NULL, node BIGINT NOT NULL, txn BIGINT NOT NULL,
    next BIGINT NOT NULL, previous BIGINT NOT NULL, events BYTEA NOT NULL,
    PRIMARY KEY (tree, branch, node, txn));
CREATE TABLE dropped (tree BIGINT NOT NULL, branch BYTEA NOT NULL, PRIMARY KEY (tree, branch));
CREATE TABLE task (
    shard BIGINT NOT NULL, category BIGINT NOT NULL, fire_time BIGINT NOT NULL, id BIGINT NOT NULL,
    body BYTEA NOT NULL, PRIMARY KEY (shard, category, fire_time, id)) WITH (autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE visibility (
    namespace BYTEA NOT NULL, closed BIGINT NOT NULL, started BIGINT NOT NULL, run BYTEA NOT NULL,
    workflow BYTEA NOT NULL, type BYTEA NOT NULL, queue BYTEA NOT NULL, status BIGINT NOT NULL,
    execution BIGINT NOT NULL, length BIGINT, size BIGINT, transitions BIGINT,
    parent_workflow BYTEA, parent_run BYTEA, root_workflow BYTEA, root_run BYTEA,
    memo BYTEA NOT NULL, search BYTEA NOT NULL,
    PRIMARY KEY (namespace, closed, started, run));
CREATE TABLE namespace (id BYTEA PRIMARY KEY, notification BIGINT NOT NULL, record BYTEA NOT NULL);
CREATE TABLE message (id BIGINT PRIMARY KEY, message BYTEA NOT NULL);
CREATE TABLE message_ack (cluster BYTEA PRIMARY KEY, id BIGINT NOT NULL);
CREATE TABLE cluster (name BYTEA PRIMARY KEY, version BIGINT NOT NULL, record BYTEA NOT NULL);
CREATE TABLE counter (counter BIGINT PRIMARY KEY, value BIGINT NOT NULL);
CREATE TABLE identity (single BOOLEAN PRIMARY KEY DEFAULT true CHECK (single), id BYTEA NOT NULL);
INSERT INTO counter VALUES (1, 0), (2, -1), (3, 0);
INSERT INTO meridian_schema (version) VALUES (1);
";

const MEMBERS: &str = "
CREATE TABLE member (id BYTEA PRIMARY KEY, heartbeat BIGINT NOT NULL, record BYTEA NOT NULL);
UPDATE meridian_schema SET version = 2;
";

const LIVES: &str = "
INSERT INTO counter VALUES (5, 1), (6, 0);
UPDATE meridian_schema SET version = 3;
";

/// Look at a database without changing it.
///
/// # Errors
///
/// It cannot be reached or read.
pub async fn inspect(options: &Options) -> Result<Found, Failed> {
    let mut connection = connect(options).await?;
    let found = look(&mut connection, options).await;
    let _ = connection.close().await;
    found
}

/// Make the tables in an empty database, or leave ours as they are. Answers their version.
///
/// # Errors
///
/// It cannot be reached or changed, or it is not ours, or of another version.
pub async fn setup(options: &Options) -> Result<i64, Failed> {
    change(options, |found| match found {
        Found::Empty => Ok(0),
        found => known(options, found),
    })
    .await
}

/// Bring our tables to [`VERSION`]. Answers the version they have then.
///
/// # Errors
///
/// It cannot be reached or changed, it is not ours, or it has no tables yet.
pub async fn update(options: &Options) -> Result<i64, Failed> {
    change(options, |found| match found {
        Found::Ours(version @ 1..VERSION) => Ok(version),
        found => known(options, found),
    })
    .await
}

/// The database was brought back from a backup: count another life. Answers its number.
///
/// # Errors
///
/// It cannot be reached or changed, or has no tables of this version.
pub async fn restored(options: &Options) -> Result<i64, Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{options} cannot be changed: {}", text(&error)));
    let mut connection = connect(options).await?;
    known(options, look(&mut connection, options).await?)?;
    let count = sqlx::query("UPDATE counter SET value = value + 1 WHERE counter = 5 RETURNING value");
    let life = count.fetch_one(&mut connection).await.and_then(|row| row.integer(0)).map_err(failed)?;
    let _ = connection.close().await;
    Ok(life.unwrap_or_default())
}

/// The version of tables that this program can work with, or why it cannot.
pub(crate) fn known(options: &Options, found: Found) -> Result<i64, Failed> {
    schema::known(options, found, VERSION)
}

/// Take the steps from the version that `from` makes of what is found.
async fn change(options: &Options, from: impl FnOnce(Found) -> Result<i64, Failed>) -> Result<i64, Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{options} cannot be prepared: {}", text(&error)));
    let mut connection = connect(options).await?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    // Who else prepares it waits here, and then finds it prepared.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await.map_err(failed)?;
    let from = from(look(&mut transaction, options).await?)?;
    for (_, step) in (0..).zip(STEPS).skip_while(|(version, _)| *version < from) {
        transaction.execute(step).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    let _ = connection.close().await;
    Ok(VERSION)
}

/// Look at a database on a connection.
pub(crate) async fn look(connection: &mut PgConnection, options: &Options) -> Result<Found, Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{options} cannot be read: {}", text(&error)));
    let look = "SELECT CAST(to_regclass('meridian_schema') IS NOT NULL AS INT)::BIGINT, \
                (SELECT count(*) FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') \
                 AND c.relnamespace = to_regnamespace(current_schema()::text))";
    let row = sqlx::query(look).fetch_one(&mut *connection).await.map_err(failed)?;
    let (ours, tables) = (row.integer(0).map_err(failed)?, row.integer(1).map_err(failed)?);
    if ours != Some(1) {
        return Ok(if tables == Some(0) { Found::Empty } else { Found::Foreign });
    }
    let row = sqlx::query("SELECT version FROM meridian_schema").fetch_optional(connection).await.map_err(failed)?;
    let version = row.map(|row| row.integer(0)).transpose().map_err(failed)?;
    Ok(version.flatten().map_or(Found::Foreign, Found::Ours))
}

async fn connect(options: &Options) -> Result<PgConnection, Failed> {
    let connected = trouble::connect(&options.reading()).await;
    connected.map_err(|error| Failed(format!("{options} cannot be opened: {error}")))
}

/// Whoever changes the tables holds this: "Mrdn" in ASCII.
const LOCK: i64 = 0x4d72_646e;
