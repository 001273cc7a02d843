//! Where the events of a run come from that was made by a reset: it shares the beginning of another run's history.
//!
//! Each reset is an event, the failed workflow task, which names the run it was made from and the run it makes. So whoever
//! holds the history knows which run each stretch of it was written in, and when the run itself began.

use alloc::vec::Vec;

use proto::temporal::api::{enums::v1::WorkflowTaskFailedCause, history::v1::WorkflowTaskFailedEventAttributes};

use super::apply::At;
use crate::{
    history::event::{Attributes, HistoryEvent},
    ids::{EventId, RunId, TaskId},
    time::Timestamp,
    version::FailoverVersion,
};

/// The resets on a run's current branch, oldest first. Empty for a run that was started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lineage {
    resets: Vec<Reset>,
}

/// One reset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reset {
    /// The event that tells of it.
    pub event: EventId,
    /// When.
    pub time: Timestamp,
    /// Under which version.
    pub version: FailoverVersion,
    /// Task id of the event: orders runs of one version by their begin.
    pub clock: TaskId,
    /// The run whose history is shared up to it.
    pub base: RunId,
    /// The run that it made.
    pub run: RunId,
}

impl Reset {
    /// The reset that an event tells of, if it does.
    pub(super) fn told(at: At, attributes: &WorkflowTaskFailedEventAttributes) -> Option<Self> {
        let is_reset = attributes.cause() == WorkflowTaskFailedCause::ResetWorkflow;
        let [base, run] = [&attributes.base_run_id, &attributes.new_run_id].map(|id| RunId::parse(id).ok());
        let (base, run) = (base.filter(|_| is_reset)?, run?);
        Some(Self { event: at.event, time: at.time, version: at.version, clock: TaskId(0), base, run })
    }
}

impl Lineage {
    /// Read from storage.
    #[must_use]
    pub fn new(resets: Vec<Reset>) -> Self {
        Self { resets }
    }

    /// All resets, oldest first.
    #[must_use]
    pub fn resets(&self) -> &[Reset] {
        &self.resets
    }

    /// The reset that made `run`, if one did.
    #[must_use]
    pub fn begin(&self, run: RunId) -> Option<&Reset> {
        self.resets.iter().rfind(|reset| reset.run == run)
    }

    /// The run in which an event of `run` was first written.
    #[must_use]
    pub fn writer(&self, run: RunId, event: EventId) -> RunId {
        let next = self.resets.iter().find(|reset| event < reset.event);
        next.map_or(run, |reset| reset.base)
    }

    pub(super) fn apply(&mut self, event: &HistoryEvent) {
        let Some(Attributes::WorkflowTaskFailedEventAttributes(failed)) = &event.attributes else { return };
        let at = At::of(event, EventId(event.event_id));
        if let Some(reset) = at.ok().and_then(|at| Reset::told(at, failed)) {
            self.resets.push(Reset { clock: TaskId(event.task_id), ..reset });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stretch_has_its_writer() {
        let [first, second, third] = [1, 2, 3].map(|byte| RunId::from_bytes([byte; 16]));
        let reset = |event, base, run| Reset {
            event: EventId(event),
            time: Timestamp(event),
            version: FailoverVersion(1),
            clock: TaskId(event),
            base,
            run,
        };
        let lineage = Lineage::new([reset(4, first, second), reset(9, second, third)].into());
        for (event, writer) in [(1, first), (3, first), (4, second), (8, second), (9, third), (20, third)] {
            assert_eq!(lineage.writer(third, EventId(event)), writer, "event {event}");
        }
        assert_eq!(lineage.begin(third).map(|reset| reset.event), Some(EventId(9)));
        assert_eq!(Lineage::default().writer(first, EventId(7)), first);
        assert_eq!(Lineage::default().begin(first), None);
    }
}
