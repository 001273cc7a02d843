//! `meridian.verification.v1.VerificationService`: whether two clusters hold the same.
//!
//! Digests by shard are compared first, then runs of the shards that differ. What differs then is looked at again when
//! everything written before has been acknowledged, both ways: clusters that are at work are never alike at one moment.
//! What has not changed on either side between two looks, and still differs, is a difference.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use futures_util::stream;
use proto::meridian::{
    quarantine::v1::{ListQuarantinedRequest, quarantine_service_client::QuarantineServiceClient},
    status::v1::{GetReplicationStatusRequest, status_service_client::StatusServiceClient},
    verification::v1::{
        Difference, Kind, ListBatchDigestsRequest, ListBatchDigestsResponse, ListRunDigestsRequest,
        ListRunDigestsResponse, RunDigest, RunName, ShardDigest, SumRunDigestsRequest, SumRunDigestsResponse, Summary,
        VerifyNamespaceRequest, VerifyNamespaceResponse, verification_service_client::VerificationServiceClient,
        verification_service_server::VerificationService, verify_namespace_response::Found,
    },
};
use replicator::{
    ids::RunId,
    time::{Timestamp, duration, proto_duration},
};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, async_trait, codegen::BoxStream, transport::Channel};

use super::{Operations, comparison::compare, digests};

#[async_trait]
impl VerificationService for Operations {
    async fn verify_namespace(
        &self,
        request: Request<VerifyNamespaceRequest>,
    ) -> Result<Response<BoxStream<VerifyNamespaceResponse>>, Status> {
        let comparison = Comparison::of(self, request.into_inner())?;
        let (found, stream) = mpsc::channel(BUFFERED);
        let failed = found.clone();
        (self.spawn)(Box::pin(async move {
            if let Err(status) = comparison.run(found).await {
                // Whoever asked may have gone.
                let _ = failed.send(Err(status)).await;
            }
        }));
        let stream = stream::unfold(stream, |mut stream| async { stream.recv().await.map(|found| (found, stream)) });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn list_run_digests(
        &self,
        request: Request<ListRunDigestsRequest>,
    ) -> Result<Response<ListRunDigestsResponse>, Status> {
        digests::list(self, request.into_inner()).await.map(Response::new)
    }

    async fn sum_run_digests(
        &self,
        request: Request<SumRunDigestsRequest>,
    ) -> Result<Response<SumRunDigestsResponse>, Status> {
        digests::sum(self, request.into_inner()).await.map(Response::new)
    }

    async fn list_batch_digests(
        &self,
        request: Request<ListBatchDigestsRequest>,
    ) -> Result<Response<ListBatchDigestsResponse>, Status> {
        digests::batches(self, request.into_inner()).await.map(Response::new)
    }
}

/// A comparison that is under way.
struct Comparison {
    here: Operations,
    there: VerificationServiceClient<Channel>,
    channel: Channel,
    namespace: String,
    /// The name of the peer, and ours.
    names: [String; 2],
    shards: u32,
    patience: Duration,
}

/// The runs that differed when they were last looked at, by workflow and run, with how often each side had written them.
type Suspects = BTreeMap<(String, RunId), [i64; 2]>;

/// A run on both sides.
type Pair = (RunName, Option<RunDigest>, Option<RunDigest>);

impl Comparison {
    fn of(here: &Operations, request: VerifyNamespaceRequest) -> Result<Self, Status> {
        let namespace = here.namespace(&request.namespace)?;
        let view = here.metadata.clusters().view();
        let others = namespace.clusters.iter().filter(|name| *name != view.current());
        let name = match request.cluster_name.as_str() {
            "" => others.map(|name| name.as_str().to_owned()).next().ok_or_else(|| {
                Status::failed_precondition(format!("namespace {} is in no other cluster", namespace.name))
            })?,
            name if view.current().as_str() == name => {
                return Err(Status::invalid_argument("cluster_name is the cluster that was asked"));
            }
            name => name.to_owned(),
        };
        let Some(peer) = view.peers.get(&name.as_str().into()) else {
            return Err(Status::failed_precondition(format!("cluster {name} is not connected")));
        };
        let patience = request.patience.as_ref().map_or(PATIENCE, |patience| duration(Some(patience)));
        let client = VerificationServiceClient::new(peer.channel.clone());
        Ok(Self {
            there: client.max_decoding_message_size(LONGEST),
            channel: peer.channel.clone(),
            namespace: namespace.name.clone(),
            names: [name, view.current().as_str().to_owned()],
            shards: here.history.shard_count().min(peer.shard_count).max(1),
            patience,
            here: here.clone(),
        })
    }

