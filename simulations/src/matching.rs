//! A cluster's matching, modelled by its weak contract: it offers what it was given at least once, in any order, and
//! forgets everything with its process.

use std::collections::BTreeMap;

use replicator::{
    ids::{EventId, RunKey},
    shard::io::Dispatch,
};

/// Tasks that wait for a worker.
#[derive(Debug, Default)]
pub struct Matching {
    waiting: BTreeMap<(RunKey, EventId), Waiting>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    dispatch: Dispatch,
    ticket: u64,
}

impl Matching {
    /// Take a task. Returns the ticket under which it waits; `None` when it waits already.
    pub fn add(&mut self, dispatch: Dispatch) -> Option<u64> {
        let key = (dispatch.run.clone(), dispatch.scheduled);
        if self.waiting.get(&key).is_some_and(|waiting| waiting.dispatch == dispatch) {
            return None;
        }
        self.next += 1;
        self.waiting.insert(key, Waiting { dispatch, ticket: self.next });
        Some(self.next)
    }

    /// A task is not wanted any more.
    pub fn withdraw(&mut self, run: &RunKey, scheduled: EventId) {
        self.waiting.remove(&(run.clone(), scheduled));
    }

    /// The task of a ticket, if it still waits.
    #[must_use]
    pub fn get(&self, run: &RunKey, scheduled: EventId, ticket: u64) -> Option<&Dispatch> {
        let waiting = self.waiting.get(&(run.clone(), scheduled))?;
        (waiting.ticket == ticket).then_some(&waiting.dispatch)
    }

    /// A task was taken, or is over: forget it unless it was replaced.
    pub fn remove(&mut self, run: &RunKey, scheduled: EventId, ticket: u64) {
        if self.get(run, scheduled, ticket).is_some() {
            self.waiting.remove(&(run.clone(), scheduled));
        }
    }
}
