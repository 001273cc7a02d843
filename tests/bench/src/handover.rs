//! Graceful handovers of a namespace, to and fro, under half of the load that two clusters of Meridian sustain.
//!
//! The load goes through both clusters in turn; what came of it is compared between the two stores.

use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use tests::{
    cli,
    pair::{self, Keep},
    raw::Client as Raw,
};

use crate::{
    load::{Load, connect, percentile},
    replication::{NAMESPACE, register},
    side::milliseconds,
    steady::{Outcome, Rate, Steady, latencies, start_idle},
    worker::Place,
};

/// Measures graceful handovers.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often the namespace moves.
    #[arg(long, default_value_t = 50)]
    moves: usize,
    /// Workflows by which it is measured what the pair sustains.
    #[arg(long, default_value_t = 2_000)]
    workflows: usize,
    /// How many of them at a time, and so many workers of each kind on each side.
    #[arg(long, default_value_t = 50)]
    concurrency: usize,
    /// Milliseconds between two moves.
    #[arg(long, default_value_t = 1_000)]
    every: u64,
    /// Runs that are signalled all the time.
    #[arg(long, default_value_t = 8)]
    signalled: usize,
    /// Keep everything in memory.
    #[arg(long)]
    in_memory: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// What the pair sustains, and half of it: the load of what follows.
    sustained_per_second: f64,
    load_per_second: f64,
    moves: usize,
    /// As the command says it: for how long writes were held back.
    paused: Spread,
    /// From the switch until a worker has a workflow task of the new side.
    first_task: Spread,
    /// Of each move, the longest time in which a signalled run got no signal.
    client_gap: Spread,
    workflows_finished: usize,
    workflow_p50_ms: f64,
    workflow_p99_ms: f64,
    signals_acknowledged: usize,
    signals_lost: usize,
    signals_doubled: usize,
    /// Histories that the two stores do not have alike.
    histories_differing: usize,
    /// Errors that reached a client or worker and that no SDK repeats or takes for a lost task.
    fatal_errors: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Spread {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Spread {
    /// Of some durations.
    pub(crate) fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        let at = |percent| milliseconds(percentile(&durations, percent));
        Self { p50_ms: at(50), p99_ms: at(99), max_ms: at(100) }
    }
}

impl Figures {
    /// Whether nothing was lost, and nothing took too long.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(self.signals_lost == 0 && self.signals_doubled == 0, "signals were lost or doubled");
        ensure!(self.histories_differing == 0, "histories differ");
        ensure!(self.fatal_errors.is_empty(), "errors reached clients");
        ensure!(self.paused.p99_ms < 250.0, "writes paused too long");
        ensure!(self.first_task.max_ms <= 500.0, "the first workflow task came too late");
        Ok(())
    }
}

/// Measure everything.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, b] = pair::start_forwarding_all("handover", if options.in_memory { Keep::InMemory } else { Keep::OnDisk });
    pair::join(&a, &b);
    register(&a, &b).await?;
    let addresses = [a.address(0).to_owned(), b.address(0).to_owned()];
    let sustained = sustained(&addresses[0], options).await?;
    let rate = sustained / 2.0;

    let place = Place { namespace: NAMESPACE.to_owned(), queue: "moving".to_owned() };
    let signalled: Vec<_> = (0..options.signalled).map(|run| format!("signalled-{run}")).collect();
    let client = Raw::connect(&addresses[0]).await?;
    for id in &signalled {
        start_idle(&client, NAMESPACE, id).await?;
    }
    let load = Rate { per_second: rate, workers: options.concurrency, pause: Duration::from_millis(20) };
    let load = Steady::start(addresses.clone(), place, &signalled, load).await?;

    let (mut paused, mut first_tasks, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    tokio::time::sleep(Duration::from_millis(options.every)).await;
    for round in 0..options.moves {
        let (to, name) = if round % 2 == 0 { (1, "b") } else { (0, "a") };
        load.look_from_now_on();
        let moved = hand_over(name, addresses[round % 2].clone()).await.with_context(|| format!("move {round}"))?;
        paused.push(moved.paused);
        let switched = switched_at(&addresses[to]).await?;
        let first = load.first_task(moved.version).await;
        first_tasks.push(first.duration_since(switched).unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(options.every)).await;
        gaps.extend(load.standstills().into_values().max());
    }
    let Outcome { workflows, acknowledged, lost, doubled, differing, fatal, .. } = load.end().await?;
    Ok(Figures {
        sustained_per_second: sustained,
        load_per_second: rate,
        moves: options.moves,
        paused: Spread::of(paused),
        first_task: Spread::of(first_tasks),
        client_gap: Spread::of(gaps),
        workflows_finished: workflows.len(),
        workflow_p50_ms: milliseconds(percentile(&latencies(&workflows), 50)),
        workflow_p99_ms: milliseconds(percentile(&latencies(&workflows), 99)),
        signals_acknowledged: acknowledged,
        signals_lost: lost,
        signals_doubled: doubled,
        histories_differing: differing,
        fatal_errors: fatal,
    })
}

/// Workflows a second that the pair finishes when there are always more to start.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
async fn sustained(address: &str, options: &Options) -> anyhow::Result<f64> {
    let place = |queue: &str| Place { namespace: NAMESPACE.to_owned(), queue: queue.to_owned() };
    let concurrency = options.concurrency;
    Load { place: place("warm"), workflows: options.workflows / 4, concurrency }.run(address).await?;
    let outcome = Load { place: place("sustained"), workflows: options.workflows, concurrency }.run(address).await?;
    Ok(options.workflows as f64 / outcome.elapsed.as_secs_f64())
}

/// What `meridian failover` says.
struct Moved {
    /// For how long writes were held back.
    paused: Duration,
    /// The new failover version.
    version: i64,
}

async fn hand_over(to: &'static str, asked: String) -> anyhow::Result<Moved> {
    let command = move || cli::meridian(&["failover", NAMESPACE, "--to", to, "--address", &asked, "--output", "json"]);
    let outcome = tokio::task::spawn_blocking(command).await?;
    ensure!(outcome.success, "{}", outcome.err);
    let moved: Value = serde_json::from_str(&outcome.out)?;
    let paused = Duration::from_secs_f64(moved["writes_paused_seconds"].as_f64().context("no pause")?);
    Ok(Moved { paused, version: moved["new_version"].as_i64().context("no version")? })
}

/// When the switch to where the namespace is active now was written.
async fn switched_at(address: &str) -> anyhow::Result<SystemTime> {
    let request = proto::temporal::api::workflowservice::v1::DescribeNamespaceRequest {
        namespace: NAMESPACE.to_owned(),
        ..Default::default()
    };
    let described = connect(address).await?.describe_namespace(request).await?.into_inner();
    let last = described.failover_history.last().and_then(|last| last.failover_time);
    Ok(SystemTime::try_from(last.context("no failover")?)?)
}
