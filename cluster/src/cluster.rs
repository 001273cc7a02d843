//! One running cluster, without its sockets.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use config::{Config, Redirection, ReplicationBacklog, Service, Services, Setting};
use frontend::{Built, Frontend, InsideService, Limits, Policy, Registry, WorkflowService};
use history::{History, TaskSink};
use hosts::{Hosts, PartitionCounts, Partitions, ROOT};
use matching::Matching;
use membership::{JoinError, Membership, Presence};
use metadata::{
    Join, Metadata, OpenError, Own, ReplicationEndpoint,
    service::{Admin, NamespaceCalls, Offer, Operator},
};
use proto::{
    meridian::{
        divergence::v1::divergence_service_server::DivergenceServiceServer,
        failover::v1::failover_service_server::FailoverServiceServer,
        internal::v1::{host_service_server::HostServiceServer, shard_service_server::ShardServiceServer},
        membership::v1::membership_service_server::MembershipServiceServer,
        quarantine::v1::quarantine_service_server::QuarantineServiceServer,
        status::v1::status_service_server::StatusServiceServer,
        verification::v1::verification_service_server::VerificationServiceServer,
    },
    temporal::{
        api::{
            operatorservice::v1::operator_service_server::OperatorServiceServer,
            replication::v1::ClusterReplicationConfig,
            workflowservice::v1::{RegisterNamespaceRequest, UpdateNamespaceRequest},
        },
        server::api::adminservice::v1::admin_service_server::AdminServiceServer,
    },
};
use replicator::{
    entropy::Entropy,
    ids::{EventId, RunKey, ShardId},
    shard::io::{Dispatch, Limit},
    stream::BacklogLimit,
    version::ClusterName,
};
use store::Store;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    codec::CompressionEncoding::Gzip,
    server::NamedService,
    service::{Routes, interceptor::InterceptedService},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use tracing::warn;

use crate::{
    draining::Draining,
    failover::{
        Failovers,
        keeper::{self, Drivers},
        running::{Driver, Running},
    },
    hosts::{self as inside, AllShards, Claims, Everywhere, Follower, Inside, Offers, PassedOn, ShardsHere, Wants},
    joining,
    metrics::Metrics,
    operations::Operations,
    persistence::{Counted, Counts},
    ports::Ports,
    reflection,
    security::Introduced,
    status::{Lags, count},
    storage,
};

/// One running cluster. It ends when it is stopped, or when the tasks that it spawned are dropped.
pub struct Cluster {
    name: String,
    store: Arc<dyn Store>,
    frontend: Frontend,
    history: History,
    matching: Matching,
    metadata: Metadata,
    membership: Membership,
    namespaces: NamespaceCalls,
    /// Of this host alone.
    lags: Lags,
    operations: Operations,
    metrics: Metrics,
    health: HealthReporter,
    /// What it says its health of.
    served: Vec<&'static str>,
    is_serving: AtomicBool,
    is_one_of_several: bool,
    /// Streams to peers end.
    draining: CancellationToken,
    routes: Routes,
    internal_routes: Routes,
}

