//! Those who stand outside and look: a file for each promise, each with its own small model of the truth.

mod acknowledged;
mod agreement;
mod one_open_run;
mod rebuilt;
mod tasks;
mod timers;
mod unbroken;
mod watermark;

use std::time::Duration;

use replicator::{
    ids::{EventId, RunId, RunKey, ShardId, TaskId, WorkflowId, WorkflowKey},
    shard::io::{Report, Transaction},
    workflow::MutableState,
};

use crate::{plan::Plan, store::Store};

/// Something that checkers are shown.
pub enum Seen<'a> {
    /// A transaction is durable.
    Committed {
        /// Where.
        cluster: usize,
        /// It.
        transaction: &'a Transaction,
        /// The runs that it wrote, as they rest now.
        runs: &'a [MutableState],
        /// Everything that rests there.
        store: &'a Store,
    },
    /// A client or worker was told that something is true.
    Acknowledged {
        /// What.
        fact: &'a Fact,
    },
    /// A shard told its operators something.
    Reported {
        /// The cluster of the shard.
        cluster: usize,
        /// What.
        report: &'a Report,
    },
    /// A shard tells a peer's shard that every task below a mark is durable.
    Acked {
        /// Who says it.
        by: usize,
        /// Its shard.
        by_shard: ShardId,
        /// Whose tasks they are.
        source: usize,
        /// Its shard.
        source_shard: ShardId,
        /// The mark.
        low: TaskId,
    },
}

/// Something that was promised by an acknowledgement.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// A run was started.
    Started {
        /// The workflow.
        workflow: WorkflowKey,
        /// By which request.
        request_id: String,
        /// The run.
        run: RunId,
    },
    /// A run has a signal.
    Signaled {
        /// The workflow.
        workflow: WorkflowKey,
        /// Of which request.
        request_id: String,
        /// The run.
        run: RunId,
    },
    /// A workflow task was completed.
    WorkflowTaskCompleted {
        /// The run.
        run: RunKey,
        /// The event that scheduled the task.
        scheduled: EventId,
    },
    /// An activity was completed.
    ActivityCompleted {
        /// The run.
        run: RunKey,
        /// The event that scheduled the activity.
        scheduled: EventId,
    },
}

/// What a checker found wrong.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// The workflow it is about, if it is about one.
    pub subject: Option<WorkflowId>,
    /// What is wrong.
    pub text: String,
}

impl Finding {
    /// About no workflow in particular.
    #[must_use]
    pub fn of_all(text: String) -> Self {
        Self { subject: None, text }
    }

    /// About a run.
    #[must_use]
    pub fn of(run: &RunKey, text: String) -> Self {
        Self { subject: Some(run.workflow.workflow.clone()), text: format!("{text} (run {})", run.run) }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// When, after the beginning.
    pub at: Duration,
    /// The promise.
    pub promise: &'static str,
    /// How it was broken.
    pub finding: Finding,
}

/// Looks after one promise.
pub(crate) trait Checker {
    /// The promise.
    fn promise(&self) -> &'static str;

    /// Look at something.
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding>;

    /// Look at all clusters once everything is at rest.
    fn rest(&mut self, _stores: &[&Store]) -> Result<(), Finding> {
        Ok(())
    }
}

/// All of them.
pub(crate) struct Checkers(Vec<Box<dyn Checker>>);

impl Checkers {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(vec![
            Box::new(unbroken::Unbroken::default()),
            Box::new(one_open_run::OneOpenRun::default()),
            Box::new(rebuilt::Rebuilt::default()),
            Box::new(tasks::Tasks::default()),
            Box::new(timers::Timers::default()),
            Box::new(watermark::Watermark::new(plan)),
            Box::new(agreement::Agreement),
            Box::new(acknowledged::Acknowledged::default()),
        ])
    }

    pub(crate) fn see(&mut self, seen: &Seen<'_>) -> Result<(), (&'static str, Finding)> {
        let promised =
            |checker: &mut Box<dyn Checker>| checker.see(seen).map_err(|finding| (checker.promise(), finding));
        self.0.iter_mut().try_for_each(promised)
    }

    pub(crate) fn rest(&mut self, stores: &[&Store]) -> Result<(), (&'static str, Finding)> {
        let promised =
            |checker: &mut Box<dyn Checker>| checker.rest(stores).map_err(|finding| (checker.promise(), finding));
        self.0.iter_mut().try_for_each(promised)
    }
}
