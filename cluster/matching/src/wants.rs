//! Where else pollers are wanted.
//!
//! Each host of a cluster has its own part of a task queue. A host with work and no poller says so to the others: it *wants*
//! so many pollers. Whoever has pollers with nothing to do sends them there. A want stands until its host says something
//! else; what was sent for it counts for a moment, and if the want still stands then, it was lost on its way.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use replicator::time::Timestamp;

use crate::key::QueueKey;

/// One life of a host of the cluster.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct HostId(pub u128);

/// The pollers that other hosts want.
///
/// `due` holds each want that has `again` once, under that moment.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    /// No queue without a want.
    by_queue: BTreeMap<Arc<QueueKey>, BTreeMap<HostId, Want>>,
    due: BTreeSet<(Timestamp, Arc<QueueKey>, HostId)>,
    /// Numbers what is sent.
    turns: u64,
}

/// `0 ≤ left ≤ count` and `1 ≤ count`; `again` is there exactly while `left < count`.
#[derive(Debug)]
struct Want {
    count: usize,
    /// What was not sent yet.
    left: usize,
    /// When something was last sent there, as a number; nought if nothing was.
    served: u64,
    /// When what was sent counts no more.
    again: Option<Timestamp>,
}

impl Wants {
    /// A host wants so many pollers for its part of a queue; none ends it.
    pub(crate) fn put(&mut self, key: &Arc<QueueKey>, host: HostId, count: usize) {
        if count == 0 {
            self.forget(key, host);
            return;
        }
        let wants = self.by_queue.entry(key.clone()).or_default();
        let want = wants.entry(host).or_insert(Want { count, left: count, served: 0, again: None });
        // What it wants less has reached it.
        let sent = (want.count - want.left).saturating_sub(want.count.saturating_sub(count)).min(count);
        (want.count, want.left) = (count, count - sent);
        if sent == 0
            && let Some(again) = want.again.take()
        {
            self.due.remove(&(again, key.clone(), host));
        }
    }

    /// Whom to send some of `most` pollers, and how many: to whoever was sent any the longest ago.
    pub(crate) fn take(&mut self, now: Timestamp, key: &Arc<QueueKey>, most: usize) -> Option<(HostId, usize)> {
        let wants = self.by_queue.get_mut(key)?;
        let open = wants.iter_mut().filter(|(_, want)| 0 < want.left);
        let (host, want) = open.min_by_key(|(host, want)| (want.served, **host))?;
        let count = want.left.min(most);
        want.left -= count;
        self.turns += 1;
        want.served = self.turns;
        if want.again.is_none() {
            want.again = Some(now + ON_THE_WAY);
            self.due.insert((now + ON_THE_WAY, key.clone(), *host));
        }
        Some((*host, count))
    }

    /// Forget what is wanted for queues or by hosts that are not kept.
    pub(crate) fn keep(&mut self, is_queue_kept: impl Fn(&QueueKey) -> bool, is_host_kept: impl Fn(HostId) -> bool) {
        let all = self.by_queue.iter().flat_map(|(key, wants)| wants.keys().map(|host| (key.clone(), *host)));
        let gone: Vec<_> = all.filter(|(key, host)| !is_queue_kept(key) || !is_host_kept(*host)).collect();
        for (key, host) in gone {
            self.forget(&key, host);
        }
    }

    /// A queue where more is wanted since what was sent there counts no more.
    pub(crate) fn poll_due(&mut self, now: Timestamp) -> Option<Arc<QueueKey>> {
        if now < self.poll_timeout()? {
            return None;
        }
        let (_, key, host) = self.due.pop_first().expect("seen");
        let want = self.by_queue.get_mut(&key).and_then(|wants| wants.get_mut(&host)).expect("what is due is wanted");
        (want.left, want.again) = (want.count, None);
        Some(key)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.first().map(|(moment, ..)| *moment)
    }

    fn forget(&mut self, key: &Arc<QueueKey>, host: HostId) {
        let Some(wants) = self.by_queue.get_mut(key) else { return };
        if let Some(Want { again: Some(again), .. }) = wants.remove(&host) {
            self.due.remove(&(again, key.clone(), host));
        }
        if wants.is_empty() {
            self.by_queue.remove(key);
        }
    }
}

/// A poller that was sent is there by then, or lost. Work that comes meanwhile may wait as long for a poller from elsewhere.
const ON_THE_WAY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use replicator::ids::NamespaceId;
    use uuid::Uuid;

    use super::*;
    use crate::key::QueueKind;

    const A: HostId = HostId(1);
    const B: HostId = HostId(2);

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn queue(name: &str) -> Arc<QueueKey> {
        Arc::new(QueueKey::new(NamespaceId(Uuid::nil()), QueueKind::Workflow, name))
    }

    #[test]
    fn a_want_is_served_once() {
        let (mut wants, q) = (Wants::default(), queue("q"));
        wants.put(&q, A, 3);
        assert_eq!(wants.take(at(0), &q, 2), Some((A, 2)));
        assert_eq!(wants.take(at(0), &q, 2), Some((A, 1)));
        assert_eq!(wants.take(at(0), &q, 2), None);
        assert_eq!(wants.take(at(0), &queue("other"), 2), None);
    }

    #[test]
    fn what_does_not_arrive_is_sent_again() {
        let (mut wants, q) = (Wants::default(), queue("q"));
        wants.put(&q, A, 1);
        assert_eq!(wants.poll_timeout(), None);
        assert_eq!(wants.take(at(0), &q, 9), Some((A, 1)));
        assert_eq!(wants.poll_due(at(49)), None);
        assert_eq!(wants.poll_due(at(50)), Some(q.clone()));
        assert_eq!(wants.poll_due(at(50)), None);
        assert_eq!(wants.take(at(50), &q, 9), Some((A, 1)));
    }

    #[test]
    fn what_arrived_is_not_taken_for_lost() {
        let (mut wants, q) = (Wants::default(), queue("q"));
        wants.put(&q, A, 4);
        assert_eq!(wants.take(at(0), &q, 3), Some((A, 3)));
        wants.put(&q, A, 2);
        assert_eq!(wants.take(at(0), &q, 9), Some((A, 1)));
        wants.put(&q, A, 0);
        assert_eq!(wants.take(at(0), &q, 9), None);
        assert_eq!(wants.poll_timeout(), None);
        wants.put(&q, A, 1);
        assert_eq!(wants.take(at(0), &q, 9), Some((A, 1)));
        wants.put(&q, A, 5);
        assert_eq!(wants.take(at(0), &q, 9), Some((A, 4)));
    }

    #[test]
    fn everybody_has_a_turn() {
        let (mut wants, q) = (Wants::default(), queue("q"));
        wants.put(&q, A, 100);
        wants.put(&q, B, 2);
        let sent: Vec<_> = (0..5).filter_map(|_| wants.take(at(0), &q, 1)).map(|(host, _)| host).collect();
        assert_eq!(sent, [A, B, A, B, A]);
    }

    #[test]
    fn whoever_is_gone_wants_nothing() {
        let (mut wants, q) = (Wants::default(), queue("q"));
        for host in [A, B] {
            wants.put(&q, host, 1);
            wants.put(&queue("other"), host, 1);
        }
        wants.keep(|key| &*key.name == "q", |host| host == B);
        assert_eq!(wants.take(at(0), &queue("other"), 9), None);
        assert_eq!(wants.take(at(0), &q, 9), Some((B, 1)));
        wants.keep(|_| false, |_| true);
        assert_eq!(wants.poll_timeout(), None);
    }
}
