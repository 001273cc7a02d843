//! The handle by which the rest of the process speaks to the shards.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use metadata::clusters::View;
use proto::temporal::api::enums::v1::ResourceExhaustedCause;
use replicator::{
    history::branch::BranchRange,
    ids::{EventId, NamespaceId, RunKey, ShardId, WorkflowKey},
    namespace::Namespace,
    shard::{
        HandoverProgress, Standing,
        io::{Dispatch, Failure, Load, Loaded, Reply, Report, Request, RunView},
    },
    stream::BacklogLimit,
    time::Timestamp,
    version::ClusterName,
    workflow::limits::Limits,
};
use store::{HistoryError, Spawner, Store};
use tokio::sync::oneshot;
use tracing::{Level, Span};

use crate::{
    driver::{CALLS, Event},
    recent::Recent,
    room::Memory,
    shards::{Handle, Shards},
    watches::{RunWatch, Watches},
};

/// Where tasks for workers go.
pub trait TaskSink: Send + Sync + 'static {
    /// A task waits for a worker. Offers may repeat.
    fn offer(&self, dispatch: Dispatch);
    /// A task is no longer wanted.
    fn withdraw(&self, run: RunKey, scheduled: EventId);
}

/// Asks whether a shard may be taken, before it is. `true` comes when it may: whoever had it has let it go, or cannot be
/// asked. `false`: it is another host's.
pub type Claim = Arc<dyn Fn(ShardId, Occasion) -> BoxFuture<'static, bool> + Send + Sync>;

/// Why a shard is to be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Occasion {
    /// This host was given it.
    Given,
    /// Somebody else has taken it, though it was held here.
    Lost,
    /// It is held here, under a range that is to be replaced.
    Renewal,
}

/// Everything that the shards want from the world.
#[derive(Clone)]
pub struct Ports {
    /// The memory of the cluster.
    pub store: Arc<dyn Store>,
    /// Its clock.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Runs what goes on in the background.
    pub spawn: Spawner,
    /// Feeds every id that the shards draw; different at every start.
    pub seed: u64,
    /// Matching.
    pub sink: Arc<dyn TaskSink>,
    /// The clusters, as they change.
    pub clusters: watch::Receiver<Arc<View>>,
    /// Happenings that operators count or read.
    pub report: Arc<dyn Fn(ShardId, Report) + Send + Sync>,
    /// A shard says how far it is with handing a namespace over.
    pub handover: Arc<dyn Fn(ShardId, NamespaceId, HandoverProgress) + Send + Sync>,
    /// A peer knows a namespace better than we do: fetch it from there, and put it here when it has changed.
    pub refresh_namespace: Arc<dyn Fn(NamespaceId, ClusterName) + Send + Sync>,
    /// How much each shard keeps for a peer that is away.
    pub backlog_limit: BacklogLimit,
    /// How large runs may grow until somebody says otherwise ([`History::limit_runs`]).
    pub run_limits: Limits,
    /// Whether a shard may be taken. Nothing: this host shares its shards with nobody, and takes them at once.
    pub claim: Option<Claim>,
}

/// Speaks to the shards of this host. Clones share them.
#[derive(Clone)]
pub struct History {
    shards: Arc<Shards>,
    ports: Ports,
    watches: Arc<Watches>,
}

impl History {
    /// The shards of a cluster that has `count` of them. None is held before [`Self::hold`].
    #[must_use]
    pub fn new(count: u32, ports: Ports) -> Self {
        let watches = Arc::new(Watches::default());
        Self { shards: Arc::new(Shards::new(count, ports.clone(), Arc::clone(&watches))), ports, watches }
    }

    /// Hold these shards and no others from now on. Those that are new are taken over, and answer as soon as they are.
    /// Those that are let go write what is under way; what waits at them is told [`Failure::Moved`].
    pub fn hold(&self, shards: &BTreeSet<ShardId>) {
        self.shards.hold(shards);
    }

    /// The same with all shards of the cluster.
    pub fn hold_all(&self) {
        self.hold(&(1..=self.shard_count()).map(ShardId).collect());
    }

    /// The shards that are held here.
    #[must_use]
    pub fn held(&self) -> BTreeSet<ShardId> {
        self.shards.all().into_keys().collect()
    }

    /// Wait until of these shards none is held here, and nothing of them is under way.
    pub async fn released(&self, shards: &[ShardId]) {
        for shard in shards {
            self.shards.released(*shard).await;
        }
    }

