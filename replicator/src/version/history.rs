//! Which cluster's authority wrote which stretch of a branch.
//!
//! A [`VersionHistory`] is the run-length encoding of the failover versions of one branch: `3@1 7@12` reads "events 1
//! to 3 were written under version 1, events 4 to 7 under version 12". Two branches of one run agree up to their lowest
//! common ancestor and on nothing after it, so comparing two version histories finds where two clusters diverged; no
//! event has to be read.

use alloc::{vec, vec::Vec};
use core::fmt;

use super::FailoverVersion;
use crate::{
    defects::{Defect, planted},
    ids::EventId,
};

/// The last event written under `version`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct VersionHistoryItem {
    /// Last event of the stretch, inclusive.
    pub event_id: EventId,
    /// Version that every event of the stretch carries.
    pub version: FailoverVersion,
}

/// The versions of one branch, oldest stretch first (VH-2).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VersionHistory {
    /// Never empty; strictly increasing in `event_id` and in `version`.
    items: Vec<VersionHistoryItem>,
}

impl VersionHistory {
    /// A branch whose first stretch ends at `first`.
    #[must_use]
    pub fn new(first: VersionHistoryItem) -> Self {
        assert!(first.event_id >= EventId::FIRST, "a branch begins at event 1");
        Self { items: vec![first] }
    }

    /// Accept items that came from a peer or from storage.
    ///
    /// # Errors
    ///
    /// The index of the first item that does not follow its predecessor.
    pub fn from_items(items: Vec<VersionHistoryItem>) -> Result<Self, MalformedVersionHistory> {
        let begins = items.first().is_some_and(|first| first.event_id >= EventId::FIRST && first.version.0 >= 0);
        if !begins {
            return Err(MalformedVersionHistory { index: 0 });
        }
        // An event follows the last one, too.
        if items.last().is_some_and(|last| last.event_id == EventId(i64::MAX)) {
            return Err(MalformedVersionHistory { index: items.len() - 1 });
        }
        match items.windows(2).position(|pair| !follows(pair[0], pair[1])) {
            Some(index) => Err(MalformedVersionHistory { index: index + 1 }),
            None => Ok(Self { items }),
        }
    }

    /// Record that the branch now ends at `item` (VH-3).
    ///
    /// The caller owns the branch, so an item that goes backwards is a bug here and not bad input.
    pub fn append(&mut self, item: VersionHistoryItem) {
        let last = self.last();
        assert!(last.version <= item.version && last.event_id < item.event_id, "{item} after {last}");
        if item.version == last.version {
            self.items.pop();
        }
        self.items.push(item);
    }

    /// The stretches, oldest first.
    #[must_use]
    pub fn items(&self) -> &[VersionHistoryItem] {
        &self.items
    }

    /// Where the branch ends.
    #[must_use]
    pub fn last(&self) -> VersionHistoryItem {
        *self.items.last().expect("never empty")
    }

    /// Version of the event, or `None` when the branch does not have it (VH-9).
    #[must_use]
    pub fn version_of(&self, event: EventId) -> Option<FailoverVersion> {
        if event < EventId::FIRST {
            return None;
        }
        self.items.iter().find(|item| event <= item.event_id).map(|item| item.version)
    }

    /// Whether the event, written under that version, lies on this branch (VH-8).
    #[must_use]
    pub fn contains(&self, item: VersionHistoryItem) -> bool {
        self.version_of(item.event_id) == Some(item.version)
    }

    /// The branch up to and including `item`, which must lie on it (VH-7).
    #[must_use]
    pub fn truncated(&self, item: VersionHistoryItem) -> Self {
        assert!(self.contains(item), "{item} is not on this branch");
        let mut items: Vec<_> = self.items.iter().copied().filter(|kept| kept.version < item.version).collect();
        items.push(item);
        Self { items }
    }

    /// The last event that both branches contain, or `None` when they are not branches of one run (VH-4).
    #[must_use]
    pub fn lowest_common_ancestor(&self, other: &Self) -> Option<VersionHistoryItem> {
        let (mut a, mut b) = (self.items.as_slice(), other.items.as_slice());
        // A higher version cannot be shared, so drop it; of equal versions the shorter stretch is.
        while let ([older_a @ .., last_a], [older_b @ .., last_b]) = (a, b) {
            if last_a.version == last_b.version {
                let (a, b) = (last_a.event_id, last_b.event_id);
                let event_id = if planted(Defect::AncestorIsTooHigh) { a.max(b) } else { a.min(b) };
                return Some(VersionHistoryItem { event_id, ..*last_a });
            }
            if last_a.version < last_b.version {
                b = older_b;
            } else {
                a = older_a;
            }
        }
        None
    }
}

/// Items that no branch could have produced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MalformedVersionHistory {
    /// First offending item.
    pub index: usize,
}

impl fmt::Display for VersionHistoryItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.event_id, self.version)
    }
}

