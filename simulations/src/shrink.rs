//! Makes a failing plan small: whatever can go goes, as long as the same promise breaks.
//!
//! Steps go first, in ever smaller groups; then clusters, namespaces and shards, then noise, then what workflows do, then
//! time. What went makes other things superfluous, so it begins again until nothing more goes.

use std::time::Duration;

use crate::{
    checkers::Violation,
    plan::{Ask, Plan, What},
    program::Program,
    random::Range,
    run,
    written::names,
};

/// What is left of a plan.
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// How it breaks the promise.
    pub violation: Violation,
    /// What happens until then.
    pub happenings: u64,
    /// Plans that were tried.
    pub tries: u64,
}

/// Make a plan smaller. `None` when it breaks no promise.
///
/// `goes_on` is asked before every try, with what there is so far; when it says no, that is the result.
pub fn shrink(plan: &Plan, goes_on: &mut dyn FnMut(&Plan, u64) -> bool) -> Option<Shrunk> {
    let outcome = run::run(plan, false, None);
    let (violation, happenings) = (outcome.violation?, outcome.happenings);
    let best = Shrunk { plan: plan.clone(), violation, happenings, tries: 0 };
    let mut search = Search { best, goes_on, is_over: false };
    loop {
        let before = search.best.plan.clone();
        search.drop_steps();
        search.drop_places();
        search.calm();
        search.simplify_programs();
        search.shorten();
        if search.is_over || search.best.plan == before {
            return Some(search.best);
        }
    }
}

struct Search<'a> {
    best: Shrunk,
    goes_on: &'a mut dyn FnMut(&Plan, u64) -> bool,
    is_over: bool,
}

impl Search<'_> {
    /// Take the best plan, changed, if it still breaks the promise and no more happens until then. Whether it does.
    fn attempt(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.plan.clone();
        change(&mut plan);
        if self.is_over || plan == self.best.plan {
            return false;
        }
        self.is_over = !(self.goes_on)(&self.best.plan, self.best.tries);
        if self.is_over {
            return false;
        }
        self.best.tries += 1;
        let outcome = run::run(&plan, false, None);
        let is_smaller = outcome.happenings <= self.best.happenings;
        let same = |broken: &Violation| is_smaller && broken.promise == self.best.violation.promise;
        match outcome.violation.filter(same) {
            Some(violation) => {
                self.best.plan = plan;
                self.best.violation = violation;
                self.best.happenings = outcome.happenings;
                true
            }
            None => false,
        }
    }

    fn drop_steps(&mut self) {
        // Nothing that lies behind the violation is of interest.
        let end = self.best.violation.at;
        self.attempt(|plan| plan.steps.retain(|step| step.at <= end));
        let mut size = self.best.plan.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.plan.steps.len() {
                let end = (at + size).min(self.best.plan.steps.len());
                if !self.attempt(|plan| drop(plan.steps.drain(at..end))) {
                    at = end;
                }
            }
            size /= 2;
        }
    }

    fn drop_places(&mut self) {
        for cluster in (0..self.best.plan.clusters()).rev() {
            if self.best.plan.clusters() > 1 {
                self.attempt(|plan| drop_cluster(plan, cluster));
            }
        }
        for namespace in (0..self.best.plan.namespaces.len()).rev() {
            if self.best.plan.namespaces.len() > 1 {
                self.attempt(|plan| drop_namespace(plan, namespace));
            }
        }
        self.attempt(|plan| {
            plan.shards.fill(1);
            for step in &mut plan.steps {
                if let What::Move(_, shard, _) = &mut step.what {
                    *shard = 1;
                }
            }
        });
    }

    fn calm(&mut self) {
        const CALM: [fn(&mut Plan); 18] = [
            |plan| plan.late.clear(),
            |plan| plan.backlog = None,
            |plan| plan.network.loss = 0,
            |plan| plan.network.latency = QUICK,
            |plan| plan.store.unknown = 0,
            |plan| plan.store.failed = 0,
            |plan| plan.store.arrival = QUICK,
            |plan| plan.store.sync = QUICK,
            |plan| plan.store.read = QUICK,
            |plan| plan.store.answer = QUICK,
            |plan| plan.workers.vanish = 0,
            |plan| plan.workers.fail = 0,
            |plan| plan.workers.repeat = 0,
            |plan| plan.workers.sticky = 0,
            |plan| plan.workers.poll = QUICK,
            |plan| plan.workers.think = QUICK,
            |plan| plan.workers.act = QUICK,
            |plan| plan.steps.iter_mut().for_each(|step| step.at = rounded(step.at)),
        ];
        for change in CALM {
            self.attempt(change);
        }
    }

    fn simplify_programs(&mut self) {
        for step in 0..self.best.plan.steps.len() {
            let mut at = 0;
            while program(&mut self.best.plan.steps[step].what).is_some_and(|program| at < program.0.len()) {
                let drop_at = |plan: &mut Plan| {
                    if let Some(program) = program(&mut plan.steps[step].what) {
                        program.0.remove(at);
                    }
                };
                if !self.attempt(drop_at) {
                    at += 1;
                }
            }
        }
    }

    fn shorten(&mut self) {
        let last = self.best.plan.steps.last().map_or(Duration::ZERO, |step| step.at);
        self.attempt(|plan| plan.duration = last + Duration::from_secs(1));
        for step in 0..self.best.plan.steps.len() {
            while self.attempt(|plan| {
                if let Some(time) = lasts(&mut plan.steps[step].what).filter(|time| **time > SHORT) {
                    *time = rounded(*time / 2);
                }
            }) {}
        }
    }
}

