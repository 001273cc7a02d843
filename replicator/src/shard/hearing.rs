//! What is heard from peers: tasks, and the events that are missing before them.

use alloc::{boxed::Box, string::String, string::ToString, vec::Vec};
use core::time::Duration;

use proto::{
    meridian::replication::v1::AckExtension,
    temporal::server::api::{adminservice::v1::GetWorkflowExecutionRawHistoryV2Response, replication::v1 as wire},
};

use super::{
    Shard,
    io::{Frame, Load, Loaded, Output, StreamKey},
    quarantine::{Refused, unknown_run},
    seeding,
    shard::Wanted,
    work::{How, Told, Work},
};
use crate::{
    defects::{Defect, planted},
    ids::{NamespaceId, RunId, RunKey, TaskId, WorkflowKey},
    stream::{
        Incoming,
        incoming::{self, IncomingHistory, IncomingKind},
    },
    time::Timestamp,
    version::{FailoverVersion, Gap, VersionHistoryItem},
};

impl Shard {
    /// Tasks arrived. What a frame tells of one workflow is decided together.
    pub(super) fn on_tasks(&mut self, now: Timestamp, key: StreamKey, messages: wire::WorkflowReplicationMessages) {
        let mut heard = Vec::new();
        for task in messages.replication_tasks {
            let Some(target) = self.targets.get_mut(&key) else { return };
            let id = TaskId(task.source_task_id);
            if !target.on_task(id) {
                continue;
            }
            match Incoming::parse(&task) {
                Ok(mut incoming) => {
                    // What was let go before, or told before the namespace was here, may have been an attempt of an activity.
                    let namespace = incoming.run.workflow.namespace;
                    if self.seeds.is_wanted(namespace) || !self.namespaces.contains_key(&namespace) {
                        incoming.forget_digests();
                    }
                    heard.extend(self.hear(now, Told { stream: key, incoming, how: How::Streamed(Box::new(task)) }));
                }
                Err(malformed) => {
                    // What was told before it need not wait behind it.
                    heard.drain(..).for_each(|workflow| self.advance(now, &workflow));
                    let run = incoming::run_of(&task).unwrap_or_else(unknown_run);
                    let reason = String::from(malformed.0);
                    self.quarantine(now, Refused { stream: key, source: id, run, task: Box::new(task), reason });
                }
            }
        }
        heard.drain(..).for_each(|workflow| self.advance(now, &workflow));
        let high = TaskId(messages.exclusive_high_watermark);
        let Some(target) = self.targets.get_mut(&key) else { return };
        let extension = messages.meridian.unwrap_or_default();
        if extension.gap {
            return self.on_gap(now, key, high);
        }
        target.on_watermark(high);
        for progress in extension.seeded.into_iter().filter_map(seeding::progress) {
            target.on_seeded(high, progress);
        }
        for settled in extension.settled {
            if let Ok(namespace) = NamespaceId::parse(&settled.namespace_id) {
                target.on_settled(high, namespace, FailoverVersion(settled.failover_version));
            }
        }
        self.on_applied(now, &[]);
    }

    /// Let what a peer told wait at its workflow; whose turn comes then.
    pub(super) fn hear(&mut self, now: Timestamp, told: Told) -> Option<WorkflowKey> {
        let (namespace, from) = (told.incoming.run.workflow.namespace, told.stream.cluster);
        let version = told.incoming.version();
        let workflow = told.incoming.run.workflow.clone();
        if !self.topology.is_way_of(&workflow, from, self.topology.current_id(), self.id) {
            // Another shard of ours has the workflow, and hears of it on a stream of its own.
            self.on_applied(now, told.acknowledges().as_slice());
            return None;
        }
        match self.namespaces.get(&namespace) {
            None => {
                self.hear_stranger(now, namespace, told);
                None
            }
            Some(known) if !known.clusters.contains(self.topology.current()) => {
                // It is none of this cluster's business any more (ND-2).
                self.on_applied(now, told.acknowledges().as_slice());
                None
            }
            Some(known) => {
                if version > known.failover_version {
                    self.outbox.push(Output::RefreshNamespace { namespace, from });
                }
                self.park_quietly(&workflow, Work::Incoming(Box::new(told)));
                Some(workflow)
            }
        }
    }

