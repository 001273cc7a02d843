//! The way to the tables and back: it takes time, it fails, and a crash loses what is on it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, Life, NamespaceId, RunId, ShardId, WorkflowId, WorkflowKey},
    shard::io::{CommitOutcome, Load, Loaded, Transaction},
};
use simulations::random::{Random, Range};
use store::{
    Answer, ClusterRecord, HistoryError, HistoryPage, Identity, MemberRecord, NamespaceRecord, NamespaceTable,
    NamespaceWrite, NamespacesWritten, ScannedRun, Store, Unavailable,
    visibility::{Count, Page, VisibilityError},
};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::{tables::Tables, trees::Room};

/// How a disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long a write and its sync take.
    pub write: Range,
    /// How long an answer is on its way.
    pub answer: Range,
    /// How long a read takes.
    pub read: Range,
    /// Of a million writes and reads, so many are refused.
    pub refused: u32,
    /// Of a million commits, of so many nobody hears whether they were written.
    pub doubtful: u32,
}

impl Weather {
    /// Nothing takes time, and nothing fails.
    pub const CALM: Self = Self {
        write: Range::millis(0, 0),
        answer: Range::millis(0, 0),
        read: Range::millis(0, 0),
        refused: 0,
        doubtful: 0,
    };
}

/// Shown every transaction that is durable, with what rests then.
pub type Witness = Box<dyn FnMut(&Transaction, &Tables) + Send>;

/// What stays when a process goes.
pub struct Hardware {
    tables: Mutex<Tables>,
    state: Mutex<State>,
    witness: Mutex<Witness>,
}

struct State {
    weather: Weather,
    random: Random,
    /// The sync that writes may still join begins and ends then.
    begins: Instant,
    ends: Instant,
}

/// What becomes of an operation.
struct Fate {
    /// When it takes place.
    at: Instant,
    is_refused: bool,
    is_doubtful: bool,
    answer: Duration,
}

impl Hardware {
    /// An empty one.
    #[must_use]
    pub fn new(random: Random, witness: Witness) -> Self {
        let now = Instant::now();
        let state = State { weather: Weather::CALM, random, begins: now, ends: now };
        Self { tables: Mutex::default(), state: Mutex::new(state), witness: Mutex::new(witness) }
    }

    /// How it behaves from now on.
    pub fn set_weather(&self, weather: Weather) {
        lock(&self.state).weather = weather;
    }

    /// Whatever wants to write now waits so long.
    pub fn stall(&self, time: Duration) {
        let mut state = lock(&self.state);
        let end = Instant::now() + time;
        state.ends = state.ends.max(end);
    }

    /// What is durable.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }
}

impl State {
    /// Writes that come while the disk is busy share its next sync.
    fn write(&mut self) -> Fate {
        let now = Instant::now();
        if now >= self.begins {
            self.begins = now.max(self.ends);
            self.ends = self.begins + self.random.duration(self.weather.write);
        }
        Fate { at: self.ends, is_doubtful: self.random.chance(self.weather.doubtful), ..self.any() }
    }

    fn read(&mut self) -> Fate {
        Fate { at: Instant::now() + self.random.duration(self.weather.read), ..self.any() }
    }

    fn any(&mut self) -> Fate {
        Fate {
            at: Instant::now(),
            is_refused: self.random.chance(self.weather.refused),
            is_doubtful: false,
            answer: self.random.duration(self.weather.answer),
        }
    }
}

/// One life of a store.
pub struct Disk {
    hardware: Arc<Hardware>,
    is_closed: AtomicBool,
}

impl Disk {
    /// Open what an earlier life left.
    #[must_use]
    pub fn open(hardware: Arc<Hardware>) -> Self {
        Self { hardware, is_closed: AtomicBool::new(false) }
    }

    /// What becomes of an operation, unless nothing is answered any more.
    fn fate(&self, of: fn(&mut State) -> Fate) -> Result<Fate, Unavailable> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Unavailable("the store is closed".into()));
        }
        Ok(of(&mut lock(&self.hardware.state)))
    }

    async fn read<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> Result<T, Unavailable> {
        let fate = self.fate(State::read)?;
        until(fate.at).await;
        if fate.is_refused {
            return Err(refused());
        }
        Ok(work(&mut self.hardware.tables()))
    }

    /// Whoever is gone before the sync has not written; whoever is gone after it never hears that he has.
    async fn write<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> Result<T, Unavailable> {
        let fate = self.fate(State::write)?;
        until(fate.at).await;
        if fate.is_refused {
            return Err(refused());
        }
        let written = work(&mut self.hardware.tables());
        pass(fate.answer).await;
        Ok(written)
    }
}

