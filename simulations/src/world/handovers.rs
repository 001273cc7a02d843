//! Graceful failovers: the real one of the core, in the cluster that is active. Its writes take their time, the new side is
//! asked over the network, and the process that drives it may die.

use std::time::Duration;

use replicator::{
    ids::{NamespaceId, ShardId},
    namespace::{
        Change, Federation, Handover, Outcome, Refusal, Step, Terms,
        handover::{Stage, change},
    },
    shard::HandoverProgress,
    version::FailoverVersion,
};

use super::{Event, World, number_of};
use crate::{
    checkers::Seen,
    network::Verdict,
    random::Range,
    trace::{Place, name},
};

/// A handover under way.
pub(super) struct Running {
    /// Tells it from others of the same namespace.
    id: u64,
    /// The cluster that drives it.
    cluster: usize,
    terms: Terms,
    core: Handover,
}

/// What happens to a handover.
pub(super) enum News {
    /// A shard says how far it is.
    Progress(ShardId, HandoverProgress),
    /// What it wants written reaches the store.
    Write(Step),
    /// The new side is asked what it lacks.
    AskNewSide,
    /// It has said what.
    NewSide(Result<(), String>),
    /// The new side is asked whether it knows of this version.
    Ask(FailoverVersion),
    /// The new side has said that it does.
    Confirmed,
    /// Time has passed.
    Tick,
}

impl World {
    /// An operator lets the active cluster hand a namespace over.
    pub(super) fn hand_namespace_over(&mut self, number: usize, to: usize) {
        let tenant = &self.namespaces[number];
        let (id, cluster) = (tenant.id, tenant.active);
        let here = &self.clusters[cluster];
        let Some(record) = here.records.get(&id).filter(|_| here.is_up && !self.handovers.contains_key(&number)) else {
            return;
        };
        let to = name(to).into();
        if change::check(record, &to, &Federation::alone(here.topology.clone())).is_err() {
            return;
        }
        let terms = Terms {
            to,
            version: record.failover_version,
            shards: self.plan.shards[cluster],
            catch_up: CATCH_UP,
            max_pause: MAX_PAUSE,
        };
        let core = Handover::new(self.local(cluster), terms.clone());
        let running = Running { id: self.fresh(), cluster, terms, core };
        self.after(TICK, Event::Handover(number, running.id, News::Tick));
        self.handovers.insert(number, running);
        self.go_on(number);
    }

    /// An operator does not want it any more.
    pub(super) fn abort_handover(&mut self, number: usize) {
        if let Some(running) = self.handovers.get_mut(&number) {
            running.core.abort();
            self.go_on(number);
        }
    }

    /// A shard says how far it is.
    pub(super) fn on_progress(&mut self, cluster: usize, shard: ShardId, id: NamespaceId, progress: HandoverProgress) {
        let Some(number) = self.tenant_of(id) else { return };
        if let Some(running) = self.handovers.get(&number).filter(|running| running.cluster == cluster) {
            let news = News::Progress(shard, progress);
            self.after(Duration::ZERO, Event::Handover(number, running.id, news));
        }
    }

    /// A cluster has another record of a namespace.
    pub(super) fn tell_handover(&mut self, cluster: usize, id: NamespaceId) {
        let Some(number) = self.tenant_of(id) else { return };
        let version = self.clusters[cluster].records[&id].failover_version;
        if let Some(running) = self.handovers.get_mut(&number).filter(|running| running.cluster == cluster) {
            running.core.handle_version(version);
            self.go_on(number);
        }
    }

    /// The cluster that drives it, if it does.
    pub(super) fn driver_of(&self, number: usize, id: u64) -> Option<usize> {
        self.handovers.get(&number).filter(|running| running.id == id).map(|running| running.cluster)
    }

    pub(super) fn on_handover(&mut self, number: usize, id: u64, news: News) {
        let Some(cluster) = self.driver_of(number, id) else { return };
        let now = self.local(cluster);
        let written = match &news {
            News::Write(step) => Some(self.write_step(number, cluster, step)),
            _ => None,
        };
        let Some(running) = self.handovers.get_mut(&number) else { return };
        match news {
            News::Progress(shard, HandoverProgress::Near) => running.core.handle_near(now, shard),
            News::Progress(shard, HandoverProgress::Drained) => running.core.handle_drained(shard),
            News::Write(_) => running.core.handle_written(now, written.unwrap_or_else(|| Err("nothing".into()))),
            News::AskNewSide => return self.ask_what_it_lacks(number),
            News::NewSide(ready) => {
                let is_asked_again = ready.is_err();
                running.core.handle_new_side(now, ready);
                if is_asked_again {
                    self.after(ASK_AGAIN, Event::Handover(number, id, News::AskNewSide));
                }
            }
            News::Ask(version) => return self.ask_new_side(number, version),
            News::Confirmed => running.core.handle_confirmed(now),
            News::Tick => {
                running.core.handle_timeout(now);
                self.after(TICK, Event::Handover(number, id, News::Tick));
            }
        }
        self.go_on(number);
    }

