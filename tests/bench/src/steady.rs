//! A steady load that outlives hosts and failovers, and what came of it.
//!
//! Workflows of one activity are started at a steady rate, through two addresses in turn, with workers at both; beside them
//! runs are signalled all the time, so that it shows at once when one of them does not go on. Every result is verified, every
//! history is compared between the two addresses, and every acknowledged signal is looked for in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::{
    raw::{Client as Raw, Refusal},
    request::{self, merged},
};
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Code, Status};

use crate::{
    load::{connect, input_of, result, start},
    replication::RETRIED,
    worker::{self, Client, Place, result_for},
};

/// A load that goes on.
pub(crate) struct Steady {
    addresses: [String; 2],
    place: Place,
    shared: Arc<Shared>,
    workers: JoinSet<()>,
    signalling: JoinSet<()>,
    starting: JoinHandle<anyhow::Result<Vec<(Instant, Duration)>>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// When each workflow began, and how long it took.
    pub(crate) workflows: Vec<(Instant, Duration)>,
    /// Signals that were acknowledged; of those the ones that are not in the histories, and that are there twice.
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) doubled: usize,
    /// Histories that the two addresses do not have alike, or that have something twice.
    pub(crate) differing: usize,
    /// Calls of clients and workers that were repeated, as SDKs do by themselves.
    pub(crate) repeated: usize,
    /// Errors that reached a client or worker and that no SDK repeats or takes for a lost task.
    pub(crate) fatal: Vec<String>,
}

/// What clients and workers share while they run.
struct Shared {
    over: AtomicBool,
    repeated: AtomicUsize,
    fatal: Mutex<Vec<String>>,
    /// When the first workflow task was taken under each failover version.
    first_tasks: Mutex<BTreeMap<i64, SystemTime>>,
    /// Of the runs that are signalled.
    runs: Mutex<BTreeMap<String, Run>>,
    /// Between two signals of a run.
    pause: Duration,
}

/// A run that is signalled.
struct Run {
    /// Names of the signals that were acknowledged.
    signals: Vec<String>,
    /// When the last of them was.
    last: Instant,
    /// The longest time between two of them since this was last asked.
    longest: Duration,
}

