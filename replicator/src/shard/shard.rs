//! The shard.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    vec::Vec,
};
use core::time::Duration;

use proto::temporal::api::enums::v1::ResourceExhaustedCause;

use super::{
    flight::InFlight,
    gate::{Gate, PATIENCE},
    handover::{self, Handovers},
    io::{CommitOutcome, Failure, Load, LoadId, Loaded, Output, Report, Request, RequestId, StreamKey, TransactionId},
    loading::RETRY,
    outbox::Outbox,
    ownership::Ownership,
    quarantine::Quarantine,
    recovery::Recoveries,
    seeding::Seeder,
    slot::{Phase, Slot},
    slots::Slots,
    strangers::Strangers,
    tombstones::Tombstones,
    work::Work,
};
use crate::{
    defects::{Defect, planted},
    entropy::Entropy,
    ids::{Life, NamespaceId, RunId, ShardId, TaskId, WorkflowKey},
    namespace::Namespace,
    queue::Queues,
    stream::{Backlog, BacklogLimit, Seeds, Source, Tail, Target},
    time::Timestamp,
    version::{FailoverVersion, Topology},
    workflow::limits::Limits,
};

/// A fixed partition of workflows, and the endpoint of replication streams: one state machine.
///
/// Four kinds of method, as in every sans-IO core:
///
/// - `handle_*` tell it what the world did: a request, a read that came back, a write that was decided, a frame, a
///   namespace, the passing of time;
/// - `acquire`, `release`, `doubt` and `offer_again` are what its owner wants;
/// - `poll_output` and `poll_timeout` say what it wants of the world: after every input all outputs are taken, then the
///   timeout is read;
/// - nouns look.
///
/// Every method that decides takes `now`; the shard never asks for the time.
#[derive(Debug)]
pub struct Shard {
    /// Which shard.
    pub(super) id: ShardId,
    /// The clusters.
    pub(super) topology: Topology,
    /// Source of ids.
    pub(super) entropy: Entropy,
    /// Whether it is ours.
    pub(super) ownership: Ownership,
    /// The namespaces, as far as this shard was told.
    pub(super) namespaces: BTreeMap<NamespaceId, Namespace>,
    /// How large runs may grow.
    pub(super) limits: Arc<Limits>,
    /// The workflows in memory.
    pub(super) slots: Slots,
    /// Waiting tasks.
    pub(super) queues: Queues,
    /// Whether the queues hold all that the store does.
    pub(super) queues_read: bool,
    /// What peers told and could not be applied.
    pub(super) quarantine: Quarantine,
    /// Runs that were deleted.
    pub(super) tombstones: Tombstones,
    /// The newest replication tasks.
    pub(super) tail: Tail,
    /// When peers were last told of writes.
    pub(super) pumped: Timestamp,
    /// Replication tasks up to this one are, or are about to be, deleted.
    pub(super) floor: TaskId,
    /// The write that was to delete them did not happen, or nobody knows: the next one does it again.
    pub(super) is_floor_doubtful: bool,
    /// How much the replication queue holds.
    pub(super) backlog: Backlog,
    /// How much it may hold for a peer that is away.
    pub(super) backlog_limit: BacklogLimit,
    /// The streams on which we tell.
    pub(super) sources: BTreeMap<StreamKey, Source>,
    /// The streams on which we are told.
    pub(super) targets: BTreeMap<StreamKey, Target>,
    /// What peers' shards asked to be told from the beginning.
    pub(super) seeders: BTreeMap<StreamKey, Seeder>,
    /// What this shard is to be told from the beginning; without what an earlier host knew, until the record is read.
    pub(super) seeds: Seeds,
    /// Whether the shard's record was read once.
    pub(super) is_record_read: bool,
    /// Namespaces of which the store has an older state than it once had.
    pub(super) recoveries: Recoveries,
    /// Until when the inputs of losing branches wait for peers that tell everything of a namespace.
    pub(super) reapplying: BTreeMap<NamespaceId, Timestamp>,
    /// How long that is.
    pub(super) patience: Duration,
    /// Which life of the store this is, if it was read.
    pub(super) life: Option<Life>,
    /// Watermarks of peers that no longer have all below: they count when what is wanted instead is durable.
    pub(super) gaps: Vec<(StreamKey, TaskId)>,
    /// Namespaces that just became active here and wait for what the last active cluster still has to tell.
    pub(super) gates: BTreeMap<NamespaceId, Gate>,
    /// Namespaces that are active here and are being handed over.
    pub(super) handovers: Handovers,
    /// Namespaces that are active elsewhere and for which something of ours is still on its way to the store.
    pub(super) settling: BTreeMap<NamespaceId, FailoverVersion>,
    /// What peers told about namespaces that are not known here yet.
    pub(super) strangers: BTreeMap<NamespaceId, Strangers>,
    /// Writes under way.
    pub(super) in_flight: BTreeMap<TransactionId, InFlight>,
    /// Reads under way, but for that of the shard itself.
    pub(super) loads: BTreeMap<LoadId, Wanted>,
    /// Outputs.
    pub(super) outbox: Outbox<Output>,
    /// Slots whose read failed, by when to try again.
    pub(super) retries: BTreeSet<(Timestamp, WorkflowKey)>,
    /// When to do what waits for no event: acknowledge, store how far peers are, take the shard again.
    pub(super) chores: Chores,
    /// Whether other hosts may take the shard without a word.
    pub(super) has_rivals: bool,
    /// Next transaction and load.
    next_id: u64,
}

