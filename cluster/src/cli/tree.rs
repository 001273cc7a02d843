//! Branches of a run, drawn.
//!
//! The drawing needs no events: a version history says under which version each event of its branch was written, and
//! branches are one as far as those agree. The notation is `4@2`, event 4 with version 2.

use std::{cmp::Ordering, fmt};

use serde::Serialize;

/// The last event written under a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) event_id: i64,
    pub(crate) version: i64,
}

/// Who wrote one branch: events grow from item to item.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct VersionHistory(pub(crate) Vec<Item>);

/// Branches, and which of them is current.
#[derive(Debug)]
pub(crate) struct Tree<'a> {
    pub(crate) branches: &'a [VersionHistory],
    pub(crate) current: usize,
}

/// A stretch that a set of branches has in common, and what comes after it.
struct Node {
    /// The events, written out.
    text: String,
    /// Where the branches part; none when this is where a branch ends.
    parts: Vec<Node>,
    is_current: bool,
}

impl fmt::Display for VersionHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<_> = self.0.iter().map(|item| format!("{}@{}", item.event_id, item.version)).collect();
        write!(f, "[{}]", items.join(" "))
    }
}

impl VersionHistory {
    /// The last event that this branch and another have in common; 0 if there is none.
    fn common(&self, other: &Self) -> i64 {
        let mut common = 0;
        for (ours, theirs) in self.0.iter().zip(&other.0) {
            if ours.version != theirs.version {
                break;
            }
            common = ours.event_id.min(theirs.event_id);
            if ours.event_id != theirs.event_id {
                break;
            }
        }
        common
    }

    fn last(&self) -> i64 {
        self.0.last().map_or(0, |item| item.event_id)
    }

    /// The version of an event that the branch has.
    fn version(&self, event: i64) -> Option<i64> {
        self.0.iter().find(|item| event <= item.event_id).map(|item| item.version)
    }

    /// Events after `after` to `last`, long stretches shortened.
    fn write_out(&self, after: i64, last: i64) -> String {
        let mut events = Vec::new();
        let mut first = after + 1;
        for item in &self.0 {
            let end = item.event_id.min(last);
            let event = |id: i64| format!("{id}@{}", item.version);
            match (end - first + 1).cmp(&LONG) {
                Ordering::Greater => events.extend([event(first), "..".to_owned(), event(end)]),
                _ => events.extend((first..=end).map(event)),
            }
            first = first.max(end + 1);
        }
        events.join(" ── ")
    }
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<_> = (0..self.branches.len()).collect();
        if let Some(root) = self.node(&all, 0) {
            root.lines().iter().try_for_each(|line| writeln!(f, "{line}"))?;
        }
        Ok(())
    }
}

impl Tree<'_> {
    /// What these branches, which agree up to and including event `after`, have from there on.
    fn node(&self, group: &[usize], after: i64) -> Option<Node> {
        let first = &self.branches[*group.first()?];
        let common = group.iter().map(|index| first.common(&self.branches[*index])).min().unwrap_or(0).max(after);
        let mut parts = Vec::new();
        let mut next: Vec<(Option<i64>, Vec<usize>)> = Vec::new();
        for index in group {
            let branch = &self.branches[*index];
            let version = branch.version(common + 1);
            match next.iter_mut().find(|(other, _)| *other == version && version.is_some()) {
                Some((_, group)) => group.push(*index),
                None => next.push((version, vec![*index])),
            }
        }
        // One branch parts from nobody.
        if 1 < group.len() {
            parts = next.iter().filter_map(|(_, group)| self.node(group, common)).collect();
        }
        let is_current = parts.is_empty() && group.contains(&self.current);
        let end = if parts.is_empty() { first.last() } else { common };
        let text = if after < end { first.write_out(after, end) } else { "(ends here)".to_owned() };
        Some(Node { text, parts, is_current })
    }
}

