//! How many calls may wait at a time (api 10.10). Polls of workers are counted by matching.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use config::Setting;
use replicator::{ids::NamespaceId, namespace::Namespace};

use crate::{errors::Error, rates::Limits};

/// Counts the calls that wait, by namespace and method. Clones share the counts.
#[derive(Clone)]
pub(crate) struct LongPolls {
    limits: Limits,
    /// Only what is above zero.
    waiting: Arc<Mutex<BTreeMap<(NamespaceId, &'static str), usize>>>,
}

impl LongPolls {
    /// None wait.
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, waiting: Arc::default() }
    }

    /// Wait, for as long as the answer lives; refused when too many do.
    pub(crate) fn enter(&self, namespace: &Namespace, method: &'static str) -> Result<Waiting, Error> {
        let most = (self.limits)(Setting::NamespaceCount, &namespace.name).map_or(MAX_WAITING, |most| most as usize);
        let namespace = namespace.id;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.get(&(namespace, method)).copied().unwrap_or_default();
        if most <= count {
            return Err(Error::TooManyWaiting("namespace concurrent poller limit exceeded".into()));
        }
        waiting.insert((namespace, method), count + 1);
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
pub(crate) struct Waiting {
    of: LongPolls,
    key: (NamespaceId, &'static str),
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.of.leave(&self.key);
    }
}

/// Per namespace and method (api 11.7), if nobody says.
const MAX_WAITING: usize = 1200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::namespace;

    #[test]
    fn one_namespace_and_method_does_not_take_the_room_of_others() {
        let polls = LongPolls::new(Arc::new(|_, _| None));
        let (a, b) = (&namespace("a"), &namespace("b"));
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| polls.enter(a, "QueryWorkflow").unwrap()).collect();
        assert!(matches!(polls.enter(a, "QueryWorkflow"), Err(Error::TooManyWaiting(_))));
        polls.enter(b, "QueryWorkflow").unwrap();
        polls.enter(a, "GetWorkflowExecutionHistory").unwrap();
        waiting.pop();
        polls.enter(a, "QueryWorkflow").unwrap();
        waiting.clear();
        assert!(polls.waiting.lock().unwrap().is_empty());
    }

    #[test]
    fn fewer_where_somebody_says_so() {
        let polls =
            LongPolls::new(Arc::new(|limit, name| (limit == Setting::NamespaceCount && name == "a").then_some(1)));
        let (a, b) = (&namespace("a"), &namespace("b"));
        let _waiting = polls.enter(a, "QueryWorkflow").unwrap();
        assert!(polls.enter(a, "QueryWorkflow").is_err());
        let _others = [polls.enter(b, "QueryWorkflow").unwrap(), polls.enter(b, "QueryWorkflow").unwrap()];
    }
}