/// What of a shard's workflows is in memory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cache {
    /// How many.
    pub workflows: usize,
    /// About how many bytes they take.
    pub bytes: usize,
    /// How many were forgotten for others, so far.
    pub evicted: u64,
}

/// What a read was for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// The workflow of a slot.
    Slot(WorkflowKey),
    /// A queue, read in pages after a restart.
    Queue(crate::task::Category),
    /// Tasks that a peer has not had and memory does not hold.
    Backlog(StreamKey),
    /// Runs of which a peer is to be told everything.
    Runs(StreamKey),
    /// Events of a run that a peer has.
    PeerHistory(WorkflowKey, RunId),
}

/// Small things that are done in a while.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Chores {
    /// Send acknowledgements.
    pub(super) ack: Option<Timestamp>,
    /// Store how far peers are.
    pub(super) record: Option<Timestamp>,
    /// Tell peers of what was written since they were told, or could not be read.
    pub(super) pump: Option<Timestamp>,
    /// Put inputs of losing branches into winners, because they could not be read.
    pub(super) reapply: Option<Timestamp>,
    /// Go on though something that peers told is still kept apart.
    pub(super) recover: Option<Timestamp>,
    /// Read runs again that peers are to be told, and that could not be read.
    pub(super) unread: Option<Timestamp>,
    /// Let go of what is told of namespaces that are not known.
    pub(super) strangers: Option<Timestamp>,
    /// Take the shard, because the last attempt failed.
    pub(super) acquire: Option<Timestamp>,
    /// Write something, to see that the shard is still ours.
    pub(super) proof: Option<Timestamp>,
}

impl Shard {
    /// A shard that is not owned yet. `seed` feeds every id it will draw.
    #[must_use]
    pub fn new(id: ShardId, topology: Topology, seed: u64) -> Self {
        Self {
            id,
            topology,
            entropy: Entropy::new(seed),
            ownership: Ownership::None,
            namespaces: BTreeMap::new(),
            limits: Arc::default(),
            slots: Slots::new(),
            queues: Queues::default(),
            queues_read: false,
            quarantine: Quarantine::default(),
            tombstones: Tombstones::default(),
            tail: Tail::default(),
            pumped: Timestamp::ZERO,
            floor: TaskId(0),
            is_floor_doubtful: false,
            backlog: Backlog::default(),
            backlog_limit: BacklogLimit::default(),
            sources: BTreeMap::new(),
            targets: BTreeMap::new(),
            seeders: BTreeMap::new(),
            seeds: Seeds::default(),
            is_record_read: false,
            recoveries: Recoveries::default(),
            reapplying: BTreeMap::new(),
            patience: PATIENCE,
            life: None,
            gaps: Vec::new(),
            gates: BTreeMap::new(),
            handovers: Handovers::default(),
            settling: BTreeMap::new(),
            strangers: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            loads: BTreeMap::new(),
            outbox: Outbox::default(),
            retries: BTreeSet::new(),
            chores: Chores::default(),
            has_rivals: false,
            next_id: 1,
        }
    }

    /// Keep so much of the replication queue, and no more, for a peer that is away.
    #[must_use]
    pub fn with_backlog_limit(self, backlog_limit: BacklogLimit) -> Self {
        Self { backlog_limit, ..self }
    }

    /// Other hosts may take the shard without a word. So a shard that has nothing to write writes its record now and then, and
    /// learns by that whether it is still its host's: what another one scheduled meanwhile, it would never hear of.
    #[must_use]
    pub fn with_rivals(self) -> Self {
        Self { has_rivals: true, ..self }
    }

