//! How much memory the shards of a host take together, and may.
//!
//! Each shard says what it has in memory, and is told how much it may have: what the others leave, and never less than its part
//! of the whole. So one that has much to do uses what idle ones do not, and shards that come and go change nobody's settings.
//! When all want more, those above their part give way; an idle one among them is woken for it.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use replicator::{shard::Cache, time::Timestamp};

/// Bounds for all shards of a host, and what they have.
pub(crate) struct Room {
    /// Bytes that workflows may take.
    limit: AtomicUsize,
    /// Shards that are here.
    shards: AtomicUsize,
    /// What they have.
    workflows: AtomicUsize,
    cached: AtomicUsize,
    evicted: AtomicU64,
    /// Bytes of requests that are not answered.
    waiting: AtomicUsize,
    /// Requests for which there was no room.
    refused: AtomicU64,
    /// Changes when there is too much and those who have too much are to look.
    pressure: watch::Sender<()>,
    /// When that was last.
    pressed: AtomicI64,
}

/// What the shards of a host have in memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Memory {
    /// Bytes that workflows may take.
    pub limit: usize,
    /// About how many they take.
    pub cached: usize,
    /// Workflows in memory.
    pub workflows: usize,
    /// How many were forgotten for others, so far.
    pub evicted: u64,
    /// Bytes of requests that are not answered.
    pub waiting: usize,
    /// Requests that were refused because there was no room for them, so far.
    pub refused: u64,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self {
            limit: AtomicUsize::new(CACHED),
            shards: AtomicUsize::default(),
            workflows: AtomicUsize::default(),
            cached: AtomicUsize::default(),
            evicted: AtomicU64::default(),
            waiting: AtomicUsize::default(),
            refused: AtomicU64::default(),
            pressure: watch::Sender::new(()),
            pressed: AtomicI64::new(i64::MIN),
        }
    }

    /// Workflows may take so many bytes from now on; `None`: as many as if nobody says.
    pub(crate) fn limit_cache(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(CACHED), Relaxed);
        self.pressure.send_replace(());
    }

    /// What there is now.
    pub(crate) fn memory(&self) -> Memory {
        Memory {
            limit: self.limit.load(Relaxed),
            cached: self.cached.load(Relaxed),
            workflows: self.workflows.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    /// Make room for a request of so many bytes, until it is answered. One that finds nobody waiting is taken, however large.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize) -> Option<Waiting> {
        let take = |waiting: usize| (waiting == 0 || waiting + bytes <= WAITING).then_some(waiting + bytes);
        if self.waiting.fetch_update(Relaxed, Relaxed, take).is_ok() {
            return Some(Waiting { room: Arc::clone(self), bytes });
        }
        self.refused.fetch_add(1, Relaxed);
        None
    }

    /// Each shard's part of so much.
    fn part(&self, whole: usize) -> usize {
        whole / self.shards.load(Relaxed).max(1)
    }
}

/// The room of a request that is not answered yet.
pub(crate) struct Waiting {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.room.waiting.fetch_sub(self.bytes, Relaxed);
    }
}

/// The room of one shard, for as long as it is here.
pub(crate) struct Share {
    room: Arc<Room>,
    /// What it said last.
    cache: Cache,
    pressure: watch::Receiver<()>,
}

impl Share {
    pub(crate) fn new(room: Arc<Room>) -> Self {
        room.shards.fetch_add(1, Relaxed);
        let pressure = room.pressure.subscribe();
        Self { room, cache: Cache::default(), pressure }
    }

    /// The shard has so much in memory now. Answers how many bytes its workflows may take.
    pub(crate) fn set(&mut self, now: Timestamp, cache: Cache) -> usize {
        let room = &self.room;
        room.evicted.fetch_add(cache.evicted - self.cache.evicted, Relaxed);
        // Sums wrap when a part of a change is below zero, and are right when all of it is done.
        room.workflows.fetch_add(cache.workflows.wrapping_sub(self.cache.workflows), Relaxed);
        let change = cache.bytes.wrapping_sub(self.cache.bytes);
        let all = room.cached.fetch_add(change, Relaxed).wrapping_add(change);
        self.cache = cache;
        let limit = room.limit.load(Relaxed);
        if all > limit && !self.is_above() {
            self.press(now);
        }
        room.part(limit).max(limit.saturating_sub(all.saturating_sub(cache.bytes)))
    }

    /// How many bytes of batches the shard may keep so that they are not read again.
    pub(crate) fn batches(&self) -> usize {
        self.room.part(BATCHES)
    }

