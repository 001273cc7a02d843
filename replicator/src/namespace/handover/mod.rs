//! A graceful failover: nothing that was acknowledged is lost, and writes wait a moment instead of failing.
//!
//! It is decided in the cluster that is active, and goes through these states, from left to right:
//!
//! ```text
//!   catching up ──► stopping ──► draining ──► switching ──► confirming ──► moved
//!        │              │            │             │             │
//!        ▼              └────────────┴─────────────┤             ▼
//!       kept ◄──────────────────────────────── releasing    taking back ──► taken back
//! ```
//!
//! - *Catching up*: everything is served, until every shard says that the new side is near, and the new side that it lacks
//!   nothing that third clusters wrote: this one cannot tell it that.
//! - *Stopping*: it is being written down that writes are held back, and until when at most.
//! - *Draining*: writes wait. Every shard says when nothing of it is under way any more and the new side has all of it.
//! - *Switching*: the new failover version is being written. Only the answer of the store decides what was.
//! - *Confirming*: the new side is asked whether it has heard. A namespace must not be without an active cluster because
//!   the link was cut in this very moment.
//!
//! Every state ends by itself, and all but the last two of the upper row end with the namespace served where it was. Who
//! was to see to that may die: the shards take writes again by the clock, see [`super::Pause`]. When the new side does not
//! confirm in time, the old one takes the namespace back as anybody could who fails over by force: under a higher version,
//! so that the clusters agree when they meet again.

pub mod change;

use alloc::{
    collections::{BTreeSet, VecDeque},
    string::String,
};
use core::time::Duration;

use crate::{
    ids::ShardId,
    time::Timestamp,
    version::{ClusterName, FailoverVersion},
};

/// What is to be done, and within which bounds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// The cluster that is to take over.
    pub to: ClusterName,
    /// The namespace's version when it was decided.
    pub version: FailoverVersion,
    /// Shards of the active cluster, from 1.
    pub shards: u32,
    /// How long the new side may take until it is near.
    pub catch_up: Duration,
    /// How long writes may wait for it to have everything.
    pub max_pause: Duration,
}

/// One graceful failover.
///
/// `handle_*` tell it what the world did, `abort` is what an operator wants, `poll_step` says what is to be done and
/// `poll_timeout` when [`Handover::handle_timeout`] wants to be called. At most one write is under way.
#[derive(Debug)]
pub struct Handover {
    terms: Terms,
    phase: Phase,
    steps: VecDeque<Step>,
}

/// Something to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Have every shard say when the new side is near.
    Watch,
    /// Ask the new side until it lacks nothing that our own streams do not show. Answered by [`Handover::handle_new_side`].
    AskNewSide,
    /// Write down that writes are held back until then ([`change::stop`]). Answered by [`Handover::handle_written`].
    Stop {
        /// When the shards take writes again by themselves.
        until: Timestamp,
    },
    /// Write down that the new side is active ([`change::switch`]). Answered by [`Handover::handle_written`].
    Switch {
        /// Not from then on: the shards are about to take writes again.
        before: Timestamp,
    },
    /// Ask the new side until it has heard of this version. Answered by [`Handover::handle_confirmed`].
    Confirm {
        /// The version under which it is active.
        version: FailoverVersion,
    },
    /// Write down that writes are taken again ([`change::release`]). Answered by [`Handover::handle_written`].
    Release,
    /// Write down that this side is active again ([`change::take_back`]). Answered by [`Handover::handle_written`].
    TakeBack {
        /// The version that nobody confirmed.
        version: FailoverVersion,
    },
}

/// How it ended. Times are those for which writes were held back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The new side is active and knows it.
    Moved {
        /// Its version.
        version: FailoverVersion,
        /// How long.
        paused: Duration,
    },
    /// The namespace is active where it was, under the version that it had.
    Kept {
        /// Why.
        why: Kept,
        /// How long.
        paused: Duration,
    },
    /// The new side did not confirm, and the old one is active again.
    TakenBack {
        /// Its version.
        version: FailoverVersion,
        /// How long.
        paused: Duration,
    },
    /// Somebody else failed the namespace over meanwhile.
    Overtaken {
        /// The version that it has now.
        version: FailoverVersion,
    },
}

