//! What all shards share: namespaces, the queue that tells peers of them, clusters, identity. Written seldom, by whichever
//! host, each in a transaction that locks the counter which orders it.

use std::{collections::BTreeMap, pin::Pin};

use bytes::Bytes;
use replicator::ids::NamespaceId;
use sqlx::{PgConnection, postgres::PgArguments};
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    read::Readers,
    trouble::{silent, unwritten, written},
    value::arguments,
};
use crate::{
    ClusterRecord, Identity, MemberRecord, NamespaceRecord, NamespaceTable, NamespaceWrite, NamespacesWritten,
    Unavailable,
    group::{Trouble, TroubleKind},
    table::{self, Columns as _, Record as _, Values, column, counter::Counter, message, sixteen},
};

/// What a change does, on the connection of its transaction.
type Change<'c, T> = Pin<Box<dyn Future<Output = Result<T, sqlx::Error>> + Send + 'c>>;

/// Change something in a transaction.
async fn change<T>(
    readers: &Readers,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> Change<'c, T>,
) -> Result<T, Trouble> {
    let before = async {
        let mut transaction = readers.pool.begin().await?;
        let done = work(&mut transaction).await?;
        Ok((transaction, done))
    };
    let (transaction, done) = match timeout(readers.patience, before).await {
        Ok(before) => before.map_err(|error| unwritten(&error))?,
        Err(_) => return Err(silent(TroubleKind::World)),
    };
    match timeout(readers.patience, transaction.commit()).await {
        Ok(committed) => committed.map_err(|error| written(&error)).map(|()| done),
        Err(_) => Err(silent(TroubleKind::Unknown)),
    }
}

/// The same for what may safely be done twice: doubt is an invitation to do it again.
async fn repeatable<T>(
    readers: &Readers,
    work: impl for<'c> FnOnce(&'c mut PgConnection) -> Change<'c, T>,
) -> Result<T, Unavailable> {
    change(readers, work).await.map_err(|trouble| Unavailable(trouble.text))
}

async fn execute(connection: &mut PgConnection, text: &'static str, values: Values) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query_with(text, arguments(values)).execute(connection).await?.rows_affected())
}

/// A counter, which is ours until the end of the transaction.
async fn counter(connection: &mut PgConnection, counter: Counter) -> Result<i64, sqlx::Error> {
    let text = "SELECT value FROM counter WHERE counter = $1 FOR UPDATE";
    let mut values = Values::default();
    values.add(counter.number());
    column(&sqlx::query_with(text, arguments(values)).fetch_one(connection).await?, 0)
}

async fn set_counter(connection: &mut PgConnection, counter: Counter, value: i64) -> Result<(), sqlx::Error> {
    let mut values = Values::default();
    values.add(value).add(counter.number());
    execute(connection, "UPDATE counter SET value = $1 WHERE counter = $2", values).await.map(drop)
}

/// Append messages; answers the id of the last there is.
async fn append(connection: &mut PgConnection, messages: Vec<Bytes>) -> Result<i64, sqlx::Error> {
    let before = counter(connection, Counter::LastMessage).await?;
    let mut last = before;
    for message in messages {
        last += 1;
        let mut values = Values::default();
        values.add(last).add(message);
        execute(connection, "INSERT INTO message VALUES ($1, $2)", values).await?;
    }
    if last != before {
        set_counter(connection, Counter::LastMessage, last).await?;
    }
    Ok(last)
}

/// All namespaces, and the number of the last write, which comes with every row, and alone when there is none.
pub(crate) async fn namespaces(readers: &Readers) -> Result<NamespaceTable, Unavailable> {
    let text = "SELECT c.value, n.id, n.notification, n.record FROM counter AS c LEFT JOIN namespace AS n ON true \
                WHERE c.counter = 1 ORDER BY n.id";
    let rows = readers.ask(text, Values::default(), |row| {
        let record = row.blob(1)?.is_some().then(|| table::namespace::read(row, 1)).transpose()?;
        Ok((column::<i64>(row, 0)?, record))
    });
    let rows = rows.await?;
    let notification = rows.first().map_or(0, |(notification, _)| *notification);
    Ok(NamespaceTable { notification, namespaces: rows.into_iter().filter_map(|(_, record)| record).collect() })
}

