//! Streams: what happens to them, and what peers are told.

use alloc::{boxed::Box, string::ToString, vec::Vec};
use core::time::Duration;

use proto::{
    meridian::replication::v1::{Settled, StreamExtension},
    temporal::server::api::replication::v1 as wire,
};

use super::{
    Shard,
    io::{
        BacklogTask, Frame, Lag, Load, LoadId, Loaded, Output, Report, StreamEvent, StreamKey, StreamRole, Transaction,
    },
    loading::RETRY,
    ownership::Ownership,
    seeding,
    shard::Wanted,
    work::Work,
};
use crate::{
    defects::{Defect, planted},
    ids::{NamespaceId, TaskId},
    shard::flight::InFlight,
    stream::{Source, Target, lanes, outgoing, source::WINDOW},
    task::{ReplicationTask, TaskKind},
    time::Timestamp,
    version::FailoverVersion,
};

impl Shard {
    /// Something happened to a stream.
    pub fn handle_stream(&mut self, now: Timestamp, key: StreamKey, event: StreamEvent) {
        match (key.role, event) {
            (StreamRole::Source, StreamEvent::Opened) => self.open_source(now, key),
            (StreamRole::Source, StreamEvent::Closed) => {
                if let Some(source) = self.sources.get_mut(&key) {
                    source.close();
                }
            }
            (StreamRole::Source, StreamEvent::Frame(frame)) => {
                if let Frame::Ack(state) = *frame {
                    self.on_ack(now, key, state);
                }
            }
            (StreamRole::Target, StreamEvent::Opened) => {
                self.targets.entry(key).or_insert_with(|| Target::new(key)).open();
                self.seeds.on_opened(key);
                self.want_seeds(now);
            }
            (StreamRole::Target, StreamEvent::Closed) => {
                if let Some(target) = self.targets.get_mut(&key) {
                    target.close();
                }
                self.on_stream_gone(now, key);
            }
            (StreamRole::Target, StreamEvent::Frame(frame)) => {
                if let Frame::Tasks(messages) = *frame {
                    self.on_tasks(now, key, messages);
                }
            }
        }
    }

    /// The clusters are others now. A cluster that is gone is no longer waited for.
    pub fn handle_topology(&mut self, topology: crate::version::Topology) {
        self.sources.retain(|key, _| topology.name_of(key.cluster).is_some());
        self.targets.retain(|key, _| topology.name_of(key.cluster).is_some());
        self.seeders.retain(|key, _| topology.name_of(key.cluster).is_some());
        self.seeds.retain(|cluster| topology.name_of(cluster).is_some());
        self.topology = topology;
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Telling

    fn open_source(&mut self, now: Timestamp, key: StreamKey) {
        let end = self.drawn_end();
        let elsewhere: Vec<(NamespaceId, FailoverVersion)> = self
            .namespaces
            .values()
            .filter(|namespace| namespace.is_replicated() && !namespace.is_active_in(self.topology.current()))
            .filter(|namespace| !self.settling.contains_key(&namespace.id))
            .map(|namespace| (namespace.id, namespace.failover_version))
            .collect();
        // A peer that was never heard of is told from the beginning: nothing it may want was deleted (ST-29).
        let source = self.sources.entry(key).or_insert_with(|| Source::new(key, TaskId(0)));
        source.open(now);
        source.owes_settled = elsewhere.into_iter().map(|(id, version)| (end, id, version)).collect();
        // It asks again for what it wants from the beginning.
        self.seeders.remove(&key);
        self.pump(key);
        self.look_at_handovers();
    }

    fn on_ack(&mut self, now: Timestamp, key: StreamKey, state: wire::SyncReplicationState) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let extension = state.meridian;
        let done = extension.as_ref().map(|ours| ours.done_tasks);
        if source.on_ack(now, TaskId(state.inclusive_low_watermark), done) {
            self.chores.record.get_or_insert(now + RECORD_AFTER);
            if let Some(least) = self.replicated(now) {
                self.tail.forget(least);
            }
        }
        if let Some(extension) = extension {
            self.on_wanted(key, extension.wanted);
        }
        self.pump(key);
        self.look_at_handovers();
    }

