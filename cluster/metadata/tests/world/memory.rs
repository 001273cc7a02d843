//! A store of namespaces and clusters in memory, with faults.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, Life, NamespaceId, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, Transaction},
};
use store::{
    Answer, ClusterRecord, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, ScannedRun, Store, Unavailable,
    visibility::{Count, Page, VisibilityError},
};
use uuid::Uuid;

/// Keeps what it is told, and fails as it is told.
#[derive(Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

/// What becomes of a write of namespaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Nothing is written, and that is said.
    Unavailable,
    /// Nothing is written, and it is not known.
    Lost,
    /// It is written, and it is not known.
    Unanswered,
    /// It is written, and said so only after a while.
    Late,
}

#[derive(Default)]
struct Kept {
    notification: i64,
    namespaces: BTreeMap<NamespaceId, (Bytes, i64)>,
    queue: BTreeMap<i64, Bytes>,
    last: Option<i64>,
    acks: BTreeMap<String, i64>,
    clusters: BTreeMap<String, (i64, Bytes)>,
    faults: VecDeque<Fault>,
    is_away: bool,
}

impl MemoryStore {
    /// The next writes of namespaces end so.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.kept().faults.extend(faults);
    }

    /// Nothing is read or written from now on, or it is again.
    pub fn set_away(&self, is_away: bool) {
        self.kept().is_away = is_away;
    }

    /// What another process would write.
    pub fn write_behind(&self, id: NamespaceId, record: Bytes) {
        let mut kept = self.kept();
        kept.notification += 1;
        let notification = kept.notification;
        kept.namespaces.insert(id, (record, notification));
    }

    /// Ids in the queue.
    pub fn queue(&self) -> Vec<i64> {
        self.kept().queue.keys().copied().collect()
    }

    pub fn acks(&self) -> BTreeMap<String, i64> {
        self.kept().acks.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn answer<T: Send + 'static>(&self, work: impl FnOnce(&mut Kept) -> T) -> Answer<'static, Result<T, Unavailable>> {
        let mut kept = self.kept();
        let answer = if kept.is_away { Err(Unavailable("away".into())) } else { Ok(work(&mut kept)) };
        Box::pin(std::future::ready(answer))
    }
}

impl Kept {
    fn publish(&mut self, messages: Vec<Bytes>) -> i64 {
        for message in messages {
            let id = self.last.map_or(0, |last| last + 1);
            self.queue.insert(id, message);
            self.last = Some(id);
        }
        self.last.unwrap_or(-1)
    }
}

impl Store for MemoryStore {
    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>> {
        self.answer(|kept| NamespaceTable {
            notification: kept.notification,
            namespaces: kept
                .namespaces
                .iter()
                .map(|(id, (record, n))| NamespaceRecord { id: *id, record: record.clone(), notification: *n })
                .collect(),
        })
    }

    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>> {
        self.answer(move |kept| {
            let row = kept.namespaces.get(&id).cloned();
            row.map(|(record, notification)| NamespaceRecord { id, record, notification })
        })
    }

    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>> {
        let fault = self.kept().faults.pop_front();
        match fault {
            Some(Fault::Unavailable) => return Box::pin(async { Err(Unavailable("a fault".into())) }),
            Some(Fault::Lost) => return Box::pin(async { Ok(NamespacesWritten::Unknown) }),
            Some(Fault::Unanswered | Fault::Late) | None => {}
        }
        let answer = self.answer(move |kept| {
            if kept.notification != expected {
                return NamespacesWritten::Conflict;
            }
            kept.notification += 1;
            let notification = kept.notification;
            for write in writes {
                match write {
                    NamespaceWrite::Put(id, record) => drop(kept.namespaces.insert(id, (record, notification))),
                    NamespaceWrite::Delete(id) => drop(kept.namespaces.remove(&id)),
                }
            }
            kept.publish(publish);
            match fault {
                Some(Fault::Unanswered) => NamespacesWritten::Unknown,
                _ => NamespacesWritten::Committed { notification },
            }
        });
        Box::pin(async move {
            if fault == Some(Fault::Late) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            answer.await
        })
    }

    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>> {
        self.answer(|kept| kept.publish(messages))
    }

    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>> {
        self.answer(|kept| kept.queue.range(after + 1..).take(limit).map(|(id, m)| (*id, m.clone())).collect())
    }

    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>> {
        self.answer(|kept| kept.last.unwrap_or(-1))
    }

    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>> {
        self.answer(|kept| kept.acks.clone())
    }

    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>> {
        self.answer(|kept| match id {
            Some(id) => {
                let ack = kept.acks.entry(cluster.to_owned()).or_insert(id);
                *ack = id.max(*ack);
            }
            None => drop(kept.acks.remove(cluster)),
        })
    }

    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>> {
        self.answer(|kept| kept.queue.retain(|known, _| *known > id))
    }

    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>> {
        self.answer(|kept| {
            let row = |(name, (version, record)): (&String, &(i64, Bytes))| ClusterRecord {
                name: name.clone(),
                version: *version,
                record: record.clone(),
            };
            kept.clusters.iter().map(row).collect()
        })
    }

    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>> {
        self.answer(|kept| {
            if kept.clusters.get(name).map(|(version, _)| *version) != expected {
                return None;
            }
            let version = expected.unwrap_or(0) + 1;
            kept.clusters.insert(name.to_owned(), (version, record));
            Some(version)
        })
    }

    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>> {
        self.answer(|kept| kept.clusters.remove(name).is_some())
    }

    fn commit(&self, _: Transaction) -> Answer<'_, Result<CommitOutcome, Unavailable>> {
        panic!("{RUNS}")
    }

    fn load(&self, _: ShardId, _: Load) -> Answer<'_, Loaded> {
        panic!("{RUNS}")
    }

    fn read_history<'a>(
        &'a self,
        _: ShardId,
        _: &'a WorkflowKey,
        _: &'a Branch,
        _: EventId,
        _: EventId,
        _: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        panic!("{RUNS}")
    }

    fn read_history_reverse<'a>(
        &'a self,
        _: ShardId,
        _: &'a WorkflowKey,
        _: &'a Branch,
        _: EventId,
        _: EventId,
        _: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        panic!("{RUNS}")
    }

    fn list<'a>(
        &'a self,
        _: NamespaceId,
        _: &'a str,
        _: usize,
        _: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        panic!("{RUNS}")
    }

    fn count<'a>(&'a self, _: NamespaceId, _: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        panic!("{RUNS}")
    }

    fn scan<'a>(
        &'a self,
        _: NamespaceId,
        _: Option<(&'a WorkflowId, RunId)>,
        _: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>> {
        panic!("{RUNS}")
    }

    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        panic!("{PROCESSES}")
    }

    fn put_member(&self, _: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        panic!("{PROCESSES}")
    }

    fn remove_members(&self, _: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        panic!("{PROCESSES}")
    }

    fn life(&self) -> Answer<'_, Result<Life, Unavailable>> {
        Box::pin(std::future::ready(Ok(Life::FIRST)))
    }

    fn begin_incarnation(&self, _: Uuid) -> Answer<'_, Result<Identity, Unavailable>> {
        panic!("{RUNS}")
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

const RUNS: &str = "this crate knows no runs";

const PROCESSES: &str = "this crate knows no processes";
