//! How long a load stands still when a host of a cluster of eight processes is killed, or drained.
//!
//! Four clients start and signal workflows one after the other, so that a shard that does not go on soon stops all of them:
//! the longest time without an acknowledgement is about as long as shards or task queues were nobody's.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tests::{
    apart::Apart,
    load::{Load, Running, Stubborn},
    raw::Client,
    server::Server,
};

use crate::side::milliseconds;

/// Measures what clients notice of hosts that come and go.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Acknowledgements that are waited for after each thing that is done to a host.
    #[arg(long, default_value_t = 200)]
    acknowledgements: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// When nothing is done to anybody.
    undisturbed_ms: f64,
    hosts: Vec<Standstill>,
    workflows: usize,
}

/// The longest time without an acknowledgement.
#[derive(Debug, Serialize)]
struct Standstill {
    service: &'static str,
    killed_ms: f64,
    started_after_kill_ms: f64,
    drained_ms: f64,
    started_after_drain_ms: f64,
}

/// Kill and drain every host in turn.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let services = ["frontend", "frontend", "history", "history", "history", "matching", "matching", "worker"];
    let database = scratch_postgres::Server::start(&[]);
    let mut cluster = Apart::start("bench-hosts", &database, &services);
    let addresses = cluster.addresses();
    let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
    let registered = Stubborn::new(addresses.clone()).call("RegisterNamespace", request).await;
    registered.map_err(|refusal| anyhow::anyhow!("register: {refusal}"))?;
    let load = Load::on(&addresses);
    load.more(options.acknowledgements).await;
    let undisturbed = during(|| {}, &load, options);
    let mut hosts = Vec::new();
    for (service, host) in &mut cluster.hosts {
        let mut act = |act: fn(&mut Server)| milliseconds(during(|| act(host), &load, options));
        hosts.push(Standstill {
            service,
            killed_ms: act(Server::kill),
            started_after_kill_ms: act(Server::restart),
            drained_ms: act(|server| _ = server.stop()),
            started_after_drain_ms: act(Server::restart),
        });
    }
    let ledger = load.end().await;
    ledger.check(&Client::connect(&addresses[0]).await?).await;
    Ok(Figures { undisturbed_ms: milliseconds(undisturbed), hosts, workflows: ledger.workflows() })
}

/// Do something that may take a while. Answers the longest time without an acknowledgement, from then on until there were
/// enough of them.
fn during(act: impl FnOnce(), load: &Running, options: &Options) -> Duration {
    tokio::task::block_in_place(|| {
        thread::scope(|scope| {
            let looking = scope.spawn(|| standstill(load, options));
            act();
            looking.join().expect("looking does not panic")
        })
    })
}

fn standstill(load: &Running, options: &Options) -> Duration {
    let enough = load.acknowledged() + options.acknowledgements;
    let (mut seen, mut since, mut longest) = (load.acknowledged(), Instant::now(), Duration::ZERO);
    while seen < enough {
        thread::sleep(LOOK);
        longest = longest.max(since.elapsed());
        let now = load.acknowledged();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
    longest
}

/// Between two looks; figures are as exact as this.
const LOOK: Duration = Duration::from_millis(2);
