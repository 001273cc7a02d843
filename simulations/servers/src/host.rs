//! A process of a cluster: it starts, dies or is stopped, and starts again on what the disk kept. It is the whole cluster, or
//! one of several hosts.

use std::{
    any::Any,
    future::{Future, pending},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::{Cluster, Ports, ports::Connector};
use config::Config;
use futures_util::FutureExt;
use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use membership::Socket;
use replicator::time::Timestamp;
use simulations::random::Random;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, sleep},
};
use tonic::service::Routes;

use crate::{
    datagrams::Datagrams,
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

/// A machine of a cluster.
pub(crate) struct Host {
    pub(crate) site: Site,
    /// What operators call it.
    name: String,
    /// What the hosts of a cluster share.
    hardware: Arc<Hardware>,
    config: Config,
    network: Network,
    ledger: Ledger,
    clock: Arc<Clock>,
    seed: u64,
    /// What runs, while anything does.
    life: Mutex<Option<Life>>,
    lives: AtomicU64,
}

/// A process.
#[derive(Clone)]
struct Life {
    background: Background,
    /// Set when it has started.
    cluster: Arc<OnceLock<Arc<Cluster>>>,
    /// Whether connections are to end when what is asked on them is answered.
    closing: Arc<Closing>,
}

/// Tells connections to end, in the order in which they began: those who wait at a `watch` are woken in an order that chance
/// decides.
#[derive(Default)]
struct Closing {
    is_told: AtomicBool,
    told: Notify,
}

impl Closing {
    fn tell(&self) {
        self.is_told.store(true, Ordering::Relaxed);
        self.told.notify_waiters();
    }

    async fn heard(&self) {
        let told = self.told.notified();
        if !self.is_told.load(Ordering::Relaxed) {
            told.await;
        }
    }
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
        site: (usize, usize),
        config: Config,
        hardware: Arc<Hardware>,
        network: &Network,
        ledger: &Ledger,
        clock: Clock,
        seed: u64,
    ) -> Self {
        Self {
            site: Site::Host(site.0, site.1),
            name: format!("{}-{}", config.cluster.name, site.1),
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
        self.life().is_some()
    }

    /// Start the process, if it does not run.
    pub(crate) fn start(&self) {
        let mut life = self.life();
        if life.is_some() {
            return;
        }
        let background = Background::new(&self.ledger);
        let number = self.lives.fetch_add(1, Ordering::Relaxed);
        let begun = Life { background: background.clone(), cluster: Arc::default(), closing: Arc::default() };
        background.spawn(self.run(begun.clone(), Random::of(self.seed, &self.name, number)));
        *life = Some(begun);
    }

    /// The process is gone, and with it everything that was not on the disk.
    pub(crate) fn crash(&self) {
        let life = self.life().take();
        if let Some(life) = life {
            self.network.go(self.site);
            life.background.kill();
        }
    }

    /// The process is asked to stop, and does as the real one.
    pub(crate) async fn stop(&self) {
        let life = self.life().clone();
        let Some(life) = life else { return };
        if let Some(cluster) = life.cluster.get() {
            cluster.drain().await;
            life.closing.tell();
            sleep(GRACE).await;
            cluster.stop().await;
        }
        // It may have died meanwhile, and live again.
        let is_same = self.life().as_ref().is_some_and(|now| Arc::ptr_eq(&now.cluster, &life.cluster));
        if is_same {
            self.crash();
        }
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the process does.
    fn run(&self, life: Life, mut random: Random) -> impl Future<Output = ()> + Send + use<> {
        let (network, site, name) = (self.network.clone(), self.site, self.name.clone());
        let (config, hardware, clock) = (self.config.clone(), self.hardware.clone(), self.clock.clone());
        async move {
            let cluster = loop {
                let gossip = config.host.map(|host| host.gossip_address());
                let ports = Ports {
                    host: name.clone(),
                    gossip: gossip.map(|address| -> Arc<dyn Socket> {
                        Arc::new(Datagrams::open(&network, site, address, &life.background))
                    }),
                    ..ports(&network, site, &clock, &life.background, random.number())
                };
                let disk = Arc::new(Disk::open(hardware.clone()));
                match Cluster::start_on(disk, &config, ports).await {
                    Ok(cluster) => break Arc::new(cluster),
                    // Whoever looks after it starts it again.
                    Err(_) => sleep(AGAIN).await,
                }
            };
            let inside = config.host.map(|host| (host.address(), cluster.internal_routes()));
            let sockets = [Some((config.cluster.rpc_address.clone(), cluster.routes())), inside];
            for (address, routes) in sockets.into_iter().flatten() {
                let of_connections = life.clone();
                let accept = move |stream| {
                    let Life { background, closing, .. } = of_connections.clone();
                    background.spawn(serve(stream, routes.clone(), background.clone(), closing));
                };
                network.listen(site, &address, Arc::new(accept));
            }
            let _ = life.cluster.set(cluster);
            pending::<()>().await;
        }
    }
}

fn ports(network: &Network, site: Site, clock: &Arc<Clock>, background: &Background, seed: u64) -> Ports {
    let (clock, spawner, network, background) =
        (clock.clone(), background.clone(), network.clone(), background.clone());
    let connect: Connector = Arc::new(move |address| network.channel(site, address, background.clone()));
    Ports {
        now: Arc::new(move || clock.now()),
        seed,
        spawn: Arc::new(move |task: Pin<Box<dyn Future<Output = ()> + Send>>| spawner.spawn(task)),
        inside: connect.clone(),
        connect,
        limits: Arc::new(|_, _| None),
        run_limits: Default::default(),
        host: "simulated".to_owned(),
        gossip: None,
    }
}

/// Answer gRPC on a connection, as the real server does on its sockets.
async fn serve(stream: Stream, routes: Routes, background: Background, closing: Arc<Closing>) {
    let mut server = http2::Builder::new(background);
    server.timer(TokioTimer::new()).adaptive_window(true).keep_alive_interval(Some(KEEP_ALIVE));
    // The only thing that a wall clock would say.
    server.auto_date_header(false);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes)));
    // A caller that breaks off is its own affair.
    tokio::select! {
        biased;
        _broken = connection.as_mut() => return,
        () = closing.heard() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _broken = connection.await;
}

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What is being answered when a process is asked to stop has so long.
const GRACE: Duration = Duration::from_millis(500);

/// After a start that failed.
const AGAIN: Duration = Duration::from_secs(1);