/// One namespace.
pub(crate) async fn namespace(readers: &Readers, id: NamespaceId) -> Result<Option<NamespaceRecord>, Unavailable> {
    let mut values = Values::default();
    values.id(id.as_bytes());
    let text = "SELECT id, notification, record FROM namespace WHERE id = $1";
    Ok(readers.ask(text, values, |row| table::namespace::read(row, 0)).await?.into_iter().next())
}

/// Change namespaces if nobody has since `expected`, and publish.
pub(crate) async fn write_namespaces(
    readers: &Readers,
    expected: i64,
    writes: Vec<NamespaceWrite>,
    publish: Vec<Bytes>,
) -> Result<NamespacesWritten, Unavailable> {
    let done = change(readers, |connection| {
        Box::pin(async move {
            if counter(connection, Counter::Notification).await? != expected {
                return Ok(NamespacesWritten::Conflict);
            }
            let notification = expected + 1;
            set_counter(connection, Counter::Notification, notification).await?;
            for write in writes {
                let mut values = Values::default();
                match write {
                    NamespaceWrite::Put(id, record) => {
                        values.id(id.as_bytes()).add(notification).add(record);
                        execute(connection, PUT_NAMESPACE, values).await?;
                    }
                    NamespaceWrite::Delete(id) => {
                        values.id(id.as_bytes());
                        execute(connection, "DELETE FROM namespace WHERE id = $1", values).await?;
                    }
                }
            }
            append(connection, publish).await?;
            Ok(NamespacesWritten::Committed { notification })
        })
    });
    match done.await {
        Ok(written) => Ok(written),
        Err(trouble) if trouble.kind == TroubleKind::Unknown => Ok(NamespacesWritten::Unknown),
        Err(trouble) => Err(Unavailable(trouble.text)),
    }
}

const PUT_NAMESPACE: &str = "INSERT INTO namespace VALUES ($1, $2, $3) \
    ON CONFLICT (id) DO UPDATE SET notification = excluded.notification, record = excluded.record";

/// Append to the namespace replication queue.
pub(crate) async fn publish(readers: &Readers, messages: Vec<Bytes>) -> Result<i64, Unavailable> {
    repeatable(readers, |connection| Box::pin(append(connection, messages))).await
}

/// Messages of the namespace replication queue.
pub(crate) async fn published(readers: &Readers, after: i64, limit: usize) -> Result<Vec<(i64, Bytes)>, Unavailable> {
    let mut values = Values::default();
    values.add(after).add(i64::try_from(limit).unwrap_or(i64::MAX));
    let text = "SELECT id, message FROM message WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = readers.ask(text, values, message::Row::read).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.message)).collect())
}

/// Id of the last message that was ever appended.
pub(crate) async fn last_published(readers: &Readers) -> Result<i64, Unavailable> {
    let text = "SELECT value FROM counter WHERE counter = 2";
    Ok(readers.ask(text, Values::default(), |row| column(row, 0)).await?.first().copied().unwrap_or(-1))
}

/// How far each cluster has taken the queue.
pub(crate) async fn published_acks(readers: &Readers) -> Result<BTreeMap<String, i64>, Unavailable> {
    let acks = readers.ask("SELECT cluster, id FROM message_ack", Values::default(), message::Ack::read).await?;
    Ok(acks.into_iter().map(|ack| (ack.cluster, ack.id)).collect())
}

/// Note how far a cluster has taken the queue; `None`: it is gone.
pub(crate) async fn ack_published(readers: &Readers, cluster: &str, id: Option<i64>) -> Result<(), Unavailable> {
    let mut values = Values::default();
    values.add(cluster);
    let text = match id {
        Some(id) => {
            values.add(id);
            "INSERT INTO message_ack AS a VALUES ($1, $2) ON CONFLICT (cluster) \
             DO UPDATE SET id = greatest(a.id, excluded.id)"
        }
        None => "DELETE FROM message_ack WHERE cluster = $1",
    };
    repeatable(readers, |connection| Box::pin(execute(connection, text, values))).await.map(drop)
}

