//! The store over MariaDB and MySQL. MariaDB 10.11 is what it is tested with.
//!
//! Several hosts may use one database. A group of transactions is one transaction of the database (`writer`, `script`,
//! `statement`): it begins by locking the rows of the shards that it is about, so it is decided by what is true until it
//! commits, and a host that lost a shard can write nothing, whenever its write was sent. Text rests as bytes: a text of
//! these databases is compared by the rules of a language.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, mysql::MySqlPoolOptions};
use tokio::sync::mpsc;

mod options;
pub mod schema;
mod text;
mod value;

mod look_up;
mod pool;
mod script;
mod statement;
mod trouble;
mod writer;

use self::writer::Writer;
pub use self::{options::Options, pool::Pool};
use crate::{
    Failed, Spawner,
    group::{self, Queue},
    server::{self, CONNECT_TIMEOUT, ServerStore, shared},
};

/// The store.
pub type MysqlStore = ServerStore<Pool>;

/// Open a database whose tables are prepared ([`schema::setup`]), and start its writer on `spawner`.
///
/// # Errors
///
/// The database cannot be reached, its tables are missing, of another program, or of a version that this one does not know,
/// somebody else has it for himself, or it would forget what it has committed.
pub async fn open(options: &Options, spawner: &Spawner) -> Result<MysqlStore, Failed> {
    schema::known(options, schema::inspect(options).await?)?;
    let timeout = options.statement_timeout;
    let pool = MySqlPoolOptions::new()
        .max_connections(options.max_connections.saturating_sub(1).max(1))
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(IDLE)
        .max_lifetime(options.max_lifetime)
        // One that broke says so by itself, and is replaced.
        .test_before_acquire(false)
        .after_connect(move |connection, _| Box::pin(prepare(connection, timeout)))
        .connect_lazy_with(options.connecting());
    let (jobs, queue) = mpsc::channel(group::QUEUE);
    let mut writer = Writer::new(options.clone());
    writer.open().await?;
    spawner(Box::pin(server::writer::run(writer, Queue::new(queue))));
    let pool = Pool::new(pool, options.patience());
    let life = shared::life(&pool).await.map_err(|cause| Failed(format!("{options} cannot be read: {cause}")))?;
    Ok(ServerStore::new(jobs, pool, life))
}

/// See that a connection refuses what does not fit instead of cutting it off, that a statement sees what was committed
/// before it, and that none takes for ever.
async fn prepare(connection: &mut MySqlConnection, timeout: Duration) -> Result<(), sqlx::Error> {
    let seconds = timeout.as_secs().max(1);
    let text = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = {seconds}, \
         max_sort_length = {SORTED_BYTES} /*M! , max_statement_time = {seconds} */"
    );
    connection.execute(AssertSqlSafe(text)).await?;
    connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.map(drop)
}

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// As many bytes of a text as its columns have are looked at when rows are sorted.
const SORTED_BYTES: usize = 1024;
