//! Which shards are held here, and how one begins and ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use replicator::{
    ids::{NamespaceId, ShardId},
    namespace::Namespace,
    shard::Shard,
    workflow::limits::Limits,
};
use tokio::sync::mpsc;

use crate::{
    driver::{Driver, Event},
    history::Ports,
    recent::Recent,
    room::{Room, Share},
    streams,
    watches::Watches,
};

/// The shards of one host.
pub(crate) struct Shards {
    count: u32,
    ports: Ports,
    watches: Arc<Watches>,
    room: Arc<Room>,
    state: RwLock<State>,
}

/// What only one at a time may change.
#[derive(Default)]
struct State {
    held: BTreeMap<ShardId, Arc<Handle>>,
    /// Ends of those that are being let go: closed when nothing of them is under way any more.
    leaving: BTreeMap<ShardId, watch::Receiver<()>>,
    /// For those that are held later.
    namespaces: BTreeMap<NamespaceId, Namespace>,
    /// The same.
    limits: Arc<Limits>,
    /// How often each began here. No two of its lives draw the same ids.
    lives: BTreeMap<ShardId, u64>,
}

/// One shard, as seen from outside its task.
pub(crate) struct Handle {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) recent: Arc<Mutex<Recent>>,
    /// Closed when its task has ended.
    ended: watch::Receiver<()>,
}

impl Shards {
    pub(crate) fn new(count: u32, ports: Ports, watches: Arc<Watches>) -> Self {
        let state = State { limits: Arc::new(ports.run_limits.clone()), ..State::default() };
        Self { count, ports, watches, room: Arc::new(Room::new()), state: RwLock::new(state) }
    }

    /// The memory that they share.
    pub(crate) fn room(&self) -> &Arc<Room> {
        &self.room
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// A shard, if it is held here.
    pub(crate) fn get(&self, shard: ShardId) -> Option<Arc<Handle>> {
        self.read().held.get(&shard).cloned()
    }

    /// All that are held here.
    pub(crate) fn all(&self) -> BTreeMap<ShardId, Arc<Handle>> {
        let state = self.read();
        let held = state.held.iter().filter(|(_, handle)| !handle.events.is_closed());
        held.map(|(shard, handle)| (*shard, Arc::clone(handle))).collect()
    }

    /// Hold these and no others.
    pub(crate) fn hold(&self, wanted: &BTreeSet<ShardId>) {
        let mut state = self.write();
        let unwanted: Vec<_> = state.held.extract_if(.., |shard, _| !wanted.contains(shard)).collect();
        for (shard, handle) in unwanted {
            // One that has ended is let go already.
            let _ = handle.events.send(Event::Release);
            state.leaving.insert(shard, handle.ended.clone());
        }
        for shard in wanted {
            // One that was taken by another host has ended by itself.
            if state.held.get(shard).is_none_or(|handle| handle.events.is_closed()) {
                self.begin(&mut state, *shard);
            }
        }
    }

    fn begin(&self, state: &mut State, id: ShardId) {
        let (events, inbox) = mpsc::unbounded_channel();
        let (alive, ended) = watch::channel(());
        let recent = Arc::new(Mutex::new(Recent::default()));
        let topology = self.ports.clusters.borrow().federation.topology.clone();
        let life = state.lives.entry(id).or_default();
        let seed = self.ports.seed ^ u64::from(id.0).rotate_left(32) ^ life.wrapping_mul(LIFE);
        *life += 1;
        let shard = Shard::new(id, topology, seed).with_backlog_limit(self.ports.backlog_limit);
        let shard = if self.ports.claim.is_some() { shard.with_rivals() } else { shard };
        let (watches, share) = (Arc::clone(&self.watches), Share::new(Arc::clone(&self.room)));
        let driver = Driver::new(shard, self.ports.clone(), Arc::clone(&recent), watches, share);
        for namespace in state.namespaces.values() {
            // Its task has not begun.
            let _ = events.send(Event::Namespace(Box::new(namespace.clone())));
        }
        let _ = events.send(Event::Limits(Arc::clone(&state.limits)));
        let before = state.leaving.remove(&id);
        (self.ports.spawn)(Box::pin(async move {
            if let Some(mut before) = before {
                // Whatever it still writes is written under the range that this one is about to replace.
                let _ = before.changed().await;
            }
            driver.run(inbox).await;
            drop(alive);
        }));
        let follow = streams::follow_clusters(self.ports.clone(), id, self.count, events.clone(), ended.clone());
        (self.ports.spawn)(Box::pin(follow));
        state.held.insert(id, Arc::new(Handle { events, recent, ended }));
    }

    /// Wait until a shard is not held here, and nothing of it is under way.
    pub(crate) async fn released(&self, shard: ShardId) {
        loop {
            let ended = {
                let state = self.read();
                let held = state.held.get(&shard).map(|handle| handle.ended.clone());
                held.or_else(|| state.leaving.get(&shard).cloned())
            };
            let Some(mut ended) = ended else { return };
            let _ = ended.changed().await;
            let mut state = self.write();
            if state.leaving.get(&shard).is_some_and(watch::Receiver::is_closed) {
                state.leaving.remove(&shard);
            }
            if state.held.get(&shard).is_none_or(|handle| handle.events.is_closed()) {
                return;
            }
        }
    }

    /// Tell every shard.
    pub(crate) fn tell(&self, event: impl Fn() -> Event) {
        for handle in self.read().held.values() {
            // One that is gone need not know.
            let _ = handle.events.send(event());
        }
    }

    /// Tell every shard what a namespace is now, those too that are held later.
    pub(crate) fn put_namespace(&self, namespace: &Namespace) {
        let mut state = self.write();
        state.namespaces.insert(namespace.id, namespace.clone());
        for handle in state.held.values() {
            // A shard that is gone needs no namespace.
            let _ = handle.events.send(Event::Namespace(Box::new(namespace.clone())));
        }
    }

    /// Tell every shard how large runs may grow, those too that are held later.
    pub(crate) fn put_limits(&self, limits: Arc<Limits>) {
        let mut state = self.write();
        for handle in state.held.values() {
            // A shard that is gone limits nothing.
            let _ = handle.events.send(Event::Limits(Arc::clone(&limits)));
        }
        state.limits = limits;
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Nothing is left half done by a panic.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the seeds of one life of a shard from that of the next.
const LIFE: u64 = 0x9e37_79b9_7f4a_7c15;