    /// Tell every peer what is readable: at once after a silence, else at the next of the moments that all shards share,
    /// so that peers hear of many writes together. Who waits for a namespace to settle waits no longer than it must.
    pub(super) fn pump_soon(&mut self, now: Timestamp) {
        let beat = Timestamp(now.0 - now.0.rem_euclid(BEAT));
        let owes_settled = self.sources.values().any(|source| source.is_open && !source.owes_settled.is_empty());
        let is_urgent = owes_settled || self.handovers.is_urgent();
        if beat == self.pumped && !is_urgent {
            self.chores.pump.get_or_insert(Timestamp(beat.0 + BEAT));
        } else {
            self.pumped = beat;
            self.chores.pump = None;
            self.pump_all();
        }
    }

    /// Tell every peer what is readable.
    pub(super) fn pump_all(&mut self) {
        let open: Vec<StreamKey> = self.sources.values().filter(|source| source.is_open).map(|s| s.key).collect();
        for key in open {
            self.pump(key);
        }
        self.look_at_handovers();
    }

    fn pump(&mut self, key: StreamKey) {
        if !self.is_ready() {
            return;
        }
        let end = self.readable_end();
        loop {
            let floor = self.floor;
            let Some(source) = self.sources.get_mut(&key) else { return };
            if !source.has_window() {
                return;
            }
            if source.has_gap(floor) {
                // What is under way below would be passed over.
                if end <= floor {
                    return;
                }
                self.tell_gap(key, end);
                continue;
            }
            self.look_on(key, end);
            if !self.send_frame(key, end) {
                break;
            }
        }
        self.tell_settled(key);
        self.walk_on(key);
    }

    /// Put what is readable and was not looked at into lanes, as far as they have room, and what did not fit before. Where
    /// memory does not hold it, it is read.
    fn look_on(&mut self, key: StreamKey, end: TaskId) {
        while let Some(source) = self.sources.get(&key).filter(|source| !source.is_reading()) {
            let (after, again) = match source.lanes.starving() {
                Some((lane, after)) => (after, Some(lane)),
                None if source.lanes.scanned().next() < end && source.lanes.has_room() => {
                    (source.lanes.scanned(), None)
                }
                None => return,
            };
            let Some(rows) = self.tail.after(after, end) else {
                let id = self.next_load();
                self.loads.insert(id, Wanted::Backlog(key));
                self.outbox.push(Output::Load(id, Load::Backlog { after, limit: FRAME_TASKS }));
                if let Some(source) = self.sources.get_mut(&key) {
                    source.begin_read(id, end, again);
                }
                return;
            };
            let rows: Vec<BacklogTask> = rows.take(LOOK).cloned().collect();
            let is_all = rows.len() < LOOK;
            self.look_at(key, rows, is_all.then_some(end), again);
        }
    }

    /// Rows that follow what was looked at, or that a lane wants again; with `end`: these are all below it.
    fn look_at(&mut self, key: StreamKey, rows: Vec<BacklogTask>, end: Option<TaskId>, again: Option<lanes::Key>) {
        let Some(last) = end.map(|end| TaskId(end.0 - 1)).or(rows.last().map(|row| row.task.key.id)) else { return };
        let rows: Vec<BacklogTask> = rows.into_iter().filter(|row| self.concerns(key, row)).collect();
        let Some(source) = self.sources.get_mut(&key) else { return };
        match again {
            Some(lane) => source.lanes.refill(lane, rows, last),
            None => {
                let in_turns = source.takes_turns();
                rows.into_iter().for_each(|row| source.lanes.add(row, in_turns));
                source.lanes.skip_to(last);
            }
        }
        source.on_sent([]);
    }

