//! Names of task queues.

use std::sync::Arc;

use replicator::{
    ids::NamespaceId,
    shard::io::{Dispatch, DispatchQueue},
};

/// Identifies a task queue. Workers and workflows meet at it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QueueKey {
    /// Namespace of the queue.
    pub namespace: NamespaceId,
    /// What waits in it. Queues of one name and different kinds have nothing to do with each other.
    pub kind: QueueKind,
    /// Its name there.
    pub name: Arc<str>,
}

/// What waits in a queue.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum QueueKind {
    /// Workflow tasks and queries, for any worker.
    Workflow,
    /// Workflow tasks and queries, for the one worker that has the run cached.
    Sticky,
    /// Activities.
    Activity,
}

impl QueueKey {
    /// The queue of this name.
    #[must_use]
    pub fn new(namespace: NamespaceId, kind: QueueKind, name: impl Into<Arc<str>>) -> Self {
        Self { namespace, kind, name: name.into() }
    }

    /// Whether other hosts may have parts of it. The queue of a single worker is where that worker is.
    pub(crate) fn is_shared(&self) -> bool {
        self.kind != QueueKind::Sticky
    }

    /// Where `dispatch` wants to wait, and for a sticky queue also where it falls back to.
    pub(crate) fn of(dispatch: &Dispatch) -> (Self, Option<Self>) {
        let namespace = dispatch.run.workflow.namespace;
        let key = |kind, name: &String| Self::new(namespace, kind, name.as_str());
        match &dispatch.queue {
            DispatchQueue::Workflow(name) => (key(QueueKind::Workflow, name), None),
            DispatchQueue::Activity(name) => (key(QueueKind::Activity, name), None),
            DispatchQueue::Sticky(name, normal) => {
                (key(QueueKind::Sticky, name), Some(key(QueueKind::Workflow, normal)))
            }
        }
    }
}

/// The longest name of a queue (api 10.1).
pub const MAX_NAME_BYTES: usize = 1000;
