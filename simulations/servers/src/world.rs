//! A world, from its beginning to its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use config::{Config, Format, Frontend, Level, Location, Log, Persistence, Redirection, ReplicationBacklog};
use replicator::ids::NamespaceId;
use simulations::random::Random;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use crate::{
    client,
    host::{Background, Clock, Host},
    ledger::Ledger,
    network::{Network, Site},
    operator::{self, name},
    people::People,
    plan::{CLUSTERS, Fault, Plan},
    rest,
    store::{Hardware, Weather},
    worker::{Cache, Worker},
};

/// Everything that there is.
pub(crate) struct World {
    plan: Plan,
    pub(crate) ledger: Ledger,
    pub(crate) network: Network,
    hosts: Arc<Vec<Host>>,
    people: People,
    background: Background,
    careless: Arc<AtomicU32>,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let ledger = Ledger::new(plan.may_conflict());
        let network = Network::new(Random::of(plan.seed, "network", 0), plan.near, plan.far);
        let hosts: Vec<Host> = (0..CLUSTERS).map(|number| host(&plan, number, &network, &ledger)).collect();
        let addresses: Vec<String> = hosts.iter().map(|host| host.address.clone()).collect();
        let people = People::new(&network, &ledger, &addresses);
        let background = Background::new(&ledger);
        let careless = Arc::new(AtomicU32::new(plan.careless));
        Self { plan, ledger, network, hosts: Arc::new(hosts), people, background, careless }
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
        self.hosts.iter().for_each(Host::start);
        let addresses: Vec<String> = self.hosts.iter().map(|host| host.address.clone()).collect();
        let prepared = operator::prepare(&self.people, &addresses);
        let Ok(namespace) = timeout(PREPARED_WITHIN, prepared).await else {
            return self.ledger.broken("clusters meet", format!("not within {PREPARED_WITHIN:?}"));
        };
        let begin = Instant::now();
        self.hosts.iter().for_each(|host| host.hardware.set_weather(self.plan.weather));
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
        while let Some(reason) = rest::unrest(&self.people, &self.hosts, &self.plan).await {
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
            let (hosts, network, ledger) = (self.hosts.clone(), self.network.clone(), self.ledger.clone());
            self.background.spawn(async move {
                sleep_until(begin + at).await;
                happen(fault, end, &hosts, &network, &ledger).await;
            });
        }
    }

    /// Faults end here.
    fn heal(&self) {
        self.ledger.note("everything is mended".into());
        self.network.heal();
        self.careless.store(0, Ordering::Relaxed);
        for host in self.hosts.iter() {
            host.hardware.set_weather(Weather { refused: 0, doubtful: 0, ..self.plan.weather });
            host.start();
        }
    }

    fn look_at_stores(&self) {
        let tables: Vec<_> = self.hosts.iter().map(|host| host.hardware.tables()).collect();
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

/// Something goes wrong.
async fn happen(fault: Fault, end: Instant, hosts: &[Host], network: &Network, ledger: &Ledger) {
    ledger.note(format!("{fault:?}"));
    let (a, b) = (Site::Servers(0), Site::Servers(1));
    match fault {
        Fault::Crash(cluster, time) => {
            if !hosts[cluster].is_up() {
                return;
            }
            ledger.count("fault: crash");
            hosts[cluster].crash();
            sleep_until(end.min(Instant::now() + time)).await;
            hosts[cluster].start();
            ledger.note(format!("{} starts again", name(cluster)));
        }
        Fault::Cut(from, is_both, time) => {
            ledger.count(if is_both { "fault: cut" } else { "fault: cut one way" });
            let (from, to) = if from == 0 { (a, b) } else { (b, a) };
            network.cut(from, to, time);
            if is_both {
                network.cut(to, from, time);
            }
        }
        Fault::Slow(time, by) => {
            ledger.count("fault: slow link");
            network.slow(a, b, time, by);
            network.slow(b, a, time, by);
        }
        Fault::Reset => {
            ledger.count("fault: connections reset");
            network.reset(a, b);
        }
        Fault::Unreached(cluster, time) => {
            ledger.count("fault: people cut off");
            for region in 0..CLUSTERS {
                network.cut(Site::People(region), Site::Servers(cluster), time);
                network.cut(Site::Servers(cluster), Site::People(region), time);
            }
        }
        Fault::Stall(cluster, time) => {
            ledger.count("fault: disk stalls");
            hosts[cluster].hardware.stall(time);
        }
        Fault::Jump(cluster, by) => {
            ledger.count("fault: clock jumps");
            hosts[cluster].clock().jump(by);
        }
    }
}

fn host(plan: &Plan, number: usize, network: &Network, ledger: &Ledger) -> Host {
    let witness = {
        let ledger = ledger.clone();
        move |transaction: &_, tables: &_| ledger.committed(number, transaction, tables)
    };
    let random = Random::of(plan.seed, "disk", number as u64);
    let hardware = Arc::new(Hardware::new(random, Box::new(witness)));
    let clock = Clock::new(plan.offsets[number]);
    Host::new(number, config(plan, number), hardware, network, ledger, clock, plan.seed)
}

fn config(plan: &Plan, number: usize) -> Config {
    let socket = std::net::SocketAddr::from(([127, 0, 0, 1], 7233));
    Config {
        log: Log { level: Level::Error, format: Format::Text, stdout: false },
        persistence: Persistence {
            location: Location::Memory,
            num_history_shards: plan.shards[number],
            backlog: ReplicationBacklog::default(),
        },
        frontend: Frontend { grpc: socket, http: None },
        host: None,
        metrics: None,
        gossip_keys: None,
        dynamic: None,
        tls: config::Tls::default(),
        cluster: config::Cluster {
            name: name(number).into(),
            master: name(0).into(),
            failover_version_increment: 10,
            initial_failover_version: number as i64 + 1,
            enable_global_namespace: true,
            rpc_address: format!("{}.simulated:7233", name(number)),
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
