//! A slot's turn: everything that waits at a ready workflow is decided together and becomes one transaction.

use alloc::{boxed::Box, collections::VecDeque, string::String, vec::Vec};
use core::time::Duration;

use super::{
    Shard,
    flight::InFlight,
    io::{
        BacklogTask, CurrentWrite, Load, Output, Reply, Report, RequestId, RunChange, RunWrite, StreamKey, Transaction,
        VisibilityWrite,
    },
    ownership::Ownership,
    seeding::{self, Seed},
    slot::Phase,
    work::{How, Told, Work},
};
use crate::{
    ids::{RunId, RunKey, TaskId, WorkflowKey},
    ndc::{
        placement,
        reapplication::{self, Reapplied},
    },
    shard::io::Dispatch,
    stream::{
        receive::{self, Conflict, Received},
        tail,
    },
    task::{Category, HistoryTask, ReplicationTask, TaskKey, TaskKind, TimerTask, TransferTask},
    time::Timestamp,
    version::{Gap, VersionHistoryItem},
    workflow::{
        close::Closed,
        dispatch,
        draft::{Draft, Need, Run},
        due::{self, Fired},
        failover,
        request::{self, Handled},
    },
};

/// What a turn leaves beside the draft.
#[derive(Default)]
struct Turn {
    /// Answers to the requests that were decided.
    replies: Vec<(RequestId, Reply)>,
    /// Offers to matching.
    dispatches: Vec<Dispatch>,
    /// Peers' tasks that were applied or need nothing, with what is to be told of it.
    applied: Vec<(StreamKey, TaskId)>,
    /// Happenings.
    reports: Vec<Report>,
    /// What was decided and would be decided again; requests excepted.
    works: Vec<Work>,
    /// Timers that fired: they leave their queue with what they led to.
    fired: Vec<TaskKey>,
    /// Runs to be removed.
    deleted: Vec<Deletion>,
    /// Whose doing the draft is. A transaction either follows peers or decides: what a peer wrote is not told to others,
    /// and when a peer's task breaks the draft no answer is lost with it.
    mode: Mode,
    /// Peers' tasks that were kept, and need not be any more.
    released: Vec<TaskKey>,
    /// Peers' tasks of runs of which something is kept: they wait behind it.
    behind: Vec<Told>,
    /// Tasks that tell a peer all of a run, with their events.
    seeds: Vec<BacklogTask>,
    /// What was asked for and is told with them, or needs no telling.
    seeded: Vec<(StreamKey, RunKey)>,
    /// What stops the turn.
    stop: Option<Stop>,
}

/// A run that is to be removed.
struct Deletion {
    run: RunId,
    /// The task that removes it, unless the run knows it.
    done: Option<(Category, TaskKey)>,
    /// How far the run had come, if what is told of it late must not bring it back.
    tombstone: Option<VersionHistoryItem>,
    /// Whether peers are to do the same.
    is_told: bool,
}

/// Whose doing a draft is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Mode {
    /// Nobody's yet.
    #[default]
    Open,
    /// Ours.
    Own,
    /// A peer's.
    Following,
}

/// What stops a turn.
enum Stop {
    /// Nothing that would not be there after this turn's write.
    AfterWrite(Work),
    /// Something has to be read first.
    Needs(Work, Need),
    /// Events that we miss have to be fetched first: after the one, before the other.
    Missing(Box<Told>, Gap),
    /// What came of another run of the workflow after the event has to be fetched first.
    Unheard(Box<Told>, RunId, VersionHistoryItem),
    /// A peer's task broke the draft: everything is put back but this one.
    Refused(Box<Told>, String),
}

impl Shard {
    /// Let the workflow go on, if it can.
    pub(super) fn advance(&mut self, now: Timestamp, key: &WorkflowKey) {
        loop {
            if !self.is_ready() {
                return;
            }
            let passes = self.passage(key.namespace);
            let Some(slot) = self.slots.get_mut(key) else { return };
            if !slot.parked.iter().all(passes) {
                // What is held back keeps its order, behind what is not.
                let parked = core::mem::take(&mut slot.parked);
                let (next, rest): (VecDeque<_>, VecDeque<_>) = parked.into_iter().partition(passes);
                slot.parked = next.into_iter().chain(rest).collect();
            }
            if !slot.parked.front().is_some_and(passes) {
                return;
            }
            // A caller is told at once how it stands.
            if slot.rests && !matches!(slot.parked.front(), Some(Work::Request(..))) {
                return;
            }
            let load = match slot.phase {
                Phase::Loading(_) | Phase::Committing(_) => return,
                Phase::Empty => Some(Load::Current(key.clone())),
                Phase::Ready => {
                    let run = slot.missing_run();
                    run.map(|run| Load::Run(RunKey { workflow: key.clone(), run }))
                }
            };
            match load {
                Some(load) => return self.load_slot(key, load),
                None => self.take_turn(now, key, passes),
            }
        }
    }

