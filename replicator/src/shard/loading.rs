//! What is read: the shard's own record, its queues, and workflows.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use prost::Message;
use proto::meridian::persistence::v1::ShardRecord;

use super::{
    Shard,
    io::{Failure, Load, LoadId, Loaded, Output, Report, StoredRun, StreamKey, StreamRole},
    ownership::Ownership,
    recovery::{self, Recoveries},
    shard::Wanted,
    slot::{Phase, Slot},
    work::Work,
};
use crate::{
    defects::{Defect, planted},
    ids::{ClusterId, RunKey, ShardId, TaskId, WorkflowKey},
    namespace::Namespace,
    stream::{Backlog, Seeds, Source},
    task::{Category, HistoryTask, TaskKey},
    time::Timestamp,
    workflow::{
        MutableState,
        draft::{Changes, Run},
        execution::Phase as RunPhase,
        weight::Stored,
    },
};

impl Shard {
    /// The shard is ours, or could not be taken.
    pub(super) fn on_shard_loaded(&mut self, now: Timestamp, leaps: bool, loaded: Loaded) {
        let Loaded::Shard { range, state, life } = loaded else {
            self.chores.acquire = Some(now + RETRY);
            return;
        };
        // A record that does not parse is as good as none: peers are told again what they may have.
        let record = ShardRecord::decode(state).unwrap_or_default();
        let written_in = recovery::life_of(&record);
        let is_restored = written_in.is_some_and(|written| written != life) && !planted(Defect::RestoredIsTrusted);
        if is_restored && !leaps {
            return self.acquire_range(true);
        }
        self.ownership.become_owned(range);
        if written_in != Some(life) {
            self.chores.record = Some(now);
        }
        self.life = Some(life);
        self.recoveries = Recoveries::of(&record);
        if is_restored {
            // What is in memory is of another life.
            (self.seeds, self.backlog, self.floor) = (Seeds::default(), Backlog::default(), TaskId(0));
            self.is_record_read = false;
        }
        self.floor = self.floor.max(TaskId(record.floor));
        // What is in memory already is newer.
        if !core::mem::replace(&mut self.is_record_read, true) {
            self.seeds.restore(&record);
        }
        if self.backlog.is_empty() {
            self.backlog = Backlog::of(&record.backlog);
        }
        if is_restored {
            self.recover(now);
        }
        for reader in record.readers {
            let (cluster, shard) = (ClusterId(reader.cluster_id), ShardId(reader.shard_id));
            let key = StreamKey { cluster, shard, role: StreamRole::Source };
            let acked = TaskId(reader.acked_task_id);
            // A peer may be connected already, and then nothing was known of it.
            let source = self.sources.entry(key).or_insert_with(|| Source::new(key, acked));
            source.acked = source.acked.max(acked);
        }
        // Everything that an earlier range wrote is only in the store.
        let Ownership::Owned { ids, .. } = &self.ownership else { return };
        self.tail = self.tail.again_after(TaskId(ids.peek().0 - 1));
        self.sources.values_mut().for_each(Source::rewind);
        self.read_queue(Category::Transfer, None);
    }

    fn read_queue(&mut self, category: Category, after: Option<TaskKey>) {
        let id = self.next_load();
        self.loads.insert(id, Wanted::Queue(category));
        self.outbox.push(Output::Load(id, Load::Tasks { category, after, limit: PAGE }));
    }

    /// A page of a queue was read.
    pub(super) fn on_queue_loaded(&mut self, now: Timestamp, category: Category, loaded: Loaded) {
        let Loaded::Tasks(tasks) = loaded else {
            // Without its queues the shard would forget what it owes; begin again.
            self.chores.acquire = Some(now + RETRY);
            self.ownership = Ownership::None;
            return;
        };
        let last = tasks.last().map(|task: &HistoryTask| task.key).filter(|_| tasks.len() >= PAGE);
        for task in tasks {
            match category {
                Category::Quarantine => self.restore_kept(now, task),
                Category::Timer if planted(Defect::TimersAreNotReadBack) => {}
                Category::Tombstone => self.tombstones.add(&task),
                _ => self.queues.add(task),
            }
        }
        match (last, category) {
            (Some(last), _) => self.read_queue(category, Some(last)),
            (None, Category::Transfer) => self.read_queue(Category::Timer, None),
            (None, Category::Timer) => self.read_queue(Category::Quarantine, None),
            (None, Category::Quarantine) => self.read_queue(Category::Tombstone, None),
            (None, _) => self.become_ready(now),
        }
    }

    fn become_ready(&mut self, now: Timestamp) {
        self.queues_read = true;
        self.note_proof(now);
        if let Ownership::Owned { range, .. } = self.ownership {
            self.report(Report::Ready { range, tasks: self.queues.len() });
        }
        // What could not be written of it before goes before what is told after it.
        self.retry_kept(now);
        let namespaces: Vec<Namespace> = self.namespaces.values().cloned().collect();
        for namespace in namespaces {
            if !namespace.is_active_in(self.topology.current()) {
                self.leave(now, &namespace);
            } else if self.handovers.holds(namespace.id) {
                // That writes are held back may have been heard before it was read which runs have a worker.
                self.write_kept_back(now, namespace.id);
            }
            self.offer_all(now, namespace.id);
        }
        let parked = self.slots.iter().filter(|(_, slot)| !slot.parked.is_empty()).map(|(key, _)| key.clone());
        for key in parked.collect::<Vec<_>>() {
            self.advance(now, &key);
        }
        self.pump_all();
        self.want_seeds(now);
        self.walk_all();
    }

