//! The connections beside the writer.

use std::time::Duration;

use sqlx::{AssertSqlSafe, MySql, MySqlPool, mysql::MySqlRow};
use tokio::time::timeout;

use super::{
    text::translate,
    trouble::{before, silent, uncommitted, unwritten},
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
    pool: MySqlPool,
    patience: Duration,
}

/// A transaction on one of them.
pub(crate) struct Changing {
    transaction: sqlx::Transaction<'static, MySql>,
    patience: Duration,
}

impl Pool {
    pub(crate) fn new(pool: MySqlPool, patience: Duration) -> Self {
        Self { pool, patience }
    }

    async fn fetch<T>(
        &self,
        (text, values): (String, Vec<crate::table::Value>),
        is_kept: bool,
        read: impl Fn(&MySqlRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Unavailable> {
        let query = sqlx::query_with(AssertSqlSafe(text), arguments(&values)).persistent(is_kept);
        let rows = before(self.patience, query.fetch_all(&self.pool)).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| unwritten(&error).into())
    }
}

impl Database for Pool {
    type Connection = Changing;
    type Row = MySqlRow;

    const DIALECT: &'static Dialect = &DIALECT;

    // The files of a table that was brought back, by whatever means, are younger.
    const PLACE: &'static str = "SELECT CAST(conv(substr(md5(create_time), 1, 15), 16, 10) AS SIGNED) \
        FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'meridian_schema'";

    async fn ask<T: Send>(
        &self,
        text: &'static str,
        values: Values,
        read: impl Fn(&MySqlRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Unavailable> {
        self.fetch(translate(text, values), true, read).await
    }

    async fn filtered<T: Send>(
        &self,
        statement: Statement,
        read: impl Fn(&MySqlRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Unavailable> {
        self.fetch(translate(&statement.text, statement.values), false, read).await
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
    type Row = MySqlRow;

    async fn ask<T: Send>(
        &mut self,
        text: &'static str,
        values: Values,
        read: impl Fn(&MySqlRow) -> Result<T, Malformed> + Send,
    ) -> Result<Vec<T>, Trouble> {
        let (text, values) = translate(text, values);
        let rows = sqlx::query_with(AssertSqlSafe(text), arguments(&values)).fetch_all(&mut *self.transaction);
        let rows = before(self.patience, rows).await?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| unwritten(&error))
    }

    async fn execute(&mut self, text: &'static str, values: Values) -> Result<u64, Trouble> {
        let (text, values) = translate(text, values);
        let done = sqlx::query_with(AssertSqlSafe(text), arguments(&values)).execute(&mut *self.transaction);
        Ok(before(self.patience, done).await?.rows_affected())
    }

    async fn commit(self) -> Result<(), Trouble> {
        match timeout(self.patience, self.transaction.commit()).await {
            Ok(committed) => committed.map_err(|error| uncommitted(&error)),
            Err(_) => Err(silent(TroubleKind::Unknown)),
        }
    }

    async fn roll_back(self) {
        let _ = timeout(self.patience, self.transaction.rollback()).await;
    }
}

const DIALECT: Dialect = Dialect {
    numbered: true,
    join: "STRAIGHT_JOIN",
    run_id: "CAST(lower(concat_ws('-', substr(hex(v.run), 1, 8), substr(hex(v.run), 9, 4), substr(hex(v.run), 13, 4), \
             substr(hex(v.run), 17, 4), substr(hex(v.run), 21))) AS BINARY)",
};
