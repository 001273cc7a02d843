//! Everything a handler uses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hosts::Hosts;
use matching::{MatchedTask, Matching};
use replicator::{
    ids::{RunId, WorkflowKey},
    shard::io::{Call, Request, Response, RunView},
    time::Timestamp,
    version::ClusterName,
};
use tokio::{sync::watch, time::sleep};
use uuid::Uuid;

use crate::{
    errors::Error,
    lists::Lists,
    long_polls::LongPolls,
    metrics::Meter,
    namespaces::Namespaces,
    rates::{Limits, Rates},
    redirection::{Peers, Policy},
    shards::Shards,
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Draws ids that nobody has drawn before.
pub type Uuids = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// What this cluster is, for whoever asks.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name.
    pub cluster: ClusterName,
    /// What operators call the machine on which this host of it runs.
    pub host: String,
    /// Given once, when its store was new.
    pub cluster_id: Uuid,
    /// How many shards it has.
    pub shard_count: u32,
    /// Its id among clusters.
    pub initial_failover_version: i64,
    /// Distance between two failover versions of one cluster.
    pub failover_version_increment: i64,
    /// The kind of database that it remembers with, such as `sqlite`.
    pub store: String,
}

/// What a frontend is made of.
pub struct Parts {
    /// This cluster.
    pub about: About,
    /// Its namespaces.
    pub namespaces: Arc<dyn Namespaces>,
    /// Its shards, those that are on this host.
    pub shards: Arc<dyn Shards>,
    /// Its task queues, those that are on this host.
    pub matching: Matching,
    /// The way to the other hosts of the cluster; nothing when it has but this one.
    pub hosts: Option<Hosts>,
    /// Lists and counts of its runs.
    pub lists: Arc<dyn Lists>,
    /// The ways to other clusters.
    pub peers: Peers,
    /// Which calls go there.
    pub policy: Policy,
    /// How many calls are answered.
    pub limits: Limits,
    /// Counts calls.
    pub meter: Arc<dyn Meter>,
    /// The clock.
    pub clock: Clock,
    /// Chance.
    pub uuids: Uuids,
}

/// The public API of one cluster. Clones share everything.
#[derive(Clone)]
pub struct Frontend {
    parts: Arc<Parts>,
    pub(crate) long_polls: LongPolls,
    pub(crate) rates: Rates,
    /// This life: see [`Self::start_id`].
    life: Uuid,
    /// Counts polls, to spread them over the partitions of their queues.
    polls: Arc<AtomicU64>,
    /// Whether this host is about to go.
    stopping: Arc<watch::Sender<bool>>,
}

impl Frontend {
    /// A frontend of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let stopping = Arc::new(watch::Sender::new(false));
        let long_polls = LongPolls::new(parts.limits.clone());
        let life = (parts.uuids)();
        Self { parts: Arc::new(parts), long_polls, rates: Rates::default(), life, polls: Arc::default(), stopping }
    }

    /// This host is about to go: no poll waits on other hosts any more, and those that do are called back.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether this host is about to go.
    pub(crate) fn stops(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Wait until this host has been about to go for so long.
    pub(crate) async fn has_stopped_for(&self, long: Duration) {
        // Whoever waits holds a sender, so it is never closed.
        let _ = self.stopping.subscribe().wait_for(|is_stopping| *is_stopping).await;
        sleep(long).await;
    }

    /// How many polls came before this one.
    pub(crate) fn next_poll(&self) -> u64 {
        self.polls.fetch_add(1, Ordering::Relaxed)
    }

    /// The moment.
    pub(crate) fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    /// A fresh id, as text.
    pub(crate) fn fresh_id(&self) -> String {
        (self.parts.uuids)().to_string()
    }

    /// The request id under which a task is started that was offered here, the same for whichever poll. When one breaks off
    /// meanwhile, the task goes to the next, and its shard, asked under the same id, answers as it did. Under another id it would
    /// refuse, and the task would be nobody's until its time is up.
    pub(crate) fn start_id(&self, task: &MatchedTask) -> String {
        let offer = task.handed().serial.0;
        Uuid::from_u128(self.life.as_u128().wrapping_add(offer.into())).to_string()
    }

    /// Ask a shard.
    pub(crate) async fn ask(&self, workflow: WorkflowKey, run: Option<RunId>, call: Call) -> Result<Response, Error> {
        Ok(self.shards.call(Request { workflow, run, call }).await?)
    }

    /// Ask a shard for something that is done or refused.
    pub(crate) async fn tell(&self, workflow: WorkflowKey, run: Option<RunId>, call: Call) -> Result<(), Error> {
        match self.ask(workflow, run, call).await? {
            Response::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Where a run stands.
    pub(crate) async fn view(&self, workflow: WorkflowKey, run: Option<RunId>) -> Result<RunView, Error> {
        match self.ask(workflow, run, Call::View).await? {
            Response::View(view) => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }
}

impl std::ops::Deref for Frontend {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// An answer to another question than the one that was asked.
pub(crate) fn unexpected(response: &Response) -> Error {
    Error::Internal(format!("a shard answered {response:?}"))
}
