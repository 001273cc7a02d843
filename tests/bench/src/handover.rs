//! Graceful handovers of a namespace, to and fro, under half of the load that two clusters of Meridian sustain.
//!
//! Workflows of one activity are started at a steady rate, through both clusters in turn, with workers on both; beside them
//! a few runs are signalled all the time. Every result is verified, every history is compared between the two stores, and
//! every acknowledged signal is looked for in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, ensure};
use clap::Args;
use proto::temporal::api::workflowservice::v1::{PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest};
use serde::Serialize;
use serde_json::{Value, json};
use tests::{
    cli,
    pair::{self, Keep},
    raw::Client as Raw,
    request::{self, merged},
};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::{
    load::{Load, connect, input_of, percentile, result, start},
    replication::{NAMESPACE, RETRIED, register},
    side::milliseconds,
    worker::{self, Client, Place, queue_named, result_for},
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
struct Spread {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Spread {
    fn of(mut durations: Vec<Duration>) -> Self {
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

/// What clients and workers share while they run.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    fatal: Mutex<Vec<String>>,
    /// When the first workflow task was taken under each failover version.
    first_tasks: Mutex<BTreeMap<i64, SystemTime>>,
    /// Names that were acknowledged, by run.
    signals: Mutex<BTreeMap<String, Vec<String>>>,
    /// The longest time without an acknowledgement since it was last asked for.
    gap: Mutex<Duration>,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// A signal was acknowledged so long after the one before it.
    fn acknowledged(&self, gap: Duration) {
        let mut longest = lock(&self.gap);
        *longest = gap.max(*longest);
    }

    fn fatal(&self, error: impl std::fmt::Display) {
        lock(&self.fatal).push(error.to_string());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Measure everything.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, b] = pair::start_forwarding_all("handover", if options.in_memory { Keep::InMemory } else { Keep::OnDisk });
    pair::join(&a, &b);
    register(&a, &b).await?;
    let addresses = [a.address(0).to_owned(), b.address(0).to_owned()];
    let sustained = sustained(&addresses[0], options).await?;
    let rate = sustained / 2.0;

    let shared = Arc::new(Shared::default());
    let place = Place { namespace: NAMESPACE.to_owned(), queue: "moving".to_owned() };
    let mut workers = JoinSet::new();
    for address in &addresses {
        let client = connect(address).await?;
        for _ in 0..options.concurrency {
            workers.spawn(workflow_worker(client.clone(), place.clone(), shared.clone()));
            workers.spawn(activity_worker(client.clone(), place.clone(), shared.clone()));
        }
    }
    let signalling = signal_runs(&addresses, options.signalled, &shared).await?;
    let starting = tokio::spawn(start_at(rate, addresses.clone(), place, shared.clone()));

    let (mut paused, mut first_tasks, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
    tokio::time::sleep(Duration::from_millis(options.every)).await;
    for round in 0..options.moves {
        let (to, name) = if round % 2 == 0 { (1, "b") } else { (0, "a") };
        *lock(&shared.gap) = Duration::ZERO;
        let moved = hand_over(name, addresses[round % 2].clone()).await.with_context(|| format!("move {round}"))?;
        paused.push(moved.paused);
        let switched = switched_at(&addresses[to]).await?;
        let first = loop {
            if let Some(first) = lock(&shared.first_tasks).get(&moved.version).copied() {
                break first;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        first_tasks.push(first.duration_since(switched).unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(options.every)).await;
        gaps.push(*lock(&shared.gap));
    }
    shared.over.store(true, Ordering::Relaxed);
    signalling.join_all().await;
    let finished = starting.await??;
    workers.shutdown().await;

    let ids: Vec<String> = (0..finished.len()).map(|number| format!("moving-{number}")).collect();
    let differing = differing(&addresses, ids).await?;
    let (acknowledged, lost, doubled) = check_signals(&addresses, &shared).await?;
    let fatal_errors = lock(&shared.fatal).clone();
    let mut latencies = finished;
    latencies.sort_unstable();
    Ok(Figures {
        sustained_per_second: sustained,
        load_per_second: rate,
        moves: options.moves,
        paused: Spread::of(paused),
        first_task: Spread::of(first_tasks),
        client_gap: Spread::of(gaps),
        workflows_finished: latencies.len(),
        workflow_p50_ms: milliseconds(percentile(&latencies, 50)),
        workflow_p99_ms: milliseconds(percentile(&latencies, 99)),
        signals_acknowledged: acknowledged,
        signals_lost: lost,
        signals_doubled: doubled,
        histories_differing: differing,
        fatal_errors,
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

/// Start workflows at a steady rate through both clusters in turn until it is over, and wait for all of them. Answers how
/// long each took.
async fn start_at(
    rate: f64,
    addresses: [String; 2],
    place: Place,
    shared: Arc<Shared>,
) -> anyhow::Result<Vec<Duration>> {
    let mut clients = Vec::new();
    for address in &addresses {
        clients.push(connect(address).await?);
    }
    let mut next = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    let finished = Arc::new(AtomicUsize::new(0));
    let mut driven = JoinSet::new();
    for number in 0.. {
        next.tick().await;
        if shared.is_over() {
            break;
        }
        let (client, place, shared) = (clients[number % 2].clone(), place.clone(), shared.clone());
        let finished = finished.clone();
        driven.spawn(async move {
            let began = Instant::now();
            match drive(client, &place, number).await {
                Ok(()) => _ = finished.fetch_add(1, Ordering::Relaxed),
                Err(error) => shared.fatal(format!("{error:#}")),
            }
            began.elapsed()
        });
    }
    Ok(driven.join_all().await)
}

async fn drive(mut client: Client, place: &Place, number: usize) -> anyhow::Result<()> {
    let id = format!("{}-{number}", place.queue);
    let run = start(&mut client, place, &id, input_of(&id)).await.with_context(|| format!("start {id}"))?;
    let found = result(&mut client, place, &id, run).await.with_context(|| format!("result of {id}"))?;
    ensure!(found == result_for(input_of(&id)), "wrong result of {id}");
    Ok(())
}

/// Takes workflow tasks until it is aborted: workflows that are under way need it to the last.
async fn workflow_worker(mut client: Client, place: Place, shared: Arc<Shared>) {
    loop {
        let poll = PollWorkflowTaskQueueRequest {
            namespace: place.namespace.clone(),
            task_queue: Some(queue_named(&place.queue)),
            identity: "bench".to_owned(),
            ..Default::default()
        };
        let outcome =
            match client.poll_workflow_task_queue(worker::with_deadline(poll)).await.map(tonic::Response::into_inner) {
                Ok(task) if task.task_token.is_empty() => continue,
                Ok(task) => {
                    // The event that says that it was started carries the version under which it was.
                    let started = task.history.as_ref().and_then(|history| history.events.last());
                    if let Some(version) = started.map(|event| event.version) {
                        lock(&shared.first_tasks).entry(version).or_insert_with(SystemTime::now);
                    }
                    client.respond_workflow_task_completed(worker::decide(task, &place)).await.map(drop)
                }
                Err(status) => Err(status),
            };
        survive(outcome, &shared).await;
    }
}

async fn activity_worker(mut client: Client, place: Place, shared: Arc<Shared>) {
    loop {
        let poll = PollActivityTaskQueueRequest {
            namespace: place.namespace.clone(),
            task_queue: Some(queue_named(&place.queue)),
            identity: "bench".to_owned(),
            ..Default::default()
        };
        let outcome =
            match client.poll_activity_task_queue(worker::with_deadline(poll)).await.map(tonic::Response::into_inner) {
                Ok(task) if task.task_token.is_empty() => continue,
                Ok(task) => client.respond_activity_task_completed(worker::work(task, &place)).await.map(drop),
                Err(status) => Err(status),
            };
        survive(outcome, &shared).await;
    }
}

/// What SDKs repeat is waited out, and so is a task that moved while a worker had it; the rest is noted.
async fn survive(outcome: Result<(), Status>, shared: &Shared) {
    let Err(status) = outcome else { return };
    let is_lost_task = status.code() == Code::NotFound;
    let is_late = matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded);
    if !is_lost_task && !is_late && !RETRIED.contains(&status.code()) {
        shared.fatal(format!("worker: {status}"));
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Start runs that only take signals, and signal them all the time, through one cluster and then the other.
async fn signal_runs(addresses: &[String; 2], runs: usize, shared: &Arc<Shared>) -> anyhow::Result<JoinSet<()>> {
    let clients = [Raw::connect(&addresses[0]).await?, Raw::connect(&addresses[1]).await?];
    let mut signalling = JoinSet::new();
    for run in 0..runs {
        let id = format!("signalled-{run}");
        let start = merged(request::start(&id, "nobody"), json!({"namespace": NAMESPACE}));
        clients[0].call("StartWorkflowExecution", start).await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
        signalling.spawn(signal(clients.clone(), id, shared.clone()));
    }
    Ok(signalling)
}

async fn signal(clients: [Raw; 2], id: String, shared: Arc<Shared>) {
    let mut last = Instant::now();
    for number in 0.. {
        if shared.is_over() {
            return;
        }
        let name = format!("{id}-{number}");
        let fields = json!({"namespace": NAMESPACE, "signalName": name, "requestId": name});
        let request = merged(request::signal(&id), fields);
        while let Err(refusal) = clients[number % 2].call("SignalWorkflowExecution", request.clone()).await {
            if !RETRIED.contains(&refusal.code) {
                shared.fatal(format!("signal: {refusal}"));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        lock(&shared.signals).entry(id.clone()).or_default().push(name);
        shared.acknowledged(last.elapsed());
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A run's history as a cluster has stored it: its bytes, and its events.
async fn stored(client: &Raw, id: &str) -> anyhow::Result<(Vec<u8>, Vec<Value>)> {
    let client = client.without_redirection();
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    let mut token = Value::Null;
    loop {
        let mut request = json!({"namespace": NAMESPACE, "execution": {"workflowId": id}});
        if !token.is_null() {
            request["nextPageToken"] = token;
        }
        let refused = |refusal: tests::raw::Refusal| anyhow::anyhow!("{refusal}");
        let page = client.call("GetWorkflowExecutionHistory", request).await.map_err(refused)?;
        bytes.extend(page["history"].to_string().into_bytes());
        events.extend(page["history"]["events"].as_array().cloned().unwrap_or_default());
        token = page["nextPageToken"].clone();
        if token.as_str().is_none_or(str::is_empty) {
            return Ok((bytes, events));
        }
    }
}

/// Both clusters' histories of a run once they are alike; nothing when they do not become so.
async fn alike(clients: &[Raw; 2], id: &str) -> anyhow::Result<Option<Vec<Value>>> {
    for _ in 0..100 {
        if let (Ok(a), Ok(b)) = (stored(&clients[0], id).await, stored(&clients[1], id).await)
            && a.0 == b.0
        {
            return Ok(Some(a.1));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

/// How many of these runs the two stores have not alike, or did something twice in.
async fn differing(addresses: &[String; 2], ids: Vec<String>) -> anyhow::Result<usize> {
    let clients = [Raw::connect(&addresses[0]).await?, Raw::connect(&addresses[1]).await?];
    let mut differing = 0;
    for id in ids {
        let events = alike(&clients, &id).await?.unwrap_or_default();
        let count =
            |kind: &str| events.iter().filter(|event| event["eventType"] == format!("EVENT_TYPE_{kind}")).count();
        let once = ["WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_COMPLETED", "WORKFLOW_EXECUTION_COMPLETED"];
        differing += usize::from(once.iter().any(|kind| count(kind) != 1));
    }
    Ok(differing)
}

/// Signals that were acknowledged, that are not in the histories of both, and that are in them more than once.
async fn check_signals(addresses: &[String; 2], shared: &Shared) -> anyhow::Result<(usize, usize, usize)> {
    let clients = [Raw::connect(&addresses[0]).await?, Raw::connect(&addresses[1]).await?];
    let (mut acknowledged, mut lost, mut doubled) = (0, 0, 0);
    let signals = lock(&shared.signals).clone();
    for (id, names) in signals {
        let events = alike(&clients, &id).await?.unwrap_or_default();
        let name =
            |event: &Value| event["workflowExecutionSignaledEventAttributes"]["signalName"].as_str().map(str::to_owned);
        let found: Vec<String> = events.iter().filter_map(name).collect();
        let distinct: BTreeSet<&String> = found.iter().collect();
        acknowledged += names.len();
        lost += names.iter().filter(|name| !distinct.contains(name)).count();
        doubled += found.len() - distinct.len();
    }
    Ok((acknowledged, lost, doubled))
}
