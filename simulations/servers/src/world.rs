//! A world, from its beginning to its end.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use config::{Config, Format, Frontend, Level, Location, Log, Persistence, Redirection, ReplicationBacklog, Services};
use replicator::ids::NamespaceId;
use simulations::random::Random;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::{
    client,
    host::{Background, Clock, Host},
    ledger::Ledger,
    machines::Machines,
    network::Network,
    operator::{self, name},
    people::People,
    plan::{CLUSTERS, Plan},
    rest,
    store::{Hardware, Weather},
    worker::{Cache, Worker},
};

/// Everything that there is.
pub(crate) struct World {
    plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) network: Network,
    /// By cluster.
    hosts: Arc<Vec<Vec<Host>>>,
    disks: Arc<Vec<Arc<Hardware>>>,
    people: People,
    background: Background,
    careless: Arc<AtomicU32>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let ledger = Ledger::new(plan.may_conflict());
        let network = Network::new(Random::of(plan.seed, "network", 0), plan.near, plan.far);
        let disks: Vec<_> = (0..CLUSTERS).map(|cluster| Arc::new(disk(&plan, cluster, &ledger))).collect();
        let of = |cluster: usize| {
            let numbers = 0..plan.hosts[cluster];
            numbers.map(|number| host(&plan, cluster, number, &disks[cluster], &network, &ledger)).collect()
        };
        let hosts: Vec<Vec<Host>> = (0..CLUSTERS).map(of).collect();
        let people = People::new(&network, &ledger, &addresses());
        let background = Background::new(&ledger);
        let careless = Arc::new(AtomicU32::new(plan.careless));
        let (hosts, disks) = (Arc::new(hosts), Arc::new(disks));
        Self { plan, ledger, network, hosts, disks, people, background, careless }
    }

    /// Play it.
    pub(crate) async fn play(&self) {
        let ledger = self.ledger.clone();
        tokio::select! {
            biased;
            () = ledger.until_broken() => {}
            () = self.live() => {}
        }
    }

    async fn live(&self) {
        self.hosts.iter().flatten().for_each(Host::start);
        let addresses = addresses();
        let prepared = operator::prepare(&self.people, &addresses);
        let Ok(namespace) = timeout(PREPARED_WITHIN, prepared).await else {
            return self.ledger.broken("clusters meet", format!("not within {PREPARED_WITHIN:?}"));
        };
        let begin = Instant::now();
        self.disks.iter().for_each(|disk| disk.set_weather(self.plan.weather));
        self.begin_work(namespace);
        self.begin_trouble(begin);
        let clients: Vec<_> = self.begin_clients(begin, namespace);
        sleep_until(begin + self.plan.duration).await;

        self.heal();
        let healed = Instant::now();
        for (number, client) in clients.into_iter().enumerate() {
            if timeout_at(healed + REST_WITHIN, client).await.is_err() {
                let text = format!("the client of {} waits", client::workflow_id(number));
                return self.ledger.broken(REST, format!("{text}, {REST_WITHIN:?} after the last fault"));
            }
        }
        while let Some(reason) = rest::unrest(&self.people, &self.disks, &self.plan).await {
            if healed.elapsed() > REST_WITHIN {
                return self.ledger.broken(REST, format!("{reason}, {REST_WITHIN:?} after the last fault"));
            }
            sleep(LOOK_EVERY).await;
        }
        self.ledger.note("everything is at rest".into());
        self.look_at_stores();
        rest::look(&self.people, &self.plan).await;
    }

    /// Workers begin to poll.
    fn begin_work(&self, namespace: NamespaceId) {
        for region in 0..CLUSTERS {
            for number in 0..WORKERS {
                let random = |kind| Random::of(self.plan.seed, kind, (region * WORKERS + number) as u64);
                let cache = Cache::default();
                let worker = |kind| Worker {
                    people: self.people.clone(),
                    namespace,
                    region,
                    number,
                    random: random(kind),
                    careless: self.careless.clone(),
                    cache: cache.clone(),
                };
                self.background.spawn(worker("workflows").run_workflows(false));
                self.background.spawn(worker("sticky workflows").run_workflows(true));
                self.background.spawn(worker("activities").run_activities());
            }
        }
    }

    fn begin_clients(&self, begin: Instant, namespace: NamespaceId) -> Vec<tokio::sync::oneshot::Receiver<()>> {
        let orders = self.plan.orders.iter().cloned().enumerate();
        let begin_client = |(number, order): (usize, crate::plan::Order)| {
            let (done, is_done) = tokio::sync::oneshot::channel();
            let people = self.people.clone();
            self.background.spawn(async move {
                sleep_until(begin + order.at).await;
                client::want(people, namespace, number, order).await;
                let _ = done.send(());
            });
            is_done
        };
        orders.map(begin_client).collect()
    }

    /// Operators and faults, each at its time.
    fn begin_trouble(&self, begin: Instant) {
        for failover in self.plan.moves.iter().copied() {
            let people = self.people.clone();
            self.background.spawn(async move {
                sleep_until(begin + failover.at).await;
                operator::fail_over(people, failover).await;
            });
        }
        let end = begin + self.plan.duration;
        for (at, fault) in self.plan.faults.iter().copied() {
            let machines = self.machines();
            self.background.spawn(async move {
                sleep_until(begin + at).await;
                machines.happen(fault, end).await;
            });
        }
    }

    /// Faults end here.
    fn heal(&self) {
        self.ledger.note("everything is mended".into());
        self.network.heal();
        self.careless.store(0, Ordering::Relaxed);
        for disk in self.disks.iter() {
            disk.set_weather(Weather { refused: 0, doubtful: 0, ..self.plan.weather });
        }
        self.hosts.iter().flatten().for_each(Host::start);
    }

    fn machines(&self) -> Machines {
        Machines {
            hosts: self.hosts.clone(),
            disks: self.disks.clone(),
            network: self.network.clone(),
            ledger: self.ledger.clone(),
        }
    }

    fn look_at_stores(&self) {
        let tables: Vec<_> = self.disks.iter().map(|disk| disk.tables()).collect();
        let tables: Vec<&crate::store::Tables> = tables.iter().map(|tables| &**tables).collect();
        self.ledger.at_rest(&tables);
        let is_planned =
            !self.plan.may_conflict() && !self.ledger.counts().contains_key("operator: handover taken back");
        if is_planned && let Some(run) = tables.iter().find_map(|tables| rest::has_conflict(tables)) {
            let text = format!("{} has two branches (run {})", run.workflow.workflow, run.run);
            self.ledger.broken("a planned switchover makes no conflict", text);
        }
    }
}

