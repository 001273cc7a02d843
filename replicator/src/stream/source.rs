//! The telling end of a stream.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    defects::{Defect, planted},
    ids::{NamespaceId, TaskId},
    shard::io::{Limit, LoadId, StreamKey},
    stream::lanes::{self, Lanes},
    time::Timestamp,
    version::FailoverVersion,
};

/// What a source knows of one peer's shard.
///
/// Markers on the shard's sequence of task ids: `acked ≤ sent`, and everything up to `acked` is durable at the peer.
#[derive(Debug)]
pub struct Source {
    /// The stream.
    pub key: StreamKey,
    /// Whether the peer is there.
    pub is_open: bool,
    /// Every task up to and including this one is durable at the peer, or was none of its business.
    pub acked: TaskId,
    /// Every task up to and including this one was sent on the stream that is open.
    pub sent: TaskId,
    /// Tasks behind it that were looked at; of those some were sent.
    pub lanes: Lanes,
    /// Tasks that were sent and are not acknowledged, with their bytes.
    unacked: BTreeMap<TaskId, usize>,
    /// Bytes of `unacked`.
    unacked_bytes: usize,
    /// Tasks that were sent on the stream that is open.
    sent_tasks: u64,
    /// Tasks of the stream that is open that the peer is done with, if it tells.
    done_tasks: Option<u64>,
    /// A read of older tasks, if one is under way.
    reading: Option<Reading>,
    /// When the peer last said anything.
    pub heard: Timestamp,
    /// Namespaces that moved away, to be told once everything below the watermark was sent.
    pub owes_settled: Vec<(TaskId, NamespaceId, FailoverVersion)>,
}

/// A read of older tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    id: LoadId,
    /// What was readable when it was asked for: every task below was written or given up before the store looked.
    end: TaskId,
    /// The lane whose tasks are read again; `None`: what no lane has seen is read.
    again: Option<lanes::Key>,
}

impl Source {
    /// A peer that has acknowledged tasks up to and including `acked`.
    #[must_use]
    pub fn new(key: StreamKey, acked: TaskId) -> Self {
        Self {
            key,
            is_open: false,
            acked,
            sent: acked,
            lanes: Lanes::starting_after(acked),
            unacked: BTreeMap::new(),
            unacked_bytes: 0,
            sent_tasks: 0,
            done_tasks: None,
            reading: None,
            heard: Timestamp::ZERO,
            owes_settled: Vec::new(),
        }
    }

    /// The stream opened: go on after what is known to have arrived.
    pub fn open(&mut self, now: Timestamp) {
        self.is_open = true;
        (self.sent_tasks, self.done_tasks) = (0, None);
        self.rewind();
        self.heard = now;
    }

    /// Nothing in flight is known to arrive: go on after what was acknowledged.
    pub fn rewind(&mut self) {
        if !planted(Defect::ReconnectGoesOn) {
            self.sent = self.acked;
        }
        self.lanes = Lanes::starting_after(self.sent);
        self.unacked.clear();
        self.unacked_bytes = 0;
        self.reading = None;
    }

    /// Whether tasks that the peer has not had are gone, those up to and including `floor` being so.
    #[must_use]
    pub fn has_gap(&self, floor: TaskId) -> bool {
        self.sent < floor
    }

    /// Go on behind tasks that are gone, up to and including `last`, and wait for the peer to take note of that.
    pub fn skip_gap(&mut self, last: TaskId) {
        self.unacked.insert(last, 0);
        self.sent = last;
        self.lanes = Lanes::starting_after(last);
    }

    /// Tasks were sent, of so many bytes each, and `lanes` are as they are without them.
    pub fn on_sent(&mut self, tasks: impl IntoIterator<Item = (TaskId, usize)>) {
        for (task, bytes) in tasks {
            self.unacked.insert(task, bytes);
            self.unacked_bytes += bytes;
            self.sent_tasks += 1;
        }
        self.sent = self.sent.max(self.lanes.sent());
        self.skip_to_sent();
    }