    /// Decide what waits at a ready slot.
    fn take_turn(&mut self, now: Timestamp, key: &WorkflowKey, passes: fn(&Work) -> bool) {
        let Some(namespace) = self.namespaces.get(&key.namespace) else { return };
        let Ownership::Owned { range, ids, .. } = &mut self.ownership else { return };
        let Some(slot) = self.slots.get_mut(key) else { return };
        let (range, lowest) = (*range, ids.peek());
        let was_current = slot.current;
        let mut current = slot.current;
        let mut runs = core::mem::take(&mut slot.runs);
        let (read, absent) = (core::mem::take(&mut slot.read), core::mem::take(&mut slot.absent));
        slot.wanted = None;
        let kept = self.quarantine.settling(key);
        let mut turn = Turn::default();
        let mut draft = Draft {
            key,
            namespace,
            topology: &self.topology,
            limits: self.limits.of(&namespace.name),
            read: &read,
            absent: &absent,
            recovers: self.recoveries.hold(key.namespace),
            asked: &slot.fetched,
            kept: &kept,
            buried: self.tombstones.highest(key),
            now,
            entropy: &mut self.entropy,
            task_ids: ids,
            runs: &mut runs,
            current: &mut current,
            was_current,
            replies: Vec::new(),
            reports: Vec::new(),
        };
        while let Some(work) = slot.parked.pop_front() {
            let is_here = |run: &RunId| draft.runs.contains_key(run) || absent.contains(run);
            if !work.runs().iter().all(is_here) || !passes(&work) || ids_run_low(&draft) {
                slot.parked.push_front(work);
                break;
            }
            let work = match work {
                // An operator let it go meanwhile.
                Work::Incoming(told) if self.quarantine.was_let_go(&told.how) => continue,
                Work::Incoming(mut told) => {
                    let is_late = |run, last| self.tombstones.covers(key, run, last);
                    let is_here = draft.runs.contains_key(&told.incoming.run.run);
                    // What was fetched is needed for something that is not late.
                    let is_news = !matches!(told.how, How::Fetched(_));
                    if is_news && told.incoming.forget_deleted(is_here, is_late) {
                        turn.finish_incoming(told);
                        continue;
                    }
                    Work::Incoming(told)
                }
                work => work,
            };
            if let Work::Incoming(told) = &work {
                let run = &told.incoming.run;
                let is_awaited = |(fetched, waiting): &(&RunId, &mut VecDeque<Told>)| {
                    **fetched == run.run || waiting.iter().any(|told| told.incoming.run == *run)
                };
                if let Some((_, waiting)) = slot.fetching.iter_mut().find(is_awaited) {
                    waiting.push_back(told.as_ref().clone());
                    continue;
                }
                let is_behind = turn.behind.iter().any(|behind| behind.incoming.run == *run);
                // A deletion makes pointless what is kept.
                let waits = matches!(told.how, How::Streamed(_)) && !told.incoming.is_deletion();
                if waits && (is_behind || self.quarantine.holds(run)) {
                    turn.behind.push(told.as_ref().clone());
                    continue;
                }
            }
            turn.decide(&mut draft, work);
            // What comes after a run was removed is decided without it.
            if turn.stop.is_some() || !turn.deleted.is_empty() {
                break;
            }
        }
        let stop = turn.stop.take();
        if let Some(Stop::Refused(told, reason)) = stop {
            // The draft is half changed: forget it, and decide the rest again on what is stored.
            for behind in core::mem::take(&mut turn.behind).into_iter().rev() {
                slot.parked.push_front(Work::Incoming(Box::new(behind)));
            }
            for work in turn.works.into_iter().rev() {
                slot.parked.push_front(work);
            }
            slot.unload();
            return self.give_up(now, *told, reason);
        }
        let closed = draft.close();
        // What was to be offered may have come to an end in the same turn.
        let is_wanted =
            |offer: &Dispatch| runs.get(&offer.run.run).is_some_and(|run| dispatch::is_wanted(&run.state, offer));
        turn.dispatches.retain(is_wanted);
        let dispatches = turn.dispatches_of(&closed.tasks, &runs, namespace.is_active_in(self.topology.current()));
        slot.runs = runs;
        slot.current = current;
        if matches!(stop, Some(Stop::Needs(..))) {
            slot.absent = absent;
        }
        if !matches!(stop, None | Some(Stop::Missing(..) | Stop::Unheard(..))) {
            slot.read = read;
        }
        let transaction = self.transaction(now, key, range, closed, &mut turn);
        turn.dispatches.extend(dispatches);
        let behind = core::mem::take(&mut turn.behind);
        self.finish_turn(now, key, lowest, transaction, turn, stop);
        for told in behind {
            self.keep_told(now, told, String::new());
        }
    }

