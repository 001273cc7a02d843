//! A bank outside of all clusters, for activities that move money. Whoever asks it again is not served again: it knows its
//! orders by run and step, as services do that activities call.

use std::collections::BTreeMap;

use replicator::ids::RunKey;

use crate::program::Errand;

/// What was booked.
#[derive(Debug, Default)]
pub(crate) struct Bank {
    receipts: BTreeMap<(RunKey, String), u64>,
}

impl Bank {
    /// Book what an activity is for, once for each step of a run. Its receipt, and whether it is a new one.
    pub(crate) fn book(&mut self, run: &RunKey, activity_id: &str) -> (u64, bool) {
        // An activity that is tried again in another one has another last part.
        let step = activity_id.rsplit_once('.').map_or(activity_id, |(step, _)| step);
        let (next, key) = (self.receipts.len() as u64 + 1, (run.clone(), step.to_owned()));
        let receipt = *self.receipts.entry(key).or_insert(next);
        (receipt, receipt == next)
    }
}

/// Whether the bank has anything to do with it.
pub(crate) fn is_booked(errand: Errand) -> bool {
    matches!(errand, Errand::Withdraw(_) | Errand::Deposit(_))
}