    /// Whether the peer takes tasks in another order than that of their ids: one that tells how many it is done with does.
    #[must_use]
    pub fn takes_turns(&self) -> bool {
        self.done_tasks.is_some()
    }

    /// With nothing in flight, whatever was passed over on the way was none of the peer's business.
    fn skip_to_sent(&mut self) {
        if self.unacked.is_empty() {
            self.acked = self.acked.max(self.sent);
        }
    }

    /// The stream is gone.
    pub fn close(&mut self) {
        self.is_open = false;
        self.reading = None;
    }

    /// The peer says that everything below `low` is durable there (ST-8). Returns whether that is news.
    ///
    /// A watermark above what was sent is nonsense and counts as what was sent. `done`: so many tasks of this stream it is
    /// done with, in whatever order.
    pub fn on_ack(&mut self, now: Timestamp, low: TaskId, done: Option<u64>) -> bool {
        self.heard = now;
        self.done_tasks = done.max(self.done_tasks);
        let acked = TaskId(low.0.saturating_sub(1)).min(self.sent);
        let news = acked > self.acked;
        self.acked = self.acked.max(acked);
        while let Some(first) = self.unacked.first_entry() {
            if *first.key() > self.acked {
                break;
            }
            self.unacked_bytes -= first.remove();
        }
        self.skip_to_sent();
        news
    }

    /// Older tasks than memory holds are being read, below `end`: those of a lane again, or what no lane has seen.
    pub fn begin_read(&mut self, id: LoadId, end: TaskId, again: Option<lanes::Key>) {
        self.reading = Some(Reading { id, end, again });
    }

    /// A read came back. Returns the end of what it can be trusted for: of tasks from there on the store may have shown
    /// some and not those before them. `None` when it is not the read under way, and begins where nobody stands.
    pub fn end_read(&mut self, id: LoadId) -> Option<(TaskId, Option<lanes::Key>)> {
        self.reading.take_if(|reading| reading.id == id).map(|reading| (reading.end, reading.again))
    }

    /// Whether a read is under way.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Whether the peer is there, has at most so many tasks to acknowledge, needs none up to `floor`, and no lane holds
    /// anything that waits for its turn.
    #[must_use]
    pub fn is_within(&self, tasks: usize, floor: TaskId) -> bool {
        let nothing_waits = self.reading.is_none() && self.lanes.is_empty() && floor <= self.sent;
        self.is_open && nothing_waits && self.unacked.len() <= tasks
    }

    /// Whether more may be sent: bounds what a slow peer has to hold.
    #[must_use]
    pub fn has_window(&self) -> bool {
        self.is_open && self.limit().is_none()
    }

    /// What keeps more from being sent, and since when: the peer has said nothing since.
    #[must_use]
    pub fn held_back(&self) -> Option<(Limit, Timestamp)> {
        self.limit().filter(|_| self.is_open).map(|limit| (limit, self.heard))
    }

    /// One task that takes long must not hold back all others by holding back the watermark: where the peer tells, what
    /// counts is what it is not done with. Its bytes are in proportion.
    fn limit(&self) -> Option<Limit> {
        let unacked = self.unacked.len();
        let in_flight = self.done_tasks.map_or(unacked, |done| {
            usize::try_from(self.sent_tasks.saturating_sub(done)).unwrap_or(usize::MAX).min(unacked)
        });
        if in_flight >= WINDOW || unacked >= LONGEST_UNACKED {
            return Some(Limit::Tasks);
        }
        let bytes = self.unacked_bytes.checked_div(unacked).unwrap_or(0).saturating_mul(in_flight);
        (bytes >= WINDOW_BYTES).then_some(Limit::Bytes)
    }
}

