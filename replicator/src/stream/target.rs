//! The hearing end of a stream.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use crate::{
    defects::{Defect, planted},
    ids::{NamespaceId, TaskId},
    shard::io::StreamKey,
    stream::seeds::Progress,
    version::FailoverVersion,
};

/// What a target knows of one peer's shard.
#[derive(Debug)]
pub struct Target {
    /// The stream.
    pub key: StreamKey,
    /// Whether the peer is there.
    pub is_open: bool,
    /// Tasks that were heard and are not durable, and whether on the stream that is open.
    pending: BTreeMap<TaskId, bool>,
    /// Tasks of the stream that is open that are done with.
    done_tasks: u64,
    /// So many of them the source knows of.
    told_done: u64,
    /// Everything below was heard (ST-9).
    high: TaskId,
    /// The watermark that was last acknowledged.
    acknowledged: TaskId,
    /// Namespaces that the peer has stopped writing for, by the watermark from which on that counts.
    settled: BTreeMap<(TaskId, NamespaceId), FailoverVersion>,
    /// Runs that it was asked for and has told, by the watermark from which on that counts, in order.
    seeded: VecDeque<(TaskId, Progress)>,
    /// Namespaces that it has stopped writing for, of which everything is durable here.
    done: BTreeMap<NamespaceId, FailoverVersion>,
}

impl Target {
    /// A stream on which nothing was heard.
    #[must_use]
    pub fn new(key: StreamKey) -> Self {
        Self {
            key,
            is_open: false,
            pending: BTreeMap::new(),
            done_tasks: 0,
            told_done: 0,
            high: TaskId(0),
            acknowledged: TaskId(0),
            settled: BTreeMap::new(),
            seeded: VecDeque::new(),
            done: BTreeMap::new(),
        }
    }

    /// The stream opened; the source begins again after the last acknowledgement it knows.
    pub fn open(&mut self) {
        self.is_open = true;
        self.high = TaskId(0);
        self.acknowledged = TaskId(0);
        self.settled.clear();
        self.seeded.clear();
        self.done.clear();
        (self.done_tasks, self.told_done) = (0, 0);
        // What is still being applied stays pending, so that its repetition is recognised and not acknowledged early.
        self.pending.values_mut().for_each(|is_of_this_stream| *is_of_this_stream = false);
    }

    /// The stream is gone.
    pub fn close(&mut self) {
        self.is_open = false;
    }

    /// A task arrived. Returns whether it is to be applied: a repetition of one that is still pending is not.
    pub fn on_task(&mut self, task: TaskId) -> bool {
        self.pending.insert(task, true).is_none()
    }

    /// Everything below `high` has arrived.
    pub fn on_watermark(&mut self, high: TaskId) {
        self.high = self.high.max(high);
    }

    /// The peer has stopped writing for the namespace, and everything it wrote lies below the watermark `high`.
    pub fn on_settled(&mut self, high: TaskId, namespace: NamespaceId, version: FailoverVersion) {
        self.settled.insert((high, namespace), version);
    }

    /// Runs that the peer was asked for lie below the watermark `high`.
    pub fn on_seeded(&mut self, high: TaskId, progress: Progress) {
        self.seeded.push_back((high, progress));
    }

    /// Runs that the peer was asked for and that have just become durable here.
    pub fn take_seeded(&mut self) -> Vec<Progress> {
        let low = self.low();
        let reached = self.seeded.iter().take_while(|(high, _)| *high <= low).count();
        self.seeded.drain(..reached).map(|(_, progress)| progress).collect()
    }

    /// A task is durable, or was found to need nothing.
    pub fn on_applied(&mut self, task: TaskId) {
        if self.pending.remove(&task) == Some(true) {
            self.done_tasks += 1;
        }
    }

