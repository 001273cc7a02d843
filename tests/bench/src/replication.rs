//! Two clusters of Meridian, in memory, one process each: lag, cost of the standby, and a forced failover.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use tests::{
    pair::{self, Keep},
    raw::Client as Raw,
    request::{self, merged},
    server::Server,
};
use tokio::task::JoinHandle;
use tonic::Code;

use crate::{
    load::{Load, connect, input_of, percentile, start},
    side::milliseconds,
    usage::Usage,
    worker::Place,
};

/// The namespace that both clusters have.
pub(crate) const NAMESPACE: &str = "bench";

/// Between two starts whose lag is measured.
pub(crate) const START_EVERY: Duration = Duration::from_millis(50);

/// Errors that SDKs retry by themselves.
pub(crate) const RETRIED: [Code; 7] = [
    Code::Aborted,
    Code::DataLoss,
    Code::Internal,
    Code::OutOfRange,
    Code::ResourceExhausted,
    Code::Unavailable,
    Code::Unknown,
];

/// Measures replication between two clusters.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Starts whose lag is measured, idle and under load.
    #[arg(long, default_value_t = 400)]
    starts: usize,
    /// Workflows of the activity load.
    #[arg(long, default_value_t = 1_000)]
    workflows: usize,
    /// How often the namespace moves.
    #[arg(long, default_value_t = 5)]
    failovers: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    lag_p50_ms: f64,
    lag_p99_ms: f64,
    lag_under_load_p99_ms: f64,
    standby_cpu_share: f64,
    failover: Failover,
}

/// What moving the namespace to and fro did.
#[derive(Debug, Serialize)]
struct Failover {
    /// Of each move: from the command to the first workflow task on the new side.
    to_first_task_ms: Vec<f64>,
    /// The longest time without an acknowledged signal, over all failovers.
    longest_gap_ms: f64,
    /// Errors that reached the client and that no SDK retries by itself.
    fatal_errors: Vec<String>,
}

/// Measure everything, one thing after the other.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, b] = pair::start("replication", Keep::InMemory);
    pair::join(&a, &b);
    register(&a, &b).await?;

    let idle = lags(&a, &b, "idle", options.starts).await?;
    let before = [Usage::of(a.process().id())?, Usage::of(b.process().id())?];
    let place = Place { namespace: NAMESPACE.to_owned(), queue: "load".to_owned() };
    let load = Load { place, workflows: options.workflows, concurrency: 10 };
    load.run(a.address(0)).await.context("the activity load")?;
    let used = [
        Usage::of(a.process().id())?.since(before[0]).cpu_seconds,
        Usage::of(b.process().id())?.since(before[1]).cpu_seconds,
    ];
    let loaded = under_load(&a, &b, options.starts).await?;
    Ok(Figures {
        lag_p50_ms: milliseconds(percentile(&idle, 50)),
        lag_p99_ms: milliseconds(percentile(&idle, 99)),
        lag_under_load_p99_ms: milliseconds(percentile(&loaded, 99)),
        standby_cpu_share: used[1] / used[0],
        failover: fail_over(&a, &b, options.failovers).await?,
    })
}

/// A namespace of both, active in `a`, that `b` knows too.
pub(crate) async fn register(a: &Server, b: &Server) -> anyhow::Result<()> {
    register_as(NAMESPACE, &["a", "b"], a, b).await
}

/// A namespace of these clusters, active in `a`, that `b` knows too.
pub(crate) async fn register_as(name: &str, clusters: &[&str], a: &Server, b: &Server) -> anyhow::Result<()> {
    let clusters: Vec<_> = clusters.iter().map(|cluster| json!({"clusterName": cluster})).collect();
    let request = json!({
        "namespace": name, "isGlobalNamespace": true, "activeClusterName": "a",
        "clusters": clusters, "workflowExecutionRetentionPeriod": "86400s",
    });
    let client = Raw::connect(a.address(0)).await?;
    client.call("RegisterNamespace", request).await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let standby = Raw::connect(b.address(0)).await?.without_redirection();
    tests::wait::until_async("the namespace on b", async || {
        standby.call("DescribeNamespace", json!({"namespace": name})).await
    })
    .await;
    Ok(())
}

