//! Telling a peer everything, and being told: how a cluster that joins late, or was away for too long, gets what the
//! streams do not tell.
//!
//! The shard that is to be told asks ([`Seeds`]); the one that is asked walks over the runs of the namespace in the store,
//! page by page, and writes the history of each as replication tasks like any other, for this peer alone. They go the way
//! of all tasks: in the order of their ids, acknowledged when durable. What is written to a run meanwhile comes before or
//! behind, and either is well: a target fetches what it misses and knows what it has. The next page is not written before
//! this one was sent, so what others write never waits behind more than one.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    string::{String, ToString},
    vec::Vec,
};

use prost::Message;
use proto::meridian::replication::v1::{Seeded, Wanted as WantedWire};

use super::{
    Shard,
    io::{BacklogTask, Load, LoadId, Loaded, Output, Report, StreamKey, StreamRole},
    loading::RETRY,
    ownership::Ownership,
    shard::Wanted,
    work::Work,
};
use crate::{
    history::{HistoryBatch, Stretch},
    ids::{ClusterId, EventId, NamespaceId, RunId, RunKey, ShardId, TaskId, WorkflowId, shard_of},
    namespace::Namespace,
    stream::seeds::{Place, Progress, Question, Seeds},
    task::{HistoryStretch, HistoryTask, ReplicationTask, TaskKey, TaskKind, WrittenBatch},
    time::Timestamp,
    version::{VersionHistoryItem, histories::BranchHistory},
    workflow::{MutableState, draft::Draft, sync_activity},
};

/// What one peer's shard asked for on the stream that is open.
#[derive(Debug, Default)]
pub(super) struct Seeder {
    /// The last question about each namespace.
    asked: BTreeMap<NamespaceId, Question>,
    /// The one that is being told.
    walk: Option<Walk>,
    /// Pages that the peer is to hear the end of, each once everything below its mark was sent.
    pub(super) owes: Vec<(TaskId, Progress)>,
    /// Runs whose events could not be read. They are told when they can be, whatever else was told meanwhile.
    unread: BTreeMap<RunKey, Unread>,
}

/// A run that cannot be read.
#[derive(Debug, Default)]
struct Unread {
    /// How often it was tried.
    tries: u32,
    /// When it is tried again, unless it waits at its slot.
    again: Option<Timestamp>,
}

/// A walk over the runs of a namespace.
#[derive(Debug)]
struct Walk {
    namespace: NamespaceId,
    /// The question that it answers.
    question: u64,
    /// The last run of the page.
    after: Option<Place>,
    /// Whether there are no more after the page.
    is_last: bool,
    /// A read of the next page, if one is under way.
    loading: Option<LoadId>,
    /// Runs of the page whose tasks are not written yet.
    writing: BTreeSet<RunKey>,
    /// The page is told when everything below was.
    mark: Option<TaskId>,
}

/// What a run's seed needs.
pub(super) enum Seed {
    /// These tasks, with their events.
    Tasks(Vec<BacklogTask>),
    /// What the draft did to the run must be written first.
    Later,
    /// Events must be read first.
    Needs(Stretch),
}

impl Shard {
    // -----------------------------------------------------------------------------------------------------------------
    // Being told

    /// Ask for the namespaces that nobody told this shard. Its record says which.
    pub(super) fn want_seeds(&mut self, now: Timestamp) {
        if !self.is_record_read {
            return;
        }
        let me = self.topology.current().clone();
        for namespace in self.namespaces.values() {
            if namespace.is_replicated() && namespace.clusters.contains(&me) {
                if self.seeds.is_known(namespace.id) || self.recoveries.hold(namespace.id) {
                    continue;
                }
                for stream in self.tellers(namespace) {
                    self.seeds.want(stream, namespace.id);
                }
            } else if self.seeds.forget(namespace.id) {
                self.chores.record.get_or_insert(now);
            }
        }
        self.ask_to_recover(now);
        if self.targets.values().any(|target| target.is_open && self.seeds.owes_question(target.key)) {
            self.chores.ack.get_or_insert(now);
        }
    }

