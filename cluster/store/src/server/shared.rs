//! What all shards share: namespaces, the queue that tells peers of them, clusters, identity. Written seldom, by whichever
//! host, each in a transaction that locks the counter which orders it.

use std::collections::BTreeMap;

use bytes::Bytes;
use replicator::ids::{Life, NamespaceId};
use uuid::Uuid;

use super::{Connection, Database};
use crate::{
    ClusterRecord, Identity, MemberRecord, NamespaceRecord, NamespaceTable, NamespaceWrite, NamespacesWritten,
    Unavailable,
    group::{Trouble, TroubleKind},
    table::{self, Columns as _, Record as _, Values, column, counter::Counter, message, sixteen},
};

/// A counter, which is ours until the end of the transaction.
async fn counter<C: Connection>(connection: &mut C, counter: Counter) -> Result<i64, Trouble> {
    let mut values = Values::default();
    values.add(counter.number());
    let text = "SELECT value FROM counter WHERE counter = $1 FOR UPDATE";
    let found = connection.ask(text, values, |row| column(row, 0)).await?;
    let missing = || Trouble { text: "a counter is missing".into(), kind: TroubleKind::World, reconnect: false };
    found.first().copied().ok_or_else(missing)
}

async fn set_counter<C: Connection>(connection: &mut C, counter: Counter, value: i64) -> Result<(), Trouble> {
    let mut values = Values::default();
    values.add(value).add(counter.number());
    connection.execute("UPDATE counter SET value = $1 WHERE counter = $2", values).await.map(drop)
}

/// Append messages; answers the id of the last there is.
async fn append<C: Connection>(connection: &mut C, messages: Vec<Bytes>) -> Result<i64, Trouble> {
    let before = counter(connection, Counter::LastMessage).await?;
    let mut last = before;
    for message in messages {
        last += 1;
        let mut values = Values::default();
        values.add(last).add(message);
        connection.execute("INSERT INTO message VALUES ($1, $2)", values).await?;
    }
    if last != before {
        set_counter(connection, Counter::LastMessage, last).await?;
    }
    Ok(last)
}

/// Carry out one statement that changes something and may safely be carried out twice: doubt is an invitation to do it
/// again.
async fn once<D: Database>(database: &D, text: &'static str, values: Values) -> Result<u64, Unavailable> {
    let mut connection = database.begin().await?;
    let changed = connection.execute(text, values).await?;
    connection.commit().await?;
    Ok(changed)
}

/// All namespaces, and the number of the last write, which comes with every row, and alone when there is none.
pub(crate) async fn namespaces<D: Database>(database: &D) -> Result<NamespaceTable, Unavailable> {
    let text = "SELECT c.value, n.id, n.notification, n.record FROM counter AS c LEFT JOIN namespace AS n ON true \
                WHERE c.counter = 1 ORDER BY n.id";
    let rows = database.ask(text, Values::default(), |row| {
        let record = row.blob(1)?.is_some().then(|| table::namespace::read(row, 1)).transpose()?;
        Ok((column::<i64>(row, 0)?, record))
    });
    let rows = rows.await?;
    let notification = rows.first().map_or(0, |(notification, _)| *notification);
    Ok(NamespaceTable { notification, namespaces: rows.into_iter().filter_map(|(_, record)| record).collect() })
}

/// One namespace.
pub(crate) async fn namespace<D: Database>(
    database: &D,
    id: NamespaceId,
) -> Result<Option<NamespaceRecord>, Unavailable> {
    let mut values = Values::default();
    values.id(id.as_bytes());
    let text = "SELECT id, notification, record FROM namespace WHERE id = $1";
    Ok(database.ask(text, values, |row| table::namespace::read(row, 0)).await?.into_iter().next())
}

