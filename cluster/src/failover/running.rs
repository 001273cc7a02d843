//! The handovers that are under way, and how one of them is driven.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metadata::Metadata;
use replicator::{
    ids::{NamespaceId, ShardId},
    namespace::{
        Change, Federation, Handover, Namespace, Outcome, Refusal, Step, Terms,
        handover::{Stage, change},
    },
    shard::HandoverProgress,
    time::Timestamp,
    version::{ClusterName, FailoverVersion},
};
use store::Spawner;
use tokio::sync::{mpsc, oneshot, watch};

use super::readiness;
use crate::{hosts::AllShards, metrics::Metrics, ports::Clock};

/// What can happen to a handover.
enum Event {
    /// A shard says how far it is.
    Progress(ShardId, HandoverProgress),
    /// The namespace has this failover version now.
    Version(FailoverVersion),
    /// What was to be written is, or is not.
    Written(Result<FailoverVersion, String>),
    /// The new side lacks something, or no more.
    NewSide(Result<(), String>),
    /// The new side knows.
    Confirmed,
    /// An operator wants it to end; answered whether that was in time.
    Abort(oneshot::Sender<bool>),
}

/// Where to reach the handovers that are under way. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Running {
    inboxes: Arc<Mutex<BTreeMap<NamespaceId, mpsc::UnboundedSender<Event>>>>,
}

impl Running {
    /// A shard says how far it is.
    pub(crate) fn progress(&self, shard: ShardId, namespace: NamespaceId, progress: HandoverProgress) {
        self.tell(namespace, Event::Progress(shard, progress));
    }

    /// A namespace has changed.
    pub(crate) fn changed(&self, namespace: &Namespace) {
        self.tell(namespace.id, Event::Version(namespace.failover_version));
    }

    /// Let a namespace stay where it is. Answers whether that was in time; nothing when it is not being handed over.
    pub(crate) async fn abort(&self, namespace: NamespaceId) -> Option<bool> {
        let (answer, in_time) = oneshot::channel();
        self.tell(namespace, Event::Abort(answer)).then_some(())?;
        in_time.await.ok()
    }

    /// Whether a namespace is being handed over by this host.
    pub(crate) fn drives(&self, namespace: NamespaceId) -> bool {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&namespace)
    }

    fn tell(&self, namespace: NamespaceId, event: Event) -> bool {
        let inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.get(&namespace).is_some_and(|inbox| inbox.send(event).is_ok())
    }

    fn begin(&self, namespace: NamespaceId) -> Option<mpsc::UnboundedReceiver<Event>> {
        let (inbox, events) = mpsc::unbounded_channel();
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if inboxes.contains_key(&namespace) {
            return None;
        }
        inboxes.insert(namespace, inbox);
        Some(events)
    }

    fn inbox(&self, namespace: NamespaceId) -> Option<mpsc::UnboundedSender<Event>> {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).get(&namespace).cloned()
    }

    fn end(&self, namespace: NamespaceId) {
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner).remove(&namespace);
    }
}

/// What was begun.
#[derive(Clone)]
struct Begun {
    /// As it was then.
    namespace: Arc<Namespace>,
    terms: Terms,
    /// Clusters that the new side need not have heard out.
    without: BTreeSet<ClusterName>,
}

/// Moves values between one handover and the world.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) running: Running,
    pub(crate) metadata: Metadata,
    pub(crate) shards: AllShards,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    pub(crate) spawn: Spawner,
}

impl Driver {
    /// Begin to hand a namespace over; nothing when that is under way. It goes on whether or not somebody looks.
    ///
    /// `without`: clusters that the new side need not have heard out.
    pub(crate) fn begin(
        &self,
        namespace: &Arc<Namespace>,
        terms: Terms,
        without: BTreeSet<ClusterName>,
    ) -> Option<watch::Receiver<Stage>> {
        let events = self.running.begin(namespace.id)?;
        let handover = Handover::new((self.clock)(), terms.clone());
        let (stage, seen) = watch::channel(handover.stage());
        let (driver, begun) = (self.clone(), Begun { namespace: namespace.clone(), terms, without });
        (self.spawn)(Box::pin(async move {
            let outcome = driver.drive(handover, &begun, events, &stage).await;
            let (namespace, to) = (&begun.namespace, &begun.terms.to);
            driver.running.end(namespace.id);
            tracing::info!(namespace = namespace.name, %to, ?outcome, "a handover is over");
            driver.metrics.handover(&namespace.name, to, &outcome);
            stage.send_replace(Stage::Over(outcome));
        }));
        Some(seen)
    }