/// Tasks in flight to one peer's shard. Far above what a round trip needs, far below what would burden the peer.
pub const WINDOW: usize = 2048;
/// Bytes in flight to one peer's shard. The same.
pub const WINDOW_BYTES: usize = 16 << 20;
/// Tasks that are remembered behind one that takes long.
const LONGEST_UNACKED: usize = 32 * WINDOW;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{ClusterId, ShardId},
        shard::io::StreamRole,
    };

    #[test]
    fn ct_11_an_ack_never_goes_back_and_never_beyond_what_was_sent() {
        let key = StreamKey { cluster: ClusterId(2), shard: ShardId(1), role: StreamRole::Source };
        let mut source = Source::new(key, TaskId(10));
        source.open(Timestamp(0));
        source.lanes.skip_to(TaskId(20));
        source.on_sent([(TaskId(15), 1), (TaskId(18), 1)]);
        for (low, acked, news) in
            [(i64::MIN, 10, false), (11, 10, false), (16, 15, true), (12, 15, false), (99, 20, true)]
        {
            assert_eq!(source.on_ack(Timestamp(1), TaskId(low), None), news, "low watermark {low}");
            assert_eq!(source.acked, TaskId(acked));
        }
        source.close();
        source.open(Timestamp(2));
        assert_eq!(source.sent, TaskId(20));
    }

    /// So many tasks of so many bytes are sent; the peer is done with `done` of them, and the first is not among those.
    #[track_caller]
    fn check_window(tasks: i64, bytes: usize, done: Option<u64>, expected: Option<Limit>) {
        let key = StreamKey { cluster: ClusterId(2), shard: ShardId(1), role: StreamRole::Source };
        let mut source = Source::new(key, TaskId(0));
        source.open(Timestamp(0));
        source.lanes.skip_to(TaskId(tasks));
        source.on_sent((1..=tasks).map(|task| (TaskId(task), bytes)));
        source.on_ack(Timestamp(7), TaskId(1), done);
        assert_eq!(source.held_back(), expected.map(|limit| (limit, Timestamp(7))));
        assert_eq!(source.has_window(), expected.is_none());
    }

    #[test]
    fn what_a_peer_has_to_hold_is_bounded() {
        check_window(2047, 1, None, None);
        check_window(2048, 1, None, Some(Limit::Tasks));
        check_window(2048, 1, Some(2047), None);
        check_window(16, 1 << 20, None, Some(Limit::Bytes));
        check_window(16, 1 << 20, Some(8), None);
        check_window(32 * 2048, 1, Some(32 * 2048 - 1), Some(Limit::Tasks));
    }

    #[test]
    fn a_gap_is_passed_when_the_peer_says_so() {
        let key = StreamKey { cluster: ClusterId(2), shard: ShardId(1), role: StreamRole::Source };
        let mut source = Source::new(key, TaskId(10));
        source.open(Timestamp(0));
        assert!(!source.has_gap(TaskId(10)) && source.has_gap(TaskId(11)));
        source.skip_gap(TaskId(30));
        source.lanes.skip_to(TaskId(35));
        source.on_sent([]);
        assert_eq!(source.acked, TaskId(10), "the peer does not know of it yet");
        source.on_ack(Timestamp(1), TaskId(31), None);
        assert_eq!((source.acked, source.has_gap(TaskId(30))), (TaskId(35), false));
    }

    #[test]
    fn ct_11_a_read_of_an_earlier_stream_is_not_taken_for_one_of_this() {
        let key = StreamKey { cluster: ClusterId(2), shard: ShardId(1), role: StreamRole::Source };
        let mut source = Source::new(key, TaskId(10));
        source.open(Timestamp(0));
        source.lanes.skip_to(TaskId(15));
        source.on_sent([(TaskId(15), 1)]);
        source.begin_read(LoadId(1), TaskId(30), None);
        source.close();
        source.open(Timestamp(1));
        assert_eq!((source.sent, source.end_read(LoadId(1))), (TaskId(10), None));
        source.begin_read(LoadId(2), TaskId(40), None);
        assert_eq!(source.end_read(LoadId(1)), None);
        assert!(source.is_reading(), "the second read is still under way");
        assert_eq!(source.end_read(LoadId(2)), Some((TaskId(40), None)));
        assert!(!source.is_reading());
    }
}
