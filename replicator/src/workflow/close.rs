//! The end of a draft: what it did becomes one transaction.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use prost::Message;

use super::{
    MutableState,
    activity::Activity,
    draft::{Changes, Draft, Run, TaskIds},
    execution::Phase,
    limits::Grown,
    sync_activity,
    task_generation::{Scope, TaskDiff},
};
use crate::{
    defects::{Defect, planted},
    history::{Branch, HistoryBatch},
    ids::{EventId, RecordVersion, RunId, RunKey, TaskId},
    shard::io::{
        CurrentWrite, HistoryWrite, Notification, Reply, Report, RequestId, RunChange, RunWrite, VisibilityWrite,
    },
    task::{Category, HistoryStretch, HistoryTask, ReplicationTask, TaskKey, TaskKind, WrittenBatch},
    time::Timestamp,
    version::FailoverVersion,
};

/// What a draft wants written, and what may be said once it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Closed {
    /// The current-run pointer, if it moves.
    pub current: Option<CurrentWrite>,
    /// Runs that change.
    pub runs: Vec<RunWrite>,
    /// Batches that are added.
    pub history: Vec<HistoryWrite>,
    /// Tasks that are added.
    pub tasks: Vec<HistoryTask>,
    /// Tasks that are no longer needed.
    pub completed: Vec<(Category, TaskKey)>,
    /// Visibility records that change.
    pub visibility: Vec<VisibilityWrite>,
    /// Runs that changed.
    pub notifications: Vec<Notification>,
    /// Workflow and activity tasks that wait for a worker and are no longer wanted. They are withdrawn before new tasks
    /// are dispatched.
    pub withdrawn: Vec<(RunKey, EventId)>,
    /// Answers to earlier requests.
    pub replies: Vec<(RequestId, Reply)>,
    /// What operators are told of it.
    pub reports: Vec<Report>,
}

impl Draft<'_> {
    /// Turn what was done into writes. The runs stay as they are after the transaction, with no changes left.
    #[must_use]
    pub fn close(mut self) -> Closed {
        // What a run was before it was replaced is told before what replaces it.
        let (created, older): (Vec<RunId>, Vec<RunId>) =
            self.runs.keys().partition(|run| self.runs[run].changes.created);
        let touched = |run: &RunId| self.runs[run].changes.is_touched();
        let order: Vec<RunId> = older.into_iter().chain(created).filter(touched).collect();
        for run in &order {
            self.settle(*run);
        }
        let carried = self.carried(&order);

        let mut closed = Closed {
            replies: core::mem::take(&mut self.replies),
            reports: core::mem::take(&mut self.reports),
            ..Closed::default()
        };
        self.check_phases();
        for id in &order {
            let run = self.runs.get_mut(id).expect("a key of the map");
            let tells_peers = !run.changes.passive && self.namespace.is_replicated();
            let before = (!run.changes.passive).then(|| Grown::stored(run));
            closed.write(run, self.now, self.task_ids, tells_peers.then_some(&carried));
            closed.reports.extend(before.into_iter().flat_map(|before| self.limits.warnings(run, before)));
        }
        if *self.current != self.was_current && !planted(Defect::PointerStays) {
            closed.current =
                Some(CurrentWrite { workflow: self.key.clone(), expected: self.was_current, next: *self.current });
        }
        closed
    }

    /// At most one run of a workflow runs, and it is the current one (5.7).
    fn check_phases(&self) {
        for (id, run) in self.runs.iter() {
            let is_current = *self.current == Some(*id);
            match run.state.execution.phase {
                Phase::Running => assert!(is_current, "run {id} runs and is not current"),
                Phase::Zombie => assert!(!is_current, "run {id} is current and a zombie"),
                Phase::Closed(_) => {}
            }
        }
    }

    /// Write what is left to be written: what waited in the buffer, a workflow task, the open batch, the day of deletion.
    fn settle(&mut self, id: RunId) {
        let retention = self.namespace.retention;
        let Some(mut transition) = self.transition(id) else { return };
        if !transition.run.changes.passive {
            transition.flush_buffered();
            if transition.run.changes.wants_workflow_task {
                transition.schedule_workflow_task();
            }
        }
        let run = transition.run;
        run.changes.finish_batch();
        if let Phase::Closed(close) = &mut run.state.execution.phase
            && close.delete_after == Timestamp::MAX
        {
            close.delete_after = close.time + retention;
            run.changes.changed = true;
        }
    }

    /// Runs whose first batch travels with the batch of the run that started them.
    fn carried(&self, order: &[RunId]) -> BTreeMap<RunId, WrittenBatch> {
        let started = order.iter().filter_map(|run| {
            let changes = &self.runs[run].changes;
            changes.new_run.filter(|_| !changes.batches.is_empty())
        });
        let first_batch = |id: RunId| {
            let run = self.runs.get(&id).filter(|run| run.changes.created)?;
            let batches = &run.changes.batches;
            let digest = (batches.len() == 1).then(|| run.state.digest());
            Some((id, written(&run.state, batches.first()?, digest)))
        };
        started.filter_map(first_batch).collect()
    }
}

