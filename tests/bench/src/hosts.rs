//! How long each shard makes no progress when a host of a cluster of eight processes is killed, or drained.
//!
//! Workflows of one activity are started and worked on at a steady rate; in every shard there is a run beside them that is
//! signalled all the time. A shard stands still between two signals of its run that are acknowledged, clients repeating what
//! SDKs repeat; so that is what clients notice, and never less than the time between two signals.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use proto::temporal::{
    api::common::v1::WorkflowExecution,
    server::api::adminservice::v1::{DescribeMutableStateRequest, admin_service_client::AdminServiceClient},
};
use serde::Serialize;
use serde_json::json;
use tests::{apart::Apart, load::Stubborn, proxy::Proxy, raw::Client as Raw, server::Server};
use tonic::transport::Channel;

use crate::{
    load::percentile,
    replication::NAMESPACE,
    side::milliseconds,
    steady::{Outcome, Rate, Steady, start_idle},
    worker::Place,
};

/// Measures what clients notice of hosts that come and go.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Seconds that are looked at after each thing that is done to a host; longer when a shard stands still then.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Workflows of one activity that are started each second.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Milliseconds between two signals of a shard's run.
    #[arg(long, default_value_t = 25)]
    pause: u64,
    /// How often each thing is done to each host.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    shards: usize,
    /// When nothing is done to anybody.
    undisturbed: Standstill,
    hosts: Vec<Host>,
    /// The worst of all hosts.
    worst_killed_ms: f64,
    worst_drained_ms: f64,
    workflows_finished: usize,
    workflow_p99_ms: f64,
    signals_acknowledged: usize,
    signals_lost: usize,
    signals_doubled: usize,
    /// Histories without an end, or with something twice.
    histories_wrong: usize,
    calls_repeated: usize,
    /// Errors that reached a client or worker and that no SDK repeats or takes for a lost task.
    errors_after_retry: Vec<String>,
}

/// What happened when this was done to a host.
#[derive(Debug, Serialize)]
struct Host {
    service: &'static str,
    killed: Standstill,
    started_after_kill: Standstill,
    drained: Standstill,
    started_after_drain: Standstill,
}

/// Over all shards, the longest time without progress of each.
#[derive(Debug, Serialize)]
struct Standstill {
    median_ms: f64,
    max_ms: f64,
}

impl Standstill {
    fn of(mut shards: Vec<Duration>) -> Self {
        shards.sort_unstable();
        Self { median_ms: milliseconds(percentile(&shards, 50)), max_ms: milliseconds(percentile(&shards, 100)) }
    }
}

impl Figures {
    /// Whether nothing was lost, and no error reached anybody.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.signals_lost == 0 && self.signals_doubled == 0, "signals were lost or doubled");
        ensure!(self.histories_wrong == 0, "histories are wrong");
        ensure!(self.errors_after_retry.is_empty(), "errors reached clients");
        Ok(())
    }
}

/// Kill and drain every host in turn.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let services = ["frontend", "frontend", "history", "history", "history", "matching", "matching", "worker"];
    let database = scratch_postgres::Server::start(&[]);
    let mut cluster = Apart::start("bench-hosts", &database, &services);
    let link = Proxy::to_any(&cluster.addresses());
    let request = json!({"namespace": NAMESPACE, "workflowExecutionRetentionPeriod": "86400s"});
    let registered = Stubborn::new(cluster.addresses()).call("RegisterNamespace", request).await;
    registered.map_err(|refusal| anyhow::anyhow!("register: {refusal}"))?;
    let runs = a_run_in_each_shard(link.address()).await?;
    let place = Place { namespace: NAMESPACE.to_owned(), queue: "steady".to_owned() };
    let rate = Rate { per_second: options.rate, workers: 4, pause: Duration::from_millis(options.pause) };
    let addresses = [link.address().to_owned(), link.address().to_owned()];
    let load = Steady::start(addresses, place, &runs, rate).await?;
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;

    let undisturbed = Standstill::of(during(|| {}, &load, options).await);
    let mut hosts = Vec::new();
    for _ in 0..options.rounds {
        for (service, server) in &mut cluster.hosts {
            let mut act = async |act: fn(&mut Server)| Standstill::of(during(|| act(server), &load, options).await);
            hosts.push(Host {
                service,
                killed: act(Server::kill).await,
                started_after_kill: act(Server::restart).await,
                drained: act(|server| _ = server.stop()).await,
                started_after_drain: act(Server::restart).await,
            });
        }
    }
    let Outcome { latencies, acknowledged, lost, doubled, differing, repeated, fatal } = load.end().await?;
    let worst = |of: fn(&Host) -> &Standstill| hosts.iter().map(|host| of(host).max_ms).fold(0.0, f64::max);
    Ok(Figures {
        shards: runs.len(),
        undisturbed,
        worst_killed_ms: worst(|host| &host.killed),
        worst_drained_ms: worst(|host| &host.drained),
        hosts,
        workflows_finished: latencies.len(),
        workflow_p99_ms: milliseconds(percentile(&latencies, 99)),
        signals_acknowledged: acknowledged,
        signals_lost: lost,
        signals_doubled: doubled,
        histories_wrong: differing,
        calls_repeated: repeated,
        errors_after_retry: fatal,
    })
}

/// Do something that may take a while. Answers of each shard the longest time without progress, from then on until all go on.
async fn during(act: impl FnOnce(), load: &Steady, options: &Options) -> Vec<Duration> {
    load.look_from_now_on();
    let began = Instant::now();
    tokio::task::block_in_place(act);
    let seconds = Duration::from_secs(options.seconds);
    tokio::time::sleep((began + seconds).saturating_duration_since(Instant::now())).await;
    while load.stands_still() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.standstills().into_values().collect()
}

/// Start runs until every shard has one. Answers one for each.
async fn a_run_in_each_shard(address: &str) -> anyhow::Result<Vec<String>> {
    let client = Raw::connect(address).await?;
    let mut admin = AdminServiceClient::new(Channel::from_shared(format!("http://{address}"))?.connect().await?);
    let mut runs = BTreeMap::new();
    for number in 0.. {
        let id = format!("signalled-{number}");
        start_idle(&client, NAMESPACE, &id).await?;
        let request = DescribeMutableStateRequest {
            namespace: NAMESPACE.to_owned(),
            execution: Some(WorkflowExecution { workflow_id: id.clone(), run_id: String::new() }),
            ..Default::default()
        };
        let shard = admin.describe_mutable_state(request).await?.into_inner().shard_id;
        runs.entry(shard.parse::<u32>().context("a shard has a number")?).or_insert(id);
        let shards = runs.keys().last().copied().unwrap_or_default();
        // Shards are numbered from 1; so many runs hit each of a few shards.
        if ENOUGH <= number && runs.len() == shards as usize {
            break;
        }
    }
    Ok(runs.into_values().collect())
}

/// Runs that are started at least.
const ENOUGH: usize = 100;