    /// Write what the turn decided, or say at once what needs no write.
    fn finish_turn(
        &mut self,
        now: Timestamp,
        key: &WorkflowKey,
        lowest: TaskId,
        closed: Option<(Transaction, Vec<Output>)>,
        turn: Turn,
        stop: Option<Stop>,
    ) {
        let says = turn.replies.into_iter().map(|(id, reply)| Output::Reply(id, Box::new(reply)));
        let says = says.chain(turn.dispatches.into_iter().map(Output::Dispatch));
        let says = says.chain(turn.reports.into_iter().map(|report| Output::Report(Box::new(report))));
        match closed {
            None => {
                says.for_each(|output| self.outbox.push(output));
                self.on_applied(now, &turn.applied);
                self.on_seeded(now, &turn.seeded);
            }
            Some((transaction, after)) => {
                let id = transaction.id;
                let flight = InFlight {
                    workflow: Some(key.clone()),
                    lowest,
                    tasks: transaction.tasks.clone(),
                    is_unoffered: !self.is_active(key.namespace),
                    completed: transaction.completed.clone(),
                    rows: rows(&transaction, turn.seeds),
                    applied: turn.applied,
                    works: turn.works,
                    seeded: turn.seeded,
                    record: transaction.shard_state.is_some().then(|| core::mem::take(&mut self.gaps)),
                    refused: None,
                    drained: Vec::new(),
                };
                self.outbox.begin(id, Output::Commit(Box::new(transaction)));
                after.into_iter().chain(says).for_each(|output| self.outbox.push_after(id, output));
                self.in_flight.insert(id, flight);
                if let Some(slot) = self.slots.get_mut(key) {
                    slot.phase = Phase::Committing(id);
                }
            }
        }
        if stop.is_none()
            && let Some(slot) = self.slots.get_mut(key)
        {
            slot.forget_predecessors();
        }
        self.stop_turn(now, key, stop);
        self.slots.weigh(key);
        self.slots.evict_some();
    }

