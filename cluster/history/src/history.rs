//! The handle by which the rest of the process speaks to the shards.

use bytes::Bytes;
use replicator::{
    ids::{EventId, RunKey, ShardId, WorkflowKey},
    namespace::Namespace,
    shard::io::{Failure, Notification, Reply, Request, RunView},
};

/// Speaks to the shards of this process. Clones share them.
#[derive(Clone)]
pub struct History {}

impl History {
    /// Ask the workflow's shard and wait for the answer; what the answer promises is durable.
    ///
    /// Never waits for ever: a shard that cannot answer says [`Failure::Unavailable`].
    pub async fn call(&self, _request: Request) -> Reply {
        Err(Failure::Unavailable("the shard is not there".into()))
    }

    /// Stored batches of the view's current branch that hold events `first` to before `end`, oldest first, until
    /// `max_events` are reached; batches are never split. Served from memory when they were written a moment ago.
    pub async fn events(
        &self,
        _view: &RunView,
        _first: EventId,
        _end: EventId,
        _max_events: usize,
    ) -> Result<Events, Failure> {
        Err(Failure::Unavailable("the shard is not there".into()))
    }

    /// The same, newest batch first: batches that hold events before `end`.
    pub async fn events_reverse(
        &self,
        _view: &RunView,
        _end: EventId,
        _max_events: usize,
    ) -> Result<Events, Failure> {
        Err(Failure::Unavailable("the shard is not there".into()))
    }

    /// Watch a run. Subscribe before reading its view, so that no change is missed between the two.
    #[must_use]
    pub fn watch(&self, _run: &RunKey) -> RunWatch {
        RunWatch {}
    }

    /// Tell every shard what a namespace is now. What waits for it, a promotion above all, happens at once.
    pub fn put_namespace(&self, _namespace: Namespace) {}

    /// Shard of a workflow.
    #[must_use]
    pub fn shard_of(&self, workflow: &WorkflowKey) -> ShardId {
        replicator::ids::shard_of(workflow.namespace, &workflow.workflow, self.shard_count())
    }

    /// How many shards the cluster has.
    #[must_use]
    pub fn shard_count(&self) -> u32 {
        1
    }
}

/// A page of history.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// Batches as first written: encoded `temporal.api.history.v1.History` messages.
    pub batches: Vec<Bytes>,
    /// Where the next page goes on (forward: first event not in this page; reverse: the exclusive end of the next page);
    /// `None` when there is no more.
    pub next: Option<EventId>,
}

/// Waits for changes of one run.
pub struct RunWatch {}

impl RunWatch {
    /// The next durable change since the last call, or since the watch began.
    pub async fn changed(&mut self) -> Notification {
        std::future::pending().await
    }
}
