//! How a handover goes, as operators read it.

use std::{collections::BTreeSet, time::Duration};

use metadata::View;
use proto::meridian::failover::v1::{
    HandoverEnded, HandoverProgress, HandoverResult, Releasing, Switching, Waiting, handover_progress,
};
use replicator::{
    ids::ShardId,
    namespace::{Kept, Namespace, Outcome, handover::Stage},
    time::proto_duration,
    version::{FailoverVersion, Topology},
};

/// Puts stages into messages.
pub(super) struct Teller {
    topology: Topology,
    version: FailoverVersion,
}

impl Teller {
    /// Of a namespace as it is when it begins.
    pub(super) fn of(namespace: &Namespace, view: &View) -> Self {
        Self { topology: view.federation.topology.clone(), version: namespace.failover_version }
    }

    /// A stage as a message.
    pub(super) fn message(&self, stage: &Stage) -> HandoverProgress {
        use handover_progress::Stage as Wire;
        let stage = match stage {
            Stage::CatchingUp(behind) => Wire::CatchingUp(waiting(behind)),
            Stage::Preparing(lacks) => Wire::CatchingUp(Waiting { shards: Vec::new(), reason: lacks.clone() }),
            Stage::Draining(left) => Wire::Draining(waiting(left)),
            Stage::Switching => Wire::Switching(Switching {}),
            Stage::Releasing => Wire::Releasing(Releasing {}),
            Stage::Over(outcome) => Wire::Ended(self.ended(outcome)),
        };
        HandoverProgress { stage: Some(stage) }
    }

    fn ended(&self, outcome: &Outcome) -> HandoverEnded {
        let (result, version, paused, reason) = match outcome {
            Outcome::Moved { version, paused } => (HandoverResult::Moved, *version, *paused, String::new()),
            Outcome::Kept { why, paused } => (HandoverResult::Kept, self.version, *paused, sentence(why)),
            Outcome::TakenBack { version, paused } => {
                let reason = "the new side did not confirm in time that it is active, so the old one is again";
                (HandoverResult::TakenBack, *version, *paused, reason.to_owned())
            }
            Outcome::Overtaken { version } => {
                let reason = "somebody else failed it over meanwhile".to_owned();
                (HandoverResult::Overtaken, *version, Duration::ZERO, reason)
            }
        };
        let active = self.topology.owner(version).and_then(|owner| self.topology.name_of(owner));
        HandoverEnded {
            result: result.into(),
            active_cluster: active.map(ToString::to_string).unwrap_or_default(),
            old_version: self.version.0,
            new_version: version.0,
            writes_paused: Some(proto_duration(paused)),
            reason,
        }
    }
}

fn waiting(shards: &BTreeSet<ShardId>) -> Waiting {
    Waiting { shards: shards.iter().map(|shard| shard.0).collect(), reason: String::new() }
}

fn sentence(why: &Kept) -> String {
    match why {
        Kept::Aborted => "it was aborted".to_owned(),
        Kept::Behind(shards) => format!("the new side was too far behind, or not connected, in {}", named(shards)),
        Kept::Unready(lacks) => lacks.clone(),
        Kept::Undrained(shards) => format!("the new side did not have everything in time in {}", named(shards)),
        Kept::Unwritten(reason) => reason.clone(),
    }
}

/// Some shards, as people read them.
pub(super) fn named(shards: &BTreeSet<ShardId>) -> String {
    let all: Vec<String> = shards.iter().take(NAMED).map(|shard| shard.0.to_string()).collect();
    let more = if shards.len() > NAMED { format!(" and {} more", shards.len() - NAMED) } else { String::new() };
    format!("{} {}{more}", if shards.len() == 1 { "shard" } else { "shards" }, all.join(", "))
}

/// So many shards are named.
const NAMED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_up_to_a_number() {
        let check = |shards: std::ops::Range<u32>, expected| {
            assert_eq!(named(&shards.map(ShardId).collect()), expected);
        };
        check(3..4, "shard 3");
        check(1..4, "shards 1, 2, 3");
        check(1..13, "shards 1, 2, 3, 4, 5, 6, 7, 8 and 4 more");
    }
}