impl fmt::Display for VersionHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

fn follows(earlier: VersionHistoryItem, later: VersionHistoryItem) -> bool {
    earlier.version < later.version && earlier.event_id < later.event_id
}

/// Reads the notation of this module's tests.
#[cfg(test)]
pub(crate) mod notation {
    use super::*;

    pub(crate) fn branch(items: &str) -> VersionHistory {
        parse(items).unwrap()
    }

    pub(crate) fn parse(items: &str) -> Result<VersionHistory, MalformedVersionHistory> {
        VersionHistory::from_items(items.split_whitespace().map(item).collect())
    }

    pub(crate) fn item(text: &str) -> VersionHistoryItem {
        let (event_id, version) = text.split_once('@').unwrap();
        VersionHistoryItem {
            event_id: EventId(event_id.parse().unwrap()),
            version: FailoverVersion(version.parse().unwrap()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        notation::{branch, item, parse},
        *,
    };
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn ct_2_ancestor_of_branches_that_diverged() {
        check("3@1 7@12", "3@1 9@23", Some("3@1"));
        check("5@1 7@12", "3@1 9@23", Some("3@1"));
        check("3@1 7@12", "3@1 5@12 9@23", Some("5@12"));
    }

    #[test]
    fn ct_2_ancestor_when_one_branch_extends_the_other() {
        check("3@1", "3@1", Some("3@1"));
        check("3@1", "8@1", Some("3@1"));
        check("3@1", "3@1 9@12", Some("3@1"));
    }

    #[test]
    fn ct_2_branches_of_different_runs_share_nothing() {
        check("3@1", "3@2", None);
        check("3@1 7@12", "2@2", None);
    }

    #[test]
    fn ct_2_peer_items_must_increase() {
        assert_eq!(parse("3@1 3@12"), Err(MalformedVersionHistory { index: 1 }));
        assert_eq!(parse("3@1 7@12 9@12"), Err(MalformedVersionHistory { index: 2 }));
        assert_eq!(parse("0@1"), Err(MalformedVersionHistory { index: 0 }));
        assert_eq!(parse(""), Err(MalformedVersionHistory { index: 0 }));
    }

    #[test]
    fn append_extends_the_last_stretch_or_opens_a_new_one() {
        let mut history = branch("3@1");
        history.append(item("4@1"));
        history.append(item("6@12"));
        assert_eq!(history.to_string(), "4@1 6@12");
    }

    #[test]
    fn an_event_has_the_version_of_its_stretch() {
        let history = branch("3@1 7@12");
        for (event, version) in [(0, None), (1, Some(1)), (3, Some(1)), (4, Some(12)), (7, Some(12)), (8, None)] {
            assert_eq!(history.version_of(EventId(event)), version.map(FailoverVersion), "event {event}");
        }
        assert_eq!(history.truncated(item("5@12")).to_string(), "3@1 5@12");
        assert_eq!(history.truncated(item("3@1")).to_string(), "3@1");
    }

    proptest! {
        #[test]
        fn ct_2_branches_that_fork_have_their_fork_as_ancestor(
            trunk in stretches(0), left in stretches(1), right in stretches(2),
        ) {
            let trunk_end = trunk.last().unwrap().0;
            let a = grow(&trunk, &left);
            let b = grow(&trunk, &right);
            let ancestor = a.lowest_common_ancestor(&b);
            prop_assert_eq!(ancestor, b.lowest_common_ancestor(&a), "must commute");
            prop_assert_eq!(ancestor.map(|i| i.event_id.0), Some(trunk_end));
        }
    }

    /// Stretches as (length so far, round); a side (0 trunk, 1 left, 2 right) owns its residue of the versions.
    fn stretches(side: i64) -> impl Strategy<Value = std::vec::Vec<(i64, i64)>> {
        prop::collection::vec((1i64..9, 1i64..5), 1..5).prop_map(move |steps| {
            let (mut event, mut version) = (0, if side == 0 { 0 } else { 1000 });
            steps
                .into_iter()
                .map(|(length, round)| {
                    event += length;
                    version += round * 10;
                    (event, version + side)
                })
                .collect()
        })
    }

    fn grow(trunk: &[(i64, i64)], tail: &[(i64, i64)]) -> VersionHistory {
        let end = trunk.last().unwrap().0;
        let items = trunk.iter().copied().chain(tail.iter().map(|(event, version)| (end + event, *version)));
        VersionHistory::from_items(
            items.map(|(e, v)| VersionHistoryItem { event_id: EventId(e), version: FailoverVersion(v) }).collect(),
        )
        .unwrap()
    }

    #[track_caller]
    fn check(a: &str, b: &str, ancestor: Option<&str>) {
        let (a, b) = (branch(a), branch(b));
        assert_eq!(a.lowest_common_ancestor(&b), ancestor.map(item));
        assert_eq!(b.lowest_common_ancestor(&a), ancestor.map(item), "must commute");
    }
}
