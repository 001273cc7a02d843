//! What the frontend wants of the shards: of [`History`], or of a stand-in under test.

use futures_util::{FutureExt, future::BoxFuture};
use history::{Ended, Events, History, RunWatch};
use replicator::{
    ids::{EventId, RunKey},
    shard::io::{Failure, Notification, Reply, Request, RunView},
};

/// Speaks to the shards. See [`History`] for what each call promises.
pub trait Shards: Send + Sync + 'static {
    /// Ask the workflow's shard.
    fn call(&self, request: Request) -> BoxFuture<'_, Reply>;

    /// Batches with the events `first` to before `end`, oldest first.
    fn events<'a>(
        &'a self,
        view: &'a RunView,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> BoxFuture<'a, Result<Events, Failure>>;

    /// Batches with events before `end`, newest first.
    fn events_reverse<'a>(
        &'a self,
        view: &'a RunView,
        end: EventId,
        max_events: usize,
    ) -> BoxFuture<'a, Result<Events, Failure>>;

    /// Watch a run from now on.
    fn watch(&self, run: &RunKey) -> Box<dyn Watch>;
}

/// Waits for changes of one run.
pub trait Watch: Send {
    /// The next durable change.
    ///
    /// # Errors
    ///
    /// [`Ended`] when nothing is heard of the run here any more.
    fn changed(&mut self) -> BoxFuture<'_, Result<Notification, Ended>>;
}

impl Shards for History {
    fn call(&self, request: Request) -> BoxFuture<'_, Reply> {
        History::call(self, request).boxed()
    }

    fn events<'a>(
        &'a self,
        view: &'a RunView,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> BoxFuture<'a, Result<Events, Failure>> {
        History::events(self, view, first, end, max_events).boxed()
    }

    fn events_reverse<'a>(
        &'a self,
        view: &'a RunView,
        end: EventId,
        max_events: usize,
    ) -> BoxFuture<'a, Result<Events, Failure>> {
        History::events_reverse(self, view, end, max_events).boxed()
    }

    fn watch(&self, run: &RunKey) -> Box<dyn Watch> {
        Box::new(History::watch(self, run))
    }
}

impl Watch for RunWatch {
    fn changed(&mut self) -> BoxFuture<'_, Result<Notification, Ended>> {
        RunWatch::changed(self).boxed()
    }
}
