//! The process of one cluster: it starts, dies, and starts again on what its disk kept.

use std::{
    any::Any,
    future::{Future, pending},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::{Cluster, Ports};
use config::Config;
use futures_util::FutureExt;
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use replicator::time::Timestamp;
use simulations::random::Random;
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep},
};
use tonic::service::Routes;

use crate::{
    ledger::Ledger,
    network::{Network, Site},
    store::{Disk, Hardware},
    wire::Stream,
};

/// Runs what goes on in one life of a process, and ends all of it at once. Clones are the same.
#[derive(Clone)]
pub(crate) struct Background {
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
    ledger: Ledger,
}

impl Background {
    pub(crate) fn new(ledger: &Ledger) -> Self {
        Self { tasks: Arc::default(), ledger: ledger.clone() }
    }

    /// Run something. That it panics breaks a promise.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ledger = self.ledger.clone();
        let task = tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                ledger.broken("nothing panics", text(&*panic));
            }
        });
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(task.abort_handle());
    }

    /// Everything ends where it is.
    fn kill(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Background {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// The machine of a cluster.
pub(crate) struct Host {
    pub(crate) site: Site,
    pub(crate) address: String,
    pub(crate) hardware: Arc<Hardware>,
    config: Config,
    network: Network,
    ledger: Ledger,
    clock: Arc<Clock>,
    seed: u64,
    /// What runs, while anything does.
    life: Mutex<Option<Background>>,
    lives: AtomicU64,
}

/// A clock that is wrong.
pub(crate) struct Clock {
    begin: Instant,
    /// By so many nanoseconds.
    offset: AtomicI64,
}

impl Clock {
    pub(crate) fn new(offset: i64) -> Self {
        Self { begin: Instant::now(), offset: AtomicI64::new(offset) }
    }

    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(i64::MAX);
        Timestamp(BEGIN + passed + self.offset.load(Ordering::Relaxed))
    }

    /// It goes wrong by so much more.
    pub(crate) fn jump(&self, by: i64) {
        self.offset.fetch_add(by, Ordering::Relaxed);
    }
}

/// What clocks say at the beginning: some day of 2026.
const BEGIN: i64 = 1_780_000_000 * 1_000_000_000;

impl Host {
    pub(crate) fn new(
        number: usize,
        config: Config,
        hardware: Arc<Hardware>,
        network: &Network,
        ledger: &Ledger,
        clock: Clock,
        seed: u64,
    ) -> Self {
        Self {
            site: Site::Servers(number),
            address: config.cluster.rpc_address.clone(),
            hardware,
            config,
            network: network.clone(),
            ledger: ledger.clone(),
            clock: Arc::new(clock),
            seed,
            life: Mutex::default(),
            lives: AtomicU64::new(0),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn is_up(&self) -> bool {
        self.life.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Start the process, if it does not run.
    pub(crate) fn start(&self) {
        let mut life = self.life.lock().unwrap_or_else(PoisonError::into_inner);
        if life.is_some() {
            return;
        }
        let background = Background::new(&self.ledger);
        let number = self.lives.fetch_add(1, Ordering::Relaxed);
        let main = self.run(background.clone(), Random::of(self.seed, &self.address, number));
        background.spawn(main);
        *life = Some(background);
    }

    /// The process is gone, and with it everything that was not on the disk.
    pub(crate) fn crash(&self) {
        let life = self.life.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(background) = life {
            self.network.go(self.site);
            background.kill();
        }
    }

    /// What the process does.
    fn run(&self, background: Background, mut random: Random) -> impl Future<Output = ()> + Send + use<> {
        let (network, site, address) = (self.network.clone(), self.site, self.address.clone());
        let (config, hardware, clock) = (self.config.clone(), self.hardware.clone(), self.clock.clone());
        async move {
            let cluster = loop {
                let ports = ports(&network, site, &clock, &background, random.number());
                let disk = Arc::new(Disk::open(hardware.clone()));
                match Cluster::start_on(disk, &config, ports).await {
                    Ok(cluster) => break cluster,
                    // Whoever looks after it starts it again.
                    Err(_) => sleep(AGAIN).await,
                }
            };
            let routes = cluster.routes();
            let of_connections = background.clone();
            let accept = move |stream| of_connections.spawn(serve(stream, routes.clone(), of_connections.clone()));
            network.listen(site, &address, Arc::new(accept));
            pending::<()>().await;
            drop(cluster);
        }
    }
}

fn ports(network: &Network, site: Site, clock: &Arc<Clock>, background: &Background, seed: u64) -> Ports {
    let (clock, spawner, network, background) =
        (clock.clone(), background.clone(), network.clone(), background.clone());
    Ports {
        now: Arc::new(move || clock.now()),
        seed,
        spawn: Arc::new(move |task: Pin<Box<dyn Future<Output = ()> + Send>>| spawner.spawn(task)),
        inside: Arc::new(|_| unreachable!("a cluster of one host calls nobody of its own")),
        connect: Arc::new(move |address| network.channel(site, address, background.clone())),
        limits: Arc::new(|_, _| None),
        host: "simulated".to_owned(),
        gossip: None,
    }
}

/// Answer gRPC on a connection, as the real server does on its sockets.
async fn serve(stream: Stream, routes: Routes, background: Background) {
    let mut server = http2::Builder::new(background);
    server.timer(TokioTimer::new()).adaptive_window(true).keep_alive_interval(Some(KEEP_ALIVE));
    // The only thing that a wall clock would say.
    server.auto_date_header(false);
    // A caller that breaks off is its own affair.
    let _broken = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
}

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// After a start that failed.
const AGAIN: Duration = Duration::from_secs(1);
