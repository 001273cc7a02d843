//! Tasks for workers, on their way to whichever host has their partition of their queue.
//!
//! An offer may repeat and must not be lost. To another host it goes in order, and again until it arrives; when that host is
//! gone its queues are somebody else's, and the shards offer everything anew (see `follow`). A host that has not heard yet that
//! a partition is its own does not take a task of it, which it would forget: the task goes where the ring points to then.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use history::TaskSink;
use hosts::{Host, Hosts, Owner, ROOT, Service, wire};
use matching::Matching;
use proto::meridian::internal::v1::{Change, OfferRequest, host_service_client::HostServiceClient};
use replicator::{
    ids::{EventId, RunKey},
    shard::io::{Dispatch, DispatchQueue},
};
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::ports::Spawner;

/// Where the shards of this host offer tasks. Clones share it.
#[derive(Clone)]
pub(crate) struct Offers {
    hosts: Hosts,
    here: Matching,
    spawn: Spawner,
    /// What waits for each other host, by its life.
    ways: Arc<Mutex<BTreeMap<Uuid, Way>>>,
    /// Something did not fit: everything is to be offered anew.
    again: Arc<Notify>,
}

/// The way to one host.
struct Way {
    changes: mpsc::Sender<Change>,
    /// Something did not fit.
    is_full: Arc<AtomicBool>,
}

impl Offers {
    pub(crate) fn new(hosts: Hosts, here: Matching, spawn: Spawner) -> Self {
        Self { hosts, here, spawn, ways: Arc::default(), again: Arc::default() }
    }

    /// Wait until everything is to be offered anew.
    pub(crate) async fn is_incomplete(&self) {
        self.again.notified().await;
    }

    fn send(&self, host: &Host, change: Change) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if ways.get(&host.member().id).is_none_or(|way| way.changes.is_closed()) {
            ways.retain(|_, way| !way.changes.is_closed());
            let (changes, waiting) = mpsc::channel(LONGEST_QUEUE);
            let is_full = Arc::new(AtomicBool::new(false));
            let carrier = Carrier { host: host.clone(), waiting, is_full: is_full.clone(), offers: self.clone() };
            (self.spawn)(Box::pin(carrier.run()));
            ways.insert(host.member().id, Way { changes, is_full });
        }
        let Some(way) = ways.get(&host.member().id) else { return };
        if way.changes.try_send(change).is_err() {
            way.is_full.store(true, Ordering::Relaxed);
        }
    }
}

impl TaskSink for Offers {
    fn offer(&self, dispatch: Dispatch) {
        let (namespace, queue) = (dispatch.run.workflow.namespace, normal_queue(&dispatch));
        let partition = match &dispatch.queue {
            DispatchQueue::Sticky(..) => ROOT,
            _ => self.hosts.write_partition(queue, &dispatch.run, dispatch.scheduled),
        };
        match self.hosts.of_partition(namespace, queue, partition) {
            Owner::Here => self.here.offer(dispatch, partition),
            Owner::There(host) => self.send(&host, wire::offered(&dispatch, partition)),
            // It is offered again as soon as there is somebody.
            Owner::Nobody => {}
        }
    }

    fn withdraw(&self, run: RunKey, scheduled: EventId) {
        for host in self.hosts.others(Service::Matching) {
            self.send(&host, wire::withdrawn(&run, scheduled));
        }
        self.here.withdraw(run, scheduled);
    }
}

/// The queue whose hosts have the task.
pub(super) fn normal_queue(dispatch: &Dispatch) -> &str {
    match &dispatch.queue {
        DispatchQueue::Workflow(name) | DispatchQueue::Activity(name) | DispatchQueue::Sticky(_, name) => name,
    }
}

/// Carries what waits to one host, for as long as that lives.
struct Carrier {
    host: Host,
    waiting: mpsc::Receiver<Change>,
    is_full: Arc<AtomicBool>,
    /// For what is to go elsewhere.
    offers: Offers,
}

impl Carrier {
    async fn run(mut self) {
        let host = self.host.clone();
        tokio::select! {
            biased;
            () = host.gone() => {}
            () = self.carry() => {}
        }
    }

    async fn carry(&mut self) {
        let mut changes = Vec::new();
        while self.waiting.recv_many(&mut changes, MOST).await > 0 {
            let request = OfferRequest { changes: std::mem::take(&mut changes) };
            let call = async |mut client: HostServiceClient<Channel>, request| client.offer(request).await;
            let answer = loop {
                match self.host.call(PATIENCE, request.clone(), call).await {
                    Ok(answer) => break answer,
                    Err(trouble) => {
                        tracing::debug!(host = self.host.member().address, ?trouble, "tasks are offered once more");
                        sleep(PAUSE).await;
                    }
                }
            };
            self.redirect(request, &answer.elsewhere);
            if self.waiting.is_empty() && self.is_full.swap(false, Ordering::Relaxed) {
                self.offers.again.notify_one();
            }
        }
    }

    /// Offer what the host did not take once more, in a moment, wherever its queue is then.
    fn redirect(&self, request: OfferRequest, elsewhere: &[u32]) {
        let refused = |number: u32| elsewhere.contains(&number);
        let changes = (0..).zip(request.changes).filter(|(number, _)| refused(*number));
        let dispatches: Vec<_> = changes
            .filter_map(|(_, change)| match wire::read_change(change) {
                Ok(wire::Change::Offered(dispatch, _)) => Some(dispatch),
                _ => None,
            })
            .collect();
        if dispatches.is_empty() {
            return;
        }
        let offers = self.offers.clone();
        (self.offers.spawn)(Box::pin(async move {
            sleep(PAUSE).await;
            dispatches.into_iter().for_each(|dispatch| offers.offer(dispatch));
        }));
    }
}

/// So many tasks go together.
pub(crate) const MOST: usize = 256;

/// So many tasks wait for a host that is slow. The rest is offered anew when it has taken these.
const LONGEST_QUEUE: usize = 1 << 16;

/// How long a host may take for some tasks.
const PATIENCE: Duration = Duration::from_secs(5);

/// Before they are offered once more.
const PAUSE: Duration = Duration::from_millis(50);