    /// Take the steps that are due.
    fn go_on(&mut self, number: usize) {
        let namespace = self.namespaces[number].id;
        while let Some(running) = self.handovers.get_mut(&number) {
            let Some(step) = running.core.poll_step() else { break };
            let (id, cluster, to) = (running.id, running.cluster, running.terms.to.clone());
            self.note(
                Place::Cluster(cluster),
                "handover",
                None,
                format_args!("of namespace {number} to {to}: {step:?}"),
            );
            match step {
                Step::Watch => {
                    for owner in self.clusters[cluster].owners.clone().into_iter().flatten() {
                        self.tell(owner, |core, _| core.watch_handover(namespace, to.clone()));
                    }
                }
                Step::AskNewSide => self.after(Duration::ZERO, Event::Handover(number, id, News::AskNewSide)),
                Step::Confirm { version } => {
                    self.after(Duration::ZERO, Event::Handover(number, id, News::Ask(version)));
                }
                step => {
                    let time = self.random.namespaces.duration(WRITE);
                    self.after(time, Event::Handover(number, id, News::Write(step)));
                }
            }
        }
        let over = self.handovers.get(&number).map(|running| running.core.stage());
        if let Some(Stage::Over(outcome)) = over {
            self.end_handover(number, &outcome);
        }
    }

    fn end_handover(&mut self, number: usize, outcome: &Outcome) {
        let Some(running) = self.handovers.remove(&number) else { return };
        let place = Place::Cluster(running.cluster);
        self.note(place, "handover", None, format_args!("of namespace {number}: {outcome:?}"));
        self.coverage.hit(match outcome {
            Outcome::Moved { .. } => "path: handover, moved",
            Outcome::Kept { .. } => "path: handover, kept",
            Outcome::TakenBack { .. } => "path: handover, taken back",
            Outcome::Overtaken { .. } => "path: handover, overtaken",
        });
    }

    /// What a handover writes down, judged by the record as it is now.
    fn write_step(&mut self, number: usize, cluster: usize, step: &Step) -> Result<FailoverVersion, String> {
        let (id, now) = (self.namespaces[number].id, self.local(cluster));
        let terms = self.handovers[&number].terms.clone();
        let here = &mut self.clusters[cluster];
        let federation = Federation::alone(here.topology.clone());
        let record = here.records.get_mut(&id).ok_or("there is no such namespace")?;
        let decided: Result<Change, Refusal> = match step {
            Step::Stop { until } => change::stop(record, &terms.to, terms.version, *until, &federation),
            Step::Switch { before } => change::switch(record, &terms.to, terms.version, now, *before, &federation),
            Step::TakeBack { version } => change::take_back(record, *version, now, &federation),
            Step::Release => Ok(change::release(record)),
            Step::Watch | Step::AskNewSide | Step::Confirm { .. } => return Err("nothing is written".into()),
        };
        let Change { namespace, publish } = decided.map_err(|refusal| refusal.to_string())?;
        let (active, version) = (namespace.active.clone(), namespace.failover_version);
        *record = namespace;
        let tenant = &mut self.namespaces[number];
        if version > tenant.version {
            let to = number_of(here.topology.id_of(&active).expect("a known cluster"));
            (tenant.active, tenant.version, tenant.moved) = (to, version, self.now);
        }
        match step {
            Step::Stop { until } => self.after(until.since(now), Event::EndPause(cluster, number)),
            Step::Switch { .. } => self.cut_off(number, cluster),
            Step::TakeBack { .. } => self.show(&Seen::TakenBack),
            _ => {}
        }
        self.announce(cluster, id);
        if publish.is_some() {
            self.publish(cluster, number);
        }
        Ok(version)
    }

    /// Nobody hears of the switch for a while, if that was planned.
    fn cut_off(&mut self, number: usize, cluster: usize) {
        let Some(time) = self.cut_at_switch.remove(&number).filter(|_| !self.is_healed) else { return };
        let to = self.namespaces[number].active;
        self.coverage.hit("fault: link cut at a switch");
        for (one, other) in [(cluster, to), (to, cluster)] {
            self.network.cut(one, other, self.now + time);
        }
    }