    /// Peers' tasks are durable, or need nothing.
    pub(super) fn on_applied(&mut self, now: Timestamp, applied: &[(StreamKey, TaskId)]) {
        for (key, task) in applied {
            if let Some(target) = self.targets.get_mut(key) {
                target.on_applied(*task);
            }
        }
        let (mut settled, mut seeded) = (Vec::new(), Vec::new());
        for target in self.targets.values_mut() {
            seeded.push((target.key, target.take_seeded()));
            settled
                .extend(target.take_settled().into_iter().map(|(namespace, version)| (target.key, namespace, version)));
            if target.owes_ack() {
                self.chores.ack.get_or_insert(now + ACK_AFTER);
            }
        }
        for (key, namespace, version) in settled {
            self.on_settled(now, key, namespace, version);
        }
        for (key, told) in seeded {
            self.on_seeds_told(now, key, told);
        }
        // What was heard of whoever wants to be told everything has to be durable first.
        self.walk_all();
    }

    /// Tell sources how far everything is durable.
    pub(super) fn acknowledge(&mut self) {
        for target in self.targets.values_mut().filter(|target| target.is_open) {
            let (news, questions) = (target.take_ack(), Self::questions(&mut self.seeds, target.key));
            if news.is_some() || !questions.is_empty() {
                let state = wire::SyncReplicationState {
                    inclusive_low_watermark: news.unwrap_or_else(|| target.low()).0,
                    meridian: Some(AckExtension { wanted: questions, done_tasks: target.done() }),
                    ..wire::SyncReplicationState::default()
                };
                self.outbox.push(Output::Frame(target.key, Box::new(Frame::Ack(state))));
            }
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // What is missing

    /// Events are missing: fetch them from the peer that told what follows them. What is told of the run meanwhile waits
    /// with it; the rest of the workflow goes on.
    pub(super) fn fetch(&mut self, now: Timestamp, workflow: &WorkflowKey, told: Told, gap: Gap) {
        let Some(slot) = self.slots.get_mut(workflow) else { return };
        let run = told.incoming.run.run;
        if slot.fetched.insert(run, gap) == Some(gap) {
            slot.fetched.remove(&run);
            return self.give_up(now, told, "the peer does not have the events before it".into());
        }
        self.ask_peer(workflow, told, run, gap);
    }

    /// A run that the peer told is newer than one of ours that is open, and comes before the news of its end: fetch that. What
    /// is told of the workflow meanwhile waits with it.
    pub(super) fn fetch_end(&mut self, workflow: &WorkflowKey, told: Told, run: RunId, after: VersionHistoryItem) {
        let Some(slot) = self.slots.get_mut(workflow) else { return };
        if let Some(waiting) = slot.fetching.get_mut(&run) {
            return waiting.push_back(told);
        }
        let gap = (Some(after), None);
        slot.fetched.insert(run, gap);
        self.ask_peer(workflow, told, run, gap);
    }

    fn ask_peer(&mut self, workflow: &WorkflowKey, told: Told, run: RunId, (after, before): Gap) {
        let (from, id) = (told.stream.cluster, self.next_load());
        let Some(slot) = self.slots.get_mut(workflow) else { return };
        slot.fetching.insert(run, [told].into());
        self.loads.insert(id, Wanted::PeerHistory(workflow.clone(), run));
        let run = RunKey { workflow: workflow.clone(), run };
        self.outbox.push(Output::Load(id, Load::PeerHistory { from, run, after, before }));
    }

    /// What was asked of a peer is here, or will not come. What waited for it goes on.
    pub(super) fn on_fetched(&mut self, now: Timestamp, workflow: &WorkflowKey, run: RunId, loaded: Loaded) {
        let Some(slot) = self.slots.get_mut(workflow) else { return };
        let Some(mut waiting) = slot.fetching.remove(&run) else { return };
        let Some(first) = waiting.front() else { return };
        let waits = first.incoming.run.run;
        let is_other = waits != run;
        let missing = match loaded {
            // Nothing more came of the run there, or nobody is there to say so.
            Loaded::PeerHistory(history) if is_other && history.history_batches.is_empty() => Ok(None),
            Loaded::PeerNotFound | Loaded::Failed(_) if is_other => Ok(None),
            Loaded::PeerHistory(history) => read(&history).map(Some).map_err(|malformed| malformed.0.to_string()),
            // Nothing is deleted because of that.
            Loaded::PeerNotFound => Err("the peer no longer has the run".to_string()),
            Loaded::Failed(problem) => Err(alloc::format!("the events before it cannot be fetched: {problem}")),
            _ => Err("an answer to another question".to_string()),
        };
        let mut refused = None;
        match missing {
            Ok(None) => {}
            Ok(Some(history)) => {
                let incoming = Incoming {
                    task: TaskId(0),
                    run: RunKey { workflow: workflow.clone(), run },
                    kind: IncomingKind::History(Box::new(history)),
                    ..first.incoming.clone()
                };
                let stream = first.stream;
                waiting.push_front(Told { stream, incoming, how: How::Fetched(waits) });
            }
            Err(reason) => {
                slot.fetched.remove(&run);
                refused = waiting.pop_front().map(|told| (told, reason));
            }
        }
        for told in waiting.into_iter().rev() {
            slot.parked.push_front(Work::Incoming(Box::new(told)));
        }
        if let Some((told, reason)) = refused {
            self.give_up(now, told, reason);
        }
        self.advance(now, workflow);
    }

    /// A task cannot be applied as things are: keep it. News of an activity alone is not worth that: events tell what came
    /// of it, and whoever is active tells again.
    pub(super) fn give_up(&mut self, now: Timestamp, told: Told, reason: String) {
        match (&told.incoming.kind, &told.how) {
            (IncomingKind::Activity { .. } | IncomingKind::Deletion { .. }, How::Streamed(_)) => {
                self.on_applied(now, &[(told.stream, told.incoming.task)]);
            }
            (IncomingKind::History(_), How::Streamed(_)) if planted(Defect::RefusedIsDropped) => {
                self.on_applied(now, &[(told.stream, told.incoming.task)]);
            }
            (IncomingKind::History(_) | IncomingKind::Reference { .. }, How::Streamed(_)) => {
                self.keep_told(now, told, reason)
            }
            (IncomingKind::Activity { .. } | IncomingKind::Deletion { .. }, How::Kept(key)) => self.drop_kept(*key),
            // It stays where it is, and is tried again.
            (IncomingKind::History(_) | IncomingKind::Reference { .. }, How::Kept(key)) => {
                self.quarantine.note(*key, reason)
            }
            // What waits for it cannot be applied either.
            (_, How::Fetched(waits)) => {
                let Some(slot) = self.slots.get_mut(&told.incoming.run.workflow) else { return };
                let is_next = |work: &Work| matches!(work, Work::Incoming(next) if next.incoming.run.run == *waits);
                let next = slot.parked.iter().position(is_next).and_then(|index| slot.parked.remove(index));
                if let Some(Work::Incoming(next)) = next {
                    self.give_up(now, *next, reason);
                }
            }
        }
    }
}

impl Shard {
    /// Keep what a stream told, for it cannot be applied, or waits behind something that cannot.
    pub(super) fn keep_told(&mut self, now: Timestamp, told: Told, reason: String) {
        if let How::Streamed(task) = told.how {
            let (stream, source, run) = (told.stream, told.incoming.task, told.incoming.run);
            self.quarantine(now, Refused { stream, source, run, task, reason });
        }
    }
}

/// Events that a peer had.
fn read(history: &GetWorkflowExecutionRawHistoryV2Response) -> Result<IncomingHistory, incoming::Malformed> {
    let items = history.version_history.as_ref().map(|history| history.items.as_slice()).unwrap_or_default();
    let versions = incoming::versions(items)?;
    let batches = incoming::batches(history.history_batches.iter(), &versions)?;
    let start_request_id = history.meridian.as_ref().map(|ours| ours.start_request_id.clone()).unwrap_or_default();
    Ok(IncomingHistory { versions, batches, start_request_id, digest: None, new_run: None, base: None })
}

/// Acknowledgements only bound what a source keeps, so they wait for one another a little.
const ACK_AFTER: Duration = Duration::from_millis(20);