impl Changes {
    /// Whether anything may have to be written.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.created
            || self.changed
            || self.regenerate
            || self.wants_workflow_task
            || !self.events.is_empty()
            || !self.batches.is_empty()
            || !self.backfill.is_empty()
    }
}

impl Changes {
    /// The first write under a version tells all that peers must know of activities and no event says: those whose branch
    /// lost to this one have forgotten it, or never heard it.
    fn tell_activities(&mut self, state: &mut MutableState) {
        let versions = &state.histories.current().versions;
        let last = versions.last();
        for scheduled in &self.synced_activities {
            let is_known = |activity: &Activity| activity.told_at == Some(last);
            if state.activities.table.get(scheduled).is_some_and(|activity| !is_known(activity))
                && let Some(activity) = state.activities.table.get_mut(scheduled)
            {
                activity.told_at = Some(last);
            }
        }
        self.synced_activities.append(&mut self.retold_activities);
        let before = self.batches.first().and_then(|batch| versions.version_of(batch.first().previous()));
        if !self.passive && before.is_some_and(|before| before < last.version) {
            let attempted = state.activities.table.iter().filter(|(_, activity)| activity.told_at.is_some());
            self.synced_activities.extend(attempted.map(|(scheduled, _)| *scheduled));
        }
    }
}

impl Closed {
    /// Write one run. `carried`, unless peers need not be told, are the new runs that need no task of their own.
    fn write(
        &mut self,
        run: &mut Run,
        now: Timestamp,
        ids: &mut TaskIds,
        carried: Option<&BTreeMap<RunId, WrittenBatch>>,
    ) {
        let changes = core::mem::take(&mut run.changes);
        let state = &mut run.state;
        let scope = if changes.regenerate { Scope::All } else { Scope::Changed };
        let diff = match changes.passive && planted(Defect::StandbyKeepsNoTasks) {
            false => state.generate_tasks(now, scope, ids),
            true => TaskDiff::default(),
        };
        let is_same = changes.batches.is_empty() && changes.backfill.is_empty() && diff.is_empty();
        if !changes.created && !changes.changed && is_same {
            return;
        }
        for batch in &changes.batches {
            self.history.push(append(state, batch, ids.next()));
        }
        for (index, batch) in &changes.backfill {
            state.local.contents.add(*index, batch);
            let branch = &state.histories.all()[*index].branch;
            // Chained to nothing: it was not this branch that was written to last (BR-6).
            self.history.push(write(branch, batch, ids.next(), TaskId(0)));
        }
        let mut changes = changes;
        changes.tell_activities(state);
        state.local.digest = state.digest();
        if let Some(carried) = carried {
            self.tell_peers(state, &changes, ids, now, carried);
        }
        self.tasks.extend(diff.added);
        self.completed.extend(diff.completed);
        self.withdrawn.extend(diff.withdrawn.into_iter().map(|scheduled| (state.run.clone(), scheduled)));

        let expected = (!changes.created).then_some(state.local.record);
        state.local.record = RecordVersion(state.local.record.0 + 1);
        state.local.state_transitions += i64::from(!changes.uncounted);
        let change = put(state, changes.created);
        run.stored.note(&change);
        self.runs.push(RunWrite { run: state.run.clone(), expected, change });
        if changes.created || changes.visibility {
            self.visibility.push(state.visibility());
        }
        self.notifications.push(Notification {
            run: state.run.clone(),
            next_event_id: state.next_event_id(),
            is_open: state.is_open(),
        });
    }

