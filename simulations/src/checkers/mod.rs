//! Those who stand outside and look: a file for each promise, each with its own small model of the truth.

mod acknowledged;
pub(crate) mod agreement;
mod booked;
mod branches;
mod dispatched;
mod granted;
pub(crate) mod namespaces;
mod one_open_run;
mod ordered;
mod planned;
mod rebuilt;
mod tasks;
mod timers;
mod unbroken;
mod watermark;
mod zombies;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use replicator::{
    ids::{EventId, NamespaceId, RunId, RunKey, ShardId, TaskId, WorkflowId, WorkflowKey},
    namespace::Namespace,
    shard::io::{Dispatch, Report, Transaction},
    workflow::MutableState,
};

use crate::{plan::Plan, program::Errand, store::Store};

pub use granted::Attempt;

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
    /// A cluster's store was lost, and a copy took its place.
    Restored {
        /// Whose.
        cluster: usize,
        /// The runs that it has.
        runs: &'a [MutableState],
        /// Everything that rests there.
        store: &'a Store,
        /// Workflows of which something is lost for good: no other cluster had it.
        lost: &'a BTreeSet<WorkflowKey>,
    },
    /// A client or a worker asks for a signal, the first time or again.
    Asked {
        /// The workflow that is to have it.
        workflow: &'a WorkflowKey,
        /// By which it is known.
        request_id: &'a str,
    },
    /// A client asks for a run to be deleted.
    Deleting {
        /// The workflow.
        workflow: &'a WorkflowKey,
    },
    /// The bank did what an activity asked for.
    Booked {
        /// Its receipt.
        receipt: u64,
        /// The workflow of the activity.
        workflow: &'a WorkflowKey,
        /// What it asked for.
        errand: Errand,
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
    /// A shard that nobody has taken over offers a task to workers.
    Dispatched {
        /// The cluster of the shard.
        cluster: usize,
        /// The task.
        dispatch: &'a Dispatch,
        /// Everything that rests there.
        store: &'a Store,
    },
    /// A worker was given an attempt.
    Granted {
        /// The cluster that gave it.
        cluster: usize,
        /// The attempt.
        attempt: &'a Attempt,
        /// The worker's request.
        request_id: &'a str,
    },
    /// A cluster took back a namespace that it had handed over, because the new side did not confirm: both may have written.
    TakenBack,
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
    /// A run was ended from outside.
    Terminated {
        /// The workflow.
        workflow: WorkflowKey,
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

impl Fact {
    /// The workflow that it is about.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowKey {
        match self {
            Self::Started { workflow, .. } | Self::Signaled { workflow, .. } | Self::Terminated { workflow } => {
                workflow
            }
            Self::WorkflowTaskCompleted { run, .. } | Self::ActivityCompleted { run, .. } => &run.workflow,
        }
    }
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

/// All clusters once everything is at rest, in the order of their numbers.
pub struct AtRest<'a> {
    /// What rests in each.
    pub stores: Vec<&'a Store>,
    /// What each knows of namespaces.
    pub records: Vec<&'a BTreeMap<NamespaceId, Namespace>>,
}

/// The state of a run that rests in a store.
fn state_of(store: &Store, run: &RunKey) -> Result<MutableState, Finding> {
    let stored = store.run(run).ok_or_else(|| Finding::of(run, "it is not there".into()))?;
    MutableState::decode(stored).map_err(|_| Finding::of(run, "it cannot be read".into()))
}

/// Looks after one promise.
trait Checker {
    /// The promise.
    fn promise(&self) -> &'static str;

    /// Look at something.
    fn see(&mut self, seen: &Seen<'_>) -> Result<(), Finding>;

    /// Look at all clusters once everything is at rest.
    fn rest(&mut self, _world: &AtRest<'_>) -> Result<(), Finding> {
        Ok(())
    }
}

/// All of them.
pub struct Checkers(Vec<Box<dyn Checker + Send>>);

impl Checkers {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self(vec![
            Box::new(unbroken::Unbroken::default()),
            Box::new(branches::Branches),
            Box::new(one_open_run::OneOpenRun::default()),
            Box::new(zombies::Zombies::default()),
            Box::new(rebuilt::Rebuilt::default()),
            Box::new(tasks::Tasks::default()),
            Box::new(timers::Timers::default()),
            Box::new(watermark::Watermark::new(plan)),
            Box::new(dispatched::Dispatched),
            Box::new(granted::Granted::default()),
            Box::new(planned::Planned::new(plan.may_conflict())),
            Box::new(agreement::Agreement::default()),
            Box::new(namespaces::Namespaces),
            Box::new(acknowledged::Acknowledged::new(plan.may_conflict())),
            Box::new(ordered::Ordered::new(plan.may_conflict())),
            Box::new(booked::Booked::default()),
        ])
    }

    /// Those that need to be shown nothing but what is durable and what was acknowledged.
    #[must_use]
    pub fn of_stores(may_conflict: bool) -> Self {
        Self(vec![
            Box::new(unbroken::Unbroken::default()),
            Box::new(one_open_run::OneOpenRun::default()),
            Box::new(zombies::Zombies::default()),
            Box::new(rebuilt::Rebuilt::default()),
            Box::new(tasks::Tasks::default()),
            Box::new(timers::Timers::default()),
            Box::new(agreement::Agreement::default()),
            Box::new(acknowledged::Acknowledged::new(may_conflict)),
        ])
    }

    /// Look at something.
    ///
    /// # Errors
    ///
    /// The promise that it breaks, and how.
    pub fn see(&mut self, seen: &Seen<'_>) -> Result<(), (&'static str, Finding)> {
        let promised =
            |checker: &mut Box<dyn Checker + Send>| checker.see(seen).map_err(|finding| (checker.promise(), finding));
        self.0.iter_mut().try_for_each(promised)
    }

    /// Look at all clusters once everything is at rest.
    ///
    /// # Errors
    ///
    /// The promise that is broken, and how.
    pub fn rest(&mut self, world: &AtRest<'_>) -> Result<(), (&'static str, Finding)> {
        let promised =
            |checker: &mut Box<dyn Checker + Send>| checker.rest(world).map_err(|finding| (checker.promise(), finding));
        self.0.iter_mut().try_for_each(promised)
    }
}
