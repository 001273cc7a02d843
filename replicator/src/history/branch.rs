//! Branches of a run's history tree, and the tokens that name them (BR-1).
//!
//! The token's bytes are Temporal's `HistoryBranch` message, because peers read it (BR-2).

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message;
use proto::temporal::server::api::persistence::v1 as wire;

use crate::{
    entropy::Entropy,
    ids::{BranchId, EventId, RunId},
};

/// One root-to-leaf path through a run's events.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Branch {
    /// The tree: the run id, or for a run made by a reset the run id it came from.
    pub tree: RunId,
    /// This line of events.
    pub id: BranchId,
    /// The stretches it shares with older branches, oldest first; they meet end to begin, and the first begins at 1.
    pub ancestors: Vec<BranchRange>,
}

/// A stretch of a branch: events from `begin` to before `end`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct BranchRange {
    /// Branch that stores the stretch.
    pub branch: BranchId,
    /// First event, inclusive.
    pub begin: EventId,
    /// Where it stops, exclusive.
    pub end: EventId,
}

impl Branch {
    /// The first branch of a new run.
    #[must_use]
    pub fn root(run: RunId, entropy: &mut Entropy) -> Self {
        Self { tree: run, id: entropy.branch_id(), ancestors: Vec::new() }
    }

    /// First event that this branch stores itself (BR-4).
    #[must_use]
    pub fn begin(&self) -> EventId {
        self.ancestors.last().map_or(EventId::FIRST, |last| last.end)
    }

    /// A new branch that shares everything before `at` and stores what follows (BR-7).
    #[must_use]
    pub fn fork(&self, at: EventId, entropy: &mut Entropy) -> Self {
        assert!(at > EventId::FIRST, "a fork shares at least the first event");
        let mut ancestors: Vec<_> = self.ancestors.iter().copied().filter(|range| range.begin < at).collect();
        if let Some(last) = ancestors.last_mut() {
            last.end = last.end.min(at);
        }
        if at > self.begin() {
            ancestors.push(BranchRange { branch: self.id, begin: self.begin(), end: at });
        }
        Self { tree: self.tree, id: entropy.branch_id(), ancestors }
    }

    /// The stored stretches that make up events `first` to before `end`, oldest first.
    pub fn ranges(&self, first: EventId, end: EventId) -> impl Iterator<Item = BranchRange> + '_ {
        let own = BranchRange { branch: self.id, begin: self.begin(), end: EventId(i64::MAX) };
        self.ancestors.iter().copied().chain([own]).filter_map(move |range| {
            let cut = BranchRange { begin: range.begin.max(first), end: range.end.min(end), ..range };
            (cut.begin < cut.end).then_some(cut)
        })
    }

    /// The bytes that name this branch.
    #[must_use]
    pub fn token(&self) -> Bytes {
        use alloc::string::ToString;
        let ancestors = self.ancestors.iter().map(|range| wire::HistoryBranchRange {
            branch_id: range.branch.to_string(),
            begin_node_id: range.begin.0,
            end_node_id: range.end.0,
        });
        let message = wire::HistoryBranch {
            tree_id: self.tree.to_string(),
            branch_id: self.id.to_string(),
            ancestors: ancestors.collect(),
        };
        message.encode_to_vec().into()
    }

    /// Read a token that came from a peer or from storage.
    ///
    /// # Errors
    ///
    /// [`MalformedBranchToken`] when the bytes are no branch.
    pub fn from_token(token: &[u8]) -> Result<Self, MalformedBranchToken> {
        let message = wire::HistoryBranch::decode(token).map_err(|_| MalformedBranchToken)?;
        let mut ancestors = Vec::with_capacity(message.ancestors.len());
        let mut begin = EventId::FIRST;
        for range in message.ancestors {
            let end = EventId(range.end_node_id);
            if range.begin_node_id != begin.0 || end <= begin {
                return Err(MalformedBranchToken);
            }
            let branch = BranchId::parse(&range.branch_id).map_err(|_| MalformedBranchToken)?;
            ancestors.push(BranchRange { branch, begin, end });
            begin = end;
        }
        Ok(Self {
            tree: RunId::parse(&message.tree_id).map_err(|_| MalformedBranchToken)?,
            id: BranchId::parse(&message.branch_id).map_err(|_| MalformedBranchToken)?,
            ancestors,
        })
    }
}

/// Bytes that name no branch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MalformedBranchToken;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, string::String, vec::Vec};

    #[test]
    fn a_fork_shares_what_lies_before_it() {
        let mut entropy = Entropy::new(7);
        let root = Branch::root(entropy.run_id(), &mut entropy);
        let first = root.fork(EventId(5), &mut entropy);
        let second = first.fork(EventId(8), &mut entropy);
        let early = second.fork(EventId(3), &mut entropy);
        let all = [&root, &first, &second, &early];
        assert_eq!(picture(&all, &root), "0:1-");
        assert_eq!(picture(&all, &first), "0:1-5 1:5-");
        assert_eq!(picture(&all, &second), "0:1-5 1:5-8 2:8-");
        assert_eq!(picture(&all, &early), "0:1-3 3:3-");
    }

    #[test]
    fn a_token_survives_the_wire_and_nonsense_is_refused() {
        let mut entropy = Entropy::new(7);
        let root = Branch::root(entropy.run_id(), &mut entropy);
        let fork = root.fork(EventId(5), &mut entropy).fork(EventId(9), &mut entropy);
        assert_eq!(Branch::from_token(&fork.token()), Ok(fork));
        assert_eq!(Branch::from_token(b"nonsense"), Err(MalformedBranchToken));
        assert_eq!(Branch::from_token(b""), Err(MalformedBranchToken));
    }

    /// Stretches as `index of the branch:begin-end`.
    fn picture(all: &[&Branch], branch: &Branch) -> String {
        let index = |id| all.iter().position(|known| known.id == id).unwrap();
        let ranges = branch.ranges(EventId::FIRST, EventId(i64::MAX));
        let parts = ranges.map(|range| match range.end.0 {
            i64::MAX => format!("{}:{}-", index(range.branch), range.begin),
            end => format!("{}:{}-{end}", index(range.branch), range.begin),
        });
        parts.collect::<Vec<_>>().join(" ")
    }
}