    /// Ask for what a slot needs.
    pub(super) fn load_slot(&mut self, key: &WorkflowKey, load: Load) {
        let id = self.next_load();
        self.loads.insert(id, Wanted::Slot(key.clone()));
        if let Some(slot) = self.slots.get_mut(key) {
            slot.phase = Phase::Loading(id);
        }
        self.outbox.push(Output::Load(id, load));
    }

    /// What a slot asked for was read.
    pub(super) fn on_slot_loaded(&mut self, now: Timestamp, id: LoadId, key: &WorkflowKey, loaded: Loaded) {
        let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.phase == Phase::Loading(id)) else { return };
        let problem = match loaded {
            Loaded::Current(stored) => match stored.map(decode).transpose() {
                Ok(run) => {
                    slot.current = run.as_ref().map(|run| run.state.run.run);
                    slot.runs.extend(run.map(|run| (run.state.run.run, Box::new(run))));
                    None
                }
                Err(problem) => return self.on_slot_damaged(now, key, &problem),
            },
            Loaded::NoRuns => {
                slot.absent.extend(slot.parked.iter().flat_map(Work::runs));
                None
            }
            Loaded::Run(Some(stored)) => match decode(stored) {
                // What was read earlier is out of date: another host has had the shard since.
                Ok(run)
                    if run.state.execution.phase == RunPhase::Running && slot.current != Some(run.state.run.run) =>
                {
                    Some(alloc::format!("run {} runs and is not the current one", run.state.run.run))
                }
                Ok(run) => {
                    slot.runs.insert(run.state.run.run, Box::new(run));
                    None
                }
                Err(problem) => return self.on_slot_damaged(now, key, &problem),
            },
            Loaded::Run(None) => {
                slot.absent.extend(slot.missing_run());
                None
            }
            Loaded::Branch { batches, next } => match slot.read_on(&batches, next) {
                Ok(None) => None,
                Ok(Some(load)) => return self.load_slot(key, load),
                Err(problem) => return self.on_stretch_unreadable(now, key, problem),
            },
            Loaded::Failed(problem) if slot.reading.is_some() => return self.on_stretch_unreadable(now, key, problem),
            Loaded::Failed(problem) => Some(problem),
            Loaded::Shard { .. }
            | Loaded::Tasks(_)
            | Loaded::Runs(_)
            | Loaded::Backlog(_)
            | Loaded::PeerHistory(_)
            | Loaded::PeerNotFound => Some("an answer to another question".into()),
        };
        match problem {
            None => {
                slot.phase = Phase::Ready;
                self.advance(now, key);
            }
            Some(problem) => self.on_slot_unreadable(now, key, &problem),
        }
    }

    /// A stretch of history cannot be read: whoever needs it waits, and nobody else.
    fn on_stretch_unreadable(&mut self, now: Timestamp, key: &WorkflowKey, problem: String) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.phase = Phase::Ready;
        slot.reading = None;
        match slot.parked.pop_front() {
            Some(Work::Incoming(told)) => {
                let reason = alloc::format!("the branch that it belongs to cannot be read: {problem}");
                self.give_up(now, *told, reason);
            }
            Some(Work::Request(id, _)) => {
                let failure = Failure::Unavailable(alloc::format!("the history could not be read: {problem}"));
                self.outbox.push(Output::Reply(id, Box::new(Err(failure))));
            }
            Some(Work::Seed(run, to)) => self.on_seed_unreadable(now, run, to, problem),
            // It is still in its queue.
            Some(Work::Task(_)) => _ = self.chores.reapply.get_or_insert(now + REST),
            other => slot.parked.extend(other),
        }
        self.advance(now, key);
    }

    /// What is stored of the workflow makes no sense, and trying again does not help: what peers told of it is kept aside, so
    /// that nobody else waits for it.
    fn on_slot_damaged(&mut self, now: Timestamp, key: &WorkflowKey, problem: &str) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (told, rest) = core::mem::take(&mut slot.parked).into_iter().partition(is_incoming);
        slot.parked = rest;
        for work in Vec::<Work>::from(told) {
            match work {
                Work::Incoming(told) => {
                    let reason = alloc::format!("what is stored of its workflow cannot be read: {problem}");
                    self.give_up(now, *told, reason);
                }
                Work::Seed(run, to) => self.on_seed_unreadable(now, run, to, problem.into()),
                Work::Request(..) | Work::Task(_) | Work::Moved(..) => {}
            }
        }
        self.on_slot_unreadable(now, key, problem);
    }

    /// Callers are told to try again; what else waits is tried again by itself.
    fn on_slot_unreadable(&mut self, now: Timestamp, key: &WorkflowKey, problem: &str) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        slot.unload();
        let (requests, rest) = core::mem::take(&mut slot.parked).into_iter().partition(is_request);
        slot.parked = rest;
        for work in Vec::<Work>::from(requests) {
            if let Work::Request(id, _) = work {
                let failure = Failure::Unavailable(alloc::format!("the workflow could not be read: {problem}"));
                self.outbox.push(Output::Reply(id, Box::new(Err(failure))));
            }
        }
        if self.slots.get(key).is_some_and(Slot::is_idle) {
            return self.slots.remove(key);
        }
        self.slots.weigh(key);
        if self.slots.get(key).is_some_and(|slot| !slot.parked.is_empty()) {
            self.try_again(now, key);
        }
    }

    /// The shard's record and what may be let go with it, if they are due. One is under way at a time: of two that commit
    /// in any order the older might stay.
    pub(super) fn take_record(&mut self, now: Timestamp) -> Option<(Bytes, Option<TaskId>)> {
        if self.chores.record.is_none() || self.in_flight.values().any(|flight| flight.record.is_some()) {
            return None;
        }
        self.chores.record = None;
        let replicated = self.replicated(now).filter(|replicated| *replicated > self.floor);
        if !planted(Defect::LetGoTooEarly) {
            self.floor = self.floor.max(replicated.unwrap_or_default());
        }
        let replicated = replicated.or(self.is_floor_doubtful.then_some(self.floor));
        self.is_floor_doubtful = false;
        self.backlog.forget(self.floor);
        let mut record = ShardRecord {
            readers: self.sources.values().map(shard_record_reader).collect(),
            floor: self.floor.0,
            backlog: self.backlog.store(),
            life: self.life.map(|life| Bytes::copy_from_slice(life.as_bytes())).unwrap_or_default(),
            ..ShardRecord::default()
        };
        self.seeds.store(&mut record);
        self.recoveries.store(&mut record);
        Some((record.encode_to_vec().into(), replicated))
    }

    /// Up to here no replication task is kept any longer: every peer has it, or one that is away has had time enough and
    /// those that are there have it.
    pub(super) fn replicated(&self, now: Timestamp) -> Option<TaskId> {
        let known = self.topology.clusters().filter(|(name, _)| *name != self.topology.current());
        let mut acked: BTreeMap<ClusterId, (TaskId, bool)> = BTreeMap::new();
        for source in self.sources.values() {
            let (least, is_there) = acked.entry(source.key.cluster).or_insert((source.acked, source.is_open));
            (*least, *is_there) = (source.acked.min(*least), *is_there || source.is_open);
        }
        // A peer that was never heard of has nothing, and neither has one of its shards (ST-29).
        let is_heard = |peer: ClusterId, shard: ShardId| {
            self.sources.contains_key(&StreamKey { cluster: peer, shard, role: StreamRole::Source })
        };
        let all_heard = |peer: ClusterId| self.topology.joined(self.id, peer).all(|shard| is_heard(peer, shard));
        let of_peer = |peer: ClusterId| {
            let (least, is_there) = acked.get(&peer).copied().unwrap_or_default();
            (if all_heard(peer) { least } else { TaskId(0) }, is_there)
        };
        let peers: Vec<(TaskId, bool)> = known.map(|(_, id)| of_peer(id)).collect();
        let acked = peers.iter().map(|(least, _)| *least);
        let all = if planted(Defect::LetGoTooEarly) { acked.max() } else { acked.min() }.unwrap_or_default();
        let there = peers.iter().filter(|(_, is_there)| *is_there).map(|(least, _)| *least).min();
        let end = TaskId(self.readable_end().0 - 1);
        let excess = self.backlog.excess(now, &self.backlog_limit).unwrap_or_default();
        let least = all.max(excess.min(there.unwrap_or(end)));
        (least > TaskId(0)).then_some(least)
    }
}

fn shard_record_reader(source: &Source) -> proto::meridian::persistence::v1::Reader {
    proto::meridian::persistence::v1::Reader {
        cluster_id: source.key.cluster.0,
        shard_id: source.key.shard.0,
        acked_task_id: source.acked.0,
    }
}

fn is_request(work: &Work) -> bool {
    matches!(work, Work::Request(..))
}

fn is_incoming(work: &Work) -> bool {
    matches!(work, Work::Incoming(_) | Work::Seed(..))
}

fn decode(stored: StoredRun) -> Result<Run, alloc::string::String> {
    let key: RunKey = stored.run.clone();
    let rows = Stored::of(&stored.state, &stored.items);
    let state = MutableState::decode(stored).map_err(|error| alloc::format!("run {}: {error}", key.run))?;
    Ok(Run { state, changes: Changes::default(), stored: rows, queries: BTreeMap::new() })
}

/// Tasks per read of a queue.
const PAGE: usize = 1000;
/// How long inputs of losing branches wait before they are looked at again.
pub(super) const REST: Duration = Duration::from_secs(5);
/// How long to wait before a failed read is tried again.
pub(super) const RETRY: Duration = Duration::from_millis(100);