    /// The streams on which a namespace is to be told: those from every other cluster that has it. The one that is active may
    /// not have heard all that another one wrote, and what that wrote before is told to nobody else. None while nobody is
    /// there.
    fn tellers(&self, namespace: &Namespace) -> BTreeSet<StreamKey> {
        let ids = namespace.clusters.iter().filter_map(|name| self.topology.id_of(name));
        let tellers: BTreeSet<_> = ids.filter(|id| *id != self.topology.current_id()).collect();
        let open = self.targets.values().filter(|target| target.is_open && tellers.contains(&target.key.cluster));
        let mut streams: BTreeSet<StreamKey> = open.map(|target| target.key).collect();
        if streams.is_empty() {
            return streams;
        }
        // Those that are still to come tell their part, too.
        for teller in &tellers {
            let key = |shard| StreamKey { cluster: *teller, shard, role: StreamRole::Target };
            streams.extend(self.topology.joined(self.id, *teller).map(key));
        }
        streams
    }

    /// A peer no longer has all that it did not tell: it is to tell everything. Its watermark counts when that is noted.
    pub(super) fn on_gap(&mut self, now: Timestamp, key: StreamKey, high: TaskId) {
        let Some(peer) = self.topology.name_of(key.cluster) else { return };
        let me = self.topology.current();
        let shared = self.namespaces.values().filter(|namespace| {
            namespace.is_replicated() && namespace.clusters.contains(me) && namespace.clusters.contains(peer)
        });
        for namespace in shared.map(|namespace| namespace.id).collect::<Vec<_>>() {
            self.seeds.want(key, namespace);
        }
        self.gaps.push((key, high));
        self.chores.record = Some(now);
        self.report(Report::Gap { from: key.cluster });
        self.want_seeds(now);
    }

    /// Runs were told, and are durable here.
    pub(super) fn on_seeds_told(&mut self, now: Timestamp, key: StreamKey, told: Vec<Progress>) {
        for progress in told {
            let namespace = progress.namespace;
            if self.seeds.on_told(key, progress) {
                self.chores.record.get_or_insert(now);
            }
            if !self.seeds.is_wanted(namespace) && self.reapplying.remove(&namespace).is_some() {
                self.chores.reapply = Some(now);
            }
        }
        self.end_recoveries(now);
    }

    /// What is asked with the next acknowledgement.
    pub(super) fn questions(seeds: &mut Seeds, key: StreamKey) -> Vec<WantedWire> {
        let wanted = seeds.take_unasked(key).into_iter().map(|question| WantedWire {
            namespace_id: question.namespace.to_string(),
            workflow_id: question.after.as_ref().map(|(workflow, _)| workflow.as_str().into()).unwrap_or_default(),
            run_id: question.after.map(|(_, run)| run.to_string()).unwrap_or_default(),
            question: question.number,
        });
        wanted.collect()
    }

    /// Whether this shard was told all of a namespace.
    #[must_use]
    pub fn is_seeded(&self, namespace: NamespaceId) -> bool {
        self.seeds.is_seeded(namespace) && !self.recoveries.hold(namespace)
    }

    /// Whether somebody who is there is telling this shard all of a namespace.
    pub(super) fn is_being_told(&self, namespace: NamespaceId) -> bool {
        let is_there = |stream| self.targets.get(&stream).is_some_and(|target| target.is_open);
        self.seeds.wanted_of(namespace).any(is_there)
    }