/// Change namespaces if nobody has since `expected`, and publish.
pub(crate) async fn write_namespaces<D: Database>(
    database: &D,
    expected: i64,
    writes: Vec<NamespaceWrite>,
    publish: Vec<Bytes>,
) -> Result<NamespacesWritten, Unavailable> {
    let mut connection = database.begin().await?;
    if counter(&mut connection, Counter::Notification).await? != expected {
        connection.roll_back().await;
        return Ok(NamespacesWritten::Conflict);
    }
    let notification = expected + 1;
    set_counter(&mut connection, Counter::Notification, notification).await?;
    for write in writes {
        let id = match &write {
            NamespaceWrite::Put(id, _) | NamespaceWrite::Delete(id) => *id,
        };
        let mut values = Values::default();
        values.id(id.as_bytes());
        connection.execute("DELETE FROM namespace WHERE id = $1", values).await?;
        if let NamespaceWrite::Put(id, record) = write {
            let mut values = Values::default();
            NamespaceRecord { id, record, notification }.bind(&mut values);
            connection.execute("INSERT INTO namespace VALUES ($1, $2, $3)", values).await?;
        }
    }
    append(&mut connection, publish).await?;
    match connection.commit().await {
        Ok(()) => Ok(NamespacesWritten::Committed { notification }),
        Err(trouble) if trouble.kind == TroubleKind::Unknown => Ok(NamespacesWritten::Unknown),
        Err(trouble) => Err(trouble.into()),
    }
}

/// Append to the namespace replication queue.
pub(crate) async fn publish<D: Database>(database: &D, messages: Vec<Bytes>) -> Result<i64, Unavailable> {
    let mut connection = database.begin().await?;
    let last = append(&mut connection, messages).await?;
    connection.commit().await?;
    Ok(last)
}

/// Messages of the namespace replication queue.
pub(crate) async fn published<D: Database>(
    database: &D,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Bytes)>, Unavailable> {
    let mut values = Values::default();
    values.add(after).add(i64::try_from(limit).unwrap_or(i64::MAX));
    let text = "SELECT id, message FROM message WHERE id > $1 ORDER BY id LIMIT $2";
    let rows = database.ask(text, values, message::Row::read).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.message)).collect())
}

/// Id of the last message that was ever appended.
pub(crate) async fn last_published<D: Database>(database: &D) -> Result<i64, Unavailable> {
    let text = "SELECT value FROM counter WHERE counter = 2";
    Ok(database.ask(text, Values::default(), |row| column(row, 0)).await?.first().copied().unwrap_or(-1))
}

/// How far each cluster has taken the queue.
pub(crate) async fn published_acks<D: Database>(database: &D) -> Result<BTreeMap<String, i64>, Unavailable> {
    let acks = database.ask("SELECT cluster, id FROM message_ack", Values::default(), message::Ack::read).await?;
    Ok(acks.into_iter().map(|ack| (ack.cluster, ack.id)).collect())
}

/// Note how far a cluster has taken the queue; `None`: it is gone.
pub(crate) async fn ack_published<D: Database>(
    database: &D,
    cluster: &str,
    id: Option<i64>,
) -> Result<(), Unavailable> {
    let mut connection = database.begin().await?;
    // Nobody else notes anything meanwhile.
    counter(&mut connection, Counter::LastMessage).await?;
    let mut values = Values::default();
    values.add(cluster);
    let known = connection.ask(ACK, values.clone(), message::Ack::read).await?;
    let id = id.map(|id| known.first().map_or(id, |ack| ack.id.max(id)));
    connection.execute("DELETE FROM message_ack WHERE cluster = $1", values).await?;
    if let Some(id) = id {
        let mut values = Values::default();
        message::Ack { cluster: cluster.to_owned(), id }.bind(&mut values);
        connection.execute("INSERT INTO message_ack VALUES ($1, $2)", values).await?;
    }
    Ok(connection.commit().await?)
}

const ACK: &str = "SELECT cluster, id FROM message_ack WHERE cluster = $1";

/// Forget messages up to and including one.
pub(crate) async fn forget_published<D: Database>(database: &D, id: i64) -> Result<(), Unavailable> {
    let mut values = Values::default();
    values.add(id);
    once(database, "DELETE FROM message WHERE id <= $1", values).await.map(drop)
}

/// All cluster records.
pub(crate) async fn clusters<D: Database>(database: &D) -> Result<Vec<ClusterRecord>, Unavailable> {
    let text = "SELECT name, version, record FROM cluster ORDER BY name";
    database.ask(text, Values::default(), table::cluster::read).await
}