    /// See to what stopped a turn.
    fn stop_turn(&mut self, now: Timestamp, key: &WorkflowKey, stop: Option<Stop>) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        match stop {
            None | Some(Stop::Refused(..)) => {}
            Some(Stop::AfterWrite(work)) => slot.parked.push_front(work),
            Some(Stop::Needs(work, need)) => {
                slot.parked.push_front(work);
                // While a write is under way the question is asked again after it.
                if slot.phase == Phase::Ready {
                    match need {
                        Need::Run(run) => slot.wanted = Some(run),
                        Need::Stretch(stretch) => {
                            let load = slot.begin_read(key, stretch);
                            self.load_slot(key, load);
                        }
                    }
                }
            }
            Some(Stop::Missing(told, gap)) => self.fetch(now, key, *told, gap),
            Some(Stop::Unheard(told, run, after)) => self.fetch_end(key, *told, run, after),
        }
    }

    /// The transaction that a closed draft wants, with what may be said once it is durable; `None` when it wants none.
    fn transaction(
        &mut self,
        now: Timestamp,
        key: &WorkflowKey,
        range: crate::ids::RangeId,
        mut closed: Closed,
        turn: &mut Turn,
    ) -> Option<(Transaction, Vec<Output>)> {
        turn.replies.append(&mut closed.replies);
        turn.reports.append(&mut closed.reports);
        closed.completed.extend(turn.fired.drain(..).map(|key| (Category::Timer, key)));
        for deletion in core::mem::take(&mut turn.deleted) {
            closed.completed.extend(deletion.done);
            self.delete(key, deletion.run, &mut closed);
            self.bury(now, key, &deletion, &mut closed);
        }
        closed.completed.extend(turn.released.drain(..).map(|key| (Category::Quarantine, key)));
        if closed.runs.is_empty() && closed.completed.is_empty() && closed.tasks.is_empty() && turn.seeds.is_empty() {
            return None;
        }
        closed.tasks.extend(turn.seeds.iter().map(|row| row.task.clone()));
        let withdrawn = closed.withdrawn.into_iter().map(|(run, event)| Output::Withdraw(run, event));
        let after = withdrawn.chain(closed.notifications.into_iter().map(Output::Notify)).collect();
        // The shard's own record travels with a write that happens anyway.
        let (shard_state, replicated) = match self.take_record(now) {
            Some((state, replicated)) => (Some(state), replicated),
            None => (None, None),
        };
        let transaction = Transaction {
            id: self.next_transaction(),
            shard: self.id,
            range,
            current: closed.current,
            runs: closed.runs,
            history: closed.history,
            tasks: closed.tasks,
            completed: closed.completed,
            replicated,
            visibility: closed.visibility,
            shard_state,
        };
        Some((transaction, after))
    }

    /// A run is removed: whatever else the turn did to it is pointless.
    fn delete(&mut self, key: &WorkflowKey, id: RunId, closed: &mut Closed) {
        let Some(slot) = self.slots.get_mut(key) else { return };
        let Some(run) = slot.runs.remove(&id) else { return };
        let branches = run.state.histories.all().iter().map(|history| history.branch.clone()).collect();
        let written = closed.runs.iter().position(|write| write.run.run == id);
        let expected = match written {
            Some(index) => closed.runs.remove(index).expected,
            None => Some(run.state.local.record),
        };
        let is_stored = expected.is_some();
        let added: Vec<_> = closed.tasks.iter().filter(|task| task.run.run == id).map(|task| task.key).collect();
        closed.tasks.retain(|task| task.run.run != id);
        closed.visibility.retain(|VisibilityWrite::Put(record)| record.run.run != id);
        let own: Vec<_> = run.state.histories.all().iter().map(|history| history.branch.id).collect();
        closed.history.retain(|batch| !own.contains(&batch.branch));
        closed.completed.extend(run.state.outstanding().filter(|(_, key)| !added.contains(key)));
        if is_stored {
            closed.runs.push(RunWrite { run: run.state.run.clone(), expected, change: RunChange::Delete { branches } });
        }
        if slot.current == Some(id) {
            slot.current = None;
            let before = closed.current.take().map_or(Some(id), |write| write.expected);
            closed.current = Some(CurrentWrite { workflow: key.clone(), expected: before, next: None });
        }
    }

    /// A run was removed because somebody wanted that: remember it, and tell peers.
    fn bury(&mut self, now: Timestamp, key: &WorkflowKey, deletion: &Deletion, closed: &mut Closed) {
        let Some(last) = deletion.tombstone else { return };
        let Some(namespace) = self.namespaces.get(&key.namespace).filter(|namespace| namespace.is_replicated()) else {
            return;
        };
        let Ownership::Owned { ids, .. } = &mut self.ownership else { return };
        let run = RunKey { workflow: key.clone(), run: deletion.run };
        let mut add = |fire_time, kind| {
            let key = TaskKey { fire_time, id: ids.next() };
            closed.tasks.push(HistoryTask { key, run: run.clone(), version: last.version, kind });
        };
        // As long as the run would have been kept.
        add(now + namespace.retention.max(SHORTEST_REST), TaskKind::Tombstone(last));
        if deletion.is_told {
            add(Timestamp::ZERO, TaskKind::Replication(ReplicationTask::Deletion { written: now, last }));
        }
    }
}