    /// Let runs grow so large and no larger, from their next change on, where this cluster decides.
    pub fn limit_runs(&mut self, limits: Arc<Limits>) {
        self.limits = limits;
    }

    /// Keep about so many bytes of workflows in memory from now on. What waits for something is kept all the same.
    pub fn limit_cache(&mut self, bytes: usize) {
        self.slots.limit(bytes);
    }

    /// Keep at most so many bytes of the newest replication tasks in memory from now on. Others are read when a peer is told of them.
    pub fn limit_tail(&mut self, bytes: usize) {
        self.tail.limit(bytes);
    }

    /// Forget of the workflows in memory whatever is above the limit. Each turn does so for some.
    pub fn trim(&mut self) {
        self.slots.evict(usize::MAX);
    }

    /// What of workflows is in memory.
    #[must_use]
    pub fn cache(&self) -> Cache {
        Cache { workflows: self.slots.len(), bytes: self.slots.weight(), evicted: self.slots.evicted() }
    }

    /// Others believed this host dead, so one of them may have had the shard: forget what is in memory, and take it again.
    pub fn doubt(&mut self, now: Timestamp) {
        if matches!(self.ownership, Ownership::Owned { is_leaving: false, .. }) {
            self.lose(now, CommitOutcome::Unknown);
        }
    }

    /// The shard was seen to be ours.
    pub(super) fn note_proof(&mut self, now: Timestamp) {
        if self.has_rivals {
            self.chores.proof = Some(now + PROOF);
        }
    }

    /// Take the shard over: fence whoever had it, and read what it left.
    pub fn acquire(&mut self) {
        self.acquire_range(false);
    }

    /// The same, under a range that is far above all others if it `leaps`.
    pub(super) fn acquire_range(&mut self, leaps: bool) {
        let load = self.next_load();
        self.ownership = Ownership::Acquiring { load, leaps };
        self.chores.acquire = None;
        self.outbox.push(Output::Load(load, Load::AcquireShard { leaps }));
    }

    /// Let the shard go: nothing is decided any more. What is under way is answered as ever; when nothing is
    /// ([`Self::is_writing`]), another host may have it, and what waits here was not looked at.
    pub fn release(&mut self) {
        self.ownership.leave();
        self.chores.acquire = None;
    }

    /// Offer everything to matching that waits for workers: it has forgotten some.
    pub fn offer_again(&mut self, now: Timestamp) {
        if self.is_ready() {
            let namespaces: Vec<NamespaceId> = self.namespaces.keys().copied().collect();
            namespaces.into_iter().for_each(|id| self.offer_all(now, id));
        }
    }

    /// A caller wants something. The reply comes out when what it promises is durable.
    pub fn handle_request(&mut self, now: Timestamp, id: RequestId, request: Request) {
        let key = request.workflow.clone();
        if !self.namespaces.contains_key(&key.namespace) {
            let failure = Failure::Unavailable("the namespace is not known to the shard yet".into());
            self.outbox.push(Output::Reply(id, Box::new(Err(failure))));
            return;
        }
        if self.recoveries.hold(key.namespace) {
            let failure = Failure::Unavailable("the store was brought back from a backup and is catching up".into());
            self.outbox.push(Output::Reply(id, Box::new(Err(failure))));
            return;
        }
        let waiting = self.slots.get(&key).map_or(0, |slot| slot.parked.len());
        if waiting >= MAX_PARKED && !request.call.is_of_worker() {
            let failure = Failure::ResourceExhausted {
                message: "Workflow is busy.".into(),
                cause: ResourceExhaustedCause::BusyWorkflow.into(),
            };
            self.outbox.push(Output::Reply(id, Box::new(Err(failure))));
            return;
        }
        self.park(now, key, Work::Request(id, Box::new(request)));
    }

    /// A read came back.
    pub fn handle_loaded(&mut self, now: Timestamp, id: LoadId, loaded: Loaded) {
        if let Ownership::Acquiring { load, leaps } = self.ownership
            && load == id
        {
            return self.on_shard_loaded(now, leaps, loaded);
        }
        // A read that was under way when the shard was lost is of no use any more.
        match self.loads.remove(&id) {
            None => {}
            Some(Wanted::Slot(key)) => self.on_slot_loaded(now, id, &key, loaded),
            Some(Wanted::Queue(category)) => self.on_queue_loaded(now, category, loaded),
            Some(Wanted::Runs(stream)) => self.on_runs_loaded(now, stream, id, loaded),
            Some(Wanted::Backlog(stream)) => self.on_backlog_loaded(now, stream, id, loaded),
            Some(Wanted::PeerHistory(key, run)) => self.on_fetched(now, &key, run, loaded),
        }
    }