    /// Tasks of the stream that is open that are done with, in whatever order.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done_tasks
    }

    /// Everything below is durable here.
    #[must_use]
    pub fn low(&self) -> TaskId {
        if planted(Defect::HeardIsAcknowledged) {
            return self.high;
        }
        self.pending.first_key_value().map_or(self.high, |(task, _)| (*task).min(self.high))
    }

    /// The watermark to acknowledge, if it is news.
    pub fn take_ack(&mut self) -> Option<TaskId> {
        self.owes_ack().then(|| {
            (self.acknowledged, self.told_done) = (self.low(), self.done_tasks);
            self.acknowledged
        })
    }

    /// Whether something is to be acknowledged.
    #[must_use]
    pub fn owes_ack(&self) -> bool {
        let is_news = self.low() > self.acknowledged || self.done_tasks > self.told_done;
        self.is_open && is_news && !planted(Defect::NothingIsAcknowledged)
    }

    /// Namespaces of which everything that the peer wrote has just become durable here.
    pub fn take_settled(&mut self) -> Vec<(NamespaceId, FailoverVersion)> {
        let low = self.low();
        let later = self.settled.split_off(&(low.next(), NamespaceId::from_bytes([0; 16])));
        let reached = core::mem::replace(&mut self.settled, later);
        let news: Vec<_> = reached.into_iter().map(|((_, namespace), version)| (namespace, version)).collect();
        self.done.extend(news.iter().copied());
        news
    }

    /// Whether the peer has stopped writing for the namespace under a version below `version`, and all of it is here.
    #[must_use]
    pub fn has_settled(&self, namespace: NamespaceId, version: FailoverVersion) -> bool {
        self.done.get(&namespace).is_some_and(|done| *done >= version)
    }

    /// Whether something that was heard on a stream that is gone is not durable.
    #[must_use]
    pub fn owes_earlier(&self) -> bool {
        self.pending.values().any(|is_of_this_stream| !is_of_this_stream || !self.is_open)
    }

    /// Tasks that were heard and are not durable.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{ClusterId, ShardId},
        shard::io::StreamRole,
    };

    #[test]
    fn ct_11_the_low_watermark_is_the_first_unfinished_task() {
        let mut target = target();
        for task in [3, 5, 8] {
            assert!(target.on_task(TaskId(task)));
        }
        target.on_watermark(TaskId(10));
        check(&mut target, 5, Some(3));
        assert_eq!(target.done(), 1);
        check(&mut target, 3, Some(8));
        check(&mut target, 8, Some(10));
        assert_eq!(target.take_ack(), None);
    }

    #[test]
    fn ct_11_a_repetition_after_a_reconnect_is_not_applied_twice_and_not_acknowledged_early() {
        let mut target = target();
        assert!(target.on_task(TaskId(3)));
        target.on_watermark(TaskId(4));
        assert!(target.on_task(TaskId(4)));
        assert!(!target.owes_earlier());
        target.close();
        assert!(target.owes_earlier());
        target.open();
        target.on_applied(TaskId(4));
        assert!(target.owes_earlier());
        assert!(!target.on_task(TaskId(3)));
        target.on_watermark(TaskId(6));
        assert_eq!((target.take_ack(), target.done()), (Some(TaskId(3)), 0), "4 was not told on this stream");
        check(&mut target, 3, Some(6));
        assert!(!target.owes_earlier());
        assert_eq!(target.done(), 1);
    }

    #[test]
    fn a_namespace_is_settled_when_all_before_it_is_durable() {
        let mut target = target();
        let namespace = NamespaceId::from_bytes([9; 16]);
        target.on_task(TaskId(3));
        target.on_watermark(TaskId(5));
        target.on_settled(TaskId(5), namespace, FailoverVersion(2));
        assert_eq!(target.take_settled(), []);
        target.on_applied(TaskId(3));
        assert_eq!(target.take_settled(), [(namespace, FailoverVersion(2))]);
        assert_eq!(target.take_settled(), []);
    }

    #[test]
    fn seeds_count_when_they_are_durable() {
        let mut target = target();
        let progress =
            Progress { namespace: NamespaceId::from_bytes([9; 16]), question: 1, after: None, is_complete: true };
        target.on_task(TaskId(3));
        target.on_watermark(TaskId(5));
        target.on_seeded(TaskId(5), progress.clone());
        assert_eq!(target.take_seeded(), []);
        target.on_applied(TaskId(3));
        assert_eq!(target.take_seeded(), [progress]);
    }

    #[test]
    fn ct_11_the_highest_watermark_is_a_watermark() {
        let mut target = target();
        let namespace = NamespaceId::from_bytes([9; 16]);
        target.on_watermark(TaskId(i64::MAX));
        target.on_settled(TaskId(i64::MAX), namespace, FailoverVersion(2));
        target.take_settled();
        assert_eq!(target.take_ack(), Some(TaskId(i64::MAX)));
    }

    #[track_caller]
    fn check(target: &mut Target, applied: i64, ack: Option<i64>) {
        target.on_applied(TaskId(applied));
        assert_eq!(target.take_ack(), ack.map(TaskId), "after {applied}");
    }

    fn target() -> Target {
        let key = StreamKey { cluster: ClusterId(2), shard: ShardId(1), role: StreamRole::Target };
        let mut target = Target::new(key);
        target.open();
        target
    }
}