/// Why a cluster did not start. Nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Look at the database.
    #[error(transparent)]
    Store(#[from] store::Failed),
    /// The database does not answer; look at the disk, or try again.
    #[error("the database does not answer: {0}")]
    Unavailable(store::Unavailable),
    /// Look at the configuration: it does not fit to the database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The other processes of the cluster could not be joined.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl Cluster {
    /// Start everything that a configuration says but its sockets.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start(config: &Config, ports: Ports) -> Result<Self, StartError> {
        let store = storage::open(&config.persistence.location, config.host.is_none(), &ports.spawn).await?;
        Self::start_on(store, config, ports).await
    }

    /// The same on a store that is open, whatever the configuration says of it.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub async fn start_on(store: Arc<dyn Store>, config: &Config, ports: Ports) -> Result<Self, StartError> {
        let mut entropy = Entropy::new(ports.seed);
        let metrics = Metrics::new(&config.cluster.name);
        let counts = Counts::new(&metrics);
        let store: Arc<dyn Store> = Arc::new(Counted { store, counts: counts.clone() });
        let identity = store.begin_incarnation(entropy.uuid()).await.map_err(StartError::Unavailable)?;
        let membership = joining::join(config, &ports, &store, identity.id).await?;
        let shards = config.persistence.num_history_shards;
        let hosts = config.host.map(|_| Hosts::new(membership.clone(), shards, ports.inside.clone()));
        let own = own(config, identity.id);

        let metadata_ports = metadata::Ports {
            store: store.clone(),
            clock: ports.now.clone(),
            spawn: ports.spawn.clone(),
            dial: ports.connect.clone(),
            seed: entropy.next_u64(),
            tell: hosts.clone().map(|hosts| inside::tell(hosts, ports.spawn.clone())),
        };
        let metadata = Metadata::open(metadata_ports, own).await?;
        counts.know(metadata.namespaces().clone());
        let hosts = hosts.map(|hosts| hosts.with_partitions(partitions(&ports.limits, &metadata)));
        let matching = Matching::new(ports.now.clone());
        if hosts.is_none() {
            // Another host may be handing a namespace over.
            keeper::release_orphans(metadata.namespaces()).await;
        }
        let among = hosts.clone().map(|hosts| {
            let offers = Offers::new(hosts.clone(), matching.clone(), ports.spawn.clone());
            (offers, Claims::new(hosts.clone(), metadata.clone()), hosts)
        });
        let running = Running::default();
        let history = History::new(
            config.persistence.num_history_shards,
            history::Ports {
                store: store.clone(),
                clock: ports.now.clone(),
                spawn: ports.spawn.clone(),
                seed: entropy.next_u64(),
                sink: match &among {
                    Some((offers, ..)) => Arc::new(offers.clone()),
                    None => Arc::new(Sink(matching.clone())),
                },
                clusters: metadata.clusters().watch(),
                report: metrics.reporter(metadata.clone(), ports.now.clone()),
                handover: {
                    let (running, hosts, spawn) = (running.clone(), hosts.clone(), ports.spawn.clone());
                    Arc::new(move |shard, namespace, progress| {
                        running.progress(shard, namespace, progress);
                        if let Some(hosts) = &hosts {
                            inside::tell_progress(hosts, &spawn, shard, namespace, progress);
                        }
                    })
                },
                refresh_namespace: refresher(&metadata, &ports),
                backlog_limit: backlog_limit(config.persistence.backlog),
                run_limits: ports.run_limits.clone(),
                claim: among.as_ref().map(|(_, claims, _)| claims.claim()),
            },
        );
        let told = history.clone();
        metadata.namespaces().listen(Box::new(move |namespace| told.put_namespace(namespace))).await;
        let told = running.clone();
        metadata.namespaces().listen(Box::new(move |namespace| told.changed(namespace))).await;
        let drivers = Drivers { running: running.clone(), hosts: hosts.clone() };
        keeper::start(&metadata, drivers, ports.now.clone(), &ports.spawn).await;
        match among {
            None => {
                history.hold_all();
                metadata.start();
            }
            Some((offers, claims, hosts)) => {
                (ports.spawn)(Box::pin(Wants::new(hosts.clone(), matching.clone()).run()));
                let (history, matching, metadata) = (history.clone(), matching.clone(), metadata.clone());
                let follower = Follower { hosts, history, matching, metadata, claims, offers };
                (ports.spawn)(Box::pin(follower.run()));
            }
        }
        let runs = matching.clone();
        (ports.spawn)(Box::pin(async move { runs.run().await }));

        let namespaces = NamespaceCalls::new(metadata.namespaces().clone(), Offer::default());
        let parts = frontend::Parts {
            about: frontend::About {
                cluster: ClusterName::from(config.cluster.name.as_str()),
                host: ports.host.clone(),
                cluster_id: identity.id,
                shard_count: config.persistence.num_history_shards,
                initial_failover_version: config.cluster.initial_failover_version,
                failover_version_increment: config.cluster.failover_version_increment,
                store: storage::name(&config.persistence.location).to_owned(),
            },
            namespaces: Arc::new(Registry::new(metadata.namespaces().clone(), namespaces.clone())),
            shards: Arc::new(history.clone()),
            matching: matching.clone(),
            hosts: hosts.clone(),
            lists: Arc::new(store.clone()),
            peers: peers(&metadata),
            policy: match config.redirection {
                Redirection::Noop => Policy::Noop,
                Redirection::SelectedApis => Policy::SelectedApis,
                Redirection::AllApis => Policy::AllApis,
            },
            limits: ports.limits.clone(),
            meter: Arc::new(metrics.clone()),
            clock: ports.now.clone(),
            uuids: {
                let entropy = Mutex::new(Entropy::new(entropy.next_u64()));
                Arc::new(move || entropy.lock().unwrap_or_else(PoisonError::into_inner).uuid())
            },
        };
        let draining = CancellationToken::new();
        let endpoint = Arc::new(history::Endpoint::new(history.clone(), metadata.clone()));
        let runs: Arc<dyn ReplicationEndpoint> = Arc::new(Draining { endpoint, stop: draining.clone() });
        let everywhere: Arc<dyn ReplicationEndpoint> = match &hosts {
            None => runs.clone(),
            Some(hosts) => {
                let (here, hosts, metadata) = (runs.clone(), hosts.clone(), metadata.clone());
                Arc::new(Everywhere { here, hosts, metadata })
            }
        };
        let here = AllShards { here: history.clone(), hosts: None, spawn: ports.spawn.clone() };
        let shards = AllShards { hosts: hosts.clone(), ..here.clone() };
        let shards_of_host = here.clone();
        let lags_of = |shards| Lags { shards, metadata: metadata.clone(), now: ports.now.clone() };
        // Each host is measured by itself; an operator is told of all.
        let (measured, lags) = (lags_of(here), lags_of(shards.clone()));
        let shards_here = ShardsHere { history: history.clone(), running: running.clone() };
        let driver = Driver {
            running,
            metadata: metadata.clone(),
            shards: shards.clone(),
            metrics: metrics.clone(),
            clock: ports.now.clone(),
            spawn: ports.spawn.clone(),
        };
        let operations = Operations {
            history: history.clone(),
            shards,
            metadata: metadata.clone(),
            membership: membership.clone(),
            store: store.clone(),
            lags: lags.clone(),
            now: ports.now.clone(),
            spawn: ports.spawn.clone(),
        };
        let (health, health_service) = tonic_health::server::health_reporter();
        let health_service = health_service.accept_compressed(Gzip).send_compressed(Gzip);
        let admin = |runs| {
            AdminServiceServer::new(Admin::new(metadata.clone(), about(config), runs))
                .accept_compressed(Gzip)
                .send_compressed(Gzip)
                .max_decoding_message_size(LONGEST_FRAME)
                .max_encoding_message_size(LONGEST_FRAME)
        };
        let guard = Introduced(metadata::Guard::new(metadata.clusters().clone()));
        let operator = OperatorServiceServer::new(Operator::new(metadata.clone()));
        let operator = operator.accept_compressed(Gzip).send_compressed(Gzip);
        let members = MembershipServiceServer::new(operations.clone());
        let frontend = Frontend::new(parts);
        let inside = Inside {
            frontend: frontend.clone(),
            history: history.clone(),
            matching: matching.clone(),
            metadata: metadata.clone(),
            hosts: hosts.clone(),
        };
        // What another host, whom an operator asked, asks about workflows that are here.
        let operations_here = Operations { shards: shards_of_host, ..operations.clone() };
        let internal_routes = Routes::new(InsideService::new(frontend.clone()))
            .add_service(HostServiceServer::new(inside).max_decoding_message_size(LONGEST_MESSAGE))
            .add_service(Built::new(admin(runs), &SHARD_METHODS))
            .add_service(ShardServiceServer::new(shards_here))
            .add_service(FailoverServiceServer::new(Failovers { driver: driver.clone(), hosts: None }))
            .add_service(DivergenceServiceServer::new(operations_here.clone()))
            .add_service(VerificationServiceServer::new(operations_here))
            .add_service(members.clone())
            .add_service(health_service.clone());
        let routes = Routes::new(WorkflowService::new(frontend.clone()))
            .add_service(Built::new(operator, &OPERATOR_METHODS))
            .add_service(InterceptedService::new(
                PassedOn { here: Built::new(admin(everywhere), &ADMIN_METHODS), hosts: hosts.clone() },
                guard,
            ))
            .add_service(StatusServiceServer::new(lags.clone()))
            .add_service(members)
            .add_service(QuarantineServiceServer::new(operations.clone()))
            .add_service(DivergenceServiceServer::new(operations.clone()))
            .add_service(VerificationServiceServer::new(operations.clone()))
            .add_service(FailoverServiceServer::new(Failovers { driver, hosts }))
            .add_service(health_service);
        let routes = reflection::add_to(routes);
        let served: Vec<_> = served(config).collect();
        for service in &served {
            health.set_service_status(*service, ServingStatus::Serving).await;
        }
        Ok(Self {
            name: config.cluster.name.clone(),
            store,
            history,
            matching,
            metadata,
            membership,
            namespaces,
            lags: measured,
            operations,
            metrics,
            health,
            served,
            is_serving: AtomicBool::new(true),
            is_one_of_several: config.host.is_some(),
            draining,
            routes,
            frontend,
            internal_routes,
        })
    }

    /// Whether whoever has a choice should send it calls: it takes them, and is not to give away what it has.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_serving() && !self.membership.view().me().is_draining()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its counters.
    pub(crate) fn counters(&self) -> &Metrics {
        &self.metrics
    }

    /// Its shards that are on this host.
    pub(crate) fn history(&self) -> History {
        self.history.clone()
    }

    /// Its task queues that are on this host.
    pub(crate) fn matching(&self) -> Matching {
        self.matching.clone()
    }

    /// The hosts of it, as this one sees them.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Everything it answers over gRPC.
    #[must_use]
    pub fn routes(&self) -> Routes {
        followed(self.routes.clone())
    }

    /// What it answers the other processes of the cluster, and nobody else.
    #[must_use]
    pub fn internal_routes(&self) -> Routes {
        followed(self.internal_routes.clone())
    }

    /// Whether it takes calls.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// What it counts, as Prometheus reads it.
    pub async fn metrics(&self) -> String {
        let families = self.metrics.families();
        let (queues, polls, tasks) = self.matching.counts();
        families.loaded_task_queue_count.set(gauge(queues));
        families.pending_polls.set(gauge(polls));
        families.approximate_backlog_count.set(gauge(tasks));
        families.numshards_gauge.set(gauge(self.history.held().len()));
        families.memory(&self.history.memory());
        self.measure_replication().await;
        self.metrics.render()
    }

    /// How far peers are behind, and what of theirs could not be applied.
    async fn measure_replication(&self) {
        let families = self.metrics.families();
        let all = self.metadata.namespaces().list();
        for (peer, lag) in self.lags.by_peer().await {
            let total = lag.total();
            let tasks = if lag.is_complete { count(total.tasks) } else { i64::MAX };
            families.replication_tasks_lag.with_label_values(&[&*peer]).set(tasks);
            families.replication_lag_seconds.with_label_values(&[&*peer]).set(self.lags.age(total.since).as_secs_f64());
            families.replication_seeding.with_label_values(&[&*peer]).set(gauge(lag.seeding.len()));
            families.replication_gap.with_label_values(&[&*peer]).set(i64::from(lag.has_gap));
            for limit in Limit::ALL {
                let held_back = lag.held_back.filter(|(by, _)| *by == limit).map(|(_, since)| since);
                let seconds = self.lags.age(held_back).as_secs_f64();
                families.replication_held_back_seconds.with_label_values(&[&*peer, limit.as_str()]).set(seconds);
            }
            let name = ClusterName::from(&*peer);
            for namespace in all.iter().filter(|namespace| namespace.is_replicated() && namespace.is_on(&name)) {
                let exposure = lag.exposures.get(&namespace.id).cloned().unwrap_or_default();
                families.lag(&namespace.name, &peer, &exposure, self.lags.age(exposure.since));
            }
        }
        families.replication_quarantined.reset();
        for kept in self.history.quarantined().await.into_values().flatten() {
            let namespace = self.operations.namespace_name(kept.run.workflow.namespace);
            let from = self.operations.cluster_name(kept.from.cluster);
            families.replication_quarantined.with_label_values(&[namespace, from]).inc();
        }
    }

    /// Connect to the cluster at an address.
    ///
    /// # Errors
    ///
    /// What an operator would be told.
    pub async fn join(&self, address: &str) -> Result<(), Status> {
        let address = address.to_owned();
        self.metadata.join(Join { address, http_address: String::new(), connection: true, replication: true }).await
    }

    /// See that a global namespace is there and in all of these clusters; answers where it is active.
    ///
    /// # Errors
    ///
    /// What a caller would be told.
    pub async fn provide_namespace(&self, name: &str, clusters: Vec<String>) -> Result<String, Status> {
        let cluster = |name: &String| ClusterReplicationConfig { cluster_name: name.clone(), ..Default::default() };
        let Some(known) = self.metadata.namespaces().get(name) else {
            let retention = Some(replicator::time::proto_duration(RETENTION));
            let request = RegisterNamespaceRequest {
                namespace: name.to_owned(),
                workflow_execution_retention_period: retention,
                clusters: clusters.iter().map(cluster).collect(),
                active_cluster_name: self.name.clone(),
                is_global_namespace: true,
                ..Default::default()
            };
            self.namespaces.register(request).await?;
            return Ok(self.name.clone());
        };
        if clusters.iter().any(|name| !known.is_on(&ClusterName::from(name.as_str()))) {
            let mut all: Vec<_> = known.clusters.iter().map(ToString::to_string).collect();
            all.extend(clusters.into_iter().filter(|name| !known.is_on(&ClusterName::from(name.as_str()))));
            let replication_config = proto::temporal::api::replication::v1::NamespaceReplicationConfig {
                clusters: all.iter().map(cluster).collect(),
                ..Default::default()
            };
            let request = UpdateNamespaceRequest {
                namespace: name.to_owned(),
                replication_config: Some(replication_config),
                ..Default::default()
            };
            self.namespaces.update(request).await?;
        }
        Ok(known.active.to_string())
    }

    /// Wait until there is a namespace of this name.
    pub async fn namespace_appeared(&self, name: &str) {
        self.metadata.namespaces().appeared(name).await;
    }

    /// We are about to go: health fails, polls end with nothing and streams to peers end. Calls are still answered. Of
    /// several hosts this one is given nothing any more, and what it has goes to the others.
    pub async fn drain(&self) {
        self.is_serving.store(false, Ordering::Relaxed);
        for service in &self.served {
            self.health.set_service_status(*service, ServingStatus::NotServing).await;
        }
        self.membership.set_presence(Presence::Leaving).await;
        self.frontend.stop();
        self.matching.shutdown();
        self.metadata.stop();
        self.draining.cancel();
        if self.is_one_of_several {
            let all: Vec<_> = (1..=self.history.shard_count()).map(ShardId).collect();
            if timeout(LETTING_GO, self.history.released(&all)).await.is_err() {
                warn!("some shards are not let go in time");
            }
        }
    }

    /// Go: what is being written is written, and nothing is answered any more.
    pub async fn stop(&self) {
        self.history.shut_down();
        self.membership.leave().await;
        self.store.close().await;
    }
}

