//! Signals, as far as they must be recognised again.

use alloc::string::String;

use proto::temporal::api::history::v1::WorkflowExecutionSignaledEventAttributes;

use super::{
    digest::Digest,
    table::{Item, Table},
};
use crate::time::Timestamp;

/// The run's signals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// How many the run has received.
    pub count: i64,
    /// Request ids of those that had one; the same id is the same signal (api 6.17). The signal event carries it, so
    /// that a peer knows it too.
    pub requests: Table<String, ()>,
}

impl Signals {
    pub(super) fn apply_signaled(&mut self, attributes: &WorkflowExecutionSignaledEventAttributes) {
        self.count += 1;
        if !attributes.request_id.is_empty() {
            self.requests.insert(attributes.request_id.clone(), ());
        }
    }
}

impl Item<String> for () {
    fn digest(&self, key: &String) -> u64 {
        Digest::new("signal request").text(key).finish()
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn weight(&self, key: &String) -> usize {
        key.len()
    }
}
