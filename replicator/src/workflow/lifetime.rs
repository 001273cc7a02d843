//! When a run began and when it must be over. A reset gives a run its time anew.

use core::time::Duration;

use super::MutableState;
use crate::time::Timestamp;

impl MutableState {
    /// When the run began: it was started, or a reset made it.
    #[must_use]
    pub fn began(&self) -> Timestamp {
        self.lineage.begin(self.run.run).map_or(self.execution.start.time, |reset| reset.time)
    }

    /// When its first workflow task is or was ready.
    #[must_use]
    pub fn execution_time(&self) -> Timestamp {
        // What delayed the first task of the base run is over.
        self.lineage.begin(self.run.run).map_or_else(|| self.execution.start.execution_time(), |reset| reset.time)
    }

    /// When the run must be over, if it must.
    #[must_use]
    pub fn run_expiration(&self) -> Option<Timestamp> {
        let timeout = self.execution.start.run_timeout();
        (timeout > Duration::ZERO).then(|| self.execution_time() + timeout)
    }

    /// When the chain of runs must be over, if it must.
    #[must_use]
    pub fn execution_expiration(&self) -> Option<Timestamp> {
        let expiration = self.execution.start.execution_expiration()?;
        let reset = self.lineage.begin(self.run.run);
        Some(reset.map_or(expiration, |reset| reset.time + self.execution.start.execution_timeout()))
    }
}
