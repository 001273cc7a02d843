//! What operators ask of all shards of the cluster, wherever they are.
//!
//! A host asks its own shards and every other host that has some. What nobody answers for is missing in the answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use history::History;
use hosts::{Host, Hosts, Owner, Service, Trouble};
use proto::meridian::internal::v1::{
    GetHandoverRequest, GetStandingsRequest, GetToldRequest, ListKeptRequest, RetryKeptRequest, SkipKeptRequest,
    TellHandoverRequest, WatchHandoverRequest, shard_service_client::ShardServiceClient,
};
use replicator::{
    ids::{NamespaceId, ShardId, TaskId},
    shard::{
        HandoverProgress, Standing,
        io::{Failure, QuarantinedTask},
    },
    version::ClusterName,
};
use tokio::time::sleep;
use tonic::{Request, Response, Status, transport::Channel};

use super::said;
use crate::ports::Spawner;

/// All shards of the cluster. Clones share everything.
#[derive(Clone)]
pub(crate) struct AllShards {
    pub(crate) here: History,
    /// Nothing: all of them are here.
    pub(crate) hosts: Option<Hosts>,
    pub(crate) spawn: Spawner,
}

impl AllShards {
    /// See [`History::standings`]. A shard that nobody answers for has none.
    pub(crate) async fn standings(&self, limit: usize) -> BTreeMap<ShardId, Vec<Standing>> {
        let mut standings = self.here.standings(limit).await;
        if self.hosts.is_none() {
            return standings;
        }
        let request = GetStandingsRequest { limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        let call = async |mut client: Client, request| client.get_standings(request).await;
        for answer in self.ask_others(&request, call).await {
            for of_shard in answer.shards {
                let peers = of_shard.peers.into_iter().filter_map(said::read_standing).collect();
                standings.entry(ShardId(of_shard.shard_id)).or_insert(peers);
            }
        }
        for shard in (1..=self.here.shard_count()).map(ShardId) {
            standings.entry(shard).or_default();
        }
        standings
    }

    /// What is missing here of a namespace.
    pub(crate) async fn lacking(&self, namespace: NamespaceId) -> Lacking {
        let (mut told, mut unheard) = (self.here.told(namespace).await, self.here.unheard(namespace).await);
        let request = GetToldRequest { namespace_id: namespace.to_string() };
        let call = async |mut client: Client, request| client.get_told(request).await;
        for answer in self.ask_others(&request, call).await {
            // A shard that is just moving is answered for twice.
            let mut note = |shard: u32, is_told| _ = told.entry(ShardId(shard)).or_insert(is_told);
            answer.seeded_shard_ids.into_iter().for_each(|shard| note(shard, true));
            answer.unseeded_shard_ids.into_iter().for_each(|shard| note(shard, false));
            unheard.extend(answer.unheard_clusters.iter().map(|name| ClusterName::from(name.as_str())));
        }
        Lacking {
            untold: told.iter().filter(|(_, is_told)| !**is_told).map(|(shard, _)| *shard).collect(),
            silent: (1..=self.here.shard_count()).map(ShardId).filter(|shard| !told.contains_key(shard)).collect(),
            unheard,
        }
    }

    /// See [`History::quarantined`].
    pub(crate) async fn quarantined(&self) -> BTreeMap<ShardId, Vec<QuarantinedTask>> {
        let mut kept = self.here.quarantined().await;
        let call = async |mut client: Client, request| client.list_kept(request).await;
        for answer in self.ask_others(&ListKeptRequest {}, call).await {
            for (shard, task) in answer.kept.into_iter().filter_map(said::read_kept) {
                kept.entry(shard).or_default().push(task);
            }
        }
        kept
    }

    /// See [`History::retry_quarantined`].
    pub(crate) async fn retry_quarantined(&self, shard: ShardId, task: TaskId) -> Result<bool, Failure> {
        let Some(host) = self.there(shard)? else { return self.here.retry_quarantined(shard, task).await };
        let request = RetryKeptRequest { shard_id: shard.0, task_id: task.0 };
        let answer = ask(&host, request, async |mut client: Client, request| client.retry_kept(request).await).await;
        Ok(answer.map_err(failure)?.is_first)
    }

    /// See [`History::skip_quarantined`].
    pub(crate) async fn skip_quarantined(&self, shard: ShardId, tasks: Vec<TaskId>) -> Result<Vec<TaskId>, Failure> {
        let Some(host) = self.there(shard)? else { return self.here.skip_quarantined(shard, tasks).await };
        let request = SkipKeptRequest { shard_id: shard.0, task_ids: tasks.iter().map(|task| task.0).collect() };
        let answer = ask(&host, request, async |mut client: Client, request| client.skip_kept(request).await).await;
        Ok(answer.map_err(failure)?.task_ids.into_iter().map(TaskId).collect())
    }

    /// See [`History::watch_handover`].
    pub(crate) fn watch_handover(&self, namespace: NamespaceId, to: &ClusterName) {
        self.here.watch_handover(namespace, to);
        let request = WatchHandoverRequest { namespace_id: namespace.to_string(), to_cluster: to.to_string() };
        for host in self.others() {
            let call = |mut client: Client, request| async move { client.watch_handover(request).await.map(drop) };
            tell(&self.spawn, host, request.clone(), call);
        }
    }

    /// The other host that has a shard; nothing when it is this one.
    fn there(&self, shard: ShardId) -> Result<Option<Host>, Failure> {
        match self.hosts.as_ref().map(|hosts| hosts.of_shard(shard)) {
            None | Some(Owner::Here) => Ok(None),
            Some(Owner::There(host)) => Ok(Some(host)),
            Some(Owner::Nobody) => Err(Failure::Moved),
        }
    }

    fn others(&self) -> Vec<Host> {
        self.hosts.as_ref().map(|hosts| hosts.others(Service::History)).unwrap_or_default()
    }

    /// The answers of all other hosts that give one.
    async fn ask_others<Q: Clone, A>(
        &self,
        question: &Q,
        call: impl AsyncFn(Client, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Vec<A> {
        let asked = self.others().into_iter().map(|host| {
            let (question, call) = (question.clone(), &call);
            async move {
                let answer = ask(&host, question, async |client, request| call(client, request).await).await;
                let lost = |trouble| {
                    tracing::warn!(host = host.member().address, ?trouble, "a host does not answer for its shards");
                };
                answer.map_err(lost).ok()
            }
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

/// What is missing of a namespace.
pub(crate) struct Lacking {
    /// Shards that are still to be told of runs of it.
    pub(crate) untold: BTreeSet<ShardId>,
    /// Shards that nobody answers for.
    pub(crate) silent: BTreeSet<ShardId>,
    /// Clusters of which some shard has not heard all that they wrote to it.
    pub(crate) unheard: BTreeSet<ClusterName>,
}

/// Tell all other hosts, one of which drives the handover, how far a shard here is.
pub(crate) fn tell_progress(
    hosts: &Hosts,
    spawn: &Spawner,
    shard: ShardId,
    namespace: NamespaceId,
    progress: HandoverProgress,
) {
    let request = TellHandoverRequest {
        shard_id: shard.0,
        namespace_id: namespace.to_string(),
        is_drained: progress == HandoverProgress::Drained,
    };
    for host in hosts.all_others() {
        let call = |mut client: Client, request| async move { client.tell_handover(request).await.map(drop) };
        tell(spawn, host, request.clone(), call);
    }
}

/// Whether another host drives the handover of a namespace, or may do so: one that does not answer may.
pub(crate) async fn is_driven_elsewhere(hosts: &Hosts, namespace: NamespaceId) -> bool {
    let asked = hosts.all_others().into_iter().map(|host| async move {
        let request = GetHandoverRequest { namespace_id: namespace.to_string() };
        let answer = ask(&host, request, async |mut client: Client, request| client.get_handover(request).await).await;
        answer.is_ok_and(|answer| !answer.is_driven)
    });
    !join_all(asked).await.into_iter().all(|is_idle| is_idle)
}

/// Tell another host something, until it knows or is gone; not for ever.
fn tell<Q, F>(spawn: &Spawner, host: Host, message: Q, call: impl Fn(Client, Request<Q>) -> F + Send + Sync + 'static)
where
    Q: Clone + Send + Sync + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    spawn(Box::pin(async move {
        for _ in 0..TRIES {
            let mut request = Request::new(message.clone());
            request.set_timeout(PATIENCE);
            match host.ask(call(client(&host), request)).await {
                Ok(()) => return,
                Err(trouble) => tracing::debug!(host = host.member().address, ?trouble, "a host is told once more"),
            }
            sleep(PAUSE).await;
        }
    }));
}

type Client = ShardServiceClient<Channel>;

fn client(host: &Host) -> Client {
    ShardServiceClient::new(host.channel()).max_decoding_message_size(usize::MAX)
}

async fn ask<Q, A>(
    host: &Host,
    question: Q,
    call: impl AsyncFnOnce(Client, Request<Q>) -> Result<Response<A>, Status>,
) -> Result<A, Trouble> {
    let mut request = Request::new(question);
    request.set_timeout(PATIENCE);
    let answer = host.ask(call(client(host), request)).await;
    answer.map(Response::into_inner)
}

fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Refused(status) => Failure::Unavailable(status.message().to_owned()),
        Trouble::Moved | Trouble::NotReached => Failure::Moved,
        Trouble::Lost => Failure::Unavailable("the host of the shard was lost; look again".into()),
    }
}

/// How long a host may take to answer for its shards.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a host is told something that it may miss.
const TRIES: usize = 20;

/// Before it is told once more.
const PAUSE: Duration = Duration::from_millis(50);