/// Write a cluster record if its version is the expected one.
pub(crate) async fn put_cluster<D: Database>(
    database: &D,
    name: &str,
    expected: Option<i64>,
    record: Bytes,
) -> Result<Option<i64>, Unavailable> {
    let mut connection = database.begin().await?;
    // Nobody else writes one meanwhile.
    counter(&mut connection, Counter::Notification).await?;
    let mut values = Values::default();
    values.add(name);
    let text = "SELECT version FROM cluster WHERE name = $1";
    let known: Vec<i64> = connection.ask(text, values.clone(), |row| column(row, 0)).await?;
    if known.first().copied() != expected {
        connection.roll_back().await;
        return Ok(None);
    }
    connection.execute("DELETE FROM cluster WHERE name = $1", values).await?;
    let version = expected.unwrap_or(0) + 1;
    let mut values = Values::default();
    ClusterRecord { name: name.to_owned(), version, record }.bind(&mut values);
    connection.execute("INSERT INTO cluster VALUES ($1, $2, $3)", values).await?;
    connection.commit().await?;
    Ok(Some(version))
}

/// Remove a cluster record.
pub(crate) async fn delete_cluster<D: Database>(database: &D, name: &str) -> Result<bool, Unavailable> {
    let mut values = Values::default();
    values.add(name);
    Ok(once(database, "DELETE FROM cluster WHERE name = $1", values).await? > 0)
}

/// The processes of this cluster.
pub(crate) async fn members<D: Database>(database: &D) -> Result<Vec<MemberRecord>, Unavailable> {
    let text = "SELECT id, heartbeat, record FROM member ORDER BY id";
    database.ask(text, Values::default(), table::member::read).await
}

/// Write a process down.
pub(crate) async fn put_member<D: Database>(database: &D, member: MemberRecord) -> Result<(), Unavailable> {
    let mut connection = database.begin().await?;
    let mut values = Values::default();
    values.id(member.id.as_bytes());
    connection.execute(FORGET_MEMBER, values).await?;
    let mut values = Values::default();
    member.bind(&mut values);
    connection.execute("INSERT INTO member VALUES ($1, $2, $3)", values).await?;
    Ok(connection.commit().await?)
}

/// Forget processes.
pub(crate) async fn remove_members<D: Database>(database: &D, ids: Vec<Uuid>) -> Result<(), Unavailable> {
    let mut connection = database.begin().await?;
    for id in ids {
        let mut values = Values::default();
        values.id(id.as_bytes());
        connection.execute(FORGET_MEMBER, values).await?;
    }
    Ok(connection.commit().await?)
}

const FORGET_MEMBER: &str = "DELETE FROM member WHERE id = $1";

/// Who this cluster is; counts a start.
pub(crate) async fn begin_incarnation<D: Database>(database: &D, fresh: Uuid) -> Result<Identity, Unavailable> {
    let mut connection = database.begin().await?;
    let incarnation = counter(&mut connection, Counter::Incarnation).await? + 1;
    set_counter(&mut connection, Counter::Incarnation, incarnation).await?;
    let known = connection.ask("SELECT id FROM identity", Values::default(), |row| sixteen(row, 0)).await?;
    let id = known.first().copied().map_or(fresh, Uuid::from_bytes);
    if known.is_empty() {
        let mut values = Values::default();
        values.id(id.as_bytes());
        connection.execute("INSERT INTO identity (id) VALUES ($1)", values).await?;
    }
    connection.commit().await?;
    Ok(Identity { id, incarnation })
}

/// The life of a database. It is another one if the database lies elsewhere than it was last seen: then it is a copy.
pub(crate) async fn life<D: Database>(database: &D) -> Result<Life, Unavailable> {
    let place = database.ask(D::PLACE, Values::default(), |row| column::<i64>(row, 0)).await?;
    let mut connection = database.begin().await?;
    let before = counter(&mut connection, Counter::Place).await?;
    let mut life = counter(&mut connection, Counter::Life).await?;
    let Some(place) = place.first().copied().filter(|place| *place != before) else {
        connection.roll_back().await;
        return Ok(Life::counted(life));
    };
    if before != 0 {
        life += 1;
        set_counter(&mut connection, Counter::Life, life).await?;
        tracing::warn!(life, "the database is another one than before, with the same tables: it is taken for a backup");
    }
    set_counter(&mut connection, Counter::Place, place).await?;
    connection.commit().await?;
    Ok(Life::counted(life))
}