    /// A task for each batch, and one for each activity that changed without an event and is still pending.
    fn tell_peers(
        &mut self,
        state: &MutableState,
        changes: &Changes,
        ids: &mut TaskIds,
        now: Timestamp,
        carried: &BTreeMap<RunId, WrittenBatch>,
    ) {
        let mut tell = |version: FailoverVersion, task: ReplicationTask| {
            let key = TaskKey { fire_time: Timestamp::ZERO, id: ids.next() };
            let kind = TaskKind::Replication(task);
            self.tasks.push(HistoryTask { key, run: state.run.clone(), version, kind });
        };
        let is_carried = changes.created && carried.contains_key(&state.run.run);
        let mut new_run = changes.new_run.and_then(|run| Some((run, carried.get(&run)?.clone())));
        let synced = || changes.synced_activities.iter().filter_map(|scheduled| state.activities.table.get(scheduled));
        let last = changes.batches.len().saturating_sub(1);
        for (index, batch) in changes.batches.iter().enumerate().skip(usize::from(is_carried)) {
            let is_end = index == last;
            let is_told = is_end && synced().next().is_none() && state.is_comparable();
            let digest = is_told.then_some(state.local.digest);
            let mut batch_told = written(state, batch, digest);
            let new_run = if is_end { new_run.take() } else { None };
            let base = changes.base.clone().filter(|_| index == 0);
            if base.is_some() {
                batch_told.start_request_id = state.execution.start.request_id.clone();
            }
            let stretch = HistoryStretch { written: now, batch: batch_told, new_run, base, to: None };
            tell(batch.version(), ReplicationTask::History(Box::new(stretch)));
        }
        for activity in synced() {
            let scheduled = activity.scheduled;
            if let Some(told) = sync_activity::told(state, scheduled) {
                let attributes = told.encode_to_vec().into();
                tell(activity.version, ReplicationTask::SyncActivity { written: now, scheduled, attributes, to: None });
            }
        }
    }
}

/// What peers are told of a batch of the current branch.
fn written(state: &MutableState, batch: &HistoryBatch, digest: Option<u64>) -> WrittenBatch {
    let current = state.histories.current();
    let begins = batch.first() == EventId::FIRST;
    WrittenBatch {
        branch: current.branch.clone(),
        versions: current.versions.clone(),
        first: batch.first(),
        next: batch.last().next(),
        start_request_id: if begins { state.execution.start.request_id.clone() } else { String::new() },
        digest,
    }
}

/// Add a batch to the current branch.
fn append(state: &mut MutableState, batch: &HistoryBatch, transaction: TaskId) -> HistoryWrite {
    let write = write(&state.histories.current().branch, batch, transaction, state.local.last_append);
    state.local.last_append = transaction;
    state.local.history_size += batch.size();
    let branch = state.histories.current_index();
    state.local.contents.add(branch, batch);
    write
}

fn write(branch: &Branch, batch: &HistoryBatch, transaction: TaskId, previous: TaskId) -> HistoryWrite {
    HistoryWrite {
        tree: branch.tree,
        branch: branch.id,
        node: batch.first(),
        next: batch.last().next(),
        transaction,
        previous,
        events: batch.bytes().clone(),
    }
}

/// The record, and the rows of what changed. How the run was started is written once.
fn put(state: &mut MutableState, created: bool) -> RunChange {
    let (mut upserts, deletes) = state.take_changed_items();
    if created {
        upserts.push(state.start_item());
    }
    RunChange::Put {
        record: state.local.record,
        state: state.encode_record(),
        upserts,
        deletes: if created { Vec::new() } else { deletes },
    }
}
