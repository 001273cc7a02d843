//! The connections beside the writer.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool, Postgres, postgres::PgRow};
use tokio::time::timeout;

use super::{
    trouble::{patiently, silent, unwritten, written},
    value::arguments,
};
use crate::{
    Unavailable,
    group::{Trouble, TroubleKind},
    select::{Dialect, Statement},
    server::{Connection, Database},
    table::{Malformed, Values},
};

/// Connections for reads, and for what shards share.
#[derive(Clone, Debug)]
pub struct Pool {
    pool: PgPool,
    patience: Duration,
}

/// A transaction on one of them.
pub(crate) struct Changing {
    transaction: sqlx::Transaction<'static, Postgres>,
    patience: Duration,
}

impl Pool {
    pub(crate) fn new(pool: PgPool, patience: Duration) -> Self {
        Self { pool, patience }
    }
}

impl Database for Pool {
    type Connection = Changing;
    type Row = PgRow;

    const DIALECT: &'static Dialect = &DIALECT;

    // A server that took over from another one, or was brought back to an earlier moment, writes another timeline.
    const PLACE: &'static str = "SELECT ('x' || substr(md5(concat_ws('/', c.system_identifier, \
        left(pg_walfile_name(pg_current_wal_lsn()), 8), d.oid)), 1, 15))::bit(60)::bigint \
        FROM pg_control_system() AS c, pg_database AS d WHERE d.datname = current_database()";

    async fn ask<T: Send>(
        &self,
        text: &'static str,
        values: Values,
        read: impl Fn(&PgRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Unavailable> {
        patiently(self.patience, async {
            let rows = sqlx::query_with(text, arguments(values)).fetch_all(&self.pool).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    async fn filtered<T: Send>(
        &self,
        statement: Statement,
        read: impl Fn(&PgRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Unavailable> {
        patiently(self.patience, async {
            let query = sqlx::query_with(AssertSqlSafe(statement.text), arguments(statement.values)).persistent(false);
            query.fetch_all(&self.pool).await?.iter().map(read).collect()
        })
        .await
    }

    async fn begin(&self) -> Result<Changing, Trouble> {
        let transaction = before(self.patience, self.pool.begin()).await?;
        Ok(Changing { transaction, patience: self.patience })
    }

    async fn close(&self) {
        let _ = timeout(self.patience, self.pool.close()).await;
    }
}

impl Connection for Changing {
    type Row = PgRow;

    async fn ask<T: Send>(
        &mut self,
        text: &'static str,
        values: Values,
        read: impl Fn(&PgRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Trouble> {
        let rows = sqlx::query_with(text, arguments(values)).fetch_all(&mut *self.transaction);
        let rows = before(self.patience, rows).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| unwritten(&error))
    }

    async fn execute(&mut self, text: &'static str, values: Values) -> Result<u64, Trouble> {
        let done = sqlx::query_with(text, arguments(values)).execute(&mut *self.transaction);
        Ok(before(self.patience, done).await?.rows_affected())
    }

    async fn commit(self) -> Result<(), Trouble> {
        match timeout(self.patience, self.transaction.commit()).await {
            Ok(committed) => committed.map_err(|error| written(&error)),
            Err(_) => Err(silent(TroubleKind::Unknown)),
        }
    }

    async fn roll_back(self) {
        let _ = timeout(self.patience, self.transaction.rollback()).await;
    }
}

/// Wait for something before the commit.
async fn before<T>(patience: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Trouble> {
    match timeout(patience, work).await {
        Ok(done) => done.map_err(|error| unwritten(&error)),
        Err(_) => Err(silent(TroubleKind::World)),
    }
}

const DIALECT: Dialect = Dialect {
    numbered: true,
    join: "JOIN",
    run_id: "convert_to(substr(encode(v.run, 'hex'), 1, 8) || '-' || substr(encode(v.run, 'hex'), 9, 4) || '-' \
             || substr(encode(v.run, 'hex'), 13, 4) || '-' || substr(encode(v.run, 'hex'), 17, 4) || '-' \
             || substr(encode(v.run, 'hex'), 21), 'UTF8')",
};