/// Tasks go from shards to matching.
struct Sink(Matching);

impl TaskSink for Sink {
    fn offer(&self, dispatch: Dispatch) {
        // It has all partitions.
        self.0.offer(dispatch, ROOT);
    }

    fn withdraw(&self, run: RunKey, scheduled: EventId) {
        self.0.withdraw(run, scheduled);
    }
}

fn own(config: &Config, cluster_id: uuid::Uuid) -> Own {
    let cluster = &config.cluster;
    Own {
        name: ClusterName::from(cluster.name.as_str()),
        cluster_id,
        shard_count: config.persistence.num_history_shards,
        address: cluster.rpc_address.clone(),
        http_address: cluster.http_address.clone().unwrap_or_default(),
        failover_version_increment: cluster.failover_version_increment,
        initial_failover_version: cluster.initial_failover_version,
        global_namespaces: cluster.enable_global_namespace,
        is_master: cluster.master == cluster.name,
    }
}

fn about(config: &Config) -> metadata::service::About {
    metadata::service::About {
        server_version: SERVER_VERSION.to_owned(),
        persistence_store: storage::name(&config.persistence.location).to_owned(),
        visibility_store: storage::name(&config.persistence.location).to_owned(),
        host: config.frontend.grpc.to_string(),
        ..Default::default()
    }
}

