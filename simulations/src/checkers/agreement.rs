//! Clusters that hold the same make the same of it: once everything is at rest they have the same runs, the same branches
//! byte for byte, the same of them current, and the same state.

use std::collections::{BTreeMap, BTreeSet};

use replicator::{
    ids::{EventId, RunKey, WorkflowKey},
    shard::io::Report,
    workflow::{MutableState, execution::Phase},
};

use super::{AtRest, Checker, Finding, Seen};
use crate::{store::Store, trace::name};

/// Needs no model: clusters are each other's.
#[derive(Default)]
pub(super) struct Agreement {
    /// Workflows of which runs are deleted. When the current one was, its id names nothing, or a run before it that is over:
    /// whoever was not told of the last run before it was deleted cannot know that there was one. And a run that was deleted
    /// in one cluster and written to in another comes back there, without the branches that lost.
    deleting: BTreeSet<WorkflowKey>,
}

impl Checker for Agreement {
    fn promise(&self) -> &'static str {
        "clusters agree"
    }

    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding> {
        if let Seen::Deleting { workflow } = seen {
            self.deleting.insert((*workflow).clone());
        }
        let Seen::Reported { cluster, report } = seen else { return Ok(()) };
        match report {
            Report::DigestDiffers { run, from } => {
                let text = format!("{} makes something else of its events than {}", name(*cluster), from.0);
                Err(Finding::of(run, text))
            }
            Report::Refused { run, reason, from, .. } if !may_pass(reason) => {
                let text = format!("{} refuses what cluster {} tells: {reason}", name(*cluster), from.0);
                Err(run.as_ref().map_or_else(|| Finding::of_all(text.clone()), |run| Finding::of(run, text.clone())))
            }
            _ => Ok(()),
        }
    }

    fn rest(&mut self, world: &AtRest<'_>) -> Result<(), Finding> {
        let all: BTreeSet<&RunKey> = world.stores.iter().flat_map(|store| store.runs()).collect();
        for run in all {
            let pictures =
                world.stores.iter().map(|store| picture(store, run)).collect::<Result<Vec<Picture>, Finding>>()?;
            let was_deleted = self.deleting.contains(&run.workflow);
            for (cluster, picture) in pictures.iter().enumerate().skip(1) {
                if let Some(part) = pictures[0].difference(picture, was_deleted) {
                    let text = format!("{part} between {} and {}", name(0), name(cluster));
                    return Err(Finding::of(run, text));
                }
            }
        }
        Ok(())
    }
}

/// What is compared of a run.
struct Picture {
    /// Of every branch, by the versions of its events.
    branches: BTreeMap<String, Vec<bytes::Bytes>>,
    current: String,
    phase: &'static str,
    digest: u64,
    is_current: bool,
}

impl Picture {
    /// `was_deleted`: whether one of the clusters may have less of it, and both be right.
    fn difference(&self, other: &Self, was_deleted: bool) -> Option<String> {
        if !was_deleted && !self.branches.keys().eq(other.branches.keys()) {
            let names = |picture: &Self| picture.branches.keys().cloned().collect::<Vec<_>>().join(", ");
            return Some(format!("its branches differ, {} and {},", names(self), names(other)));
        }
        if self.current != other.current {
            return Some(format!("its current branch differs, {} and {},", self.current, other.current));
        }
        if self.phase != other.phase {
            return Some(format!("it is {} and {}", self.phase, other.phase));
        }
        let (ours, theirs) = (&self.branches[&self.current], &other.branches[&other.current]);
        if ours != theirs {
            let shared = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
            let (ours, theirs) = (ours.len(), theirs.len());
            return Some(format!(
                "its events differ, {ours} and {theirs} batches of which the first {shared} are alike,"
            ));
        }
        let parts = [
            ("the events of a branch that lost differ", was_deleted || self.branches == other.branches),
            ("its state differs", self.digest == other.digest),
            ("whether its id names it differs", was_deleted || self.is_current == other.is_current),
        ];
        parts.into_iter().find(|(_, is_equal)| !is_equal).map(|(part, _)| part.to_owned())
    }
}

fn picture(store: &Store, run: &RunKey) -> Result<Picture, Finding> {
    let broken = |text: &str| Finding::of(run, text.into());
    let stored = store.run(run).ok_or_else(|| broken("it is not on every cluster"))?;
    let state = MutableState::decode(stored).map_err(|_| broken("it cannot be read"))?;
    let branches = state.histories.all().iter().map(|history| {
        let end = history.versions.last().event_id.next();
        (history.versions.to_string(), store.history(&history.branch, EventId::FIRST, end))
    });
    Ok(Picture {
        branches: branches.collect(),
        current: state.histories.current().versions.to_string(),
        phase: match state.execution.phase {
            Phase::Running => "running",
            Phase::Zombie => "a zombie",
            Phase::Closed(_) => "closed",
        },
        digest: state.digest(),
        is_current: store.current(&run.workflow) == Some(run.run),
    })
}

/// Whether a task waits for something that faults keep from it, and that will come. At rest nothing waits.
fn may_pass(reason: &str) -> bool {
    let begins = [
        "the events before it cannot be fetched",
        "the branch that it belongs to cannot be read",
        "it would end a run of which something is kept apart",
        "it waits behind",
        GONE,
    ];
    begins.iter().any(|begin| reason.starts_with(begin))
}

/// What is told of a run that was deleted meanwhile waits for the news of that.
pub(crate) const GONE: &str = "the peer no longer has the run";
/// Why a task of one that was deleted, and that somebody went on with, may be kept: it is there again without branches that lost.
pub(crate) const CAME_BACK: &str = "the peer does not have the events before it";