    /// Compare, and tell what is found.
    async fn run(mut self, found: mpsc::Sender<Result<VerifyNamespaceResponse, Status>>) -> Result<(), Status> {
        let started = (self.here.now)();
        let (here, there) = self.sums().await?;
        let differing: Vec<u32> =
            (1..).zip(here.iter().zip(&there)).filter(|(_, (here, there))| here != there).map(|(id, _)| id).collect();
        let runs = |shards: &[ShardDigest]| shards.iter().map(|shard| shard.runs).sum();
        let mut summary = Summary {
            runs_here: runs(&here),
            runs_there: runs(&there),
            shards: i32::try_from(self.shards).unwrap_or(i32::MAX),
            different_shards: i32::try_from(differing.len()).unwrap_or(i32::MAX),
            caught_up: true,
            ..Summary::default()
        };
        if !differing.is_empty() {
            let mut looked = (self.here.now)();
            let mut suspects = self.suspects(differing).await?;
            let mut settled = Vec::new();
            let mut rounds = 0;
            while !suspects.is_empty() {
                summary.caught_up = self.catch_up(looked, started).await?;
                looked = (self.here.now)();
                let (moving, still) = self.look_again(&suspects).await?;
                // What is not acknowledged may be the way from one to the other.
                let (moving, still) = match summary.caught_up {
                    true => (moving, still),
                    false => (moving.into_iter().chain(still).collect(), Vec::new()),
                };
                settled.extend(still);
                suspects = moving.iter().map(|pair| (key(&pair.0), records(pair))).collect();
                rounds += 1;
                let is_over = (self.here.now)().since(started) >= self.patience;
                if is_over || rounds >= ROUNDS || !summary.caught_up {
                    for pair in moving {
                        summary.moving += 1;
                        self.tell(&found, pair, true).await?;
                    }
                    break;
                }
            }
            summary.different = i64::try_from(settled.len()).unwrap_or(i64::MAX) + summary.moving;
            for pair in settled {
                self.tell(&found, pair, false).await?;
            }
        }
        summary.took = Some(proto_duration((self.here.now)().since(started)));
        let _gone = found.send(Ok(VerifyNamespaceResponse { found: Some(Found::Summary(summary)) })).await;
        Ok(())
    }

    /// Digests of all shards on both sides.
    async fn sums(&mut self) -> Result<(Vec<ShardDigest>, Vec<ShardDigest>), Status> {
        let request = SumRunDigestsRequest { namespace: self.namespace.clone(), shard_count: self.shards };
        let mut client = self.there.clone();
        let there = client.sum_run_digests(request.clone());
        let (here, there) = tokio::join!(digests::sum(&self.here, request), there);
        let there = there.map_err(|status| self.silent(&status))?.into_inner().shards;
        let here = here?.shards;
        if here.len() != there.len() {
            return Err(Status::internal(format!("cluster {} answered about other shards", self.names[0])));
        }
        Ok((here, there))
    }

    /// The runs of these shards that differ at the moment. Both sides list in one order, so neither has to be kept.
    async fn suspects(&mut self, shard_ids: Vec<u32>) -> Result<Suspects, Status> {
        let request = ListRunDigestsRequest {
            namespace: self.namespace.clone(),
            shard_count: self.shards,
            shard_ids,
            ..ListRunDigestsRequest::default()
        };
        let mut sides = [Side::of(request.clone(), None), Side::of(request, Some(self.there.clone()))];
        let mut suspects = Suspects::new();
        loop {
            for side in &mut sides {
                side.fill(&self.here).await.map_err(|status| self.silent(&status))?;
            }
            let [here, there] = sides.each_ref().map(|side| side.runs.front().map(order));
            let first = match (here, there) {
                (None, None) => return Ok(suspects),
                (Some(here), Some(there)) => here.min(there),
                (here, there) => here.or(there).unwrap_or_default(),
            };
            let [here, there] = sides.each_mut().map(|side| side.take(&first));
            if !compare(here.as_ref(), there.as_ref()).is_empty() {
                let name = run_name(here.as_ref().or(there.as_ref()).unwrap_or(&RunDigest::default()));
                let pair = (name, here, there);
                suspects.insert(key(&pair.0), records(&pair));
            }
        }
    }