    async fn drive(
        &self,
        mut handover: Handover,
        begun: &Begun,
        mut events: mpsc::UnboundedReceiver<Event>,
        stage: &watch::Sender<Stage>,
    ) -> Outcome {
        loop {
            while let Some(step) = handover.poll_step() {
                self.carry_out(step, begun);
            }
            match handover.stage() {
                Stage::Over(outcome) => return outcome,
                now => _ = stage.send_replace(now),
            }
            let due = handover.poll_timeout();
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep(due.since((self.clock)())).await,
                    None => std::future::pending().await,
                }
            };
            let catches_up = matches!(handover.stage(), Stage::CatchingUp(_));
            tokio::select! {
                biased;
                Some(event) = events.recv() => handle(&mut handover, (self.clock)(), event),
                () = sleep => handover.handle_timeout((self.clock)()),
                // A shard that went to another host meanwhile does not know that it is to say something.
                () = tokio::time::sleep(WATCH_AGAIN), if catches_up && self.shards.hosts.is_some() => {
                    self.shards.watch_handover(begun.namespace.id, &begun.terms.to);
                }
            }
        }
    }

    fn carry_out(&self, step: Step, begun: &Begun) {
        let (id, name) = (begun.namespace.id, begun.namespace.name.as_str());
        let (to, version) = (begun.terms.to.clone(), begun.terms.version);
        match step {
            Step::Watch => self.shards.watch_handover(id, &to),
            Step::Stop { until } => {
                self.write(id, name, move |old, _, all| change::stop(old, &to, version, until, all));
            }
            Step::Switch { before } => {
                self.write(id, name, move |old, now, all| change::switch(old, &to, version, now, before, all));
            }
            Step::Release => self.write(id, name, |old, _, _| Ok(change::release(old))),
            Step::TakeBack { version } => {
                self.write(id, name, move |old, now, all| change::take_back(old, version, now, all));
            }
            Step::AskNewSide => {
                let Some(inbox) = self.running.inbox(id) else { return };
                let (metadata, begun) = (self.metadata.clone(), begun.clone());
                (self.spawn)(Box::pin(async move {
                    // A handover that is over does not want to know.
                    let tell = |lacks| _ = inbox.send(Event::NewSide(Err(lacks)));
                    tokio::select! {
                        biased;
                        () = readiness::awaited(&metadata, &begun.namespace, &to, &begun.without, tell) => {
                            let _ = inbox.send(Event::NewSide(Ok(())));
                        }
                        () = inbox.closed() => {}
                    }
                }));
            }
            Step::Confirm { version } => {
                let Some(inbox) = self.running.inbox(id) else { return };
                let metadata = self.metadata.clone();
                (self.spawn)(Box::pin(async move {
                    tokio::select! {
                        biased;
                        () = metadata.confirmed(id, &to, version) => {
                            // A handover that is over does not want to know.
                            let _ = inbox.send(Event::Confirmed);
                        }
                        // Nobody waits for it any more.
                        () = inbox.closed() => {}
                    }
                }));
            }
        }
    }

    fn write(
        &self,
        id: NamespaceId,
        name: &str,
        decide: impl Fn(&Namespace, Timestamp, &Federation) -> Result<Change, Refusal> + Send + 'static,
    ) {
        let Some(inbox) = self.running.inbox(id) else { return };
        let (namespaces, name) = (self.metadata.namespaces().clone(), name.to_owned());
        (self.spawn)(Box::pin(async move {
            let written = namespaces.change(name, decide).await;
            let written = written.map(|now| now.failover_version).map_err(|status| status.message().to_owned());
            // A handover that is over does not want to know.
            let _ = inbox.send(Event::Written(written));
        }));
    }
}

fn handle(handover: &mut Handover, now: Timestamp, event: Event) {
    match event {
        Event::Progress(shard, HandoverProgress::Near) => handover.handle_near(now, shard),
        Event::Progress(shard, HandoverProgress::Drained) => handover.handle_drained(shard),
        Event::Version(version) => handover.handle_version(version),
        Event::Written(written) => handover.handle_written(now, written),
        Event::NewSide(ready) => handover.handle_new_side(now, ready),
        Event::Confirmed => handover.handle_confirmed(now),
        Event::Abort(answer) => {
            // Who asked may have gone.
            let _ = answer.send(handover.abort());
        }
    }
}

/// So often shards that have not said that the new side is near are told again to say so.
const WATCH_AGAIN: Duration = Duration::from_secs(1);
