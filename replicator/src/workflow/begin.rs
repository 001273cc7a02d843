//! How a run comes to be: from its first event, born here or received.

use alloc::{boxed::Box, collections::BTreeMap, string::String};

use proto::temporal::api::history::v1::WorkflowExecutionStartedEventAttributes;

use super::{
    MutableState,
    activity::Activities,
    apply::{ApplyError, At},
    draft::{Changes, Draft, Run},
    execution::{Execution, Start},
    lineage::Lineage,
    mutable_state::Local,
    reapplied::Reapplied,
    signal::Signals,
    timer::Timers,
    transition::{EventMeta, born},
    weight::Stored,
    workflow_task::WorkflowTasks,
};
use crate::{
    history::{
        Branch, HistoryBatch,
        event::{Attributes, HistoryEvent},
    },
    ids::{EventId, RunId, RunKey, TaskId},
    version::{VersionHistories, VersionHistory, VersionHistoryItem},
};

impl MutableState {
    /// The state after a run's first event.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when the event cannot be the first of a run.
    pub fn begin(run: RunKey, branch: Branch, request_id: String, event: &HistoryEvent) -> Result<Self, ApplyError> {
        let inconsistent = |reason| ApplyError::Inconsistent { event: EventId(event.event_id), reason };
        let at = At::of(event, EventId::FIRST).map_err(inconsistent)?;
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(attributes)) = &event.attributes else {
            return Err(inconsistent("a run begins with its start"));
        };
        if at.event != EventId::FIRST {
            return Err(inconsistent("the first event has another id"));
        }
        let first_run = match attributes.first_execution_run_id.as_str() {
            "" => run.run,
            text => RunId::parse(text).map_err(|_| inconsistent("the first run has no proper id"))?,
        };
        let start = Start {
            time: at.time,
            version: at.version,
            attributes: attributes.clone(),
            user_metadata: event.user_metadata.clone(),
            first_run,
            request_id,
            clock: TaskId(event.task_id),
        };
        let versions = VersionHistory::new(VersionHistoryItem { event_id: at.event, version: at.version });
        Ok(Self {
            run,
            execution: Execution::begin(start),
            workflow_task: WorkflowTasks { next_attempt: 1, ..WorkflowTasks::default() },
            activities: Activities::default(),
            timers: Timers::default(),
            signals: Signals::default(),
            reapplied: Reapplied::default(),
            lineage: Lineage::default(),
            reset_request_id: String::new(),
            clock: TaskId(event.task_id),
            histories: VersionHistories::new(branch, versions),
            local: Local::default(),
        })
    }
}

impl Run {
    /// A run that another cluster started: what its first batch makes of it. Not made current.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when the batch is not the first of a run.
    pub fn received(run: RunKey, branch: Branch, request_id: String, batch: HistoryBatch) -> Result<Self, ApplyError> {
        let state = MutableState::begin(run, branch, request_id, &batch.events()[0])?;
        let changes = Changes { created: true, visibility: true, ..Changes::default() };
        let mut run = Self { state, changes, stored: Stored::default(), queries: BTreeMap::new() };
        run.follow_from(batch, 1)?;
        Ok(run)
    }

    /// Apply a batch that another cluster wrote, the next on the current branch.
    ///
    /// # Errors
    ///
    /// [`ApplyError`] when its events cannot have happened. The run is then half changed and to be given up.
    pub fn follow(&mut self, batch: HistoryBatch) -> Result<(), ApplyError> {
        self.follow_from(batch, 0)
    }

    fn follow_from(&mut self, batch: HistoryBatch, applied: usize) -> Result<(), ApplyError> {
        for event in &batch.events()[applied..] {
            self.state.apply(event, batch.first())?;
            self.changes.note(event);
        }
        self.changes.passive = true;
        self.changes.changed = true;
        self.changes.batches.push(batch);
        Ok(())
    }
}

impl Draft<'_> {
    /// Start a run and make it the current one. Its first workflow task is scheduled when the draft is closed, if the
    /// run's changes want one (`wants_workflow_task`) and no delay forbids it.
    pub fn create_run(
        &mut self,
        run: RunId,
        request_id: String,
        started: WorkflowExecutionStartedEventAttributes,
        meta: EventMeta,
    ) -> RunId {
        let key = RunKey { workflow: self.key.clone(), run };
        let branch = Branch::root(run, self.entropy);
        let at = At {
            event: EventId::FIRST,
            batch: EventId::FIRST,
            time: self.now,
            version: self.namespace.failover_version,
        };
        let attributes = Attributes::WorkflowExecutionStartedEventAttributes(started);
        let event = born(at, self.task_ids.next(), attributes, meta);
        let state = MutableState::begin(key, branch, request_id, &event).expect("the start that we wrote is a start");
        let changes = Changes {
            events: [event].into(),
            created: true,
            changed: true,
            wants_workflow_task: true,
            visibility: true,
            ..Changes::default()
        };
        let new = Run { state, changes, stored: Stored::default(), queries: BTreeMap::new() };
        self.runs.insert(run, Box::new(new));
        self.carry_over(*self.current, run, false);
        *self.current = Some(run);
        run
    }

    /// What the workflow's current run knew of inputs that were put into it again, the next one knows too, so that nobody
    /// puts them there once more. `lost`: the one before was open and gave way to a conflict.
    pub fn carry_over(&mut self, before: Option<RunId>, next: RunId, lost: bool) {
        let before = before.filter(|before| *before != next).and_then(|before| self.runs.get(&before));
        let Some(known) = before.map(|before| before.state.reapplied.clone()) else { return };
        if let Some(run) = self.runs.get_mut(&next) {
            run.state.reapplied.carry_over(&known, lost);
        }
    }
}
