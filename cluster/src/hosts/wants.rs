//! What other hosts are told of task queues: where pollers are lacking.
//!
//! Each host is told in order, and again until it knows: of many changes of one queue only the last. A host that is gone need
//! not know, and one that comes is told everything (see `follow`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hosts::{Host, Hosts, Trouble, wire};
use matching::{Matching, QueueKey, QueueKind};
use proto::meridian::internal::v1::{Want, WantRequest, host_service_client::HostServiceClient};
use tokio::time::sleep;
use tonic::transport::Channel;
use uuid::Uuid;

use super::offers::MOST;

/// Tells other hosts what is lacking here.
pub(crate) struct Wants {
    hosts: Hosts,
    matching: Matching,
    /// By life.
    others: BTreeMap<Uuid, Other>,
}

/// Another host.
struct Other {
    host: Host,
    /// Queues of which it is to be told.
    untold: BTreeSet<Arc<QueueKey>>,
    /// Queues of which it may believe that pollers are lacking.
    wanted: BTreeSet<Arc<QueueKey>>,
    is_busy: bool,
}

/// Who was told, and what went wrong with which queues.
type Told = (Uuid, Result<(), (Trouble, Vec<Arc<QueueKey>>)>);

impl Wants {
    pub(crate) fn new(hosts: Hosts, matching: Matching) -> Self {
        Self { hosts, matching, others: BTreeMap::new() }
    }

    /// Tell them from now on.
    pub(crate) async fn run(mut self) {
        let mut calls = FuturesUnordered::new();
        let matching = self.matching.clone();
        loop {
            self.tell(&calls);
            tokio::select! {
                biased;
                Some(told) = calls.next(), if !calls.is_empty() => self.told(told),
                untold = matching.untold() => self.note(untold),
            }
        }
    }

    /// Other hosts are to be told of these queues.
    fn note(&mut self, queues: Vec<Arc<QueueKey>>) {
        let view = self.hosts.view();
        self.others.retain(|id, _| view.all().any(|member| member.id == *id));
        for queue in queues {
            // Of those who had parts of it, too, whoever believes that something is lacking.
            for other in self.others.values_mut().filter(|other| other.wanted.contains(&queue)) {
                other.untold.insert(queue.clone());
            }
            for host in self.hosts.other_parts(queue.namespace, &queue.name) {
                let other = self.others.entry(host.member().id).or_insert_with(|| Other {
                    host,
                    untold: BTreeSet::new(),
                    wanted: BTreeSet::new(),
                    is_busy: false,
                });
                other.untold.insert(queue.clone());
            }
        }
    }

    /// Tell each of them that is not just being told.
    fn tell(&mut self, calls: &FuturesUnordered<BoxFuture<'static, Told>>) {
        let host_id = self.hosts.me().to_string();
        for other in self.others.values_mut().filter(|other| !other.is_busy) {
            let (mut queues, mut wants) = (Vec::new(), Vec::new());
            while wants.len() < MOST
                && let Some(queue) = other.untold.pop_first()
            {
                let lacking = self.matching.lacking(&queue);
                // What was over before it was said need not be said.
                let is_news = if lacking == 0 { other.wanted.remove(&queue) } else { true };
                if 0 < lacking {
                    other.wanted.insert(queue.clone());
                }
                if is_news {
                    wants.push(want(&queue, lacking));
                    queues.push(queue);
                }
            }
            if !wants.is_empty() {
                other.is_busy = true;
                let request = WantRequest { host_id: host_id.clone(), wants };
                calls.push(call(other.host.clone(), request, queues).boxed());
            }
        }
    }

    fn told(&mut self, (id, outcome): Told) {
        let Some(other) = self.others.get_mut(&id) else { return };
        other.is_busy = false;
        if let Err((trouble, queues)) = outcome {
            tracing::debug!(host = other.host.member().address, ?trouble, "a host is told once more what is lacking");
            // It may know or not.
            other.wanted.extend(queues.iter().cloned());
            other.untold.extend(queues);
        }
    }
}

/// Tell a host. Only in a moment is it told more if it did not hear.
async fn call(host: Host, request: WantRequest, queues: Vec<Arc<QueueKey>>) -> Told {
    let id = host.member().id;
    let call = async |mut client: HostServiceClient<Channel>, request| client.want(request).await;
    match host.call(PATIENCE, request, call).await {
        Ok(_) => (id, Ok(())),
        Err(trouble) => {
            sleep(PAUSE).await;
            (id, Err((trouble, queues)))
        }
    }
}

fn want(queue: &QueueKey, lacking: usize) -> Want {
    wire::want(wire::Want {
        namespace: queue.namespace,
        is_activity: queue.kind == QueueKind::Activity,
        queue: queue.name.as_ref().into(),
        pollers: u32::try_from(lacking).unwrap_or(u32::MAX),
    })
}

/// How long a host may take to hear it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Before a host is told once more.
const PAUSE: Duration = Duration::from_millis(50);