    /// A write was decided.
    pub fn handle_commit(&mut self, now: Timestamp, id: TransactionId, outcome: CommitOutcome) {
        // A write that was under way when the shard was lost is answered already.
        let Some(flight) = self.in_flight.remove(&id) else { return };
        match outcome {
            CommitOutcome::Unknown if planted(Defect::DoubtIsSuccess) => self.on_committed(now, id, flight),
            CommitOutcome::Unknown if planted(Defect::DoubtIsNotFenced) => self.on_condition_failed(now, id, flight),
            CommitOutcome::Committed => self.on_committed(now, id, flight),
            CommitOutcome::ConditionFailed => self.on_condition_failed(now, id, flight),
            CommitOutcome::Unavailable => self.on_store_unavailable(now, id, flight),
            CommitOutcome::ShardOwnershipLost | CommitOutcome::Unknown => {
                self.in_flight.insert(id, flight);
                self.lose(now, outcome);
            }
        }
        self.look_at_handovers();
    }

    /// Time has passed: do what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.chores.acquire.is_some_and(|due| due <= now) {
            self.acquire();
        }
        if !self.ownership.is_owned() {
            return;
        }
        self.fire_timers(now);
        self.open_overdue_gates(now);
        self.end_overdue_pauses(now);
        self.retry_kept(now);
        self.remove_tombstones(now);
        if self.chores.reapply.is_some_and(|due| due <= now) {
            self.chores.reapply = None;
            self.reapply_all(now);
        }
        while let Some((_, key)) = self.retries.first().filter(|(due, _)| *due <= now).cloned() {
            self.retries.pop_first();
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.rests = false;
            }
            self.advance(now, &key);
        }
        if self.chores.recover.is_some_and(|due| due <= now) {
            self.chores.recover = None;
            self.end_recoveries(now);
        }
        if self.chores.unread.is_some_and(|due| due <= now) {
            self.read_unread(now);
        }
        if self.chores.strangers.is_some_and(|due| due <= now) {
            self.chores.strangers = None;
            self.forsake_overdue(now);
        }
        if self.chores.ack.is_some_and(|due| due <= now) {
            self.chores.ack = None;
            self.acknowledge();
        }
        if self.chores.pump.is_some_and(|due| due <= now) {
            self.chores.pump = None;
            self.pump_soon(now);
        }
        if self.chores.proof.is_some_and(|due| due <= now) {
            self.note_proof(now);
            self.chores.record.get_or_insert(now);
        }
        if self.chores.record.is_some_and(|due| due <= now) {
            self.write_record(now);
            // While one is under way, the next waits.
            if let Some(due) = &mut self.chores.record {
                *due = (*due).max(now + RETRY);
            }
        }
    }

    /// The next output. All are taken after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.poll()
    }

    /// When [`Shard::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let owned = self.ownership.is_owned();
        let timers = owned.then(|| self.queues.next_due()).flatten();
        let gates = self.gates.values().map(|gate| gate.until).min();
        let retries = self.retries.first().map(|(due, _)| *due);
        let Chores { ack, pump, record, reapply, recover, unread, strangers, proof, acquire: _ } = self.chores;
        let chores = [ack, pump, record, reapply, recover, unread, strangers, proof];
        let kept = self.quarantine.next_due().filter(|_| self.queues_read);
        let tombstones = self.tombstones.next_due().filter(|_| self.queues_read);
        let handovers = self.handovers.next_due();
        let namespaces = [gates, handovers];
        let owned_only =
            [timers, retries, kept, tombstones].into_iter().chain(namespaces).chain(chores).flatten().filter(|_| owned);
        owned_only.chain(self.chores.acquire).min()
    }

    /// Which shard this is.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Whether it decides: it is ours, and what the last owner left was read.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ownership.is_owned() && self.queues_read
    }

    /// Whether writes are under way.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// How far each peer's shard is behind.
    pub fn lags(&self) -> impl Iterator<Item = super::io::Lag> + '_ {
        self.sources.values().map(|source| self.lag(source))
    }

    /// Let `work` wait at its slot, and decide if the slot is ready.
    pub(super) fn park(&mut self, now: Timestamp, key: WorkflowKey, work: Work) {
        self.slots.at(&key).parked.push_back(work);
        self.advance(now, &key);
    }

    /// Let `work` wait at its slot, whose turn comes anyhow.
    pub(super) fn park_quietly(&mut self, key: &WorkflowKey, work: Work) {
        self.slots.at(key).parked.push_back(work);
    }

    /// Try again in a while what waits at a workflow, however much is told of it meanwhile.
    pub(super) fn try_again(&mut self, now: Timestamp, key: &WorkflowKey) {
        if let Some(slot) = self.slots.get_mut(key).filter(|slot| !slot.rests) {
            slot.rests = true;
            self.retries.insert((now + RETRY, key.clone()));
        }
    }

    /// Report a happening that operators count or read.
    pub(super) fn report(&mut self, report: Report) {
        self.outbox.push(Output::Report(Box::new(report)));
    }

    pub(super) fn next_load(&mut self) -> LoadId {
        self.next_id += 1;
        LoadId(self.next_id)
    }

    pub(super) fn next_transaction(&mut self) -> TransactionId {
        self.next_id += 1;
        TransactionId(self.next_id)
    }

    /// Every id below is written or given up: what readers of the replication queue may look at (RT-2).
    pub(super) fn readable_end(&self) -> TaskId {
        let next = self.drawn_end();
        if planted(Defect::InFlightIsPassedOver) {
            return next;
        }
        // A write of the shard's record draws no id, and holds back nothing; nor does it make readable what is not drawn.
        self.in_flight.values().map(|flight| flight.lowest).min().map_or(next, |lowest| lowest.min(next))
    }

    /// Every id that was drawn so far lies below, whatever became of it.
    pub(super) fn drawn_end(&self) -> TaskId {
        match &self.ownership {
            Ownership::Owned { ids, .. } => ids.peek(),
            Ownership::None | Ownership::Acquiring { .. } => TaskId(0),
        }
    }

    /// Which work of a namespace goes on.
    pub(super) fn passage(&self, namespace: NamespaceId) -> fn(&Work) -> bool {
        if self.recoveries.hold(namespace) {
            // Two clusters that were both brought back tell each other.
            |work| matches!(work, Work::Incoming(_) | Work::Seed(..))
        } else if self.gates.contains_key(&namespace) {
            |work| matches!(work, Work::Incoming(_))
        } else if self.handovers.holds(namespace) {
            handover::goes_on
        } else {
            |_| true
        }
    }

    /// Forget everything that rests on owning the shard, and take it again under a new range.
    ///
    /// Requests whose write is in doubt are answered so; whether it happened shows when their callers try again. What
    /// is parked waits for the shard to be ours.
    pub(super) fn lose(&mut self, now: Timestamp, outcome: CommitOutcome) {
        self.report(Report::OwnershipLost { outcome });
        for (id, flight) in core::mem::take(&mut self.in_flight) {
            self.reject(now, id, flight);
        }
        self.loads.clear();
        self.slots.unload();
        self.queues.clear();
        self.quarantine.clear();
        self.tombstones.clear();
        self.queues_read = false;
        self.tail = self.tail.again_after(TaskId(0));
        self.handovers.forget_marks();
        for source in self.sources.values_mut() {
            source.rewind();
        }
        for seeder in self.seeders.values_mut() {
            seeder.begin_again();
        }
        self.acquire();
    }

    /// Slots of a namespace: thousands, of which only some have work.
    pub(super) fn slots_of(&self, namespace: NamespaceId) -> impl Iterator<Item = (&WorkflowKey, &Slot)> {
        let first = WorkflowKey { namespace, workflow: "".into() };
        self.slots.range(first..).take_while(move |(key, _)| key.namespace == namespace)
    }

    /// Those at which something waits.
    pub(super) fn parked_slots_of(&self, namespace: NamespaceId) -> Vec<WorkflowKey> {
        let parked = self.slots_of(namespace).filter(|(_, slot)| !slot.parked.is_empty());
        parked.map(|(key, _)| key.clone()).collect()
    }

    /// Whether the phase of a slot lets it decide.
    pub(super) fn is_settled(slot: &Slot) -> bool {
        planted(Defect::SettledTooEarly)
            || !matches!(slot.phase, Phase::Committing(_))
                && !slot.parked.iter().any(|work| matches!(work, Work::Moved(..)))
    }
}

/// What may wait at a workflow before callers are told to come later. Workers are not: with what they bring it gets less.
const MAX_PARKED: usize = 2_000;

/// A shard that was silent for so long sees whether it is still its host's.
const PROOF: Duration = Duration::from_secs(5);