    /// What this shard waits to be told: namespace and stream.
    pub fn seeding(&self) -> impl Iterator<Item = (NamespaceId, StreamKey)> + '_ {
        self.seeds.wanted()
    }

    // -----------------------------------------------------------------------------------------------------------------
    // Telling

    /// A peer's shard wants to be told everything.
    pub(super) fn on_wanted(&mut self, key: StreamKey, asked: Vec<WantedWire>) {
        let seeder = self.seeders.entry(key).or_default();
        for wanted in asked {
            let Ok(namespace) = NamespaceId::parse(&wanted.namespace_id) else { continue };
            let after = RunId::parse(&wanted.run_id).ok().map(|run| (WorkflowId::from(wanted.workflow_id), run));
            // Whoever asks again has lost the answer.
            seeder.asked.insert(namespace, Question { namespace, after, number: wanted.question });
            if seeder.walk.as_ref().is_some_and(|walk| walk.namespace == namespace) {
                seeder.walk = None;
            }
            seeder.unread.retain(|run, _| run.workflow.namespace != namespace);
        }
        self.walk_on(key);
    }

    /// Namespaces of which a cluster is being told everything.
    pub(super) fn seeding_to(&self, cluster: ClusterId) -> impl Iterator<Item = NamespaceId> + '_ {
        self.seeders.iter().filter(move |(key, _)| key.cluster == cluster).flat_map(|(_, seeder)| seeder.namespaces())
    }

    /// Go on with what peers' shards asked for.
    pub(super) fn walk_all(&mut self) {
        for key in self.seeders.keys().copied().collect::<Vec<_>>() {
            self.walk_on(key);
        }
    }

    /// Go on with what one peer's shard asked for, if the last page was told.
    pub(super) fn walk_on(&mut self, key: StreamKey) {
        if !self.is_ready() {
            return;
        }
        let Some(peer) = self.topology.name_of(key.cluster) else { return };
        let Some(source) = self.sources.get(&key).filter(|source| source.is_open) else { return };
        let Some(seeder) = self.seeders.get_mut(&key) else { return };
        if seeder.walk.as_ref().is_some_and(|walk| walk.is_last && !walk.is_busy() && walk.is_told(source.sent)) {
            seeder.walk = None;
        }
        if seeder.walk.is_none() {
            let namespaces = &self.namespaces;
            let is_shared = |id: &NamespaceId| namespaces.get(id).is_some_and(|known| known.clusters.contains(peer));
            let Some(next) = seeder.asked.keys().copied().find(is_shared) else { return };
            // A cluster that lost its store is told what it wrote and is not durable here yet, too.
            if self.targets.values().any(|target| target.key.cluster == key.cluster && target.owes_earlier()) {
                return;
            }
            seeder.walk = seeder.asked.remove(&next).map(Walk::new);
        }
        let is_due = |walk: &&mut Walk| !walk.is_last && !walk.is_busy() && walk.is_told(source.sent);
        let Some(walk) = seeder.walk.as_mut().filter(is_due) else { return };
        let (namespace, after) = (walk.namespace, walk.after.clone());
        let id = self.next_load();
        if let Some(walk) = self.seeders.get_mut(&key).and_then(|seeder| seeder.walk.as_mut()) {
            (walk.loading, walk.mark) = (Some(id), None);
        }
        self.loads.insert(id, Wanted::Runs(key));
        self.outbox.push(Output::Load(id, Load::Runs { namespace, after, limit: PAGE }));
    }

    /// A page of a namespace's runs was read.
    pub(super) fn on_runs_loaded(&mut self, now: Timestamp, key: StreamKey, id: LoadId, loaded: Loaded) {
        let topology = &self.topology;
        let (ours, theirs) = (topology.shards_of(topology.current_id()), topology.shards_of(key.cluster));
        let here = self.id;
        let walk = self.seeders.get_mut(&key).and_then(|seeder| seeder.walk.as_mut());
        let Some(walk) = walk.filter(|walk| walk.loading == Some(id)) else { return };
        walk.loading = None;
        let Loaded::Runs(runs) = loaded else {
            self.chores.pump.get_or_insert(now + RETRY);
            return;
        };
        walk.is_last = runs.len() < PAGE;
        walk.after = runs.last().map(|run| (run.workflow.workflow.clone(), run.run)).or(walk.after.take());
        let is_of = |run: &RunKey, count: Option<u32>, shard: ShardId| {
            count.is_none_or(|count| shard_of(run.workflow.namespace, &run.workflow.workflow, count) == shard)
        };
        let concerned = runs.into_iter().filter(|run| is_of(run, ours, here) && is_of(run, theirs, key.shard));
        walk.writing = concerned.collect();
        for run in walk.writing.clone() {
            self.park(now, run.workflow.clone(), Work::Seed(run, key));
        }
        self.finish_page(now, key);
    }

    /// The tasks of some runs are written, or need not be.
    pub(super) fn on_seeded(&mut self, now: Timestamp, seeded: &[(StreamKey, RunKey)]) {
        for (key, run) in seeded {
            if let Some(seeder) = self.seeders.get_mut(key) {
                seeder.unread.remove(run);
                self.pass(now, *key, run);
            }
        }
    }

    /// The walk waits for a run no longer.
    fn pass(&mut self, now: Timestamp, key: StreamKey, run: &RunKey) {
        let walk = self.seeders.get_mut(&key).and_then(|seeder| seeder.walk.as_mut());
        if walk.is_some_and(|walk| walk.writing.remove(run)) {
            self.finish_page(now, key);
        }
    }

    /// When all of a page is written, the peer is told so behind it.
    fn finish_page(&mut self, now: Timestamp, key: StreamKey) {
        let Ownership::Owned { ids, .. } = &self.ownership else { return };
        let end = ids.peek();
        let Some(seeder) = self.seeders.get_mut(&key) else { return };
        let Some(walk) = seeder.walk.as_mut().filter(|walk| !walk.is_busy() && walk.mark.is_none()) else { return };
        walk.mark = Some(end);
        let (namespace, question, is_complete) = (walk.namespace, walk.question, walk.is_last);
        seeder.owes.push((end, Progress { namespace, question, after: walk.after.clone(), is_complete }));
        self.pump_soon(now);
    }

    /// A run cannot be read. It is tried again, ever more rarely and for as long as the stream is there. The walk waits for
    /// it a while, for a store that fails may do so for a moment only; then it goes on, and operators are told.
    pub(super) fn on_seed_unreadable(&mut self, now: Timestamp, run: RunKey, key: StreamKey, reason: String) {
        let Some(seeder) = self.seeders.get_mut(&key) else { return };
        let unread = seeder.unread.entry(run.clone()).or_default();
        let again = now + (RETRY * (1 << unread.tries.min(LONGEST_PAUSE)));
        unread.tries += 1;
        unread.again = Some(again);
        let tries = unread.tries;
        self.chores.unread = Some(self.chores.unread.map_or(again, |due| due.min(again)));
        if tries == MOST_READS {
            self.pass(now, key, &run);
            self.report(Report::Untold { run, to: key.cluster, reason });
        }
    }

    /// Try again to read what could not be read.
    pub(super) fn read_unread(&mut self, now: Timestamp) {
        let mut due = Vec::new();
        for (key, seeder) in &mut self.seeders {
            for (run, unread) in &mut seeder.unread {
                if unread.again.is_some_and(|again| again <= now) {
                    unread.again = None;
                    due.push((run.clone(), *key));
                }
            }
        }
        let all = self.seeders.values().flat_map(|seeder| seeder.unread.values());
        self.chores.unread = all.filter_map(|unread| unread.again).min();
        for (run, key) in due {
            self.park(now, run.workflow.clone(), Work::Seed(run, key));
        }
    }
}

