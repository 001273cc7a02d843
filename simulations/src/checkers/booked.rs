//! What a history says was done outside was done: every receipt in it is one that the bank gave, for that very order. And a
//! workflow that came to its own end has put into accounts what it took from others.

use std::collections::BTreeMap;

use proto::temporal::api::{common::v1::Payloads, enums::v1::EventType, history::v1::history_event::Attributes};
use replicator::ids::{EventId, RunKey, WorkflowKey};

use super::{AtRest, Checker, Finding, Seen, state_of};
use crate::{bank, program::Errand, store::Store, trace::name};

/// What the bank booked, by receipt.
#[derive(Default)]
pub(super) struct Booked {
    orders: BTreeMap<u64, (WorkflowKey, Errand)>,
}

impl Checker for Booked {
    fn promise(&self) -> &'static str {
        "what a history says was done was done"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Booked { receipt, workflow, errand } = seen {
            self.orders.insert(*receipt, ((*workflow).clone(), *errand));
        }
        Ok(())
    }

    fn rest(&mut self, world: &AtRest<'_>) -> Result<(), Finding> {
        if self.orders.is_empty() {
            return Ok(());
        }
        for (cluster, store) in world.stores.iter().enumerate() {
            store.runs().try_for_each(|run| self.check(store, run, name(cluster)))?;
        }
        Ok(())
    }
}

impl Booked {
    fn check(&self, store: &Store, run: &RunKey, cluster: &str) -> Result<(), Finding> {
        let state = state_of(store, run)?;
        for (index, history) in state.histories.all().iter().enumerate() {
            let (mut scheduled, mut balance, mut ends) = (BTreeMap::new(), 0, false);
            let end = history.versions.last().event_id.next();
            for event in store.events(&history.branch, EventId::FIRST, end).flat_map(|batch| batch.iter()) {
                ends |= [EventType::WorkflowExecutionCompleted, EventType::WorkflowExecutionContinuedAsNew]
                    .contains(&event.event_type());
                match &event.attributes {
                    Some(Attributes::ActivityTaskScheduledEventAttributes(a)) => {
                        let kind = a.activity_type.as_ref().map_or("", |kind| &kind.name);
                        scheduled.insert(event.event_id, Errand::of(kind, a.input.as_ref()));
                    }
                    Some(Attributes::ActivityTaskCompletedEventAttributes(a)) => {
                        let errand = scheduled.get(&a.scheduled_event_id).copied().unwrap_or(Errand::Plain);
                        balance += match errand {
                            Errand::Deposit(amount) => i64::from(amount),
                            Errand::Withdraw(amount) => -i64::from(amount),
                            Errand::Plain | Errand::Pass(_) => 0,
                        };
                        let order = receipt(a.result.as_ref()).and_then(|receipt| self.orders.get(&receipt));
                        let is_it = order.is_some_and(|order| *order == (run.workflow.clone(), errand));
                        if bank::is_booked(errand) && !is_it {
                            let text =
                                format!("{errand:?} of event {} in {cluster} was booked as {order:?}", event.event_id);
                            return Err(Finding::of(run, text));
                        }
                    }
                    _ => {}
                }
            }
            if ends && index == state.histories.current_index() && balance != 0 {
                return Err(Finding::of(run, format!("it is over in {cluster}, and {balance} is not accounted for")));
            }
        }
        Ok(())
    }
}

/// The receipt in a result.
fn receipt(result: Option<&Payloads>) -> Option<u64> {
    std::str::from_utf8(&result?.payloads.first()?.data).ok()?.parse().ok()
}