    /// Wait until everything that was written before a moment is acknowledged, both ways. Whether it is.
    async fn catch_up(&mut self, looked: Timestamp, started: Timestamp) -> Result<bool, Status> {
        let [peer, us] = self.names.clone();
        let mut status = StatusServiceClient::new(self.channel.clone());
        loop {
            let lags = self.here.lags.by_peer().await;
            let ours = lags.get(peer.as_str()).is_some_and(|lag| {
                let oldest = lag.exposures.values().filter_map(|exposure| exposure.since).min();
                lag.is_connected && lag.is_complete && oldest.is_none_or(|oldest| oldest > looked)
            });
            let theirs = status.get_replication_status(GetReplicationStatusRequest {}).await;
            let theirs = theirs.map_err(|status| self.silent(&status))?.into_inner().peers;
            let theirs = theirs.iter().find(|peer| peer.cluster_name == us).is_some_and(|lag| {
                let age = duration(lag.lag.as_ref());
                lag.connected && lag.lag_tasks.is_some_and(|tasks| tasks == 0 || age < (self.here.now)().since(looked))
            });
            if ours && theirs {
                return Ok(true);
            }
            if (self.here.now)().since(started) >= self.patience {
                return Ok(false);
            }
            // Nobody announces an acknowledgement to operators.
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Look at runs once more: those that differ and have changed meanwhile, and those that differ and have not.
    async fn look_again(&mut self, suspects: &Suspects) -> Result<(Vec<Pair>, Vec<Pair>), Status> {
        let (mut moving, mut still) = (Vec::new(), Vec::new());
        let names: Vec<_> = suspects.keys().cloned().collect();
        for names in names.chunks(NAMED) {
            let runs = names
                .iter()
                .map(|(workflow_id, run)| RunName { workflow_id: workflow_id.clone(), run_id: run.to_string() });
            let request = ListRunDigestsRequest {
                namespace: self.namespace.clone(),
                runs: runs.collect(),
                ..ListRunDigestsRequest::default()
            };
            let mut client = self.there.clone();
            let there = client.list_run_digests(request.clone());
            let (here, there) = tokio::join!(digests::list(&self.here, request), there);
            let by_name = |runs: Vec<RunDigest>| -> BTreeMap<_, _> {
                runs.into_iter().map(|run| (key(&run_name(&run)), run)).collect()
            };
            let mut here = by_name(here?.runs);
            let mut there = by_name(there.map_err(|status| self.silent(&status))?.into_inner().runs);
            for name in names {
                let of = RunName { workflow_id: name.0.clone(), run_id: name.1.to_string() };
                let pair = (of, here.remove(name), there.remove(name));
                if compare(pair.1.as_ref(), pair.2.as_ref()).is_empty() {
                    continue;
                }
                let is_still = suspects.get(name) == Some(&records(&pair));
                if is_still { still.push(pair) } else { moving.push(pair) }
            }
        }
        Ok((moving, still))
    }

    /// Tell a difference, with the first event that differs, and why one side is behind if that is known.
    async fn tell(
        &mut self,
        found: &mpsc::Sender<Result<VerifyNamespaceResponse, Status>>,
        (name, here, there): Pair,
        moving: bool,
    ) -> Result<(), Status> {
        let mut aspects = compare(here.as_ref(), there.as_ref());
        for aspect in aspects.iter_mut().filter(|aspect| aspect.kind() == Kind::Events) {
            aspect.first_event_id = self.first_difference(&name, &aspect.here).await?;
        }
        let cause = self.cause(&name).await?;
        let difference = Difference { workflow_id: name.workflow_id, run_id: name.run_id, aspects, moving, cause };
        let _gone = found.send(Ok(VerifyNamespaceResponse { found: Some(Found::Difference(difference)) })).await;
        Ok(())
    }

    /// Where the first batch begins that is not the same in both; 0: all are.
    async fn first_difference(&mut self, name: &RunName, versions: &str) -> Result<i64, Status> {
        let mut first_event_id = 1;
        while first_event_id > 0 {
            let request = ListBatchDigestsRequest {
                namespace: self.namespace.clone(),
                workflow_id: name.workflow_id.clone(),
                run_id: name.run_id.clone(),
                versions: versions.to_owned(),
                first_event_id,
            };
            let here = digests::batches(&self.here, request.clone()).await?;
            let there = self.there.clone().list_batch_digests(request).await;
            let there = there.map_err(|status| self.silent(&status))?.into_inner();
            let differs = here.batches.iter().zip(&there.batches).find(|(here, there)| here != there);
            if let Some((here, _)) = differs {
                return Ok(here.first_event_id);
            }
            if here.batches.len() != there.batches.len() || here.next_event_id != there.next_event_id {
                let fewer = [&here, &there].into_iter().min_by_key(|side| side.batches.len());
                return Ok(fewer.and_then(|side| side.batches.last()).map_or(1, |last| last.first_event_id + 1));
            }
            first_event_id = here.next_event_id;
        }
        Ok(0)
    }

    /// Why one side is behind: what it keeps in quarantine of the run.
    async fn cause(&mut self, name: &RunName) -> Result<String, Status> {
        let request = ListQuarantinedRequest {
            namespace: self.namespace.clone(),
            workflow_id: name.workflow_id.clone(),
            run_id: name.run_id.clone(),
            page_size: 1,
            ..ListQuarantinedRequest::default()
        };
        let here = self.here.list(request.clone()).await?;
        let there = QuarantineServiceClient::new(self.channel.clone()).list_quarantined(request).await;
        let there = there.map_err(|status| self.silent(&status))?.into_inner();
        let sides = [(&self.names[1], here.tasks), (&self.names[0], there.tasks)];
        let causes = sides.into_iter().filter_map(|(cluster, tasks)| {
            tasks.first().map(|task| format!("in quarantine in {cluster}: {}", task.cause))
        });
        Ok(causes.collect::<Vec<_>>().join("; "))
    }

    fn silent(&self, status: &Status) -> Status {
        Status::new(status.code(), format!("cluster {}: {}", self.names[0], status.message()))
    }
}

/// One side's list, as far as it was read.
struct Side {
    request: ListRunDigestsRequest,
    /// Nothing: it is this cluster's.
    client: Option<VerificationServiceClient<Channel>>,
    runs: VecDeque<RunDigest>,
    is_over: bool,
}

impl Side {
    fn of(request: ListRunDigestsRequest, client: Option<VerificationServiceClient<Channel>>) -> Self {
        Self { request, client, runs: VecDeque::new(), is_over: false }
    }

    /// Read on, if there is nothing left of what was read.
    async fn fill(&mut self, here: &Operations) -> Result<(), Status> {
        while self.runs.is_empty() && !self.is_over {
            let page = match &mut self.client {
                Some(client) => client.list_run_digests(self.request.clone()).await?.into_inner(),
                None => digests::list(here, self.request.clone()).await?,
            };
            self.is_over = page.next_page_token.is_empty();
            self.request.next_page_token = page.next_page_token;
            self.runs = page.runs.into();
        }
        Ok(())
    }

    /// The next run, if it is this one.
    fn take(&mut self, place: &(String, Vec<u8>)) -> Option<RunDigest> {
        self.runs.pop_front_if(|run| order(run) == *place)
    }
}

/// Where a run stands in the lists.
fn order(run: &RunDigest) -> (String, Vec<u8>) {
    (run.workflow_id.clone(), run.run_id.to_vec())
}

fn run_name(run: &RunDigest) -> RunName {
    let run_id = <[u8; 16]>::try_from(&run.run_id[..]).map(RunId::from_bytes);
    RunName { workflow_id: run.workflow_id.clone(), run_id: run_id.map(|run| run.to_string()).unwrap_or_default() }
}

fn key(name: &RunName) -> (String, RunId) {
    (name.workflow_id.clone(), RunId::parse(&name.run_id).unwrap_or(RunId::from_bytes([0; 16])))
}

/// How often each side has written a run.
fn records(pair: &Pair) -> [i64; 2] {
    [&pair.1, &pair.2].map(|side| side.as_ref().map_or(0, |run| run.record_version))
}

/// How long to wait for what is on its way, if nobody says.
const PATIENCE: Duration = Duration::from_secs(10);
/// Looks at what keeps changing.
const ROUNDS: usize = 20;
/// Between two looks at watermarks.
const PAUSE: Duration = Duration::from_millis(20);
/// Runs that are asked for at a time.
const NAMED: usize = 500;
/// Answers that wait for whoever asked.
const BUFFERED: usize = 100;
/// A page of digests is well below this.
const LONGEST: usize = 16 << 20;
