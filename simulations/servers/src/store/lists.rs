//! What lists and counts see.

use std::{cmp::Ordering, collections::BTreeMap};

use bytes::Bytes;
use replicator::{
    ids::{NamespaceId, RunId},
    shard::io::VisibilityRecord,
};
use store::visibility::{
    Count, Page, VisibilityError,
    filter::{self, Query},
    page_size,
    token::{self, After},
};

/// The records of a cluster.
#[derive(Debug, Default)]
pub(super) struct Lists(BTreeMap<(NamespaceId, RunId), VisibilityRecord>);

impl Lists {
    /// Replace a record.
    pub(super) fn put(&mut self, record: &VisibilityRecord) {
        let mut record = record.clone();
        if record.close_time.is_none() {
            // Known once a run closed.
            (record.history_length, record.history_size, record.state_transitions) = (0, 0, 0);
        }
        self.0.insert((record.run.workflow.namespace, record.run.run), record);
    }

    /// Forget a run.
    pub(super) fn remove(&mut self, namespace: NamespaceId, run: RunId) {
        self.0.remove(&(namespace, run));
    }

    /// A page.
    pub(super) fn list(
        &self,
        namespace: NamespaceId,
        query: &str,
        size: usize,
        token: &[u8],
    ) -> Result<Page, VisibilityError> {
        let query = filter::parse(query).map_err(VisibilityError::InvalidArgument)?;
        if query.group_by.is_some() {
            let text = "invalid query: operation is not supported: 'GROUP BY' clause in a list";
            return Err(VisibilityError::InvalidArgument(text.into()));
        }
        let after = token::decode(token, &query).map_err(VisibilityError::InvalidArgument)?;
        let mut found: Vec<(After, &VisibilityRecord)> =
            self.matching(namespace, &query).map(|record| (After::new(record, &query), record)).collect();
        found.sort_by(|(left, _), (right, _)| order(left, right, &query));
        if let Some(after) = after {
            found.retain(|(place, _)| order(&after, place, &query) == Ordering::Less);
        }
        let size = page_size(size);
        let is_more = found.len() > size;
        found.truncate(size);
        let next = match found.last() {
            Some((_, last)) if is_more => token::encode(last, &query),
            _ => Bytes::new(),
        };
        Ok(Page { records: found.into_iter().map(|(_, record)| record.clone()).collect(), next })
    }

    /// How many.
    pub(super) fn count(&self, namespace: NamespaceId, query: &str) -> Result<Count, VisibilityError> {
        let query = filter::parse(query).map_err(VisibilityError::InvalidArgument)?;
        if !query.order_by.is_empty() {
            let text = "invalid query: operation is not supported: 'ORDER BY' clause in a count";
            return Err(VisibilityError::InvalidArgument(text.into()));
        }
        let mut groups: BTreeMap<i32, i64> = BTreeMap::new();
        self.matching(namespace, &query).for_each(|record| *groups.entry(record.status).or_default() += 1);
        let total = groups.values().sum();
        Ok(Count { total, groups: query.group_by.is_some().then(|| groups.into_iter().collect()) })
    }

    fn matching<'a>(&'a self, namespace: NamespaceId, query: &'a Query) -> impl Iterator<Item = &'a VisibilityRecord> {
        let all = self.0.range((namespace, RunId::from_bytes([0; 16]))..);
        let all = all.take_while(move |((of, _), _)| *of == namespace).map(|(_, record)| record);
        all.filter(|record| query.condition.as_ref().is_none_or(|condition| condition.matches(record)))
    }
}

/// By what the query says, then open ones first, then youngest first.
fn order(left: &After, right: &After, query: &Query) -> Ordering {
    let keys = query.order_by.iter().zip(left.keys.iter().zip(&right.keys));
    let by_keys = keys.map(|(order, (left, right))| turned(left.cmp(right), order.descending));
    let place = |after: &After| (after.closed, after.started, after.run);
    by_keys.fold(Ordering::Equal, Ordering::then).then_with(|| place(right).cmp(&place(left)))
}

fn turned(ordering: Ordering, is_descending: bool) -> Ordering {
    if is_descending { ordering.reverse() } else { ordering }
}