/// Take a cluster away, and all that happens there.
fn drop_cluster(plan: &mut Plan, gone: usize) {
    plan.shards.remove(gone);
    plan.old_wire.remove(gone);
    let renumbered = |cluster: &mut usize| *cluster -= usize::from(*cluster > gone);
    plan.steps.retain(|step| !names(&step.what).0.contains(&gone));
    for home in &mut plan.namespaces {
        renumbered(home);
        *home = (*home).min(plan.shards.len() - 1);
    }
    plan.late.retain(|late| *late != gone);
    plan.late.iter_mut().for_each(renumbered);
    plan.late.retain(|late| !plan.namespaces.contains(late));
    for step in &mut plan.steps {
        match &mut step.what {
            What::Register(_) | What::AbortHandover(_) | What::CutAtSwitch { .. } => {}
            What::HandOver { to, .. } => renumbered(to),
            What::Client(wish) => renumbered(&mut wish.from),
            What::FailOver { to, by, .. } => {
                renumbered(to);
                renumbered(by);
            }
            What::Edit { by: cluster, .. }
            | What::Join(cluster)
            | What::Crash(cluster, _)
            | What::BackUp(cluster)
            | What::Restore(cluster, _)
            | What::Pause(cluster, _)
            | What::Move(cluster, ..)
            | What::Skew(cluster, _)
            | What::Drift(cluster, ..)
            | What::Stall(cluster, _)
            | What::Full(cluster, _) => renumbered(cluster),
            What::Cut(from, to, _)
            | What::Clog(from, to, _)
            | What::Slow(from, to, ..)
            | What::Break(from, to)
            | What::Disconnect(from, to, _) => {
                renumbered(from);
                renumbered(to);
            }
        }
    }
}

/// Take a namespace away, and all that happens there.
fn drop_namespace(plan: &mut Plan, gone: usize) {
    plan.namespaces.remove(gone);
    plan.steps.retain(|step| names(&step.what).1 != Some(gone));
    for step in &mut plan.steps {
        if let What::Register(namespace)
        | What::FailOver { namespace, .. }
        | What::HandOver { namespace, .. }
        | What::AbortHandover(namespace)
        | What::CutAtSwitch { namespace, .. }
        | What::Edit { namespace, .. }
        | What::Client(crate::plan::Wish { namespace, .. }) = &mut step.what
        {
            *namespace -= usize::from(*namespace > gone);
        }
    }
}

/// What a workflow does that a step starts.
fn program(what: &mut What) -> Option<&mut Program> {
    match what {
        What::Client(wish) => match &mut wish.call {
            Ask::Start(program) | Ask::SignalWithStart(program) => Some(program),
            Ask::Signal | Ask::Cancel | Ask::Terminate | Ask::Reset | Ask::Delete => None,
        },
        _ => None,
    }
}

/// How long a fault lasts.
fn lasts(what: &mut What) -> Option<&mut Duration> {
    match what {
        What::Crash(_, time)
        | What::Restore(_, time)
        | What::Pause(_, time)
        | What::Move(_, _, time)
        | What::Cut(_, _, time)
        | What::Clog(_, _, time)
        | What::Slow(_, _, _, time)
        | What::Disconnect(_, _, time)
        | What::Drift(_, _, time)
        | What::CutAtSwitch { time, .. }
        | What::Stall(_, time)
        | What::Full(_, time) => Some(time),
        What::Register(_)
        | What::Client(_)
        | What::FailOver { .. }
        | What::HandOver { .. }
        | What::AbortHandover(_)
        | What::Edit { .. }
        | What::Join(_)
        | What::BackUp(_)
        | What::Break(..)
        | What::Skew(..) => None,
    }
}

/// Whole hundredths of a second are easier to read.
fn rounded(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX) / 10 * 10)
}

/// Always the same, and short.
const QUICK: Range = Range(Duration::from_micros(200), Duration::from_micros(200));
/// Faults are not made shorter than this.
const SHORT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{swarm, written};

    #[test]
    fn what_is_taken_away_leaves_a_plan_behind() {
        for seed in 0..100 {
            let mut plan = swarm::plan(seed);
            while plan.clusters() > 1 {
                let gone = seed as usize % plan.clusters();
                drop_cluster(&mut plan, gone);
                assert_eq!(written::read(&written::write(&plan)).as_ref(), Ok(&plan), "seed {seed}");
            }
            while plan.namespaces.len() > 1 {
                drop_namespace(&mut plan, 0);
                assert_eq!(written::read(&written::write(&plan)).as_ref(), Ok(&plan), "seed {seed}");
            }
        }
    }
}
