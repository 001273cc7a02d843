//! What lost: branches that gave way to another one, and runs that gave way to another run.
//!
//! Little of this is stored. A branch that lost stays in the tree of its run for as long as the run is kept, so what was
//! on it can be read there, and it is the same on every cluster that has the tree. The run keeps what no event tells: the
//! run that it gave way to, and what became of inputs that the cluster which was active did not put into the winner. So
//! that is what clusters may know differently: one that did not decide knows what it sees in the winner.

use alloc::{string::String, vec::Vec};

use crate::{
    history::event::EventType,
    ids::{EventId, RunId, RunKey},
    time::Timestamp,
    version::{FailoverVersion, VersionHistories, VersionHistoryItem},
    workflow::{MutableState, reapplied::Origin, table::Item},
};

/// Where a run stands towards what lost.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The run.
    pub run: RunKey,
    /// Its branches.
    pub histories: VersionHistories,
    /// The run that it gave way to, or that is current instead of it.
    pub gave_way: Option<GaveWay>,
    /// When another of its branches was last made current here.
    pub resolved: Option<Timestamp>,
}

/// The run that another one gave way to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GaveWay {
    /// That run.
    pub run: RunId,
    /// The version under which it was started.
    pub version: FailoverVersion,
    /// When it was found out here.
    pub time: Timestamp,
}

/// Something that lost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// Index of the branch that lost; the current one when the run lost as a whole.
    pub branch: usize,
    /// Last event that it shares with what won.
    pub kept: Option<VersionHistoryItem>,
    /// The version that won.
    pub winner: FailoverVersion,
    /// The run that won, when it is another one.
    pub winning_run: Option<RunId>,
    /// Events that the loser alone has: from here ...
    pub first: EventId,
    /// ... to before here.
    pub end: EventId,
}

impl View {
    /// What lost, in the order of the versions that won.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let all = self.histories.all();
        let current = self.histories.current_index();
        let beside = (0..all.len()).filter(|index| *index != current).filter_map(|branch| self.of_branch(branch));
        let whole = self.gave_way.map(|winner| Conflict {
            branch: current,
            kept: None,
            winner: winner.version,
            winning_run: Some(winner.run),
            first: EventId::FIRST,
            end: all[current].versions.last().event_id.next(),
        });
        let mut conflicts: Vec<_> = beside.chain(whole).collect();
        conflicts.sort_by_key(|conflict| (conflict.winner, all[conflict.branch].versions.last().version));
        conflicts
    }

    fn of_branch(&self, branch: usize) -> Option<Conflict> {
        let lost = &self.histories.all()[branch].versions;
        let won = &self.histories.current().versions;
        let kept = won.lowest_common_ancestor(lost);
        let first = kept.map_or(EventId::FIRST, |item| item.event_id.next());
        let end = lost.last().event_id.next();
        let winner = won.version_of(first).unwrap_or_else(|| won.last().version);
        (first < end).then_some(Conflict { branch, kept, winner, winning_run: None, first, end })
    }
}

/// Whether anything of the run lost, so that operators are to find it.
#[must_use]
pub fn has_diverged(state: &MutableState) -> bool {
    let is_alone = state.histories.all().len() == 1;
    !is_alone || state.local.gave_way.is_some() || state.execution.is_zombie()
}

/// An input of a branch or run that lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Where it was first written.
    pub origin: Origin,
    /// The id of its request; may be empty.
    pub request_id: String,
}

/// What became of an input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// That.
    pub fate: Fate,
    /// The workflow's current run at that time.
    pub into: Option<RunId>,
}

/// What becomes of an input. The numbers are stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It was put into the winner.
    Given = 1,
    /// The winner had it.
    Known = 2,
    /// The workflow is over, and is not run again for it.
    Over = 3,
    /// It was to stop a run, and the winner was started after that.
    NotMeant = 4,
}

impl Fate {
    /// Read a stored number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Given, Self::Known, Self::Over, Self::NotMeant].into_iter().find(|fate| *fate as i32 == number)
    }
}

impl MutableState {
    /// An input of a branch of this run that lost was looked at. Of very many only the first are kept.
    pub fn note_fate(&mut self, origin: Origin, outcome: Outcome) {
        let fates = &mut self.local.fates;
        if fates.len() < MAX_FATES || fates.get(&origin).is_some() {
            fates.insert(origin, outcome);
        }
    }
}