    /// Ask the workflow's shard and wait for the answer; what the answer promises is durable.
    ///
    /// Never waits for ever: a shard that is not held here says [`Failure::Moved`], one that is gone
    /// [`Failure::Unavailable`]. When too much waits on this host already it is [`Failure::ResourceExhausted`]. A caller that stops waiting takes nothing back.
    pub async fn call(&self, request: Request) -> Reply {
        let (answer, reply) = oneshot::channel();
        let handle = self.handle(self.shard_of(&request.workflow)).ok_or(Failure::Moved)?;
        let Some(waiting) = self.shards.room().admit(request.weight()) else {
            let message = "too many requests wait for their answers on this host".into();
            return Err(Failure::ResourceExhausted { message, cause: ResourceExhaustedCause::SystemOverloaded.into() });
        };
        let span = if tracing::enabled!(target: CALLS, Level::INFO) { Span::current() } else { Span::none() };
        let sent = handle.events.send(Event::Request(Box::new(request), answer, waiting, span));
        sent.map_err(|_| Failure::Moved)?;
        reply.await.unwrap_or_else(|_| Err(Failure::Unavailable("the shard is shutting down".into())))
    }

    /// Stored batches of the view's current branch that hold events `first` to before `end`, oldest first, until
    /// `max_events` are reached; batches are never split, so the first may begin before `first`. Served from memory when
    /// they were written a moment ago.
    ///
    /// # Errors
    ///
    /// [`Failure::NotFound`] when the run is gone, [`Failure::Unavailable`] when the store cannot answer.
    pub async fn events(
        &self,
        view: &RunView,
        first: EventId,
        end: EventId,
        max_events: usize,
    ) -> Result<Events, Failure> {
        if first >= end {
            return Ok(Events { batches: Vec::new(), next: None });
        }
        let branch = &view.histories.current().branch;
        let shard = self.shard_of(&view.run.workflow);
        let ranges: Vec<BranchRange> = branch.ranges(first, end).collect();
        let recent = self.handle(shard).and_then(|handle| lock(&handle.recent).read(&ranges, max_events));
        if let Some(events) = recent {
            return Ok(events);
        }
        let read = |from| self.ports.store.read_history(shard, &view.run.workflow, branch, from, end, max_events);
        let page = match read(first).await {
            // The stretch begins within a batch: read from the start and leave out what was not asked for.
            Err(HistoryError::NotFound | HistoryError::DataLoss(_)) if first > EventId::FIRST => {
                return self.events_within(view, first, end).await;
            }
            page => page.map_err(failure)?,
        };
        Ok(Events { batches: page.batches.into_iter().map(|batch| batch.events).collect(), next: page.next })
    }

    /// As [`Self::events`], when `first` is not where a batch begins.
    async fn events_within(&self, view: &RunView, first: EventId, end: EventId) -> Result<Events, Failure> {
        let branch = &view.histories.current().branch;
        let shard = self.shard_of(&view.run.workflow);
        let mut batches = Vec::new();
        let mut from = Some(EventId::FIRST);
        while let Some(start) = from {
            let page = self.ports.store.read_history(shard, &view.run.workflow, branch, start, end, PAGE).await;
            let page = page.map_err(failure)?;
            batches.extend(page.batches.into_iter().filter(|batch| batch.node.next > first).map(|batch| batch.events));
            from = page.next;
        }
        Ok(Events { batches, next: None })
    }

    /// The same, newest batch first: batches that hold events before `end`.
    ///
    /// # Errors
    ///
    /// As [`Self::events`].
    pub async fn events_reverse(&self, view: &RunView, end: EventId, max_events: usize) -> Result<Events, Failure> {
        let branch = &view.histories.current().branch;
        let (shard, workflow) = (self.shard_of(&view.run.workflow), &view.run.workflow);
        let page = self.ports.store.read_history_reverse(shard, workflow, branch, EventId::FIRST, end, max_events);
        let page = page.await.map_err(failure)?;
        Ok(Events { batches: page.batches.into_iter().map(|batch| batch.events).collect(), next: page.next })
    }

    /// Watch a run. Subscribe before reading its view, so that no change is missed between the two.
    #[must_use]
    pub fn watch(&self, run: &RunKey) -> RunWatch {
        self.watches.watch(self.shard_of(&run.workflow), run)
    }

    /// Tell every shard what a namespace is now, those too that are held later. What waits for it, a promotion above all,
    /// happens at once.
    pub fn put_namespace(&self, namespace: &Namespace) {
        self.shards.put_namespace(namespace);
    }

    /// Have every shard say, through [`Ports::handover`], when `to` is near enough to take a namespace over.
    pub fn watch_handover(&self, namespace: NamespaceId, to: &ClusterName) {
        // A shard that is gone says nothing, and time ends the handover.
        self.shards.tell(|| Event::WatchHandover(namespace, to.clone()));
    }