    /// Ends when the shard has more than its part and others want theirs.
    pub(crate) async fn pressed(&mut self) {
        if !self.is_above() || self.pressure.changed().await.is_err() {
            std::future::pending().await
        }
    }

    fn is_above(&self) -> bool {
        self.cache.bytes > self.room.part(self.room.limit.load(Relaxed))
    }

    fn press(&self, now: Timestamp) {
        let last = self.room.pressed.load(Relaxed);
        if last.saturating_add(PAUSE) <= now.0 || now.0 < last {
            self.room.pressed.store(now.0, Relaxed);
            self.room.pressure.send_replace(());
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.workflows.fetch_sub(self.cache.workflows, Relaxed);
        self.room.cached.fetch_sub(self.cache.bytes, Relaxed);
        self.room.shards.fetch_sub(1, Relaxed);
    }
}

/// Bytes of workflows in memory, if nobody says.
const CACHED: usize = 256 << 20;
/// Bytes of requests that are not answered. A host that has so many to do is too slow for those who call, and says so.
const WAITING: usize = 64 << 20;
/// Bytes of newest batches, for those who read them, and as many for those who are told of them.
const BATCHES: usize = 32 << 20;
/// Nanoseconds between two times that shards are woken.
const PAUSE: i64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_uses_what_others_do_not() {
        let room = room(100);
        let mut shares: Vec<_> = (0..4).map(|_| Share::new(Arc::clone(&room))).collect();
        assert_eq!(shares[0].set(at(0), bytes(10)), 100);
        assert_eq!(shares[1].set(at(0), bytes(60)), 90);
        assert_eq!(shares[2].set(at(0), bytes(30)), 30);
        // The first may have its part, whatever others have; and one above its part is to give way then.
        assert_eq!(shares[0].set(at(0), bytes(25)), 25);
        assert_eq!(shares[1].set(at(0), bytes(60)), 45);
        assert_eq!(shares[2].set(at(0), bytes(30)), 25);
        assert_eq!(room.memory().cached, 115);
    }

    #[test]
    fn shards_that_leave_take_nothing_with_them() {
        let room = room(100);
        let mut first = Share::new(Arc::clone(&room));
        {
            let mut others: Vec<_> = (0..3).map(|_| Share::new(Arc::clone(&room))).collect();
            others.iter_mut().for_each(|share| _ = share.set(at(0), bytes(30)));
            assert_eq!(first.set(at(0), bytes(5)), 25);
        }
        assert_eq!(room.memory().cached, 5);
        assert_eq!(first.set(at(0), bytes(5)), 100);
    }

    #[tokio::test]
    async fn an_idle_shard_with_much_is_woken_when_others_want_their_part() {
        let room = room(100);
        let (mut idle, mut busy) = (Share::new(Arc::clone(&room)), Share::new(Arc::clone(&room)));
        idle.set(at(0), bytes(100));
        assert!(!is_pressed(&mut idle).await);
        busy.set(at(1), bytes(20));
        assert!(is_pressed(&mut idle).await);
        assert!(!is_pressed(&mut busy).await);
        assert_eq!(idle.set(at(1), bytes(100)), 80);
        busy.set(at(2), bytes(21));
        assert!(!is_pressed(&mut idle).await, "not at once again");
        busy.set(at(PAUSE + 1), bytes(22));
        assert!(is_pressed(&mut idle).await);
    }

    #[test]
    fn requests_wait_while_there_is_room() {
        let room = Arc::new(Room::new());
        let huge = room.admit(2 * WAITING).expect("nobody waits");
        assert!(room.admit(1).is_none());
        drop(huge);
        let half = [room.admit(WAITING / 2), room.admit(WAITING / 2)];
        assert!(half.iter().all(Option::is_some) && room.admit(1).is_none());
        drop(half);
        assert_eq!((room.memory().waiting, room.memory().refused), (0, 2));
    }

    async fn is_pressed(share: &mut Share) -> bool {
        tokio::select! {
            biased;
            () = share.pressed() => true,
            () = std::future::ready(()) => false,
        }
    }

    fn room(limit: usize) -> Arc<Room> {
        let room = Room::new();
        room.limit_cache(Some(limit));
        Arc::new(room)
    }

    fn bytes(bytes: usize) -> Cache {
        Cache { workflows: 1, bytes, evicted: 0 }
    }

    fn at(now: i64) -> Timestamp {
        Timestamp(now)
    }
}
