//! Puts pages of history together from the rows of a tree, in whichever database they rest: which batches count, what is
//! missing, where a page ends.

use std::future::Future;

use replicator::{
    history::Branch,
    ids::{BranchId, EventId},
    shard::io::Loaded,
};

use crate::{HistoryError, HistoryPage, Node, StoredBatch, Unavailable, table::node::Found};

/// How much of a history is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// First event.
    pub(crate) first: EventId,
    /// Exclusive.
    pub(crate) end: EventId,
    /// Events of a page, unless its first batch has more.
    pub(crate) max_events: usize,
    /// Bytes of a page, unless its first batch has more.
    pub(crate) max_bytes: usize,
}

/// A tree whose rows can be read.
pub(crate) trait Tree {
    /// Rows of a branch after a place (event and transaction) and before an event, oldest first, at most `limit`.
    fn ascending(
        &mut self,
        branch: BranchId,
        after: (i64, i64),
        end: i64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Found>, Unavailable>> + Send;

    /// Rows of a branch from an event on and before a place, youngest first, at most `limit`.
    fn descending(
        &mut self,
        branch: BranchId,
        first: i64,
        before: (i64, i64),
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Found>, Unavailable>> + Send;
}

/// Bytes of a page of history, unless its first batch alone has more: what a client accepts in one message, with room.
pub(crate) const HISTORY_BYTES: usize = 3 << 20;

/// What a shard is told of a stretch that it asked for.
pub(crate) fn loaded(page: Result<HistoryPage, HistoryError>) -> Result<Loaded, Unavailable> {
    match page {
        Ok(page) => Ok(Loaded::Branch {
            batches: page.batches.into_iter().map(|batch| batch.events).collect(),
            next: page.next,
        }),
        Err(HistoryError::NotFound) => Err(Unavailable("there is no such stretch of history".into())),
        Err(HistoryError::DataLoss(text)) => Err(Unavailable(text)),
        Err(HistoryError::Unavailable(cause)) => Err(cause),
    }
}

/// Rows that are fetched at a time; a page is seldom more.
const STRIDE: usize = 128;

/// Batches of a branch, oldest first.
pub(crate) async fn forward(
    tree: &mut impl Tree,
    branch: &Branch,
    wanted: Wanted,
) -> Result<HistoryPage, HistoryError> {
    let mut page = Forward::new(wanted);
    let limit = STRIDE.min(wanted.max_events.saturating_add(1));
    'ranges: for range in branch.ranges(wanted.first, wanted.end) {
        let mut after = (range.begin.0, i64::MIN);
        loop {
            let rows = tree.ascending(range.branch, after, range.end.0, limit).await;
            let rows = rows.map_err(HistoryError::Unavailable)?;
            let count = rows.len();
            for node in rows {
                after = (node.node, node.transaction);
                if !page.take(node)? {
                    break 'ranges;
                }
            }
            if count < limit {
                break;
            }
        }
        if !page.settle()? {
            break;
        }
    }
    page.finish()
}

/// Batches of a branch, youngest first.
pub(crate) async fn backward(
    tree: &mut impl Tree,
    branch: &Branch,
    wanted: Wanted,
) -> Result<HistoryPage, HistoryError> {
    let mut page = Backward::new(wanted);
    let limit = STRIDE.min(wanted.max_events.saturating_add(1));
    let ranges: Vec<_> = branch.ranges(wanted.first, wanted.end).collect();
    'ranges: for range in ranges.into_iter().rev() {
        let mut before = (range.end.0, i64::MIN);
        loop {
            let rows = tree.descending(range.branch, range.begin.0, before, limit).await;
            let rows = rows.map_err(HistoryError::Unavailable)?;
            let count = rows.len();
            for node in rows {
                before = (node.node, node.transaction);
                if !page.take(node)? {
                    break 'ranges;
                }
            }
            if count < limit {
                break;
            }
        }
    }
    page.finish()
}

/// Puts a page together, oldest batch first.
struct Forward {
    batches: Vec<StoredBatch>,
    /// What was read last and may still be replaced by a higher transaction at the same node.
    candidate: Option<Found>,
    /// Transaction of the last batch that counts.
    transaction: Option<i64>,
    expected: EventId,
    wanted: Wanted,
    events: usize,
    bytes: usize,
    full: bool,
}

impl Forward {
    fn new(wanted: Wanted) -> Self {
        Self {
            batches: Vec::new(),
            candidate: None,
            transaction: None,
            expected: wanted.first,
            wanted,
            events: 0,
            bytes: 0,
            full: false,
        }
    }

