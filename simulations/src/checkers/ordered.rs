//! Signals come in order: one that was asked for when another one of the same workflow had been acknowledged comes after it,
//! in whatever survived, wherever the workflow went meanwhile. Where both sides of a failover may write there is no such order.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes;
use replicator::ids::{EventId, RunKey, WorkflowKey};

use super::{AtRest, Checker, Fact, Finding, Seen, state_of};
use crate::trace::name;

/// When each signal was first asked for, and first acknowledged, in the order of all that was seen.
pub(super) struct Ordered {
    may_conflict: bool,
    clock: u64,
    asked: BTreeMap<(WorkflowKey, String), u64>,
    acknowledged: BTreeMap<(WorkflowKey, String), u64>,
}

impl Ordered {
    pub(super) fn new(may_conflict: bool) -> Self {
        let (asked, acknowledged) = Default::default();
        Self { may_conflict, clock: 0, asked, acknowledged }
    }
}

impl Checker for Ordered {
    fn promise(&self) -> &'static str {
        "signals are in the order in which they were acknowledged"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        self.clock += 1;
        match seen {
            Seen::TakenBack => self.may_conflict = true,
            Seen::Asked { workflow, request_id } => {
                self.asked.entry(((*workflow).clone(), (*request_id).to_owned())).or_insert(self.clock);
            }
            Seen::Acknowledged { fact: Fact::Signaled { workflow, request_id, .. } } => {
                self.acknowledged.entry((workflow.clone(), request_id.clone())).or_insert(self.clock);
            }
            _ => {}
        }
        Ok(())
    }

    fn rest(&mut self, world: &AtRest<'_>) -> Result<(), Finding> {
        if self.may_conflict {
            return Ok(());
        }
        for (cluster, store) in world.stores.iter().enumerate() {
            for run in store.runs() {
                let state = state_of(store, run)?;
                let branch = &state.histories.current().branch;
                let events = store.events(branch, EventId::FIRST, state.next_event_id()).flat_map(|batch| batch.iter());
                let requests = events.filter_map(|event| match &event.attributes {
                    Some(Attributes::WorkflowExecutionSignaledEventAttributes(signal)) => Some(&signal.request_id),
                    _ => None,
                });
                self.check(run, requests, name(cluster))?;
            }
        }
        Ok(())
    }
}

impl Ordered {
    fn check<'a>(
        &self,
        run: &RunKey,
        requests: impl Iterator<Item = &'a String>,
        cluster: &str,
    ) -> Result<(), Finding> {
        // Of those before it, the one that was asked for last.
        let mut latest: Option<(u64, &String)> = None;
        for request in requests {
            let key = (run.workflow.clone(), request.clone());
            let acknowledged = self.acknowledged.get(&key);
            if let (Some(acknowledged), Some((asked, before))) = (acknowledged, latest)
                && *acknowledged < asked
            {
                let text = format!(
                    "{request} was acknowledged before {before} was asked for, and comes after it in {cluster}"
                );
                return Err(Finding::of(run, text));
            }
            latest = latest.max(self.asked.get(&key).map(|asked| (*asked, request)));
        }
        Ok(())
    }
}