    /// What the peer has not had is gone: say so, and go on with what is written from now on.
    fn tell_gap(&mut self, key: StreamKey, end: TaskId) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        source.skip_gap(TaskId(end.0 - 1));
        let messages = wire::WorkflowReplicationMessages {
            exclusive_high_watermark: end.0,
            meridian: Some(StreamExtension { gap: true, ..StreamExtension::default() }),
            ..wire::WorkflowReplicationMessages::default()
        };
        self.outbox.push(Output::Frame(key, Box::new(Frame::Tasks(messages))));
        self.report(Report::GapTold { to: key.cluster });
    }

    /// Send what is next, of each namespace in its turn, as much as fits into a frame. Whether there was anything.
    fn send_frame(&mut self, key: StreamKey, end: TaskId) -> bool {
        let Some(source) = self.sources.get_mut(&key) else { return false };
        let (mut tasks, mut bytes, mut count) = (Vec::new(), 0, 0);
        while bytes < FRAME_BYTES && count < FRAME_TASKS {
            let Some(row) = source.lanes.take_next() else { break };
            bytes += row.events.iter().map(bytes::Bytes::len).sum::<usize>();
            count += 1;
            tasks.extend(outgoing::to_wire(&row));
        }
        let sizes = tasks.iter().map(|task| (TaskId(task.source_task_id), prost::Message::encoded_len(task)));
        source.on_sent(sizes);
        if tasks.is_empty() {
            return count > 0;
        }
        let messages = wire::WorkflowReplicationMessages {
            exclusive_high_watermark: (source.sent.0 + 1).min(end.0),
            replication_tasks: tasks,
            ..wire::WorkflowReplicationMessages::default()
        };
        self.outbox.push(Output::Frame(key, Box::new(Frame::Tasks(messages))));
        true
    }

    /// Whether a row is about a workflow of the peer's shard, in a namespace that the peer has. Of an unknown namespace it
    /// is told: better twice than never.
    fn concerns(&self, key: StreamKey, row: &BacklogTask) -> bool {
        let workflow = &row.task.run.workflow;
        if !row.task.is_for(key.cluster) {
            return false;
        }
        let namespace = self.namespaces.get(&workflow.namespace);
        let name = self.topology.name_of(key.cluster);
        namespace.zip(name).is_none_or(|(namespace, name)| namespace.clusters.contains(name))
            && self.topology.is_way_of(workflow, key.cluster, key.cluster, key.shard)
    }

    /// Say which namespaces moved away, and which runs that the peer asked for were told, once everything that was written
    /// of them before was sent.
    fn tell_settled(&mut self, key: StreamKey) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let sent = source.sent;
        let is_due = |watermark: TaskId| watermark.0 <= sent.0 + 1;
        let (due, later) = source.owes_settled.drain(..).partition(|(watermark, _, _)| is_due(*watermark));
        source.owes_settled = later;
        let due: Vec<(TaskId, NamespaceId, FailoverVersion)> = due;
        let owed = self.seeders.get_mut(&key).map(|seeder| &mut seeder.owes);
        let seeded: Vec<_> =
            owed.map(|owes| owes.extract_if(.., |(mark, _)| is_due(*mark)).collect()).unwrap_or_default();
        if due.is_empty() && seeded.is_empty() {
            return;
        }
        let settled = due.into_iter().map(|(_, namespace, version)| Settled {
            namespace_id: namespace.to_string(),
            failover_version: version.0,
        });
        let seeded = seeded.into_iter().map(|(_, progress)| seeding::seeded(progress));
        let extension =
            StreamExtension { settled: settled.collect(), seeded: seeded.collect(), ..StreamExtension::default() };
        let messages = wire::WorkflowReplicationMessages {
            exclusive_high_watermark: sent.0 + 1,
            meridian: Some(extension),
            ..wire::WorkflowReplicationMessages::default()
        };
        self.outbox.push(Output::Frame(key, Box::new(Frame::Tasks(messages))));
    }

    /// Older tasks were read for a peer.
    pub(super) fn on_backlog_loaded(&mut self, now: Timestamp, key: StreamKey, id: LoadId, loaded: Loaded) {
        let Some(source) = self.sources.get_mut(&key) else { return };
        let Some((end, again)) = source.end_read(id) else { return };
        let end = if planted(Defect::BacklogIsTrustedTooFar) { self.readable_end() } else { end };
        let Loaded::Backlog(mut rows) = loaded else {
            self.chores.pump.get_or_insert(now + RETRY);
            return;
        };
        let is_all = rows.len() < FRAME_TASKS;
        rows.retain(|row| row.task.key.id < end);
        self.look_at(key, rows, is_all.then_some(end), again);
        self.pump(key);
        self.look_at_handovers();
    }

    /// How far a peer is behind.
    pub(super) fn lag(&self, source: &Source) -> Lag {
        let rows = self.tail.after(source.acked, self.readable_end());
        let mut oldest = None;
        let tasks = match rows {
            Some(rows) => {
                let mut count = 0;
                for row in rows.filter(|row| self.concerns(source.key, row)) {
                    oldest = oldest.or_else(|| written(row));
                    count += 1;
                }
                Some(count)
            }
            // Below the floor there may be rows or none; after a start without writes there are none.
            None if source.acked.next() >= self.readable_end() => Some(0),
            None => None,
        };
        Lag { stream: source.key, is_open: source.is_open, tasks, since: oldest }
    }

    /// Store how far peers are, in a write of its own because no other came by.
    pub(super) fn write_record(&mut self, now: Timestamp) {
        let Ownership::Owned { range, .. } = &self.ownership else { return };
        let range = *range;
        let Some((state, replicated)) = self.take_record(now) else { return };
        let transaction = Transaction {
            replicated,
            shard_state: Some(state),
            ..Transaction::of(self.next_transaction(), self.id, range)
        };
        let record = Some(core::mem::take(&mut self.gaps));
        let flight = InFlight { lowest: TaskId(i64::MAX), record, ..InFlight::default() };
        self.in_flight.insert(transaction.id, flight);
        self.outbox.begin(transaction.id, Output::Commit(Box::new(transaction)));
    }

    /// Timers that are due go to their slots; those of namespaces that are elsewhere wait until they are here.
    pub(super) fn fire_timers(&mut self, now: Timestamp) {
        while let Some(task) = self.queues.pop_due(now) {
            if self.is_active(task.run.workflow.namespace) || is_local(&task.kind) {
                self.park(now, task.run.workflow.clone(), Work::Task(Box::new(task)));
            }
        }
    }
}