fn disk(plan: &Plan, cluster: usize, ledger: &Ledger) -> Hardware {
    let ledger = ledger.clone();
    let witness = move |transaction: &_, tables: &_| ledger.committed(cluster, transaction, tables);
    Hardware::new(Random::of(plan.seed, "disk", cluster as u64), Box::new(witness))
}

fn host(plan: &Plan, cluster: usize, number: usize, disk: &Arc<Hardware>, network: &Network, ledger: &Ledger) -> Host {
    let clock = Clock::new(plan.offsets[cluster][number]);
    let config = config(plan, cluster, number);
    Host::new((cluster, number), config, disk.clone(), network, ledger, clock, plan.seed)
}

/// Where people and peers reach each cluster, whichever of its hosts answers.
fn addresses() -> Vec<String> {
    (0..CLUSTERS).map(|cluster| format!("{}.simulated:7233", name(cluster))).collect()
}

fn config(plan: &Plan, cluster: usize, number: usize) -> Config {
    let ip = Ipv4Addr::new(10, 0, cluster as u8, number as u8 + 1);
    let socket = |port| SocketAddr::from((ip, port));
    let is_one_of_several = plan.hosts[cluster] > 1;
    Config {
        log: Log { level: Level::Error, format: Format::Text, stdout: false },
        persistence: Persistence {
            location: Location::Memory,
            num_history_shards: plan.shards[cluster],
            backlog: ReplicationBacklog::default(),
        },
        frontend: Frontend { grpc: socket(7233), http: None },
        host: is_one_of_several.then(|| config::Host {
            services: Services::ALL,
            internal: socket(7234),
            gossip: socket(6933),
            http: None,
            broadcast: ip.into(),
            max_join: None,
            failure_detection: None,
        }),
        metrics: None,
        gossip_keys: None,
        dynamic: None,
        tls: config::Tls::default(),
        cluster: config::Cluster {
            name: name(cluster).into(),
            master: name(0).into(),
            failover_version_increment: 10,
            initial_failover_version: cluster as i64 + 1,
            enable_global_namespace: true,
            rpc_address: addresses()[cluster].clone(),
            http_address: None,
        },
        redirection: Redirection::AllApis,
    }
}

const REST: &str = "everything comes to rest when faults end";

/// Clusters know each other and the namespace within this. It takes them moments.
const PREPARED_WITHIN: Duration = Duration::from_secs(30);

/// After the last fault everything is at rest within this.
const REST_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Workers of a region.
const WORKERS: usize = 2;
