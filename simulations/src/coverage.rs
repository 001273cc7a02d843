//! What a run exercised: faults and rare paths, counted.

use std::collections::BTreeMap;

/// Counts by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Coverage {
    counts: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// It happened.
    pub fn hit(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Add what another run exercised.
    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    /// How often something happened.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Everything that is counted, also what never happened, by name.
    pub fn table(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let mut all: BTreeMap<&'static str, u64> = EXPECTED.iter().map(|what| (*what, 0)).collect();
        all.extend(&self.counts);
        all.into_iter()
    }
}

/// What many runs together must exercise. One that stays at zero is a hole in the worlds that are drawn.
pub const EXPECTED: &[&str] = &[
    "fault: clock drifts",
    "fault: clock jumps",
    "fault: cluster crashes",
    "fault: cluster pauses",
    "fault: clusters disconnected",
    "fault: link clogs",
    "fault: link cut",
    "fault: link cut at a switch",
    "fault: link slow",
    "fault: shard moves",
    "fault: store brought back from a backup",
    "fault: store full",
    "fault: store stalls",
    "fault: streams break",
    "fault: unsynced writes lost",
    "path: activity retried",
    "path: activity timed out",
    "path: backlog read",
    "path: bank asked again",
    "path: branch forked",
    "path: cancelled",
    "path: closed run opened by its other branch",
    "path: cluster came late",
    "path: commit in doubt, not written",
    "path: commit in doubt, written",
    "path: commit in doubt, written late",
    "path: commit ownership lost",
    "path: commit unavailable",
    "path: commits out of order",
    "path: continued as new",
    "path: events kept on a branch that lost",
    "path: failover, forced",
    "path: failover, heard",
    "path: frame lost",
    "path: handover, kept",
    "path: handover, moved",
    "path: handover, overtaken",
    "path: handover, taken back",
    "path: input put into the winner",
    "path: money moved",
    "path: namespace edited",
    "path: namespace fetched from a peer",
    "path: offer repeated",
    "path: other branch became current",
    "path: other branch of a zombie became current",
    "path: peer history fetched",
    "path: peer told anew",
    "path: read failed",
    "path: request repeated",
    "path: run became a zombie",
    "path: run created as current",
    "path: run created as zombie",
    "path: run ended because it lost",
    "path: run deleted",
    "path: run reset",
    "path: run with three branches",
    "path: signal passed on",
    "path: start refused",
    "path: stream reconnected",
    "path: terminated",
    "path: wire without our newest fields",
    "path: workflow task timed out",
    "path: zombie closed",
    "path: zombie revived",
    "path: zombie updated",
];