/// Why a namespace was not moved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kept {
    /// An operator said so.
    Aborted,
    /// The new side was not near in time; these shards were behind.
    Behind(BTreeSet<ShardId>),
    /// The new side lacked what this one cannot tell it, or did not answer.
    Unready(String),
    /// The new side did not have everything in time; these shards were not done.
    Undrained(BTreeSet<ShardId>),
    /// What was to be written could not be, or may not be any more.
    Unwritten(String),
}

/// Where a handover stands, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stage {
    /// The new side is waited for; these shards are behind.
    CatchingUp(BTreeSet<ShardId>),
    /// The new side is waited for; it lacks something else.
    Preparing(String),
    /// Writes wait; these shards are not done.
    Draining(BTreeSet<ShardId>),
    /// The namespace is moving.
    Switching,
    /// It is being given back.
    Releasing,
    /// It is over.
    Over(Outcome),
}

#[derive(Debug)]
enum Phase {
    CatchingUp { behind: BTreeSet<ShardId>, lacks: Option<String>, until: Timestamp },
    Stopping { stop: Stop, give_up: Option<Kept> },
    Draining { stop: Stop },
    Switching { stop: Stop },
    Confirming { since: Timestamp, version: FailoverVersion, until: Timestamp },
    Releasing { stop: Stop, why: Kept, again: Option<Timestamp> },
    TakingBack(TakingBack),
    Over(Outcome),
}

/// The new side is silent, and this one is to be active again.
#[derive(Clone, Debug)]
struct TakingBack {
    /// Since when writes wait.
    since: Timestamp,
    /// What the new side was to be active under.
    version: FailoverVersion,
    /// When it is written again; while nothing is said here, a write is under way.
    again: Option<Timestamp>,
    /// A higher version that the namespace has, which may be what is being written.
    heard: Option<FailoverVersion>,
}

/// Writes wait, or are about to.
#[derive(Clone, Debug)]
struct Stop {
    /// Since when.
    since: Timestamp,
    /// When the shards go on by themselves.
    until: Timestamp,
    /// Shards that are not done.
    left: BTreeSet<ShardId>,
}

impl Handover {
    /// Begin.
    #[must_use]
    pub fn new(now: Timestamp, terms: Terms) -> Self {
        let lacks = Some("the new side does not answer".into());
        let phase = Phase::CatchingUp { behind: all(terms.shards), lacks, until: now + terms.catch_up };
        Self { terms, phase, steps: [Step::Watch, Step::AskNewSide].into() }
    }

    /// A shard says that the new side is near.
    pub fn handle_near(&mut self, now: Timestamp, shard: ShardId) {
        let Phase::CatchingUp { behind, .. } = &mut self.phase else { return };
        behind.remove(&shard);
        self.stop_if_near(now);
    }

    /// What the new side lacks besides what this one tells it, or that it lacks nothing.
    pub fn handle_new_side(&mut self, now: Timestamp, ready: Result<(), String>) {
        let Phase::CatchingUp { lacks, .. } = &mut self.phase else { return };
        *lacks = ready.err();
        self.stop_if_near(now);
    }

    fn stop_if_near(&mut self, now: Timestamp) {
        let Phase::CatchingUp { behind, lacks, .. } = &self.phase else { return };
        if behind.is_empty() && lacks.is_none() {
            let until = now + self.terms.max_pause + SWITCH_TIME;
            let stop = Stop { since: now, until, left: all(self.terms.shards) };
            self.phase = Phase::Stopping { stop, give_up: None };
            self.steps.push_back(Step::Stop { until });
        }
    }