/// Whether every cluster does the task by itself, active or not.
fn is_local(kind: &TaskKind) -> bool {
    matches!(kind, TaskKind::Timer(crate::task::TimerTask::Retention))
}

fn written(row: &BacklogTask) -> Option<Timestamp> {
    match &row.task.kind {
        TaskKind::Replication(ReplicationTask::History(stretch)) => Some(stretch.written),
        TaskKind::Replication(
            ReplicationTask::SyncActivity { written, .. } | ReplicationTask::Deletion { written, .. },
        ) => Some(*written),
        _ => None,
    }
}

/// Tasks per frame and per read of older ones.
const FRAME_TASKS: usize = 128;
/// Tasks in memory that are looked at together.
const LOOK: usize = 512;
/// A frame is closed when its events reach this, well below what a message may hold.
const FRAME_BYTES: usize = 1 << 20;
/// Nanoseconds between the moments at which peers are told. What is told of one write costs about as much as what is told
/// of ten, and a peer is as far behind as the way to it is long anyhow.
const BEAT: i64 = 40_000_000;
/// How far peers are is stored with the next write, or by itself after this long.
pub(super) const RECORD_AFTER: Duration = Duration::from_secs(2);

const _: () = assert!(FRAME_TASKS <= WINDOW, "a frame fits the window");