impl Turn {
    /// Decide one piece of work, or say what has to be done before.
    fn decide(&mut self, draft: &mut Draft<'_>, work: Work) {
        let mode = if is_told(&work) { Mode::Following } else { Mode::Own };
        if self.mode != Mode::Open && self.mode != mode {
            self.stop = Some(Stop::AfterWrite(work));
            return;
        }
        match work {
            Work::Request(id, request) => {
                self.mode = mode;
                match request::handle(draft, id, &request) {
                    Ok(Handled::Answered(response)) => self.replies.push((id, Ok(response))),
                    Ok(Handled::Later) => {}
                    Ok(Handled::Needs(need)) => self.stop = Some(Stop::Needs(Work::Request(id, request), need)),
                    Ok(Handled::AfterWrite) => self.stop = Some(Stop::AfterWrite(Work::Request(id, request))),
                    Err(failure) => self.replies.push((id, Err(failure))),
                }
            }
            Work::Task(task) => {
                self.mode = mode;
                self.decide_task(draft, task);
            }
            Work::Incoming(told) => self.decide_incoming(draft, told),
            Work::Moved(run) => {
                self.mode = mode;
                decide_moved(draft, run.run);
                self.works.push(Work::Moved(run));
            }
            Work::Seed(run, to) => {
                placement::end_forgotten(draft, run.run);
                self.seed(draft, run, to, mode);
            }
        }
    }

    /// Tell a peer all of a run.
    fn seed(&mut self, draft: &mut Draft<'_>, run: RunKey, to: StreamKey, mode: Mode) {
        match seeding::seed(draft, run.run, to) {
            Seed::Tasks(tasks) => {
                self.mode = mode;
                self.seeds.extend(tasks);
                self.seeded.push((to, run.clone()));
                self.works.push(Work::Seed(run, to));
            }
            Seed::Later => {
                self.mode = mode;
                self.stop = Some(Stop::AfterWrite(Work::Seed(run, to)));
            }
            Seed::Needs(stretch) => self.stop = Some(Stop::Needs(Work::Seed(run, to), Need::Stretch(stretch))),
        }
    }

    fn decide_task(&mut self, draft: &mut Draft<'_>, task: Box<HistoryTask>) {
        // Every cluster deletes what it has kept long enough by its own clock (7.3).
        let is_local =
            matches!(task.kind, TaskKind::Timer(TimerTask::Retention) | TaskKind::Transfer(TransferTask::Delete));
        if draft.require_active_for(task.run.run).is_err() && !is_local {
            return;
        }
        match task.kind {
            TaskKind::Transfer(TransferTask::Delete) => {
                let run = draft.runs.get(&task.run.run).filter(|run| run.state.local.is_deleted);
                let last = run.map(|run| run.state.histories.current().versions.last());
                let done = Some((Category::Transfer, task.key)).filter(|_| last.is_none());
                if last.is_some() || !draft.runs.contains_key(&task.run.run) {
                    self.deleted.push(Deletion { run: task.run.run, done, tombstone: last, is_told: true });
                }
                self.works.push(Work::Task(task));
            }
            TaskKind::Transfer(TransferTask::Reapply) => self.reapply(draft, task),
            TaskKind::Transfer(_) => {
                let run = draft.runs.get(&task.run.run);
                self.dispatches.extend(run.and_then(|run| dispatch::dispatch(&run.state, &task)));
                // Should what is written beside it fail, it is to be offered then.
                self.works.push(Work::Task(task));
            }
            TaskKind::Timer(_) => {
                match due::fire(draft, &task) {
                    Fired::Delete => self.deleted.push(Deletion {
                        run: task.run.run,
                        done: Some((Category::Timer, task.key)),
                        tombstone: None,
                        is_told: false,
                    }),
                    Fired::Changed | Fired::Stale => self.fired.push(task.key),
                }
                self.works.push(Work::Task(task));
            }
            TaskKind::Replication(_) | TaskKind::Quarantined(_) | TaskKind::Diverged | TaskKind::Tombstone(_) => {}
        }
    }

    fn reapply(&mut self, draft: &mut Draft<'_>, task: Box<HistoryTask>) {
        match reapplication::pay(draft, task.run.run) {
            Reapplied::Nothing => {
                let run = draft.runs.get_mut(&task.run.run);
                if let Some(run) = run.filter(|run| run.state.local.outstanding.reapply == Some(task.key)) {
                    run.changes.changed = true;
                }
            }
            Reapplied::NotActive => {}
            Reapplied::Needs(need) => self.stop = Some(Stop::Needs(Work::Task(task), need)),
            Reapplied::AfterWrite => self.stop = Some(Stop::AfterWrite(Work::Task(task))),
            Reapplied::Done { into, given, known, lost } => {
                let from = task.run.clone();
                self.reports.push(Report::Reapplied { from, into, given, known, lost });
                self.works.push(Work::Task(task));
            }
        }
    }