/// From the answer of a start until the run is at the other side, at a steady rate; sorted.
pub(crate) async fn lags(a: &Server, b: &Server, name: &str, starts: usize) -> anyhow::Result<Vec<Duration>> {
    let mut active = connect(a.address(0)).await?;
    let standby = Raw::connect(b.address(0)).await?.without_redirection();
    let place = Place { namespace: NAMESPACE.to_owned(), queue: format!("lag {name}") };
    let mut next = tokio::time::interval(START_EVERY);
    let mut waiting: Vec<JoinHandle<Duration>> = Vec::new();
    for number in 0..starts {
        next.tick().await;
        let id = format!("lag-{name}-{number}");
        start(&mut active, &place, &id, input_of(&id)).await?;
        waiting.push(tokio::spawn(until_there(standby.clone(), id)));
    }
    let mut lags = Vec::new();
    for lag in waiting {
        lags.push(lag.await?);
    }
    lags.sort_unstable();
    Ok(lags)
}

/// Ask for a run until it is there.
async fn until_there(standby: Raw, id: String) -> Duration {
    let acknowledged = Instant::now();
    let request = json!({"namespace": NAMESPACE, "execution": {"workflowId": id}});
    while standby.call("DescribeWorkflowExecution", request.clone()).await.is_err() {
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    acknowledged.elapsed()
}

/// The lags while the activity load runs as long as they are measured.
async fn under_load(a: &Server, b: &Server, starts: usize) -> anyhow::Result<Vec<Duration>> {
    let over = Arc::new(AtomicBool::new(false));
    let (address, stop) = (a.address(0).to_owned(), Arc::clone(&over));
    let loading = tokio::spawn(async move {
        for round in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let place = Place { namespace: NAMESPACE.to_owned(), queue: format!("load {round}") };
            Load { place, workflows: 100, concurrency: 10 }.run(&address).await?;
        }
        anyhow::Ok(())
    });
    let lags = lags(a, b, "loaded", starts).await;
    over.store(true, Ordering::Relaxed);
    loading.await??;
    lags
}

/// Move the namespace to and fro while a client signals and workers wait on both sides.
async fn fail_over(a: &Server, b: &Server, failovers: usize) -> anyhow::Result<Failover> {
    let clients = [Raw::connect(a.address(0)).await?, Raw::connect(b.address(0)).await?];
    let refused = |refusal: tests::raw::Refusal| anyhow::anyhow!("{refusal}");
    let start = merged(request::start("moved", "moved"), json!({"namespace": NAMESPACE}));
    clients[0].call("StartWorkflowExecution", start).await.map_err(refused)?;
    let over = Arc::new(AtomicBool::new(false));
    let signalling = tokio::spawn(signal(clients[0].clone(), Arc::clone(&over)));
    let mut first_tasks = Vec::new();
    for round in 0..failovers {
        let (to, name) = if round % 2 == 0 { (1, "b") } else { (0, "a") };
        let moved = Instant::now();
        let update = json!({"namespace": NAMESPACE, "replicationConfig": {"activeClusterName": name}});
        let worker = tokio::spawn(first_task(clients[to].clone()));
        clients[to].call("UpdateNamespace", update).await.map_err(refused)?;
        worker.await??;
        first_tasks.push(milliseconds(moved.elapsed()));
    }
    over.store(true, Ordering::Relaxed);
    let (longest_gap, fatal_errors) = signalling.await?;
    Ok(Failover { to_first_task_ms: first_tasks, longest_gap_ms: milliseconds(longest_gap), fatal_errors })
}

/// Poll as a worker that is connected to one cluster, until a workflow task comes, and answer it.
async fn first_task(client: Raw) -> anyhow::Result<()> {
    loop {
        // Without redirection: only the cluster's own matching counts.
        let poll = json!({"namespace": NAMESPACE, "taskQueue": {"name": "moved"}});
        let Ok(task) = client.without_redirection().call("PollWorkflowTaskQueue", poll).await else { continue };
        if task["taskToken"].is_null() {
            continue;
        }
        let answer = json!({"namespace": NAMESPACE, "taskToken": task["taskToken"], "commands": []});
        if client.call("RespondWorkflowTaskCompleted", answer).await.is_ok() {
            return Ok(());
        }
    }
}

/// Signal all the time; answers the longest time between two acknowledgements and the errors that an SDK would hand on.
async fn signal(client: Raw, over: Arc<AtomicBool>) -> (Duration, Vec<String>) {
    let (mut longest, mut last, mut fatal) = (Duration::ZERO, Instant::now(), Vec::new());
    for number in 0.. {
        let fields = json!({"namespace": NAMESPACE, "requestId": number.to_string()});
        let request = merged(request::signal("moved"), fields);
        while let Err(refusal) = client.call("SignalWorkflowExecution", request.clone()).await {
            if !RETRIED.contains(&refusal.code) {
                fatal.push(refusal.to_string());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (longest, fatal)
}
