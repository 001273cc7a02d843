//! Where a peer's events go: onto a branch that is here, onto a new one, nowhere, or after events that are missing (ND-7).

use crate::{
    defects::{Defect, planted},
    history::HistoryBatch,
    ids::EventId,
    version::{FailoverVersion, VersionHistories, VersionHistory, VersionHistoryItem},
};

/// What is to be done with the batches of a task.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preparation {
    /// They follow the end of a branch.
    Append {
        /// The branch.
        branch: usize,
        /// So many of the batches are here already.
        skip: usize,
    },
    /// They follow an event in the middle of a branch.
    Fork {
        /// The branch.
        from: usize,
        /// The last event that both have.
        after: VersionHistoryItem,
        /// So many of the batches are here already.
        skip: usize,
    },
    /// All of them are here.
    Duplicate,
    /// Events between are missing; both ends exclusive.
    Gap {
        /// The last event of theirs that is here.
        after: VersionHistoryItem,
        /// The first that was told.
        before: VersionHistoryItem,
    },
}

/// Why batches go nowhere, whatever is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// They are of a run that began differently.
    Unrelated,
    /// A batch begins before the last shared event and ends behind it: it was cut elsewhere.
    Overlap,
    /// They would make a second branch under a version that has one. A version is written in one place (ND-8).
    SameVersion,
}

/// Events that were written together, as far as their place matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// First event.
    pub first: EventId,
    /// Last event.
    pub last: EventId,
    /// Version of all of them.
    pub version: FailoverVersion,
}

impl From<&HistoryBatch> for Span {
    fn from(batch: &HistoryBatch) -> Self {
        Self { first: batch.first(), last: batch.last(), version: batch.version() }
    }
}