    /// Matching has forgotten some tasks: have every shard offer what waits.
    pub fn offer_again(&self) {
        self.shards.tell(|| Event::OfferAgain);
    }

    /// What peers do not have, of every shard that answers. Of what is only in the store at most `limit` tasks are counted;
    /// when there are more, [`Standing::stored`] is left.
    pub async fn standings(&self, limit: usize) -> BTreeMap<ShardId, Vec<Standing>> {
        let mut standings = self.ask(Event::Standings).await;
        for (shard, of_shard) in &mut standings {
            for standing in of_shard {
                self.count_stored(*shard, standing, limit).await;
            }
        }
        standings
    }

    /// Count what a peer does not have and memory does not hold.
    async fn count_stored(&self, shard: ShardId, standing: &mut Standing, limit: usize) {
        let (mut after, mut counted) = (standing.acked, 0);
        while let Some(last) = standing.stored {
            let page = (limit - counted).min(BACKLOG);
            if page == 0 {
                return;
            }
            let Loaded::Backlog(rows) = self.ports.store.load(shard, Load::Backlog { after, limit: page }).await else {
                return;
            };
            counted += rows.len();
            let is_all = rows.len() < page || rows.last().is_some_and(|row| row.task.key.id >= last);
            after = rows.last().map_or(after, |row| row.task.key.id);
            for row in rows.iter().filter(|row| row.task.key.id <= last && row.task.is_for(standing.peer)) {
                standing.exposures.entry(row.task.run.workflow.namespace).or_default().add(row);
            }
            standing.stored = standing.stored.filter(|_| !is_all);
        }
    }

    /// Of every shard that answers, whether peers have told it of all runs of a namespace.
    pub async fn told(&self, namespace: NamespaceId) -> BTreeMap<ShardId, bool> {
        self.ask(|answer| Event::IsSeeded(namespace, answer)).await
    }

    /// Clusters of which some shard has not heard all that they wrote to a namespace; neither this one nor the active one.
    pub async fn unheard(&self, namespace: NamespaceId) -> BTreeSet<ClusterName> {
        let unheard = self.ask(|answer| Event::Unheard(namespace, answer)).await;
        unheard.into_values().flatten().collect()
    }

    /// Others believed this host dead, and may have had its shards: have every shard be taken anew.
    pub fn doubt(&self) {
        self.shards.tell(|| Event::Doubt);
    }

    /// Ask every shard that is held here; those that are gone do not answer.
    pub(crate) async fn ask<T>(&self, event: impl Fn(oneshot::Sender<T>) -> Event) -> BTreeMap<ShardId, T> {
        let mut answers = BTreeMap::new();
        for (shard, handle) in self.shards.all() {
            let (answer, reply) = oneshot::channel();
            if handle.events.send(event(answer)).is_ok()
                && let Ok(reply) = reply.await
            {
                answers.insert(shard, reply);
            }
        }
        answers
    }

    /// What the shards of this host have in memory.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.shards.room().memory()
    }

    /// The workflows of all shards may take so many bytes from now on; `None`: as many as if nobody says.
    pub fn limit_cache(&self, bytes: Option<usize>) {
        self.shards.room().limit_cache(bytes);
    }

    /// Runs may grow so large from now on, where this cluster decides.
    pub fn limit_runs(&self, limits: Limits) {
        self.shards.put_limits(Arc::new(limits));
    }

    /// Shard of a workflow.
    #[must_use]
    pub fn shard_of(&self, workflow: &WorkflowKey) -> ShardId {
        replicator::ids::shard_of(workflow.namespace, &workflow.workflow, self.shard_count())
    }

    /// How many shards the cluster has.
    #[must_use]
    pub fn shard_count(&self) -> u32 {
        self.shards.count()
    }

    /// Stop the shards. What is under way is given up unanswered.
    pub fn shut_down(&self) {
        self.shards.tell(|| Event::Stop);
    }

    pub(crate) fn handle(&self, shard: ShardId) -> Option<Arc<Handle>> {
        self.shards.get(shard)
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
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

pub(crate) fn lock(recent: &Mutex<Recent>) -> MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failure(error: HistoryError) -> Failure {
    match error {
        HistoryError::NotFound => Failure::NotFound("the history of the run is gone".into()),
        HistoryError::DataLoss(what) => Failure::Unavailable(format!("history cannot be read: {what}")),
        HistoryError::Unavailable(why) => Failure::Unavailable(why.0),
    }
}

/// Tasks per read when what peers do not have is counted.
const BACKLOG: usize = 128;

/// Events per read when a stretch begins within a batch.
const PAGE: usize = 1000;