/// How much is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Workflows that are started each second.
    pub(crate) per_second: f64,
    /// Workers of each kind at each address.
    pub(crate) workers: usize,
    /// Between two signals of a run.
    pub(crate) pause: Duration,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn acknowledged(&self, id: &str, name: String) {
        if let Some(run) = lock(&self.runs).get_mut(id) {
            run.signals.push(name);
            run.longest = run.longest.max(run.last.elapsed());
            run.last = Instant::now();
        }
    }

    fn fatal(&self, error: impl std::fmt::Display) {
        lock(&self.fatal).push(error.to_string());
    }

    fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Steady {
    /// Begin. `runs` are there already, and take signals.
    pub(crate) async fn start(
        addresses: [String; 2],
        place: Place,
        runs: &[String],
        rate: Rate,
    ) -> anyhow::Result<Self> {
        let run =
            |id: &String| (id.clone(), Run { signals: Vec::new(), last: Instant::now(), longest: Duration::ZERO });
        let shared = Arc::new(Shared {
            over: AtomicBool::default(),
            repeated: AtomicUsize::default(),
            fatal: Mutex::default(),
            first_tasks: Mutex::default(),
            runs: Mutex::new(runs.iter().map(run).collect()),
            pause: rate.pause,
        });
        let mut workers = JoinSet::new();
        for address in &addresses {
            let client = connect(address).await?;
            for _ in 0..rate.workers {
                workers.spawn(workflow_worker(client.clone(), place.clone(), shared.clone()));
                workers.spawn(activity_worker(client.clone(), place.clone(), shared.clone()));
            }
        }
        let clients = [Raw::connect(&addresses[0]).await?, Raw::connect(&addresses[1]).await?];
        let clients = clients.map(|client| client.with_deadline(PATIENCE));
        let mut signalling = JoinSet::new();
        for id in runs {
            signalling.spawn(signal(clients.clone(), place.namespace.clone(), id.clone(), shared.clone()));
        }
        let starting = tokio::spawn(start_at(rate.per_second, addresses.clone(), place.clone(), shared.clone()));
        Ok(Self { addresses, place, shared, workers, signalling, starting })
    }

    /// From now on the longest time between two signals of a run counts.
    pub(crate) fn look_from_now_on(&self) {
        lock(&self.shared.runs).values_mut().for_each(|run| run.longest = Duration::ZERO);
    }

    /// Of each run that is signalled, the longest time without one since then.
    pub(crate) fn standstills(&self) -> BTreeMap<String, Duration> {
        let runs = lock(&self.shared.runs);
        runs.iter().map(|(id, run)| (id.clone(), run.longest.max(run.last.elapsed()))).collect()
    }

    /// Whether some run has had no signal for longer than a busy machine explains.
    pub(crate) fn stands_still(&self) -> bool {
        lock(&self.shared.runs).values().any(|run| run.last.elapsed() > self.shared.pause + Duration::from_millis(500))
    }

    /// When the first workflow task was taken under a failover version; waits for it.
    pub(crate) async fn first_task(&self, version: i64) -> SystemTime {
        loop {
            if let Some(first) = lock(&self.shared.first_tasks).get(&version).copied() {
                return first;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Start nothing more, wait until everything is finished, and look at what there is.
    pub(crate) async fn end(mut self) -> anyhow::Result<Outcome> {
        self.shared.over.store(true, Ordering::Relaxed);
        while self.signalling.join_next().await.is_some() {}
        let workflows = self.starting.await??;
        self.workers.shutdown().await;
        let clients = [Raw::connect(&self.addresses[0]).await?, Raw::connect(&self.addresses[1]).await?];
        let ids = (0..workflows.len()).map(|number| format!("{}-{number}", self.place.queue));
        let differing = differing(&clients, &self.place.namespace, ids).await?;
        let (acknowledged, lost, doubled) = check_signals(&clients, &self.place.namespace, &self.shared).await?;
        let fatal = lock(&self.shared.fatal).clone();
        let repeated = self.shared.repeated.load(Ordering::Relaxed);
        Ok(Outcome { workflows, acknowledged, lost, doubled, differing, repeated, fatal })
    }
}

/// How long each of these workflows took, in order of size.
pub(crate) fn latencies<'a>(workflows: impl IntoIterator<Item = &'a (Instant, Duration)>) -> Vec<Duration> {
    let mut latencies: Vec<_> = workflows.into_iter().map(|(_, took)| *took).collect();
    latencies.sort_unstable();
    latencies
}

/// Start a run that nobody works on, so that all it does is to take signals.
pub(crate) async fn start_idle(client: &Raw, namespace: &str, id: &str) -> anyhow::Result<()> {
    let start = merged(request::start(id, "nobody"), json!({"namespace": namespace}));
    let started = client.call_patiently("StartWorkflowExecution", start).await;
    started.map(drop).map_err(|refusal| anyhow::anyhow!("start {id}: {refusal}"))
}

/// Start workflows at a steady rate through both clusters in turn until it is over, and wait for all of them. Answers when
/// each began and how long it took.
async fn start_at(
    rate: f64,
    addresses: [String; 2],
    place: Place,
    shared: Arc<Shared>,
) -> anyhow::Result<Vec<(Instant, Duration)>> {
    let mut clients = Vec::new();
    for address in &addresses {
        clients.push(connect(address).await?);
    }
    let mut next = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    let mut driven = JoinSet::new();
    for number in 0.. {
        next.tick().await;
        if shared.is_over() {
            break;
        }
        let (client, place, shared) = (clients[number % 2].clone(), place.clone(), shared.clone());
        driven.spawn(async move {
            let began = Instant::now();
            match drive(client, &place, number).await {
                Ok(()) => {}
                Err(error) => shared.fatal(format!("{error:#}")),
            }
            (began, began.elapsed())
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
        let outcome =
            match client.poll_workflow_task_queue(worker::workflow_poll(&place)).await.map(tonic::Response::into_inner)
            {
                Ok(task) if task.task_token.is_empty() => continue,
                Ok(task) => {
                    // The event that says that it was started carries the version under which it was.
                    let started = task.history.as_ref().and_then(|history| history.events.last());
                    if let Some(version) = started.map(|event| event.version) {
                        lock(&shared.first_tasks).entry(version).or_insert_with(SystemTime::now);
                    }
                    let answer = worker::decide(task, &place);
                    answered(&shared, || {
                        let (mut client, answer) = (client.clone(), answer.clone());
                        async move { client.respond_workflow_task_completed(answer).await.map(drop) }
                    })
                    .await
                }
                Err(status) => Err(status),
            };
        survive(outcome, &shared).await;
    }
}

async fn activity_worker(mut client: Client, place: Place, shared: Arc<Shared>) {
    loop {
        let outcome =
            match client.poll_activity_task_queue(worker::activity_poll(&place)).await.map(tonic::Response::into_inner)
            {
                Ok(task) if task.task_token.is_empty() => continue,
                Ok(task) => {
                    let answer = worker::work(task, &place);
                    answered(&shared, || {
                        let (mut client, answer) = (client.clone(), answer.clone());
                        async move { client.respond_activity_task_completed(answer).await.map(drop) }
                    })
                    .await
                }
                Err(status) => Err(status),
            };
        survive(outcome, &shared).await;
    }
}

/// Say what came of a task, and again for as long as SDKs do.
async fn answered<F>(shared: &Shared, answer: impl Fn() -> F) -> Result<(), Status>
where
    F: Future<Output = Result<(), Status>>,
{
    loop {
        match answer().await {
            Err(status) if RETRIED.contains(&status.code()) => {
                shared.repeated();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            otherwise => return otherwise,
        }
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
    shared.repeated();
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Signal a run all the time, through one address and then the other.
async fn signal(clients: [Raw; 2], namespace: String, id: String, shared: Arc<Shared>) {
    for number in 0.. {
        if shared.is_over() {
            return;
        }
        let name = format!("{id}-{number}");
        let fields = json!({"namespace": namespace, "signalName": name, "requestId": name});
        let request = merged(request::signal(&id), fields);
        let mut at = number;
        while let Err(refusal) = clients[at % 2].call("SignalWorkflowExecution", request.clone()).await {
            let is_late = matches!(refusal.code, Code::Cancelled | Code::DeadlineExceeded);
            if !is_late && !RETRIED.contains(&refusal.code) {
                shared.fatal(format!("signal: {refusal}"));
            }
            shared.repeated();
            at += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        shared.acknowledged(&id, name);
        tokio::time::sleep(shared.pause).await;
    }
}

/// A run's history as it is at an address: its bytes, and its events.
async fn stored(client: &Raw, namespace: &str, id: &str) -> anyhow::Result<(Vec<u8>, Vec<Value>)> {
    let client = client.without_redirection();
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    let mut token = Value::Null;
    loop {
        let mut request = json!({"namespace": namespace, "execution": {"workflowId": id}});
        if !token.is_null() {
            request["nextPageToken"] = token;
        }
        let refused = |refusal: Refusal| anyhow::anyhow!("{refusal}");
        let page = client.call("GetWorkflowExecutionHistory", request).await.map_err(refused)?;
        bytes.extend(page["history"].to_string().into_bytes());
        events.extend(page["history"]["events"].as_array().cloned().unwrap_or_default());
        token = page["nextPageToken"].clone();
        if token.as_str().is_none_or(str::is_empty) {
            return Ok((bytes, events));
        }
    }
}

/// The history of a run once it is alike at both addresses; nothing when it does not become so.
async fn alike(clients: &[Raw; 2], namespace: &str, id: &str) -> anyhow::Result<Option<Vec<Value>>> {
    for _ in 0..100 {
        if let (Ok(a), Ok(b)) = (stored(&clients[0], namespace, id).await, stored(&clients[1], namespace, id).await)
            && a.0 == b.0
        {
            return Ok(Some(a.1));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

/// How many of these runs are not alike at both, or did something twice.
async fn differing(clients: &[Raw; 2], namespace: &str, ids: impl Iterator<Item = String>) -> anyhow::Result<usize> {
    let mut differing = 0;
    for id in ids {
        let events = alike(clients, namespace, &id).await?.unwrap_or_default();
        let count =
            |kind: &str| events.iter().filter(|event| event["eventType"] == format!("EVENT_TYPE_{kind}")).count();
        let once = ["WORKFLOW_EXECUTION_STARTED", "ACTIVITY_TASK_COMPLETED", "WORKFLOW_EXECUTION_COMPLETED"];
        differing += usize::from(once.iter().any(|kind| count(kind) != 1));
    }
    Ok(differing)
}

/// Signals that were acknowledged, that are not in the histories, and that are in them more than once.
async fn check_signals(clients: &[Raw; 2], namespace: &str, shared: &Shared) -> anyhow::Result<(usize, usize, usize)> {
    let (mut acknowledged, mut lost, mut doubled) = (0, 0, 0);
    let runs = std::mem::take(&mut *lock(&shared.runs));
    for (id, run) in runs {
        let events = alike(clients, namespace, &id).await?.unwrap_or_default();
        let name =
            |event: &Value| event["workflowExecutionSignaledEventAttributes"]["signalName"].as_str().map(str::to_owned);
        let found: Vec<String> = events.iter().filter_map(name).collect();
        let distinct: BTreeSet<&String> = found.iter().collect();
        acknowledged += run.signals.len();
        lost += run.signals.iter().filter(|name| !distinct.contains(name)).count();
        doubled += found.len() - distinct.len();
    }
    Ok((acknowledged, lost, doubled))
}

/// As long as SDKs wait for an answer before they ask again.
const PATIENCE: Duration = Duration::from_secs(10);