/// Find the place of batches, which follow one another without a hole, on the branch that `incoming` describes.
///
/// # Errors
///
/// [`Unfit`] when there is none.
pub fn prepare(
    known: &VersionHistories,
    incoming: &VersionHistory,
    batches: impl Iterator<Item = Span> + Clone,
) -> Result<Preparation, Unfit> {
    let (branch, shared) = known.lowest_common_ancestor(incoming).ok_or(Unfit::Unrelated)?;
    // Versions alone were compared so far. Branches that share a version share what came before it, too.
    if known.all()[branch].versions.truncated(shared) != incoming.truncated(shared) {
        return Err(Unfit::SameVersion);
    }
    let skip = batches.clone().take_while(|batch| batch.last <= shared.event_id).count();
    let Some(last) = batches.clone().last() else { return Ok(Preparation::Duplicate) };
    let Some(next) = batches.clone().nth(skip) else { return Ok(Preparation::Duplicate) };
    if next.first <= shared.event_id {
        return Err(Unfit::Overlap);
    }
    if next.first > shared.event_id.next() && !planted(Defect::GapIsPassedOver) {
        let before = VersionHistoryItem { event_id: next.first, version: next.version };
        return Ok(Preparation::Gap { after: shared, before });
    }
    let appends = known.all()[branch].versions.last() == shared;
    let is_current = appends && branch == known.current_index();
    // A branch that would end under the version of the current one would be a second one under that version.
    if !is_current && last.version == known.current().versions.last().version {
        return Err(Unfit::SameVersion);
    }
    Ok(if appends {
        Preparation::Append { branch, skip }
    } else {
        Preparation::Fork { from: branch, after: shared, skip }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        entropy::Entropy,
        history::Branch,
        version::{
            histories::BranchHistory,
            history::notation::{branch, item},
        },
    };
    use std::{
        format,
        string::{String, ToString},
        vec::Vec,
    };

    #[test]
    fn ct_3_what_follows_a_branch_is_appended() {
        check("3@1", "5@1", "4-5@1", "append 0");
        check("3@1", "3@1 5@2", "4-4@2 5-5@2", "append 0");
        check("3@1 5@2 | 3@1 6@3", "3@1 8@2", "6-8@2", "append 0");
        check("3@1 5@2 | 3@1 6@3", "3@1 5@2 7@12", "6-7@12", "append 0");
    }

    #[test]
    fn ct_3_what_is_here_is_a_duplicate() {
        check("5@1", "5@1", "4-5@1", "duplicate");
        check("5@1", "3@1", "1-3@1", "duplicate");
        check("3@1 5@2 | 3@1 6@3", "3@1 5@2", "4-5@2", "duplicate");
        check("3@1 5@2 | 3@1 6@3", "3@1 7@3", "4-6@3", "duplicate");
    }

    #[test]
    fn ct_3_batches_that_are_here_are_skipped() {
        check("3@1", "5@1", "2-2@1 3-3@1 4-5@1", "append 0 skip 2");
        check("5@1", "3@1 6@2", "3-3@1 4-4@2 5-6@2", "fork 0 at 3@1 skip 1");
    }

    #[test]
    fn ct_3_of_missing_events_exactly_the_gap_is_named() {
        check("3@1", "9@1", "7-9@1", "gap 3@1 to 7@1");
        check("5@1", "3@1 9@2", "6-9@2", "gap 3@1 to 6@2");
        check("3@1 5@2 | 3@1 6@3", "3@1 9@2", "8-9@2", "gap 5@2 to 8@2");
    }

    #[test]
    fn ct_3_what_diverged_forks_where_it_did() {
        check("5@1", "3@1 4@2", "4-4@2", "fork 0 at 3@1");
        check("3@1 5@2 7@12 | 3@1 6@3", "3@1 4@2 5@13", "5-5@13", "fork 0 at 4@2");
        check("2@1 4@2", "2@1 3@2 4@3", "4-4@3", "fork 0 at 3@2");
    }

    #[test]
    fn ct_5_a_second_branch_of_one_version_is_refused() {
        check("3@1 5@3", "2@1 4@3", "3-4@3", "SameVersion");
        check("4@1 6@3 | 4@1 5@2", "4@1 5@2 6@3", "6-6@3", "SameVersion");
        check("3@1 5@3", "3@1 4@2 8@3", "5-8@3", "SameVersion");
    }

    #[test]
    fn what_was_cut_elsewhere_or_belongs_elsewhere_is_refused() {
        check("5@1", "3@1 7@2", "3-4@2", "Overlap");
        check("5@1", "5@2", "1-5@2", "Unrelated");
    }

    /// Branches as `3@1 5@2 | 3@1 6@3`, the current one being that of the highest version; batches as `4-5@2 6-6@2`.
    #[track_caller]
    fn check(known: &str, incoming: &str, batches: &str, expected: &str) {
        let mut entropy = Entropy::new(3);
        let root = Branch::root(entropy.run_id(), &mut entropy);
        let known: Vec<_> =
            known.split('|').map(|items| BranchHistory { branch: root.clone(), versions: branch(items) }).collect();
        let current = (0..known.len()).max_by_key(|index| known[*index].versions.last().version).unwrap();
        let known = VersionHistories::from_parts(known, current).unwrap();
        let span = |text: &str| {
            let (first, last) = text.split_once('-').unwrap();
            let end = item(last);
            Span { first: EventId(first.parse().unwrap()), last: end.event_id, version: end.version }
        };
        let batches: Vec<Span> = batches.split_whitespace().map(span).collect();
        let skipped = |skip: usize| if skip == 0 { String::new() } else { format!(" skip {skip}") };
        let found = match prepare(&known, &branch(incoming), batches.into_iter()) {
            Ok(Preparation::Append { branch, skip }) => format!("append {branch}{}", skipped(skip)),
            Ok(Preparation::Fork { from, after, skip }) => format!("fork {from} at {after}{}", skipped(skip)),
            Ok(Preparation::Duplicate) => "duplicate".to_string(),
            Ok(Preparation::Gap { after, before }) => format!("gap {after} to {before}"),
            Err(unfit) => format!("{unfit:?}"),
        };
        assert_eq!(found, expected);
    }
}
