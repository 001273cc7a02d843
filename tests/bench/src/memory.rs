//! How much memory a history host takes with very many open workflows, and whether all of them still work.

use std::{fs, time::Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use tests::{
    pages::Metrics,
    pair::{self, Keep},
    provision,
    raw::Client as Raw,
    server::Server,
};

use crate::{crowd::Crowd, replication::NAMESPACE, usage::Usage, worker::Place};

/// Measures memory.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Open workflows.
    #[arg(long, default_value_t = 200_000)]
    workflows: usize,
    /// Mebibytes of workflows that the host keeps in memory.
    #[arg(long, default_value_t = 256)]
    cache: u64,
    /// So many of the workflows are finished when all are open, and as many after a restart.
    #[arg(long, default_value_t = 500)]
    sample: usize,
    /// What the cluster keeps its data in.
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    store: Store,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Store {
    Sqlite,
    Postgres,
}

/// What was found. The server is one process.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    workflows: usize,
    cache_limit_mb: f64,
    /// As the host reckons it, when all are open.
    cache_used_mb: f64,
    cached_workflows: f64,
    evictions: f64,
    /// With nothing in it.
    resident_empty_mb: f64,
    /// When all are open.
    resident_open_mb: f64,
    /// The most it was until then, and while the first sample was finished.
    peak_mb: f64,
    /// The most it was after a restart, while the second sample was finished.
    peak_restarted_mb: f64,
    sample_finished: usize,
    cpu_ms_per_workflow: f64,
    seconds: f64,
}

impl Figures {
    /// Whether it was as little as it must be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let most = self.peak_mb.max(self.peak_restarted_mb);
        ensure!(most <= MOST_MB, "{most:.0} MB resident are more than {MOST_MB}");
        Ok(())
    }
}

/// Open all, look, finish some, restart, and finish some more.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let limits = provision::scratch("bench-memory-limits").join("limits.yaml");
    fs::write(&limits, format!("history.hostLevelCacheMaxSizeBytes: [{{value: {}}}]\n", options.cache << 20))?;
    let more = format!("dynamicConfigClient: {{filepath: {}}}", limits.display());
    let database = matches!(options.store, Store::Postgres).then(|| scratch_postgres::Server::start(&[]));
    let mut server = match &database {
        None => pair::alone("bench-memory", Keep::OnDisk, &more),
        Some(database) => pair::alone_on_postgres("bench-memory", database, &database.create(), &more),
    };
    let request = json!({"namespace": NAMESPACE, "workflowExecutionRetentionPeriod": "86400s"});
    let registered = Raw::connect(server.address(0)).await?.call("RegisterNamespace", request).await;
    registered.map_err(|refusal| anyhow::anyhow!("register: {refusal}"))?;
    let place = Place { namespace: NAMESPACE.to_owned(), queue: "crowd".to_owned() };
    let (empty, began) = (Usage::of(server.process().id())?, Instant::now());

    let mut crowd = Crowd::at(server.address(0), &place).await?;
    crowd.open(0, options.workflows).await?;
    let (open, seconds) = (Usage::of(server.process().id())?, began.elapsed().as_secs_f64());
    let metrics = metrics_of(&server)?;
    let [used, cached, evicted] =
        ["cache_usage", "cache_entries", "cache_evictions"].map(|name| Metrics::read(&metrics).sum(name, &[]));
    // Those that were of use last, and those that were not, alike.
    let sample = |first: usize| {
        (first..options.workflows).step_by((options.workflows / options.sample.max(1)).max(2)).take(options.sample)
    };
    let mut sample_finished = crowd.finish(sample(0)).await?;
    let peak = Usage::of(server.process().id())?.peak_bytes;
    drop(crowd);

    server.stop();
    server.restart();
    let crowd = Crowd::at(server.address(0), &place).await?;
    sample_finished += crowd.finish(sample(1)).await?;
    let restarted = Usage::of(server.process().id())?;
    Ok(Figures {
        workflows: options.workflows,
        cache_limit_mb: (options.cache << 20) as f64 / MB,
        cache_used_mb: used / MB,
        cached_workflows: cached,
        evictions: evicted,
        resident_empty_mb: empty.resident_bytes / MB,
        resident_open_mb: open.resident_bytes / MB,
        peak_mb: peak / MB,
        peak_restarted_mb: restarted.peak_bytes / MB,
        sample_finished,
        cpu_ms_per_workflow: open.since(empty).cpu_seconds * 1e3 / options.workflows as f64,
        seconds,
    })
}

/// Where a server of the examples measures itself: twenty ports after it answers.
fn metrics_of(server: &Server) -> anyhow::Result<String> {
    let (host, port) = server.address(0).rsplit_once(':').context("an address has a port")?;
    Ok(format!("{host}:{}", port.parse::<u16>()? + 20))
}

const MB: f64 = 1e6;
/// What a history host may take.
const MOST_MB: f64 = 600.0;