impl Item<Origin> for Outcome {
    // Only the cluster that decided it knows.
    fn digest(&self, _: &Origin) -> u64 {
        0
    }

    fn deadline(&self) -> Option<Timestamp> {
        None
    }

    fn weight(&self, _: &Origin) -> usize {
        0
    }
}

/// Why an event of a branch that lost counts no more.
#[must_use]
pub fn why(event: EventType) -> &'static str {
    use EventType as E;
    match event {
        E::WorkflowTaskScheduled
        | E::WorkflowTaskStarted
        | E::WorkflowTaskCompleted
        | E::WorkflowTaskFailed
        | E::WorkflowTaskTimedOut => "the winner decided in workflow tasks of its own",
        E::ActivityTaskScheduled | E::ActivityTaskCancelRequested => "the winner schedules activities of its own",
        E::ActivityTaskStarted
        | E::ActivityTaskCompleted
        | E::ActivityTaskFailed
        | E::ActivityTaskTimedOut
        | E::ActivityTaskCanceled => {
            "it belongs to an attempt that the winner does not know; the winner runs the activity by itself"
        }
        E::TimerStarted | E::TimerFired | E::TimerCanceled => "the winner keeps timers of its own",
        E::MarkerRecorded | E::UpsertWorkflowSearchAttributes | E::WorkflowPropertiesModified => {
            "the winner decides that by itself"
        }
        E::WorkflowExecutionStarted => "another run of the workflow was started",
        E::WorkflowExecutionCompleted
        | E::WorkflowExecutionFailed
        | E::WorkflowExecutionTimedOut
        | E::WorkflowExecutionCanceled
        | E::WorkflowExecutionTerminated
        | E::WorkflowExecutionContinuedAsNew => "the winner ends by itself",
        _ => "its branch lost",
    }
}

/// Inputs per run whose fate is kept.
const MAX_FATES: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entropy::Entropy,
        history::Branch,
        ids::WorkflowKey,
        version::{histories::BranchHistory, history::notation::branch},
    };
    use std::format;

    #[test]
    fn what_lost_follows_from_the_branches() {
        check("*3@1", "");
        check("5@1 | *3@1 6@2", "4..5 to 2");
        check("*5@1 8@11 | 3@1 6@2", "4..6 to 1");
        // Whoever hears of the second before the third, and whoever does not, say the same.
        check("9@1 | 3@1 6@2 | *3@1 4@3", "4..9 to 3, 4..6 to 3");
        check("9@1 | 3@1 6@2 | *3@1 5@2 9@13", "4..9 to 2, 6..6 to 13");
        check("3@1 | *3@1 6@2", "");
    }

    #[test]
    fn a_run_that_gave_way_lost_all_of_it() {
        let winner = GaveWay { run: RunId::from_bytes([7; 16]), version: FailoverVersion(2), time: Timestamp::ZERO };
        let view = View { gave_way: Some(winner), ..view("*5@1") };
        assert_eq!(picture(&view), "1..5 to 2 in another run");
    }

    #[track_caller]
    fn check(branches: &str, expected: &str) {
        assert_eq!(picture(&view(branches)), expected, "{branches}");
    }

    /// Branches as version histories, `*` before the current one.
    fn view(branches: &str) -> View {
        let mut entropy = Entropy::new(3);
        let (run, root) = (entropy.run_id(), Branch::root(entropy.run_id(), &mut entropy));
        let parts: Vec<_> = branches.split(" | ").collect();
        let current = parts.iter().position(|part| part.starts_with('*')).unwrap();
        let histories = parts.iter().map(|part| {
            let versions = branch(part.trim_start_matches('*'));
            BranchHistory { branch: root.clone(), versions }
        });
        let histories = VersionHistories::from_parts(histories.collect(), current).unwrap();
        let workflow = WorkflowKey { namespace: crate::ids::NamespaceId(entropy.uuid()), workflow: "w".into() };
        View { run: RunKey { workflow, run }, histories, gave_way: None, resolved: None }
    }

    fn picture(view: &View) -> String {
        let conflicts = view.conflicts().into_iter().map(|conflict| {
            let elsewhere = if conflict.winning_run.is_some() { " in another run" } else { "" };
            format!("{}..{} to {}{elsewhere}", conflict.first, conflict.end.previous(), conflict.winner)
        });
        conflicts.collect::<Vec<_>>().join(", ")
    }
}
