//! Version histories in Temporal's messages, as they rest and travel.

use alloc::vec::Vec;

use proto::temporal::server::api::history::v1 as wire;

use super::{FailoverVersion, VersionHistories, VersionHistory, VersionHistoryItem, histories::BranchHistory};
use crate::{history::Branch, ids::EventId};

impl BranchHistory {
    /// The message form.
    #[must_use]
    pub fn to_wire(&self) -> wire::VersionHistory {
        let item =
            |item: &VersionHistoryItem| wire::VersionHistoryItem { event_id: item.event_id.0, version: item.version.0 };
        wire::VersionHistory {
            branch_token: self.branch.token(),
            items: self.versions.items().iter().map(item).collect(),
        }
    }

    /// Read the message form; `None` when it is malformed.
    #[must_use]
    pub fn from_wire(history: &wire::VersionHistory) -> Option<Self> {
        let items = history.items.iter().map(|item| VersionHistoryItem {
            event_id: EventId(item.event_id),
            version: FailoverVersion(item.version),
        });
        let versions = VersionHistory::from_items(items.collect()).ok()?;
        Some(Self { branch: Branch::from_token(&history.branch_token).ok()?, versions })
    }
}

impl VersionHistories {
    /// The message form.
    #[must_use]
    pub fn to_wire(&self) -> wire::VersionHistories {
        wire::VersionHistories {
            current_version_history_index: i32::try_from(self.current_index()).expect("few branches"),
            histories: self.all().iter().map(BranchHistory::to_wire).collect(),
        }
    }

    /// Read the message form; `None` when it is malformed.
    #[must_use]
    pub fn from_wire(histories: &wire::VersionHistories) -> Option<Self> {
        let branches = histories.histories.iter().map(BranchHistory::from_wire).collect::<Option<Vec<_>>>()?;
        Self::from_parts(branches, usize::try_from(histories.current_version_history_index).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::Entropy, version::history::notation};

    #[test]
    fn branches_survive_the_wire_and_nonsense_is_refused() {
        let mut entropy = Entropy::new(7);
        let root = Branch::root(entropy.run_id(), &mut entropy);
        let fork = root.fork(EventId(4), &mut entropy);
        let known =
            |branch: &Branch, versions| BranchHistory { branch: branch.clone(), versions: notation::branch(versions) };
        let branches = [known(&root, "3@1 7@12"), known(&fork, "3@1 9@23")];
        let histories = VersionHistories::from_parts(branches.into(), 1).unwrap();
        let mut wire = histories.to_wire();
        assert_eq!(VersionHistories::from_wire(&wire), Some(histories));
        for index in [-1, 2] {
            wire.current_version_history_index = index;
            assert_eq!(VersionHistories::from_wire(&wire), None);
        }
        wire.histories[0].items.reverse();
        assert_eq!(BranchHistory::from_wire(&wire.histories[0]), None);
    }
}