impl Node {
    fn lines(&self) -> Vec<String> {
        if self.parts.is_empty() {
            let mark = if self.is_current { "   current" } else { "" };
            return vec![format!("{}{mark}", self.text)];
        }
        let indent = " ".repeat(self.text.chars().count());
        let last = self.parts.len() - 1;
        let mut lines = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            for (row, line) in part.lines().into_iter().enumerate() {
                let stem = if index == 0 && row == 0 { &self.text } else { &indent };
                let fork = match (row, index) {
                    (0, 0) => " ─┬─ ",
                    (0, index) if index == last => "  └─ ",
                    (0, _) => "  ├─ ",
                    (_, index) if index == last => "     ",
                    _ => "  │  ",
                };
                lines.push(format!("{stem}{fork}{line}"));
            }
        }
        lines
    }
}

/// More events than this under one version are not all written out.
const LONG: i64 = 6;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `[2@1 3@2]`
    pub(crate) fn history(text: &str) -> VersionHistory {
        let items = text.trim_matches(['[', ']']).split(' ').map(|item| {
            let (event_id, version) = item.split_once('@').unwrap();
            Item { event_id: event_id.parse().unwrap(), version: version.parse().unwrap() }
        });
        VersionHistory(items.collect())
    }

    #[track_caller]
    fn check(branches: &[&str], current: usize, expected: &[&str]) {
        let branches: Vec<_> = branches.iter().map(|text| history(text)).collect();
        let tree = Tree { branches: &branches, current }.to_string();
        assert_eq!(tree.lines().collect::<Vec<_>>(), expected, "\n{tree}");
    }

    #[test]
    fn one_branch() {
        check(&["[1@1]"], 0, &["1@1   current"]);
        check(&["[3@1 5@2]"], 0, &["1@1 ── 2@1 ── 3@1 ── 4@2 ── 5@2   current"]);
    }

    #[test]
    fn long_stretches_are_shortened() {
        check(&["[6@1 13@2]"], 0, &["1@1 ── 2@1 ── 3@1 ── 4@1 ── 5@1 ── 6@1 ── 7@2 ── .. ── 13@2   current"]);
        check(&["[50000@1]"], 0, &["1@1 ── .. ── 50000@1   current"]);
    }

    #[test]
    fn a_conflict() {
        check(
            &["[2@1 4@2]", "[2@1 3@2 4@3]"],
            1,
            &[
                "1@1 ── 2@1 ── 3@2 ─┬─ 4@2", //
                "                   └─ 4@3   current",
            ],
        );
    }

    #[test]
    fn conflicts_after_conflicts() {
        check(
            &["[2@1 4@2]", "[2@1 3@2 4@3 6@4]", "[2@1 3@2 4@3 5@13]", "[1@1 2@21]"],
            3,
            &[
                "1@1 ─┬─ 2@1 ── 3@2 ─┬─ 4@2",
                "     │              └─ 4@3 ─┬─ 5@4 ── 6@4",
                "     │                      └─ 5@13",
                "     └─ 2@21   current",
            ],
        );
        check(
            &["[1@1 2@2]", "[1@1 2@3]", "[1@1 2@14]"],
            2,
            &[
                "1@1 ─┬─ 2@2", //
                "     ├─ 2@3",
                "     └─ 2@14   current",
            ],
        );
    }

    #[test]
    fn a_branch_that_is_the_beginning_of_another() {
        check(
            &["[2@1]", "[3@1]"],
            1,
            &[
                "1@1 ── 2@1 ─┬─ (ends here)", //
                "            └─ 3@1   current",
            ],
        );
        check(
            &["[2@1]", "[2@1]"],
            0,
            &[
                "1@1 ── 2@1 ─┬─ (ends here)   current", //
                "            └─ (ends here)",
            ],
        );
    }

    #[test]
    fn nothing() {
        check(&[], 0, &[]);
    }

    #[test]
    fn notation() {
        assert_eq!(history("[2@1 3@2]").to_string(), "[2@1 3@2]");
    }
}
