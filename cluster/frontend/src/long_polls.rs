//! How many calls may wait at a time (api 10.10). Polls of workers are counted by matching.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use replicator::ids::NamespaceId;

use crate::errors::Error;

/// Counts the calls that wait, by namespace and method. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct LongPolls {
    /// Only what is above zero.
    waiting: Arc<Mutex<BTreeMap<(NamespaceId, &'static str), usize>>>,
}

impl LongPolls {
    /// Wait, for as long as the answer lives; refused when too many do.
    pub(crate) fn enter(&self, namespace: NamespaceId, method: &'static str) -> Result<Waiting, Error> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry((namespace, method)).or_default();
        if MAX_WAITING <= *count {
            return Err(Error::TooManyWaiting("namespace concurrent poller limit exceeded".into()));
        }
        *count += 1;
        Ok(Waiting { of: self.clone(), key: (namespace, method) })
    }

    fn leave(&self, key: &(NamespaceId, &'static str)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.get_mut(key).expect("whoever leaves has entered");
        *count -= 1;
        if *count == 0 {
            waiting.remove(key);
        }
    }
}

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    of: LongPolls,
    key: (NamespaceId, &'static str),
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of.leave(&self.key);
    }
}

/// Per namespace and method (api 11.7).
const MAX_WAITING: usize = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_namespace_and_method_does_not_take_the_room_of_others() {
        let polls = LongPolls::default();
        let (a, b) = (NamespaceId::from_bytes([1; 16]), NamespaceId::from_bytes([2; 16]));
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| polls.enter(a, "QueryWorkflow").unwrap()).collect();
        assert!(matches!(polls.enter(a, "QueryWorkflow"), Err(Error::TooManyWaiting(_))));
        polls.enter(b, "QueryWorkflow").unwrap();
        polls.enter(a, "GetWorkflowExecutionHistory").unwrap();
        waiting.pop();
        polls.enter(a, "QueryWorkflow").unwrap();
        waiting.clear();
        assert!(polls.waiting.lock().unwrap().is_empty());
    }
}
