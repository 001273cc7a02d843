//! What was written a moment ago, so that it is not read again.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use replicator::{
    history::branch::BranchRange,
    ids::{BranchId, EventId},
    shard::io::HistoryWrite,
};

use crate::history::Events;

/// The newest batches of a shard, oldest forgotten first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    batches: BTreeMap<(BranchId, EventId), (EventId, Bytes)>,
    order: VecDeque<(BranchId, EventId)>,
    bytes: usize,
}

impl Recent {
    /// A batch is durable. At most `limit` bytes are kept.
    pub(crate) fn add(&mut self, write: &HistoryWrite, limit: usize) {
        let key = (write.branch, write.node);
        self.bytes += write.events.len();
        match self.batches.insert(key, (write.next, write.events.clone())) {
            Some((_, replaced)) => self.bytes -= replaced.len(),
            None => self.order.push_back(key),
        }
        while self.bytes > limit.min(MAX_BYTES) || self.order.len() > MAX_BATCHES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some((_, events)) = self.batches.remove(&oldest) {
                self.bytes -= events.len();
            }
        }
    }

    /// The batches that make up `ranges`, up to `max_events` events, if all of them are here.
    pub(crate) fn read(&self, ranges: &[BranchRange], max_events: usize) -> Option<Events> {
        let mut batches = Vec::new();
        let mut events = 0;
        for range in ranges {
            let mut at = range.begin;
            while at < range.end {
                let (next, bytes) = self.batches.get(&(range.branch, at))?;
                let count = usize::try_from(next.0 - at.0).unwrap_or(0);
                if !batches.is_empty() && events + count > max_events {
                    return Some(Events { batches, next: Some(at) });
                }
                events += count;
                batches.push(bytes.clone());
                at = *next;
            }
        }
        Some(Events { batches, next: None })
    }
}

/// A few seconds of heavy load: what workers ask for with their next task.
const MAX_BYTES: usize = 8 << 20;
/// Bounds what small batches cost.
const MAX_BATCHES: usize = 32 << 10;
