//! No timer fires before it is due, by the clock of the cluster that fires it.

use std::collections::BTreeMap;

use proto::temporal::api::history::v1::history_event::Attributes;
use replicator::{
    ids::{EventId, RunKey},
    time::{Timestamp, duration},
};

use super::{Checker, Finding, Seen};

/// When each timer is due: those of a run by the event that started it, and its version.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<(RunKey, i64, i64), Timestamp>,
}

impl Checker for Timers {
    fn promise(&self) -> &'static str {
        "no timer fires early"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        let Seen::Committed { transaction, runs, store, .. } = seen else { return Ok(()) };
        for batch in &transaction.history {
            let branches =
                runs.iter().flat_map(|state| state.histories.all().iter().map(move |branch| (state, branch)));
            let owner = branches.into_iter().find(|(_, history)| history.branch.id == batch.branch);
            let Some((run, versions)) = owner.map(|(state, history)| (&state.run, &history.versions)) else { continue };
            for event in store.written(batch).iter() {
                let time = event.event_time.map_or(Timestamp::ZERO, Timestamp::from);
                match &event.attributes {
                    Some(Attributes::TimerStartedEventAttributes(started)) => {
                        let due = time + duration(started.start_to_fire_timeout.as_ref());
                        self.due.insert((run.clone(), event.event_id, event.version), due);
                    }
                    Some(Attributes::TimerFiredEventAttributes(fired)) => {
                        let version = versions.version_of(EventId(fired.started_event_id)).unwrap_or_default();
                        let started = (run.clone(), fired.started_event_id, version.0);
                        let due = self.due.get(&started).copied().unwrap_or_default();
                        if time < due {
                            let text = format!("timer {} fires at {time:?} and is due at {due:?}", fired.timer_id);
                            return Err(Finding::of(run, text));
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