    /// A shard says that the new side has all it will write before writes go on.
    pub fn handle_drained(&mut self, shard: ShardId) {
        // A shard hears of the stop a little before whoever wrote it down.
        if let Phase::Stopping { stop, .. } | Phase::Draining { stop } = &mut self.phase {
            stop.left.remove(&shard);
        }
        self.switch_if_drained();
    }

    /// What was to be written is durable, with the failover version that the namespace has now; or it was not written.
    pub fn handle_written(&mut self, now: Timestamp, written: Result<FailoverVersion, String>) {
        match (&mut self.phase, written) {
            (Phase::Stopping { stop, give_up: None }, Ok(_)) => {
                self.phase = Phase::Draining { stop: stop.clone() };
                self.switch_if_drained();
            }
            (Phase::Stopping { stop, give_up: Some(why) }, _) => {
                let (stop, why) = (stop.clone(), why.clone());
                self.release(stop, why);
            }
            (Phase::Stopping { stop, .. } | Phase::Switching { stop }, Err(reason)) => {
                let stop = stop.clone();
                self.release(stop, Kept::Unwritten(reason));
            }
            (Phase::Switching { stop }, Ok(version)) => {
                self.phase = Phase::Confirming { since: stop.since, version, until: now + CONFIRM_TIME };
                self.steps.push_back(Step::Confirm { version });
            }
            (Phase::Releasing { stop, why, .. }, Ok(_)) => {
                let outcome = Outcome::Kept { why: why.clone(), paused: now.since(stop.since) };
                self.phase = Phase::Over(outcome);
            }
            (Phase::Releasing { again, .. }, Err(_)) => *again = Some(now + RETRY),
            (Phase::TakingBack(back), Err(_)) => match back.heard {
                Some(version) => self.phase = Phase::Over(Outcome::Overtaken { version }),
                None => back.again = Some(now + RETRY),
            },
            (Phase::TakingBack(back), Ok(version)) => {
                self.phase = Phase::Over(Outcome::TakenBack { version, paused: now.since(back.since) });
            }
            (Phase::CatchingUp { .. } | Phase::Draining { .. } | Phase::Confirming { .. } | Phase::Over(_), _) => {}
        }
    }

    /// The new side knows that it is active.
    pub fn handle_confirmed(&mut self, now: Timestamp) {
        if let Phase::Confirming { since, version, .. } = self.phase {
            self.phase = Phase::Over(Outcome::Moved { version, paused: now.since(since) });
        }
    }

    /// This is the namespace's failover version now, whoever made it so.
    pub fn handle_version(&mut self, version: FailoverVersion) {
        let known = match &mut self.phase {
            Phase::CatchingUp { .. } | Phase::Stopping { .. } | Phase::Draining { .. } | Phase::Releasing { .. } => {
                self.terms.version
            }
            Phase::Confirming { version, .. } => *version,
            Phase::TakingBack(back) if back.again.is_some() => back.version,
            // The answer to the write says what was first.
            Phase::TakingBack(back) => {
                back.heard = Some(version).filter(|version| back.version < *version).max(back.heard);
                return;
            }
            Phase::Switching { .. } | Phase::Over(_) => return,
        };
        if known < version {
            self.phase = Phase::Over(Outcome::Overtaken { version });
        }
    }