/// Forget messages up to and including one.
pub(crate) async fn forget_published(readers: &Readers, id: i64) -> Result<(), Unavailable> {
    let mut values = Values::default();
    values.add(id);
    repeatable(readers, |connection| Box::pin(execute(connection, "DELETE FROM message WHERE id <= $1", values)))
        .await
        .map(drop)
}

/// All cluster records.
pub(crate) async fn clusters(readers: &Readers) -> Result<Vec<ClusterRecord>, Unavailable> {
    let text = "SELECT name, version, record FROM cluster ORDER BY name";
    readers.ask(text, Values::default(), table::cluster::read).await
}

/// Write a cluster record if its version is the expected one.
pub(crate) async fn put_cluster(
    readers: &Readers,
    name: &str,
    expected: Option<i64>,
    record: Bytes,
) -> Result<Option<i64>, Unavailable> {
    let mut values = Values::default();
    values.add(name).add(record);
    let text = match expected {
        None => "INSERT INTO cluster AS c VALUES ($1, 1, $2) ON CONFLICT (name) DO NOTHING",
        Some(version) => {
            values.add(version);
            "UPDATE cluster SET version = version + 1, record = $2 WHERE name = $1 AND version = $3"
        }
    };
    let written = repeatable(readers, |connection| Box::pin(execute(connection, text, values))).await?;
    Ok((written == 1).then_some(expected.unwrap_or(0) + 1))
}

/// Remove a cluster record.
pub(crate) async fn delete_cluster(readers: &Readers, name: &str) -> Result<bool, Unavailable> {
    let mut values = Values::default();
    values.add(name);
    let gone =
        repeatable(readers, |connection| Box::pin(execute(connection, "DELETE FROM cluster WHERE name = $1", values)));
    Ok(gone.await? > 0)
}

/// The processes of this cluster.
pub(crate) async fn members(readers: &Readers) -> Result<Vec<MemberRecord>, Unavailable> {
    let text = "SELECT id, heartbeat, record FROM member ORDER BY id";
    readers.ask(text, Values::default(), table::member::read).await
}

/// Write a process down.
pub(crate) async fn put_member(readers: &Readers, member: MemberRecord) -> Result<(), Unavailable> {
    let mut values = Values::default();
    member.bind(&mut values);
    let text = "INSERT INTO member VALUES ($1, $2, $3) \
                ON CONFLICT (id) DO UPDATE SET heartbeat = excluded.heartbeat, record = excluded.record";
    repeatable(readers, |connection| Box::pin(execute(connection, text, values))).await.map(drop)
}

/// Forget processes.
pub(crate) async fn remove_members(readers: &Readers, ids: Vec<Uuid>) -> Result<(), Unavailable> {
    repeatable(readers, |connection| {
        Box::pin(async move {
            for id in ids {
                let mut values = Values::default();
                values.id(id.as_bytes());
                execute(connection, "DELETE FROM member WHERE id = $1", values).await?;
            }
            Ok(())
        })
    })
    .await
}

/// Who this cluster is; counts a start.
pub(crate) async fn begin_incarnation(readers: &Readers, fresh: Uuid) -> Result<Identity, Unavailable> {
    repeatable(readers, |connection| {
        Box::pin(async move {
            let incarnation = counter(connection, Counter::Incarnation).await? + 1;
            set_counter(connection, Counter::Incarnation, incarnation).await?;
            let mut values = Values::default();
            values.id(fresh.as_bytes());
            execute(connection, "INSERT INTO identity (id) VALUES ($1) ON CONFLICT (single) DO NOTHING", values)
                .await?;
            let read = sqlx::query_with("SELECT id FROM identity", PgArguments::default());
            let id = sixteen(&read.fetch_one(connection).await?, 0)?;
            Ok(Identity { id: Uuid::from_bytes(id), incarnation })
        })
    })
    .await
}
