//! What workflows of one activity cost two clusters' databases: transactions and bytes of the log, from PostgreSQL's own
//! counters.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use scratch_postgres::Server as Database;
use serde::Serialize;
use serde_json::json;
use tests::{pair, raw::Client as Raw, server::Server, wait};

use crate::{
    load::{Load, percentile},
    replication::{NAMESPACE, register},
    side::milliseconds,
    worker::Place,
};

/// Measures what a workflow costs the databases of two clusters.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Workflows that are measured.
    #[arg(long, default_value_t = 1_000)]
    workflows: usize,
    /// Workflows at a time.
    #[arg(long, default_value_t = 10)]
    concurrency: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    workflows: usize,
    concurrency: usize,
    workflows_per_second: f64,
    p50_ms: f64,
    active: Cost,
    standby: Cost,
}

/// What one cluster's database did.
#[derive(Debug, Serialize)]
struct Cost {
    transactions_per_workflow: f64,
    log_bytes_per_workflow: f64,
    /// Of those, whole pages that were written to the log because they changed for the first time after a checkpoint.
    page_images_per_workflow: f64,
    /// When nobody asks for anything.
    idle_transactions_per_second: f64,
}

/// The counters of a database.
#[derive(Clone, Copy, Debug)]
struct Counters {
    transactions: f64,
    log_bytes: f64,
    page_images: f64,
}

/// Start two clusters on a database server each, as it comes from its package, and count.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let databases = [Database::start(&[]), Database::start(&[])];
    let [a, b] = [("a", &databases[0]), ("b", &databases[1])].map(|(cluster, database)| {
        let name = database.create();
        pair::on_postgres("postgres", cluster, database, &name)
    });
    pair::join(&a, &b);
    register(&a, &b).await?;
    load(&a, &b, "warm-up", 100, options.concurrency).await?;

    let resting = counted(&databases).await?;
    tokio::time::sleep(REST).await;
    let before = counted(&databases).await?;
    let outcome = load(&a, &b, "load", options.workflows, options.concurrency).await?;
    let after = counted(&databases).await?;
    let cost = |at: usize| Cost::of(options.workflows, resting[at], before[at], after[at]);
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let workflows = options.workflows as f64;
    Ok(Figures {
        workflows: options.workflows,
        concurrency: options.concurrency,
        workflows_per_second: workflows / outcome.elapsed.as_secs_f64(),
        p50_ms: milliseconds(percentile(&outcome.latencies, 50)),
        active: cost(0),
        standby: cost(1),
    })
}

/// Run workflows on `a`, and wait until `b` has all of them.
async fn load(
    a: &Server,
    b: &Server,
    queue: &str,
    workflows: usize,
    concurrency: usize,
) -> anyhow::Result<crate::load::Outcome> {
    let place = Place { namespace: NAMESPACE.to_owned(), queue: queue.to_owned() };
    let outcome = Load { place, workflows, concurrency }.run(a.address(0)).await.context("the load")?;
    let standby = Raw::connect(b.address(0)).await?.without_redirection();
    let query = format!("TaskQueue = '{queue}' AND ExecutionStatus = 'Completed'");
    let expected = workflows.to_string();
    wait::until_async("the standby to have everything", async || {
        let request = json!({"namespace": NAMESPACE, "query": query});
        let counted = standby.call("CountWorkflowExecutions", request).await.map_err(|refusal| refusal.to_string())?;
        if counted["count"] == expected { Ok(()) } else { Err(counted.to_string()) }
    })
    .await;
    Ok(outcome)
}

/// The counters, when every connection has told what it did, which it does within ten seconds of its last transaction.
async fn counted(databases: &[Database; 2]) -> anyhow::Result<[Counters; 2]> {
    tokio::time::sleep(TOLD).await;
    let [a, b] = databases.each_ref().map(Counters::of);
    Ok([a?, b?])
}

impl Counters {
    fn of(database: &Database) -> anyhow::Result<Self> {
        let number = |query: &str| -> anyhow::Result<f64> { Ok(database.ask("postgres", query).parse()?) };
        Ok(Self {
            transactions: number("SELECT sum(xact_commit) FROM pg_stat_database WHERE datname LIKE 'd%'")?,
            log_bytes: number("SELECT wal_bytes FROM pg_stat_wal")?,
            page_images: number("SELECT wal_fpi FROM pg_stat_wal")?,
        })
    }
}

impl Cost {
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn of(workflows: usize, resting: Counters, before: Counters, after: Counters) -> Self {
        let workflows = workflows as f64;
        Self {
            transactions_per_workflow: (after.transactions - before.transactions) / workflows,
            log_bytes_per_workflow: (after.log_bytes - before.log_bytes) / workflows,
            page_images_per_workflow: (after.page_images - before.page_images) / workflows,
            idle_transactions_per_second: (before.transactions - resting.transactions) / (REST + TOLD).as_secs_f64(),
        }
    }
}

/// See [`counted`].
const TOLD: Duration = Duration::from_secs(11);

/// How long nothing is asked for, to see what happens all the same.
const REST: Duration = Duration::from_secs(9);
