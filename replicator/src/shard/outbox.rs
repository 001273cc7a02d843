//! Outputs that wait for the write they depend on.
//!
//! A reply, a notification and a replicated task may only be seen once the transaction that justifies them is durable.
//! The outbox makes that an ordering of this core instead of a habit of its driver: what was pushed behind a transaction
//! comes out after that transaction commits, and never comes out if it does not.

use super::io::TransactionId;
use crate::defects::{Defect, planted};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

/// Queue of outputs, some of them held back.
#[derive(Debug)]
pub(super) struct Outbox<O> {
    ready: VecDeque<O>,
    /// Outputs behind each transaction in flight. A key is present exactly while it is in flight.
    held: BTreeMap<TransactionId, Vec<O>>,
}

impl<O> Default for Outbox<O> {
    fn default() -> Self {
        Self { ready: VecDeque::new(), held: BTreeMap::new() }
    }
}

impl<O> Outbox<O> {
    /// Emit `output` as soon as it is asked for.
    pub(super) fn push(&mut self, output: O) {
        self.ready.push_back(output);
    }

    /// Emit `commit` now and remember that `id` is in flight.
    pub(super) fn begin(&mut self, id: TransactionId, commit: O) {
        let before = self.held.insert(id, Vec::new());
        assert!(before.is_none(), "{id:?} began twice");
        self.ready.push_back(commit);
    }

    /// Emit `output` once `id` has committed.
    pub(super) fn push_after(&mut self, id: TransactionId, output: O) {
        if planted(Defect::AckBeforeDurable) {
            return self.push(output);
        }
        self.held.get_mut(&id).expect("transaction in flight").push(output);
    }

    /// `id` is durable: release everything behind it.
    pub(super) fn on_committed(&mut self, id: TransactionId) {
        let released = self.held.remove(&id).expect("transaction in flight");
        self.ready.extend(released);
    }

    /// `id` did not commit: hand back what must now be answered differently.
    pub(super) fn on_rejected(&mut self, id: TransactionId) -> Vec<O> {
        self.held.remove(&id).expect("transaction in flight")
    }

    /// Next output for the driver, if any.
    pub(super) fn poll(&mut self) -> Option<O> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: TransactionId = TransactionId(1);
    const T2: TransactionId = TransactionId(2);

    #[test]
    fn a_reply_waits_for_its_own_transaction() {
        let mut outbox = Outbox::default();
        outbox.begin(T1, "commit 1");
        outbox.push_after(T1, "reply 1");
        outbox.begin(T2, "commit 2");
        outbox.push_after(T2, "reply 2");
        assert_eq!(drain(&mut outbox), ["commit 1", "commit 2"]);

        outbox.on_committed(T2);
        assert_eq!(drain(&mut outbox), ["reply 2"]);
        outbox.on_committed(T1);
        assert_eq!(drain(&mut outbox), ["reply 1"]);
    }

    #[test]
    fn a_rejected_transaction_releases_nothing() {
        let mut outbox = Outbox::default();
        outbox.begin(T1, "commit 1");
        outbox.push_after(T1, "reply 1");
        outbox.poll();
        assert_eq!(outbox.on_rejected(T1), ["reply 1"]);
        assert_eq!(drain(&mut outbox), Vec::<&str>::new());
    }

    fn drain(outbox: &mut Outbox<&'static str>) -> Vec<&'static str> {
        core::iter::from_fn(|| outbox.poll()).collect()
    }
}
