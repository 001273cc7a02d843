//! The store over PostgreSQL, 15 and later.
//!
//! Several hosts may use one database. Each has one writer, and everything that waits for it at one moment shares its next
//! statement, which is a transaction by itself (`writer`, `script`, `statement`). The statement does nothing unless every
//! shard of it is still owned under the range that it was decided under, so what the writer remembers of workflows is true
//! for as long as its writes are carried out.

use std::time::Duration;

use sqlx::{Executor as _, PgConnection, postgres::PgPoolOptions};
use tokio::sync::mpsc;

mod options;
pub mod schema;
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
pub type PostgresStore = ServerStore<Pool>;

/// Open a database whose tables are prepared ([`schema::setup`]), and start its writer on `spawner`.
///
/// # Errors
///
/// The database cannot be reached, its tables are missing, of another program, or of a version that this one does not know,
/// or somebody else has it for himself.
pub async fn open(options: &Options, spawner: &Spawner) -> Result<PostgresStore, Failed> {
    schema::known(options, schema::inspect(options).await?)?;
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections.saturating_sub(1).max(1))
        .acquire_timeout(CONNECT_TIMEOUT)
        .idle_timeout(IDLE)
        .max_lifetime(options.max_lifetime)
        // One that broke says so by itself, and is replaced.
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(prepare(connection)))
        .connect_lazy_with(options.reading());
    let (jobs, queue) = mpsc::channel(group::QUEUE);
    let mut writer = Writer::new(options.clone());
    writer.open().await?;
    spawner(Box::pin(server::writer::run(writer, Queue::new(queue))));
    let pool = Pool::new(pool, options.patience());
    let life = shared::life(&pool).await.map_err(|cause| Failed(format!("{options} cannot be read: {cause}")))?;
    Ok(ServerStore::new(jobs, pool, life))
}

/// See that a commit on this connection is durable before it is answered, whatever the database does for others.
async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let text =
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";
    connection.execute(text).await.map(drop)
}

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);