impl Store for Disk {
    fn commit(&self, transaction: Transaction) -> Answer<'_, Result<CommitOutcome, Unavailable>> {
        Box::pin(async move {
            let fate = self.fate(State::write)?;
            until(fate.at).await;
            if fate.is_refused {
                return Err(refused());
            }
            // Of those that nobody hears of, half are written.
            if fate.is_doubtful && lock(&self.hardware.state).random.chance(500_000) {
                return Ok(CommitOutcome::Unknown);
            }
            let outcome = {
                let mut tables = self.hardware.tables();
                let outcome = tables.commit(&transaction);
                if outcome == CommitOutcome::Committed {
                    lock(&self.hardware.witness)(&transaction, &tables);
                }
                outcome
            };
            pass(fate.answer).await;
            Ok(if fate.is_doubtful { CommitOutcome::Unknown } else { outcome })
        })
    }

    fn load(&self, shard: ShardId, load: Load) -> Answer<'_, Loaded> {
        Box::pin(async move {
            let loaded = match &load {
                Load::AcquireShard { .. } => self.write(|tables| tables.load(shard, &load)).await,
                load => self.read(|tables| tables.load(shard, load)).await,
            };
            loaded.unwrap_or_else(|cause| Loaded::Failed(cause.0))
        })
    }

    fn read_history<'a>(
        &'a self,
        _shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        let room = Room::of(max_events);
        let read = self.read(move |tables| tables.trees.read(workflow, branch, first, end, room));
        Box::pin(async { read.await.map_err(HistoryError::Unavailable)? })
    }

    fn read_history_reverse<'a>(
        &'a self,
        _shard: ShardId,
        workflow: &'a WorkflowKey,
        branch: &'a Branch,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Answer<'a, Result<HistoryPage, HistoryError>> {
        let room = Room::of(max_events);
        let read = self.read(move |tables| tables.trees.read_reverse(workflow, branch, first, end, room));
        Box::pin(async { read.await.map_err(HistoryError::Unavailable)? })
    }

    fn list<'a>(
        &'a self,
        namespace: NamespaceId,
        query: &'a str,
        page_size: usize,
        token: &'a [u8],
    ) -> Answer<'a, Result<Page, VisibilityError>> {
        let read = self.read(move |tables| tables.lists.list(namespace, query, page_size, token));
        Box::pin(async { read.await.map_err(VisibilityError::Unavailable)? })
    }

    fn count<'a>(&'a self, namespace: NamespaceId, query: &'a str) -> Answer<'a, Result<Count, VisibilityError>> {
        let read = self.read(move |tables| tables.lists.count(namespace, query));
        Box::pin(async { read.await.map_err(VisibilityError::Unavailable)? })
    }

    fn scan<'a>(
        &'a self,
        namespace: NamespaceId,
        after: Option<(&'a WorkflowId, RunId)>,
        limit: usize,
    ) -> Answer<'a, Result<Vec<ScannedRun>, Unavailable>> {
        Box::pin(self.read(move |tables| tables.scan(namespace, after, limit)))
    }

    fn namespaces(&self) -> Answer<'_, Result<NamespaceTable, Unavailable>> {
        Box::pin(self.read(|tables| tables.shared.namespaces()))
    }

    fn namespace(&self, id: NamespaceId) -> Answer<'_, Result<Option<NamespaceRecord>, Unavailable>> {
        Box::pin(self.read(move |tables| tables.shared.namespace(id)))
    }

    fn write_namespaces(
        &self,
        expected: i64,
        writes: Vec<NamespaceWrite>,
        publish: Vec<Bytes>,
    ) -> Answer<'_, Result<NamespacesWritten, Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.write_namespaces(expected, writes, publish)))
    }

    fn publish(&self, messages: Vec<Bytes>) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.publish(messages)))
    }

    fn published(&self, after: i64, limit: usize) -> Answer<'_, Result<Vec<(i64, Bytes)>, Unavailable>> {
        Box::pin(self.read(move |tables| tables.shared.published(after, limit)))
    }

    fn last_published(&self) -> Answer<'_, Result<i64, Unavailable>> {
        Box::pin(self.read(|tables| tables.shared.last_published()))
    }

    fn published_acks(&self) -> Answer<'_, Result<BTreeMap<String, i64>, Unavailable>> {
        Box::pin(self.read(|tables| tables.shared.published_acks()))
    }

    fn ack_published<'a>(&'a self, cluster: &'a str, id: Option<i64>) -> Answer<'a, Result<(), Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.ack_published(cluster, id)))
    }

    fn forget_published(&self, id: i64) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.forget_published(id)))
    }

    fn clusters(&self) -> Answer<'_, Result<Vec<ClusterRecord>, Unavailable>> {
        Box::pin(self.read(|tables| tables.shared.clusters()))
    }

    fn put_cluster<'a>(
        &'a self,
        name: &'a str,
        expected: Option<i64>,
        record: Bytes,
    ) -> Answer<'a, Result<Option<i64>, Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.put_cluster(name, expected, record)))
    }

    fn delete_cluster<'a>(&'a self, name: &'a str) -> Answer<'a, Result<bool, Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.delete_cluster(name)))
    }

    fn members(&self) -> Answer<'_, Result<Vec<MemberRecord>, Unavailable>> {
        Box::pin(self.read(|tables| tables.shared.members()))
    }

    fn put_member(&self, member: MemberRecord) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.put_member(member.clone())))
    }

    fn remove_members(&self, ids: Vec<Uuid>) -> Answer<'_, Result<(), Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.remove_members(&ids)))
    }

    fn life(&self) -> Answer<'_, Result<Life, Unavailable>> {
        Box::pin(std::future::ready(Ok(Life::FIRST)))
    }

    fn begin_incarnation(&self, fresh: Uuid) -> Answer<'_, Result<Identity, Unavailable>> {
        Box::pin(self.write(move |tables| tables.shared.begin_incarnation(fresh)))
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async {
            self.is_closed.store(true, Ordering::Relaxed);
        })
    }
}

fn refused() -> Unavailable {
    Unavailable("the disk is full".into())
}

async fn until(moment: Instant) {
    if Instant::now() < moment {
        sleep_until(moment).await;
    }
}

async fn pass(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// What a panic left is as whole as before: nothing is written in part.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