/// The way to a peer, for calls that are passed on.
fn peers(metadata: &Metadata) -> frontend::Peers {
    let clusters = metadata.clusters().clone();
    Arc::new(move |name| clusters.view().peers.get(name).map(|peer| peer.channel.clone()))
}

/// How many partitions task queues have: what limits say, now.
fn partitions(limits: &Limits, metadata: &Metadata) -> Partitions {
    let (limits, namespaces) = (limits.clone(), metadata.namespaces().clone());
    Arc::new(move |namespace, _| {
        let namespace = namespaces.get_by_id(namespace);
        let name = namespace.as_ref().map_or("", |namespace| &namespace.name);
        let usual = PartitionCounts::default();
        PartitionCounts {
            read: limits(Setting::ReadPartitions, name).unwrap_or(usual.read),
            write: limits(Setting::WritePartitions, name).unwrap_or(usual.write),
        }
    })
}

/// Fetches a namespace from a peer that knows better.
fn refresher(
    metadata: &Metadata,
    ports: &Ports,
) -> Arc<dyn Fn(replicator::ids::NamespaceId, ClusterName) + Send + Sync> {
    let (metadata, spawn) = (metadata.clone(), ports.spawn.clone());
    Arc::new(move |namespace, from| {
        let Some(peer) = metadata.clusters().view().peers.get(&from).map(|peer| peer.id) else { return };
        let metadata = metadata.clone();
        spawn(Box::pin(async move {
            if let Err(status) = metadata.refresh(namespace, peer).await {
                warn!(%namespace, cluster = %from, status = status.message(), "a namespace could not be fetched");
            }
        }));
    })
}

