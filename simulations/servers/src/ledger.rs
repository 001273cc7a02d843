//! What those who stand outside have seen: promises that were broken, what was exercised, and the story.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use replicator::{
    shard::io::{RunChange, Transaction},
    workflow::MutableState,
};
use simulations::checkers::{AtRest, Checkers, Fact, Finding, Seen, Violation};
use tokio::{sync::Notify, time::Instant};

use crate::store::Tables;

/// It. Clones are the same.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    begin: Instant,
    checkers: Mutex<Checkers>,
    violation: Mutex<Option<Violation>>,
    is_broken: Notify,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    story: Mutex<Vec<(Duration, String)>>,
}

impl Ledger {
    /// An empty one. Whether both sides of a failover may write decides what is promised.
    #[must_use]
    pub fn new(may_conflict: bool) -> Self {
        Self(Arc::new(Inner {
            begin: Instant::now(),
            checkers: Mutex::new(Checkers::of_stores(may_conflict)),
            violation: Mutex::default(),
            is_broken: Notify::new(),
            counts: Mutex::default(),
            story: Mutex::default(),
        }))
    }

    /// Since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.begin.elapsed()
    }

    /// A promise is broken. The first one counts.
    pub fn broken(&self, promise: &'static str, text: impl Into<String>) {
        self.find(promise, Finding::of_all(text.into()));
    }

    /// Returns when a promise is broken.
    pub async fn until_broken(&self) {
        self.0.is_broken.notified().await;
    }

    /// The promise that was broken, if any.
    #[must_use]
    pub fn violation(&self) -> Option<Violation> {
        lock(&self.0.violation).clone()
    }

    /// A transaction is durable in a cluster.
    pub fn committed(&self, cluster: usize, transaction: &Transaction, tables: &Tables) {
        let mut runs = Vec::new();
        for write in transaction.runs.iter().filter(|write| matches!(write.change, RunChange::Put { .. })) {
            match tables.rows.run(&write.run).map(MutableState::decode) {
                Some(Ok(state)) => runs.push(state),
                _ => return self.find("a shard writes what can be read", Finding::of(&write.run, "not so".into())),
            }
        }
        self.see(&Seen::Committed { cluster, transaction, runs: &runs, store: &tables.rows });
    }

    /// Somebody was told that something is true.
    pub fn acknowledged(&self, fact: &Fact) {
        self.see(&Seen::Acknowledged { fact });
    }

    /// Everything is at rest.
    pub fn at_rest(&self, tables: &[&Tables]) {
        let world = AtRest { stores: tables.iter().map(|tables| &tables.rows).collect(), records: Vec::new() };
        let rested = lock(&self.0.checkers).rest(&world);
        if let Err((promise, finding)) = rested {
            self.find(promise, finding);
        }
    }

    /// Something was exercised.
    pub fn count(&self, what: &'static str) {
        *lock(&self.0.counts).entry(what).or_default() += 1;
    }

    /// What was exercised, and how often.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0.counts).clone()
    }

    /// Something that whoever reads the story wants to know.
    pub fn note(&self, text: String) {
        let at = self.elapsed();
        lock(&self.0.story).push((at, text));
    }

    /// The story so far.
    #[must_use]
    pub fn story(&self) -> Vec<(Duration, String)> {
        lock(&self.0.story).clone()
    }

    fn see(&self, seen: &Seen<'_>) {
        let saw = lock(&self.0.checkers).see(seen);
        if let Err((promise, finding)) = saw {
            self.find(promise, finding);
        }
    }

    fn find(&self, promise: &'static str, finding: Finding) {
        let at = self.elapsed();
        lock(&self.0.violation).get_or_insert(Violation { at, promise, finding });
        self.0.is_broken.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
