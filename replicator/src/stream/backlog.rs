//! How much the replication queue holds, and from where on it may be let go.
//!
//! Tasks wait until every peer has them. One that is away must not fill the disk: beyond a limit the oldest go, and it is
//! told everything anew when it is back. Rows are not counted one by one but in segments, which are part of the shard's
//! record.

use alloc::{collections::VecDeque, vec::Vec};
use core::time::Duration;

use proto::meridian::persistence::v1::BacklogSegment;

use crate::{ids::TaskId, time::Timestamp};

/// How much is kept for a peer that is away; what exceeds one of these goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BacklogLimit {
    /// Tasks of a shard.
    pub rows: u64,
    /// Bytes of their events.
    pub bytes: u64,
    /// Age of the oldest.
    pub age: Duration,
}

impl Default for BacklogLimit {
    /// A week: a peer that is away for longer is not about to come back. And what a disk can well bear for each shard.
    fn default() -> Self {
        Self { rows: 1_000_000, bytes: 4 << 30, age: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// The replication queue in segments.
#[derive(Debug, Default)]
pub struct Backlog {
    /// Oldest first; increasing in `last`.
    segments: VecDeque<Segment>,
}

/// Tasks that were written one after another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Segment {
    /// The last of them.
    last: TaskId,
    rows: u64,
    bytes: u64,
    /// When the first of them was written.
    since: Timestamp,
}

/// How much waits for a peer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Size {
    /// Tasks.
    pub rows: u64,
    /// Bytes of their events.
    pub bytes: u64,
    /// When the oldest was written.
    pub since: Option<Timestamp>,
}

impl Backlog {
    /// As it was stored.
    #[must_use]
    pub fn of(segments: &[BacklogSegment]) -> Self {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        let segments = segments.iter().map(|stored| Segment {
            last: TaskId(stored.last_task_id),
            rows: number(stored.rows),
            bytes: number(stored.bytes),
            since: Timestamp(stored.since),
        });
        Self { segments: segments.collect() }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// As it is stored.
    #[must_use]
    pub fn store(&self) -> Vec<BacklogSegment> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let segment = |segment: &Segment| BacklogSegment {
            last_task_id: segment.last.0,
            rows: number(segment.rows),
            bytes: number(segment.bytes),
            since: segment.since.0,
        };
        self.segments.iter().map(segment).collect()
    }

    /// A task became durable. Whether it begins a segment: then there may be one too many. Transactions commit in any order;
    /// a little more or less in a segment changes nothing.
    pub fn add(&mut self, now: Timestamp, task: TaskId, bytes: usize, limit: &BacklogLimit) -> bool {
        let bytes = bytes as u64;
        let is_full = |segment: &Segment| {
            segment.rows >= (limit.rows / PARTS).max(1)
                || segment.bytes >= (limit.bytes / PARTS).max(1)
                || now.since(segment.since) >= limit.age / PARTS as u32
        };
        match self.segments.back_mut() {
            Some(segment) if !is_full(segment) => {
                segment.last = segment.last.max(task);
                segment.rows += 1;
                segment.bytes += bytes;
                false
            }
            last => {
                let last = last.map_or(task, |before| before.last.max(task));
                self.segments.push_back(Segment { last, rows: 1, bytes, since: now });
                true
            }
        }
    }

    /// Tasks up to and including this one are gone.
    pub fn forget(&mut self, floor: TaskId) {
        while self.segments.front().is_some_and(|segment| segment.last <= floor) {
            self.segments.pop_front();
        }
    }

    /// What waits for a peer that has everything up to `acked`; a segment that it has in part counts whole.
    #[must_use]
    pub fn after(&self, acked: TaskId) -> Size {
        let waiting = self.segments.iter().filter(|segment| segment.last > acked);
        waiting.fold(Size::default(), |size, segment| Size {
            rows: size.rows + segment.rows,
            bytes: size.bytes + segment.bytes,
            since: size.since.or(Some(segment.since)),
        })
    }

    /// The last task that is beyond the limit, if any is.
    #[must_use]
    pub fn excess(&self, now: Timestamp, limit: &BacklogLimit) -> Option<TaskId> {
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        let mut kept = self.segments.iter().rev().take_while(|segment| {
            rows = rows.saturating_add(segment.rows);
            bytes = bytes.saturating_add(segment.bytes);
            rows <= limit.rows && bytes <= limit.bytes && now.since(segment.since) <= limit.age
        });
        let kept = kept.by_ref().count();
        let first_kept = self.segments.len() - kept;
        first_kept.checked_sub(1).map(|index| self.segments[index].last)
    }
}

/// Segments that make up the limit: how finely it is kept, and what the shard's record has to hold.
const PARTS: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: BacklogLimit = BacklogLimit { rows: 64, bytes: 3200, age: Duration::from_secs(32) };

    /// So many tasks, one a second fraction, of so many bytes each.
    fn backlog(rows: i64, bytes: usize, spacing: Duration) -> (Backlog, Timestamp) {
        let mut backlog = Backlog::default();
        let mut now = Timestamp::from_millis(1000);
        for task in 1..=rows {
            backlog.add(now, TaskId(task * 10), bytes, &LIMIT);
            now = now + spacing;
        }
        (backlog, now)
    }

    #[test]
    fn what_is_beyond_a_limit_goes() {
        check(64, 10, Duration::ZERO, None);
        check(66, 10, Duration::ZERO, Some(20));
        check(100, 10, Duration::ZERO, Some(360));
        check(32, 200, Duration::ZERO, Some(160));
        check(40, 10, Duration::from_secs(1), Some(80));
        check(0, 0, Duration::ZERO, None);
    }

    #[test]
    fn a_peer_waits_for_what_it_has_not() {
        let (mut backlog, _) = backlog(100, 10, Duration::ZERO);
        assert_eq!(backlog.after(TaskId(0)).rows, 100);
        assert_eq!(backlog.after(TaskId(980)).rows, 2);
        assert_eq!(backlog.after(TaskId(1000)), Size::default());
        backlog.forget(TaskId(500));
        assert_eq!(backlog.after(TaskId(0)).rows, 50);
        assert_eq!(Backlog::of(&backlog.store()).after(TaskId(0)), backlog.after(TaskId(0)));
    }

    #[track_caller]
    fn check(rows: i64, bytes: usize, spacing: Duration, expected: Option<i64>) {
        let (backlog, now) = backlog(rows, bytes, spacing);
        assert_eq!(backlog.excess(now, &LIMIT), expected.map(TaskId));
        assert!(backlog.store().len() <= 2 * PARTS as usize + 40, "the record stays small");
    }
}