    /// The question goes there, and the answer comes back, or it is asked again.
    fn ask_new_side(&mut self, number: usize, version: FailoverVersion) {
        let id = self.handovers[&number].id;
        let (to, way) = self.way_to_new_side(number);
        let new_side = &self.clusters[to];
        let record = new_side.records.get(&self.namespaces[number].id).filter(|_| new_side.is_up);
        let knows = record.is_some_and(|record| record.failover_version >= version);
        match way.filter(|_| knows) {
            Some(time) => self.after(time, Event::Handover(number, id, News::Confirmed)),
            None => self.after(ASK_AGAIN, Event::Handover(number, id, News::Ask(version))),
        }
    }

    /// The same for what the new side lacks that this one cannot tell it.
    fn ask_what_it_lacks(&mut self, number: usize) {
        let running = &self.handovers[&number];
        let (id, version) = (running.id, running.terms.version);
        let (to, way) = self.way_to_new_side(number);
        let Some(time) = way else {
            return self.after(ASK_AGAIN, Event::Handover(number, id, News::AskNewSide));
        };
        let ready = self.lacks(to, self.namespaces[number].id, version).map_or(Ok(()), Err);
        self.after(time, Event::Handover(number, id, News::NewSide(ready)));
    }

    /// The new side, and how long a question to it and the answer take, if neither is lost.
    fn way_to_new_side(&mut self, number: usize) -> (usize, Option<Duration>) {
        let running = &self.handovers[&number];
        let cluster = running.cluster;
        let to = number_of(self.clusters[cluster].topology.id_of(&running.terms.to).expect("a known cluster"));
        let there = self.network.send(self.now, cluster, to);
        let back = self.network.send(self.now, to, cluster);
        match (there, back) {
            (Verdict::Deliver(there), Verdict::Deliver(back)) if !self.are_apart(cluster, to) => {
                (to, Some(there + back))
            }
            _ => (to, None),
        }
    }

    fn lacks(&self, cluster: usize, id: NamespaceId, version: FailoverVersion) -> Option<String> {
        let here = &self.clusters[cluster];
        if !here.is_up || here.records.get(&id).is_none_or(|record| record.failover_version < version) {
            return Some("the version".into());
        }
        let owners = here.owners.iter().map(|owner| owner.and_then(|owner| self.nodes.get(&owner)));
        owners.into_iter().find_map(|node| {
            let Some(core) = node.map(|node| &node.core).filter(|core| core.is_ready()) else {
                return Some("a shard".into());
            };
            if node.is_none_or(|node| node.told.get(&id).is_none_or(|told| *told < version)) {
                return Some("the version in a shard".into());
            }
            if core.quarantined().any(|kept| kept.run.workflow.namespace == id) || !core.is_seeded(id) {
                return Some("what it keeps apart, or is to be told anew".into());
            }
            let unheard = core.unheard(id);
            (!unheard.is_empty()).then(|| format!("what {unheard:?} wrote"))
        })
    }

    /// The process that drove them is gone.
    pub(super) fn forget_handovers(&mut self, cluster: usize) {
        self.handovers.retain(|_, running| running.cluster != cluster);
    }

    /// Writes are taken again, if they were to be held back until now at most and nobody has said so.
    pub(super) fn end_pause(&mut self, cluster: usize, number: usize) {
        let (id, now) = (self.namespaces[number].id, self.local(cluster));
        let here = &mut self.clusters[cluster];
        let Some(record) = here.records.get_mut(&id).filter(|_| here.is_up) else { return };
        match record.replication_state.pause().map(|pause| pause.until) {
            Some(until) if until <= now => {
                *record = change::release(record).namespace;
                self.announce(cluster, id);
            }
            Some(until) => self.after(until.since(now), Event::EndPause(cluster, number)),
            None => {}
        }
    }

    /// A process that starts takes writes again where an earlier one held them back.
    pub(super) fn release_orphans(&mut self, cluster: usize) {
        for record in self.clusters[cluster].records.values_mut() {
            if record.replication_state.pause().is_some_and(|pause| pause.to.is_some()) {
                *record = change::release(record).namespace;
            }
        }
    }
}

/// Until what a handover writes is durable.
const WRITE: Range = Range::millis(1, 20);
/// How long the new side may take to be near.
const CATCH_UP: Duration = Duration::from_secs(5);
/// How long writes may be held back.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// How often it looks at the clock.
const TICK: Duration = Duration::from_millis(50);
/// When the new side is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(200);
