//! Whether a database is ours, and of which age; and how it becomes ours.
//!
//! A server never changes tables: an operator does, before it is started. These databases cannot make tables in a
//! transaction, so the table that says whose database it is comes first and says version 0 until the others are there;
//! whoever is interrupted begins again.

use sqlx::{Connection as _, Executor as _, MySqlConnection};

use super::{
    options::Options,
    trouble::{self, text},
};
pub use crate::server::schema::Found;
use crate::{Failed, server::schema, table::Columns as _};

/// Version of the tables of this program.
pub const VERSION: i64 = STEPS.len() as i64;

/// The step from each version to the next, from 0 on. What is in a column: the module of its table. Each may be taken again.
const STEPS: [&str; 2] = [TABLES, LIVES];

/// Ids of workflows have a thousand bytes at most.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS shard (id BIGINT PRIMARY KEY, `range` BIGINT NOT NULL, state LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS name (
    namespace BINARY(16) NOT NULL, workflow VARBINARY(1024) NOT NULL, run VARBINARY(16) NOT NULL, `row` BIGINT NOT NULL,
    PRIMARY KEY (namespace, workflow, run)) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS drawn (single BOOLEAN PRIMARY KEY, last BIGINT NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS run (
    `row` BIGINT PRIMARY KEY, id BINARY(16) NOT NULL, record BIGINT NOT NULL, closed BIGINT, started BIGINT,
    state LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS start (
    `row` BIGINT PRIMARY KEY, `key` VARBINARY(2048) NOT NULL, value LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS item (
    `row` BIGINT NOT NULL, kind BIGINT NOT NULL, `key` VARBINARY(2048) NOT NULL, value LONGBLOB NOT NULL,
    PRIMARY KEY (`row`, kind, `key`)) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS node (
    tree BIGINT NOT NULL, branch BINARY(16) NOT NULL, node BIGINT NOT NULL, txn BIGINT NOT NULL,
    next BIGINT NOT NULL, previous BIGINT NOT NULL, events LONGBLOB NOT NULL,
    PRIMARY KEY (tree, branch, node, txn)) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS dropped (
    tree BIGINT NOT NULL, branch BINARY(16) NOT NULL, PRIMARY KEY (tree, branch)) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS task (
    shard BIGINT NOT NULL, category BIGINT NOT NULL, fire_time BIGINT NOT NULL, id BIGINT NOT NULL,
    body LONGBLOB NOT NULL, PRIMARY KEY (shard, category, fire_time, id)) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS visibility (
    namespace BINARY(16) NOT NULL, closed BIGINT NOT NULL, started BIGINT NOT NULL, run BINARY(16) NOT NULL,
    workflow VARBINARY(1024) NOT NULL, type VARBINARY(1024) NOT NULL, queue VARBINARY(1024) NOT NULL,
    status BIGINT NOT NULL, execution BIGINT NOT NULL, length BIGINT, size BIGINT, transitions BIGINT,
    parent_workflow VARBINARY(1024), parent_run VARBINARY(1024), root_workflow VARBINARY(1024),
    root_run VARBINARY(1024), memo LONGBLOB NOT NULL, search LONGBLOB NOT NULL,
    PRIMARY KEY (namespace, closed, started, run)) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS namespace (
    id BINARY(16) PRIMARY KEY, notification BIGINT NOT NULL, record LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS message (id BIGINT PRIMARY KEY, message LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS message_ack (cluster VARBINARY(1024) PRIMARY KEY, id BIGINT NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS cluster (
    name VARBINARY(1024) PRIMARY KEY, version BIGINT NOT NULL, record LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS member (
    id BINARY(16) PRIMARY KEY, heartbeat BIGINT NOT NULL, record LONGBLOB NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS counter (counter BIGINT PRIMARY KEY, value BIGINT NOT NULL) ENGINE = InnoDB;
CREATE TABLE IF NOT EXISTS identity (id BINARY(16) PRIMARY KEY) ENGINE = InnoDB;
INSERT IGNORE INTO counter VALUES (1, 0), (2, -1), (3, 0);
INSERT IGNORE INTO drawn VALUES (1, 0);
UPDATE meridian_schema SET version = 1;
";

const LIVES: &str = "
INSERT IGNORE INTO counter VALUES (5, 1), (6, 0);
UPDATE meridian_schema SET version = 2;
";

const MARK: &str = "
CREATE TABLE IF NOT EXISTS meridian_schema (single BOOLEAN PRIMARY KEY, version BIGINT NOT NULL) ENGINE = InnoDB;
INSERT IGNORE INTO meridian_schema VALUES (1, 0);
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
        Found::Empty | Found::Ours(0) => Ok(0),
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
        Found::Ours(version) if (1..VERSION).contains(&version) => Ok(version),
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
    connection.execute("UPDATE counter SET value = value + 1 WHERE counter = 5").await.map_err(failed)?;
    let read = sqlx::query("SELECT value FROM counter WHERE counter = 5");
    let life = read.fetch_one(&mut connection).await.and_then(|row| row.integer(0)).map_err(failed)?;
    let _ = connection.close().await;
    Ok(life.unwrap_or_default())
}

/// The version of tables that this program can work with, or why it cannot.
pub(crate) fn known(options: &Options, found: Found) -> Result<i64, Failed> {
    match found {
        Found::Ours(0) => Err(Failed(format!(
            "{options} is prepared in part, because somebody was interrupted: run meridian schema setup --store URL again"
        ))),
        found => schema::known(options, found, VERSION),
    }
}

/// Take the steps from the version that `from` makes of what is found.
async fn change(options: &Options, from: impl FnOnce(Found) -> Result<i64, Failed>) -> Result<i64, Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{options} cannot be prepared: {}", text(&error)));
    let mut connection = connect(options).await?;
    // Who else prepares it waits here, and then finds it prepared. The lock goes with the connection.
    let lock = sqlx::query("SELECT CAST(GET_LOCK(CONCAT('meridian schema ', MD5(DATABASE())), 60) AS SIGNED)");
    let locked = lock.fetch_one(&mut connection).await.and_then(|row| row.integer(0)).map_err(failed)?;
    if locked != Some(1) {
        return Err(Failed(format!("{options} cannot be prepared: somebody else prepares it for a minute already")));
    }
    let from = from(look(&mut connection, options).await?)?;
    let steps: Vec<&str> = (0..).zip(STEPS).skip_while(|(version, _)| *version < from).map(|(_, step)| step).collect();
    if from == 0 {
        connection.execute(MARK).await.map_err(failed)?;
    }
    for step in steps {
        connection.execute(step).await.map_err(failed)?;
    }
    let _ = connection.close().await;
    Ok(VERSION)
}

/// Look at a database on a connection.
pub(crate) async fn look(connection: &mut MySqlConnection, options: &Options) -> Result<Found, Failed> {
    let failed = |error: sqlx::Error| Failed(format!("{options} cannot be read: {}", text(&error)));
    let look = "SELECT count(*), count(CASE WHEN table_name = 'meridian_schema' THEN 1 END) \
                FROM information_schema.tables WHERE table_schema = DATABASE()";
    let row = sqlx::query(look).fetch_one(&mut *connection).await.map_err(failed)?;
    let (tables, ours) = (row.integer(0).map_err(failed)?, row.integer(1).map_err(failed)?);
    if ours != Some(1) {
        return Ok(if tables == Some(0) { Found::Empty } else { Found::Foreign });
    }
    let row = sqlx::query("SELECT version FROM meridian_schema").fetch_optional(connection).await.map_err(failed)?;
    let version = row.map(|row| row.integer(0)).transpose().map_err(failed)?;
    Ok(version.flatten().map_or(Found::Ours(0), Found::Ours))
}

async fn connect(options: &Options) -> Result<MySqlConnection, Failed> {
    let connected = trouble::connect(&options.connecting()).await;
    connected.map_err(|error| Failed(format!("{options} cannot be opened: {error}")))
}
