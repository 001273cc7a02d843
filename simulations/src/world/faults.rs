//! What the plan says comes to pass.

use std::time::Duration;

use super::{Event, World};
use crate::{plan::What, random::Range, trace::Place};

impl World {
    pub(super) fn carry_out(&mut self, what: What) {
        if self.is_healed {
            return;
        }
        if !matches!(what, What::Client(_)) {
            self.note(Place::World, "fate", None, format_args!("{what}"));
        }
        if let Some(fault) = what.fault() {
            self.coverage.hit(fault);
        }
        let now = self.now;
        match what {
            What::Register(namespace) => self.register(namespace),
            What::Client(wish) => self.order(wish),
            What::FailOver { namespace, to, by } => self.fail_over(namespace, to, by),
            What::HandOver { namespace, to } => self.hand_namespace_over(namespace, to),
            What::AbortHandover(namespace) => self.abort_handover(namespace),
            What::CutAtSwitch { namespace, time } => {
                self.cut_at_switch.insert(namespace, time);
            }
            What::Edit { namespace, by } => self.edit(namespace, by),
            What::Join(cluster) => self.join(cluster),
            What::Disconnect(one, other, time) => {
                let pair = (one.min(other), one.max(other));
                let until = self.apart.entry(pair).or_default();
                *until = (*until).max(now + time);
                self.break_streams(one, other);
            }
            What::Crash(cluster, time) => {
                if self.clusters[cluster].is_up {
                    self.crash_cluster(cluster);
                    let incarnation = self.clusters[cluster].incarnation;
                    self.after(time, Event::Restart(cluster, incarnation));
                }
            }
            What::BackUp(cluster) => self.back_up(cluster),
            What::Restore(cluster, time) => self.restore(cluster, time),
            What::Pause(cluster, time) => {
                let here = &mut self.clusters[cluster];
                here.paused_until = here.paused_until.max(now + time);
                self.after(time, Event::Wake(cluster));
            }
            What::Move(cluster, shard, time) => self.move_shard(cluster, shard, time),
            What::Cut(from, to, time) => self.network.cut(from, to, now + time),
            What::Clog(from, to, time) => self.network.clog(from, to, now + time),
            What::Slow(from, to, times, time) => self.network.slow(from, to, times, now + time),
            What::Break(one, other) => self.break_streams(one, other),
            What::Skew(cluster, millis) => {
                self.clusters[cluster].skew += millis * 1_000_000;
                self.arm_again(cluster);
            }
            What::Drift(cluster, millionths, time) => {
                let ticks = (time.as_nanos() / DRIFT_TICK.as_nanos()) as u32;
                self.on_drift(cluster, millionths, ticks);
            }
            What::Stall(cluster, time) => {
                let here = &mut self.clusters[cluster];
                here.stalled_until = here.stalled_until.max(now + time);
            }
            What::Full(cluster, time) => {
                let here = &mut self.clusters[cluster];
                here.full_until = here.full_until.max(now + time);
            }
        }
    }

    /// A clock that drifts is set a little, again and again.
    pub(super) fn on_drift(&mut self, cluster: usize, millionths: i64, ticks: u32) {
        if ticks == 0 || self.is_healed {
            return;
        }
        self.clusters[cluster].skew += DRIFT_TICK.as_nanos() as i64 * millionths / 1_000_000;
        self.arm_again(cluster);
        self.after(DRIFT_TICK, Event::Drift(cluster, millionths, ticks - 1));
    }

    /// Whether operators disconnected two clusters.
    pub(super) fn are_apart(&self, one: usize, other: usize) -> bool {
        self.apart.get(&(one.min(other), one.max(other))).is_some_and(|until| self.now < *until)
    }

    /// Another host takes a shard. The one that had it does not know, and goes on until it is told to end.
    fn move_shard(&mut self, cluster: usize, shard: u32, lingers: Duration) {
        let old = self.clusters[cluster].owners[shard as usize - 1];
        let (Some(old), true) = (old, self.clusters[cluster].is_up) else { return };
        self.start_node(cluster, shard);
        let lingers = lingers + self.random.streams.duration(Range::micros(0, 1_000));
        self.after(lingers, Event::Retire(old));
    }
}

/// How often a clock that drifts is set.
const DRIFT_TICK: Duration = Duration::from_millis(100);