/// What the configuration says, and what the core chooses where it says nothing.
fn backlog_limit(configured: ReplicationBacklog) -> BacklogLimit {
    let default = BacklogLimit::default();
    BacklogLimit {
        rows: configured.max_tasks.unwrap_or(default.rows),
        bytes: configured.max_megabytes.map_or(default.bytes, |megabytes| megabytes.saturating_mul(1 << 20)),
        age: configured.max_age.unwrap_or(default.age),
    }
}

/// Routes whose calls are followed, in a program that was built to.
fn followed(routes: Routes) -> Routes {
    #[cfg(feature = "otel")]
    let routes = crate::telemetry::followed(routes);
    routes
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What is asked for its health, by the names that Temporal has for it; the empty one is the whole process.
fn served(config: &Config) -> impl Iterator<Item = &'static str> {
    let services = config.host.map_or(Services::ALL, |host| host.services);
    let runs = move |service| services.contains(service);
    let of_frontend = FRONTEND_SERVICES.into_iter().filter(move |_| runs(Service::Frontend));
    let of_others = [(Service::History, HISTORY_SERVICE), (Service::Matching, MATCHING_SERVICE)];
    let of_others = of_others.into_iter().filter(move |(service, _)| runs(*service)).map(|(_, name)| name);
    [""].into_iter().chain(of_frontend).chain(of_others)
}

