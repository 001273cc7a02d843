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
    steady::{Outcome, Rate, Steady, latencies, start_idle},
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
    /// The one service whose hosts are killed and drained; nothing says all.
    #[arg(long)]
    only: Option<String>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    shards: usize,
    /// When nothing is done to anybody.
    undisturbed: Noticed,
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

/// What clients noticed when this was done to a host.
#[derive(Debug, Serialize)]
struct Host<N = Noticed> {
    service: &'static str,
    killed: N,
    started_after_kill: N,
    drained: N,
    started_after_drain: N,
}

/// What clients noticed meanwhile.
#[derive(Debug, Serialize)]
struct Noticed {
    /// Over all shards, the longest time without progress of each.
    median_ms: f64,
    max_ms: f64,
    /// How long those workflows took that began meanwhile.
    workflow_median_ms: f64,
    workflow_max_ms: f64,
}

/// While something was done: what came of the signals then.
struct Window {
    from: Instant,
    to: Instant,
    /// Of each shard the longest time without progress, in order of size.
    shards: Vec<Duration>,
}

impl Window {
    /// What clients noticed, if workflows began and took so long.
    fn noticed(&self, workflows: &[(Instant, Duration)]) -> Noticed {
        let began = workflows.iter().filter(|(began, _)| (self.from..self.to).contains(began));
        let took = latencies(began);
        Noticed {
            median_ms: milliseconds(percentile(&self.shards, 50)),
            max_ms: milliseconds(percentile(&self.shards, 100)),
            workflow_median_ms: milliseconds(percentile(&took, 50)),
            workflow_max_ms: milliseconds(percentile(&took, 100)),
        }
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

    let undisturbed = during(|| {}, &load, options).await;
    let mut hosts = Vec::<Host<Window>>::new();
    for _ in 0..options.rounds {
        let chosen = |service: &str| options.only.as_deref().is_none_or(|only| only == service);
        for (service, server) in cluster.hosts.iter_mut().filter(|(service, _)| chosen(service)) {
            let mut act = async |act: fn(&mut Server)| during(|| act(server), &load, options).await;
            hosts.push(Host {
                service,
                killed: act(Server::kill).await,
                started_after_kill: act(Server::restart).await,
                drained: act(|server| _ = server.stop()).await,
                started_after_drain: act(Server::restart).await,
            });
        }
    }
    let Outcome { workflows, acknowledged, lost, doubled, differing, repeated, fatal } = load.end().await?;
    let undisturbed = undisturbed.noticed(&workflows);
    let noticed = |host: &Host<Window>| Host {
        service: host.service,
        killed: host.killed.noticed(&workflows),
        started_after_kill: host.started_after_kill.noticed(&workflows),
        drained: host.drained.noticed(&workflows),
        started_after_drain: host.started_after_drain.noticed(&workflows),
    };
    let hosts: Vec<_> = hosts.iter().map(noticed).collect();
    let worst = |of: fn(&Host) -> &Noticed| hosts.iter().map(|host| of(host).max_ms).fold(0.0, f64::max);
    Ok(Figures {
        shards: runs.len(),
        undisturbed,
        worst_killed_ms: worst(|host| &host.killed),
        worst_drained_ms: worst(|host| &host.drained),
        hosts,
        workflows_finished: workflows.len(),
        workflow_p99_ms: milliseconds(percentile(&latencies(&workflows), 99)),
        signals_acknowledged: acknowledged,
        signals_lost: lost,
        signals_doubled: doubled,
        histories_wrong: differing,
        calls_repeated: repeated,
        errors_after_retry: fatal,
    })
}

/// Do something that may take a while, and look at it until all shards go on.
async fn during(act: impl FnOnce(), load: &Steady, options: &Options) -> Window {
    load.look_from_now_on();
    let began = Instant::now();
    tokio::task::block_in_place(act);
    let seconds = Duration::from_secs(options.seconds);
    tokio::time::sleep((began + seconds).saturating_duration_since(Instant::now())).await;
    while load.stands_still() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut shards: Vec<_> = load.standstills().into_values().collect();
    shards.sort_unstable();
    Window { from: began, to: Instant::now(), shards }
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