impl Seeder {
    /// Namespaces that are being told.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = NamespaceId> + '_ {
        let owed = self.owes.iter().map(|(_, progress)| progress.namespace);
        self.asked.keys().copied().chain(self.walk.as_ref().map(|walk| walk.namespace)).chain(owed)
    }

    /// Reads that were under way will not come back.
    pub(super) fn begin_again(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.loading = None;
        }
    }
}

impl Walk {
    fn new(question: Question) -> Self {
        Self {
            namespace: question.namespace,
            question: question.number,
            after: question.after,
            is_last: false,
            loading: None,
            writing: BTreeSet::new(),
            mark: None,
        }
    }

    /// Whether a page is being read or written.
    fn is_busy(&self) -> bool {
        self.loading.is_some() || !self.writing.is_empty()
    }

    /// Whether nothing of the last page waits to be sent.
    fn is_told(&self, sent: TaskId) -> bool {
        self.mark.is_none_or(|mark| mark.0 <= sent.0.saturating_add(1))
    }
}

/// What a peer is told of a page.
pub(super) fn seeded(progress: Progress) -> Seeded {
    Seeded {
        namespace_id: progress.namespace.to_string(),
        workflow_id: progress.after.as_ref().map(|(workflow, _)| workflow.as_str().into()).unwrap_or_default(),
        run_id: progress.after.map(|(_, run)| run.to_string()).unwrap_or_default(),
        is_complete: progress.is_complete,
        question: progress.question,
    }
}

/// What a peer told of a page.
pub(super) fn progress(seeded: Seeded) -> Option<Progress> {
    let after = RunId::parse(&seeded.run_id).ok().map(|run| (WorkflowId::from(seeded.workflow_id), run));
    let namespace = NamespaceId::parse(&seeded.namespace_id).ok()?;
    Some(Progress { namespace, question: seeded.question, after, is_complete: seeded.is_complete })
}