const FRONTEND_SERVICES: [&str; 3] = [
    WorkflowService::NAME,
    "temporal.api.operatorservice.v1.OperatorService",
    "temporal.server.api.adminservice.v1.AdminService",
];
const HISTORY_SERVICE: &str = "temporal.server.api.historyservice.v1.HistoryService";
const MATCHING_SERVICE: &str = "temporal.server.api.matchingservice.v1.MatchingService";

/// What is built of the operator service.
const OPERATOR_METHODS: [&str; 4] =
    ["AddOrUpdateRemoteCluster", "RemoveRemoteCluster", "ListClusters", "ListSearchAttributes"];

/// What is built of the admin service.
const ADMIN_METHODS: [&str; 9] = [
    "DescribeCluster",
    "ListClusters",
    "AddOrUpdateRemoteCluster",
    "RemoveRemoteCluster",
    "GetNamespaceReplicationMessages",
    "GetNamespace",
    "StreamWorkflowReplicationMessages",
    "GetWorkflowExecutionRawHistoryV2",
    "DescribeMutableState",
];

/// What of it is about one shard, and is passed on to the host that has it.
const SHARD_METHODS: [&str; 3] =
    ["StreamWorkflowReplicationMessages", "GetWorkflowExecutionRawHistoryV2", "DescribeMutableState"];

/// Temporal's server whose wire this is.
const SERVER_VERSION: &str = "1.32.0";

/// What Temporal lets peers send each other.
const LONGEST_FRAME: usize = 128 << 20;

/// How long shards may take to be let go. What is under way is written, and nothing else is done.
pub(crate) const LETTING_GO: Duration = Duration::from_secs(5);

/// What other hosts of the cluster send: tasks by the hundred, or a question with the history that it is about.
const LONGEST_MESSAGE: usize = 64 << 20;

/// How long closed runs of a provided namespace are kept.
const RETENTION: Duration = Duration::from_secs(3 * 24 * 3600);
