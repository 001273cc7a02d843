//! Clusters that hold the same make the same of it: once everything is at rest they have the same runs, the same events
//! byte for byte, and the same state.

use std::collections::BTreeSet;

use replicator::{
    ids::{EventId, RunKey},
    shard::io::Report,
    workflow::MutableState,
};

use super::{Checker, Finding, Seen};
use crate::{store::Store, trace::name};

/// Needs no model: clusters are each other's.
pub(super) struct Agreement;

impl Checker for Agreement {
    fn promise(&self) -> &'static str {
        "clusters agree"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        let Seen::Reported { cluster, report } = seen else { return Ok(()) };
        match report {
            Report::DigestDiffers { run, from } => {
                let text = format!("{} makes something else of its events than {}", name(*cluster), from.0);
                Err(Finding::of(run, text))
            }
            Report::Refused { run, reason, from, .. } => {
                let text = format!("{} refuses what cluster {} tells: {reason}", name(*cluster), from.0);
                Err(run.as_ref().map_or_else(|| Finding::of_all(text.clone()), |run| Finding::of(run, text.clone())))
            }
            _ => Ok(()),
        }
    }

    fn rest(&mut self, stores: &[&Store]) -> Result<(), Finding> {
        let all: BTreeSet<&RunKey> = stores.iter().flat_map(|store| store.runs()).collect();
        for run in all {
            let pictures = stores.iter().map(|store| picture(store, run)).collect::<Result<Vec<_>, Finding>>()?;
            for (cluster, picture) in pictures.iter().enumerate().skip(1) {
                let [first, other] = [&pictures[0], picture];
                let (a, b) = (name(0), name(cluster));
                if first.events != other.events {
                    return Err(Finding::of(run, format!("its events differ between {a} and {b}")));
                }
                if first.digest != other.digest {
                    return Err(Finding::of(run, format!("its state differs between {a} and {b}")));
                }
                if first.is_current != other.is_current {
                    return Err(Finding::of(run, format!("its id names it in one of {a} and {b} only")));
                }
            }
        }
        Ok(())
    }
}

/// What is compared of a run.
struct Picture {
    events: Vec<bytes::Bytes>,
    digest: u64,
    is_current: bool,
}

fn picture(store: &Store, run: &RunKey) -> Result<Picture, Finding> {
    let broken = |text: &str| Finding::of(run, text.into());
    let stored = store.run(run).ok_or_else(|| broken("it is not on every cluster"))?;
    let state = MutableState::decode(stored).map_err(|_| broken("it cannot be read"))?;
    let branch = &state.histories.current().branch;
    let events = store.history(branch, EventId::FIRST, state.next_event_id());
    Ok(Picture { events, digest: state.digest(), is_current: store.current(&run.workflow) == Some(run.run) })
}