/// Tasks that tell a peer all of a run: every branch, and attempts of activities, of which no event tells.
pub(super) fn seed(draft: &mut Draft<'_>, id: RunId, key: StreamKey) -> Seed {
    let Some(run) = draft.runs.get(&id) else { return Seed::Tasks(Vec::new()) };
    if run.changes.is_touched() {
        return Seed::Later;
    }
    let state = &run.state;
    let mut tasks = Vec::new();
    let mut told: Vec<&BranchHistory> = Vec::new();
    let current = state.histories.current();
    let others = state.histories.all().iter().filter(|history| history.branch != current.branch);
    let attempted = state.activities.table.iter().filter(|(_, activity)| activity.told_at.is_some());
    let attempted: Vec<EventId> = attempted.map(|(scheduled, _)| *scheduled).collect();
    for history in [current].into_iter().chain(others) {
        // What another branch has in common with this one was told with it.
        let shared = told.iter().filter_map(|other| other.versions.lowest_common_ancestor(&history.versions));
        let first = shared.map(|item| item.event_id.next()).max().unwrap_or(EventId::FIRST);
        told.push(history);
        let stretch = Stretch { branch: history.branch.clone(), first, end: history.versions.last().event_id.next() };
        if stretch.first >= stretch.end {
            continue;
        }
        let Some(batches) = draft.read.get(&stretch) else { return Seed::Needs(stretch) };
        let is_told = history.branch == current.branch && attempted.is_empty() && state.is_comparable();
        let digest = is_told.then(|| state.digest());
        tasks.extend(history_tasks(state, history, batches, digest, draft.now, key));
    }
    for scheduled in attempted {
        let Some(told) = sync_activity::told(state, scheduled) else { continue };
        let attributes = told.encode_to_vec().into();
        let task = ReplicationTask::SyncActivity { written: draft.now, scheduled, attributes, to: Some(key.cluster) };
        tasks.push((task, Vec::new()));
    }
    let (run, version) = (state.run.clone(), current.versions.last().version);
    let tasks = tasks.into_iter().map(|(task, events)| {
        let place = TaskKey { fire_time: Timestamp::ZERO, id: draft.task_ids.next() };
        let task = HistoryTask { key: place, run: run.clone(), version, kind: TaskKind::Replication(task) };
        BacklogTask { task, events, new_run_events: None }
    });
    Seed::Tasks(tasks.collect())
}

/// A branch, or the rest of one, as tasks of a moderate size.
fn history_tasks(
    state: &MutableState,
    history: &BranchHistory,
    batches: &[HistoryBatch],
    digest: Option<u64>,
    now: Timestamp,
    key: StreamKey,
) -> Vec<(ReplicationTask, Vec<bytes::Bytes>)> {
    let mut tasks = Vec::new();
    let mut rest = batches;
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|batch| {
            let before = bytes;
            bytes += batch.bytes().len();
            before == 0 || bytes <= TASK_BYTES
        });
        let (these, later) = rest.split_at(fits.count());
        rest = later;
        let last = these.last().unwrap_or(first);
        let end = VersionHistoryItem { event_id: last.last(), version: last.version() };
        let begins = first.first() == EventId::FIRST;
        let batch = WrittenBatch {
            branch: history.branch.clone(),
            versions: history.versions.truncated(end),
            first: first.first(),
            next: last.last().next(),
            start_request_id: if begins { state.execution.start.request_id.clone() } else { Default::default() },
            digest: digest.filter(|_| rest.is_empty()),
        };
        let stretch = HistoryStretch { written: now, batch, new_run: None, base: None, to: Some(key.cluster) };
        let events = these.iter().map(|batch| batch.bytes().clone()).collect();
        tasks.push((ReplicationTask::History(Box::new(stretch)), events));
    }
    tasks
}

/// Runs per page: so many may stand before what others write meanwhile.
const PAGE: usize = 64;
/// How often a run is read before the walk goes on without it: half a minute.
const MOST_READS: u32 = 10;
/// How often the pause before the next try is doubled.
const LONGEST_PAUSE: u32 = 6;
/// Events per task, in bytes.
const TASK_BYTES: usize = 512 << 10;