    fn decide_incoming(&mut self, draft: &mut Draft<'_>, told: Box<Told>) {
        let from = told.stream.cluster;
        match receive::receive(draft, &told.incoming) {
            Received::Applied { digest_differs, conflict, lost } => {
                self.mode = Mode::Following;
                let run = || told.incoming.run.clone();
                // What was kept may come in another order than it was told, and what no event tells be still to come.
                if digest_differs && !matches!(told.how, How::Kept(_)) {
                    self.reports.push(Report::DigestDiffers { run: run(), from });
                }
                if let Some(Conflict { won, lost }) = conflict {
                    self.reports.push(Report::Conflict { run: run(), won, lost });
                }
                if lost.events > 0 {
                    self.reports.push(Report::Lost { run: run(), events: lost.events, bytes: lost.bytes });
                }
                if let How::Streamed(_) = told.how {
                    self.reports.push(Report::Applied { from, written: told.incoming.written });
                }
                self.finish_incoming(told);
            }
            Received::Duplicate => self.finish_incoming(told),
            Received::Deleted(last) => {
                self.mode = Mode::Following;
                let run = told.incoming.run.run;
                self.deleted.push(Deletion { run, done: None, tombstone: Some(last), is_told: false });
                if let How::Streamed(_) = told.how {
                    self.reports.push(Report::Applied { from, written: told.incoming.written });
                }
                self.finish_incoming(told);
            }
            Received::Missing { after, before } => self.stop = Some(Stop::Missing(told, (after, before))),
            Received::Unheard { run, after } => self.stop = Some(Stop::Unheard(told, run, after)),
            Received::Needs(stretch) => {
                self.stop = Some(Stop::Needs(Work::Incoming(told), Need::Stretch(stretch)));
            }
            Received::Later => self.stop = Some(Stop::AfterWrite(Work::Incoming(told))),
            Received::Refused(reason) => self.stop = Some(Stop::Refused(told, reason)),
        }
    }

    fn finish_incoming(&mut self, told: Box<Told>) {
        self.applied.extend(told.acknowledges());
        if let How::Kept(key) = told.how {
            self.released.push(key);
        }
        // A repetition may repeat what this very turn applied: when the write fails, it is decided again, too.
        self.works.push(Work::Incoming(told));
    }

    /// Offers for the tasks that the turn added.
    fn dispatches_of(
        &self,
        tasks: &[HistoryTask],
        runs: &alloc::collections::BTreeMap<RunId, Box<Run>>,
        active: bool,
    ) -> Vec<Dispatch> {
        let transfers = tasks.iter().filter(|task| active && matches!(task.kind, TaskKind::Transfer(_)));
        transfers.filter_map(|task| dispatch::dispatch(&runs.get(&task.run.run)?.state, task)).collect()
    }
}

/// The namespace went elsewhere while a workflow task was started: what it kept back is written under the version that the
/// namespace had then, so that the cluster that is active now gets it. What was written under a later one since goes
/// before it; then it is for this cluster to write when it is active again.
fn decide_moved(draft: &mut Draft<'_>, run: RunId) {
    let stays = draft.require_active().is_ok() && draft.namespace.replication_state.pause().is_none();
    let Some(mut transition) = draft.transition(run).filter(|_| !stays) else { return };
    let Some(kept_under) = failover::version_of_kept(&transition.run.state) else { return };
    if kept_under < transition.run.state.last_write_version() {
        return;
    }
    if transition.run.state.execution.is_zombie() {
        return placement::end_forgotten(draft, run);
    }
    transition.version = kept_under;
    failover::demote(&mut transition);
}

fn rows(transaction: &Transaction, seeds: Vec<BacklogTask>) -> Vec<BacklogTask> {
    let is_seed = |task: &&HistoryTask| seeds.iter().any(|seed| seed.task.key == task.key);
    let told = transaction.tasks.iter().filter(|task| matches!(task.kind, TaskKind::Replication(_)));
    let told = told.filter(|task| !is_seed(task)).map(|task| tail::with_events(task.clone(), &transaction.history));
    let told: Vec<BacklogTask> = told.collect();
    told.into_iter().chain(seeds).collect()
}

fn is_told(work: &Work) -> bool {
    matches!(work, Work::Incoming(_))
}

fn ids_run_low(draft: &Draft<'_>) -> bool {
    draft.task_ids.left() < 1 << 15
}

/// What is told late of a deleted run is remembered to be late for at least so long.
const SHORTEST_REST: Duration = Duration::from_secs(86_400);