    /// Take the next row. Answers whether more is wanted.
    fn take(&mut self, node: Found) -> Result<bool, HistoryError> {
        if self.candidate.as_ref().is_some_and(|candidate| candidate.node != node.node) && !self.settle()? {
            return Ok(false);
        }
        // A write that lost: older than what it should follow, or made to follow something else (BR-5).
        let follows = self
            .transaction
            .is_none_or(|last| node.transaction > last && (node.previous == 0 || node.previous == last));
        if follows {
            self.candidate = Some(node);
        }
        Ok(true)
    }

    /// No other row at the node of the candidate will come. Answers whether more is wanted.
    fn settle(&mut self) -> Result<bool, HistoryError> {
        let Some(node) = self.candidate.take() else { return Ok(!self.full) };
        if node.node != self.expected.0 || node.next <= node.node {
            return Err(HistoryError::DataLoss(format!(
                "events from {} are missing: the next batch begins at {}",
                self.expected, node.node
            )));
        }
        // A batch has at most as many events as there are ids.
        let events = usize::try_from(node.next - node.node).unwrap_or(usize::MAX);
        self.events = self.events.saturating_add(events);
        self.bytes = self.bytes.saturating_add(node.events.len());
        if !self.batches.is_empty() && (self.events > self.wanted.max_events || self.bytes > self.wanted.max_bytes) {
            self.full = true;
            return Ok(false);
        }
        self.transaction = Some(node.transaction);
        self.expected = EventId(node.next);
        let place = Node { first: EventId(node.node), next: EventId(node.next) };
        self.batches.push(StoredBatch { node: place, events: node.events });
        Ok(true)
    }

    fn finish(self) -> Result<HistoryPage, HistoryError> {
        if self.batches.is_empty() {
            return Err(HistoryError::NotFound);
        }
        debug_assert!(self.full || self.batches.last().is_some_and(|batch| batch.node.first < self.wanted.end));
        Ok(HistoryPage { batches: self.batches, next: self.full.then_some(self.expected) })
    }
}

/// Puts a page together, youngest batch first.
struct Backward {
    page: HistoryPage,
    wanted: Wanted,
    /// Node, transaction and previous transaction of the batch that was taken last.
    after: Option<(i64, i64, i64)>,
    events: usize,
    bytes: usize,
}

impl Backward {
    fn new(wanted: Wanted) -> Self {
        Self { page: HistoryPage::default(), wanted, after: None, events: 0, bytes: 0 }
    }

    /// Take the row before. Answers whether more is wanted.
    fn take(&mut self, node: Found) -> Result<bool, HistoryError> {
        if let Some((after, transaction, previous)) = self.after {
            // Rows of one node come with the highest transaction first. What the taken batch says it follows counts, or, if
            // it says nothing, what ends where it begins.
            let follows = node.transaction < transaction
                && if previous == 0 { node.next == after } else { node.transaction == previous };
            if node.node == after || !follows {
                return Ok(true);
            }
            if node.next != after {
                return Err(HistoryError::DataLoss(format!("events from {} to before {after} are missing", node.next)));
            }
        } else if self.wanted.end.0 != i64::MAX && node.next != self.wanted.end.0 {
            return Ok(true);
        }
        let events = usize::try_from(node.next - node.node).unwrap_or(usize::MAX);
        self.events = self.events.saturating_add(events);
        self.bytes = self.bytes.saturating_add(node.events.len());
        if !self.page.batches.is_empty() && (self.events > self.wanted.max_events || self.bytes > self.wanted.max_bytes)
        {
            self.page.next = self.after.map(|(node, ..)| EventId(node));
            return Ok(false);
        }
        self.after = Some((node.node, node.transaction, node.previous));
        let place = Node { first: EventId(node.node), next: EventId(node.next) };
        self.page.batches.push(StoredBatch { node: place, events: node.events });
        Ok(true)
    }
    fn finish(self) -> Result<HistoryPage, HistoryError> {
        if self.page.batches.is_empty() {
            return Err(HistoryError::NotFound);
        }
        let first = self.wanted.first;
        let oldest = self.after.as_ref().map_or(first.0, |(node, ..)| *node);
        if self.page.next.is_none() && oldest != first.0 {
            return Err(HistoryError::DataLoss(format!("events from {first} to before {oldest} are missing")));
        }
        Ok(self.page)
    }
}