    /// Let the namespace be where it is. Answers whether that is still possible.
    pub fn abort(&mut self) -> bool {
        self.give_up(Kept::Aborted)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        match &mut self.phase {
            Phase::CatchingUp { behind, lacks, .. } => {
                let why = match lacks {
                    Some(lacks) if behind.is_empty() => Kept::Unready(lacks.clone()),
                    _ => Kept::Behind(behind.clone()),
                };
                self.give_up(why);
            }
            Phase::Stopping { stop, .. } | Phase::Draining { stop } => {
                let why = Kept::Undrained(stop.left.clone());
                self.give_up(why);
            }
            Phase::Confirming { since, version, .. } => {
                let (since, version) = (*since, *version);
                self.phase = Phase::TakingBack(TakingBack { since, version, again: None, heard: None });
                self.steps.push_back(Step::TakeBack { version });
            }
            Phase::Releasing { stop, why, .. } if stop.until <= now => {
                // The shards have gone on by themselves.
                let outcome = Outcome::Kept { why: why.clone(), paused: stop.until.since(stop.since) };
                self.phase = Phase::Over(outcome);
            }
            Phase::Releasing { again, .. } => {
                *again = None;
                self.steps.push_back(Step::Release);
            }
            Phase::TakingBack(back) => {
                back.again = None;
                self.steps.push_back(Step::TakeBack { version: back.version });
            }
            Phase::Switching { .. } | Phase::Over(_) => {}
        }
    }

    /// What is to be done next. All steps are taken after every input.
    pub fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When [`Handover::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::CatchingUp { until, .. } | Phase::Confirming { until, .. } => Some(*until),
            Phase::Stopping { stop, give_up: None } | Phase::Draining { stop } => {
                Some(stop.since + self.terms.max_pause)
            }
            Phase::Releasing { stop, again, .. } => Some(again.unwrap_or(stop.until).min(stop.until)),
            Phase::TakingBack(back) => back.again,
            Phase::Stopping { give_up: Some(_), .. } | Phase::Switching { .. } | Phase::Over(_) => None,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match &self.phase {
            Phase::CatchingUp { behind, lacks: Some(lacks), .. } if behind.is_empty() => {
                Stage::Preparing(lacks.clone())
            }
            Phase::CatchingUp { behind, .. } => Stage::CatchingUp(behind.clone()),
            Phase::Stopping { stop, give_up: None } | Phase::Draining { stop } => Stage::Draining(stop.left.clone()),
            Phase::Switching { .. } | Phase::Confirming { .. } => Stage::Switching,
            Phase::Stopping { give_up: Some(_), .. } | Phase::Releasing { .. } | Phase::TakingBack(_) => {
                Stage::Releasing
            }
            Phase::Over(outcome) => Stage::Over(outcome.clone()),
        }
    }

    fn switch_if_drained(&mut self) {
        let Phase::Draining { stop } = &self.phase else { return };
        if stop.left.is_empty() {
            let stop = stop.clone();
            self.steps.push_back(Step::Switch { before: stop.until - WRITE_TIME });
            self.phase = Phase::Switching { stop };
        }
    }

    fn give_up(&mut self, why: Kept) -> bool {
        match &mut self.phase {
            Phase::CatchingUp { .. } => {
                self.phase = Phase::Over(Outcome::Kept { why, paused: Duration::ZERO });
            }
            // Not before it is known what was written.
            Phase::Stopping { give_up, .. } => _ = give_up.get_or_insert(why),
            Phase::Draining { stop } => {
                let stop = stop.clone();
                self.release(stop, why);
            }
            Phase::Releasing { .. } => {}
            Phase::Switching { .. } | Phase::Confirming { .. } | Phase::TakingBack(_) | Phase::Over(_) => {
                return false;
            }
        }
        true
    }

    fn release(&mut self, stop: Stop, why: Kept) {
        self.phase = Phase::Releasing { stop, why, again: None };
        self.steps.push_back(Step::Release);
    }
}

fn all(shards: u32) -> BTreeSet<ShardId> {
    (1..=shards).map(ShardId).collect()
}

/// After the drain has had its time: so long the shards still wait for the switch to be written.
const SWITCH_TIME: Duration = Duration::from_secs(5);
/// So long before the shards go on by themselves no switch is begun any more: it must be durable before that.
const WRITE_TIME: Duration = Duration::from_secs(3);
/// How long the new side may be silent before the namespace is taken back. A restart of a process fits.
const CONFIRM_TIME: Duration = Duration::from_secs(10);
/// Before something is written again that could not be.
const RETRY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
