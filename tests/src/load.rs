//! A load of workflows that outlives servers: clients send a request until it is acknowledged, with the same request id, as
//! SDKs do, and what was acknowledged is compared with what is there afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;

use crate::{
    raw::{Client, Refusal, payloads},
    request::{self, command, merged},
    wait::{self, PAUSE},
};

/// Workflows that are driven at a time, and workers of each kind.
const CONCURRENCY: usize = 4;

/// Signals that every workflow gets.
const SIGNALS: usize = 2;

/// What the server acknowledged.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Run ids by workflow id.
    started: BTreeMap<String, Value>,
    /// Signals as `workflow id/number`.
    signalled: BTreeSet<String>,
    /// Ids of workflows whose completion was acknowledged.
    completed: BTreeSet<String>,
}

/// A load that goes on until it is told to end, and remembers what was acknowledged.
#[derive(Debug, Default)]
pub struct Load {
    ledger: Mutex<Ledger>,
    /// Acknowledgements so far; kills are spread over them.
    acknowledged: AtomicUsize,
    /// No further workflows, please.
    over: AtomicBool,
}

impl Load {
    /// Put servers at these addresses under load.
    #[must_use]
    pub fn on(addresses: &[String]) -> Running {
        let load = Arc::new(Self::default());
        let mut tasks = JoinSet::new();
        let client = Stubborn::new(addresses.to_vec());
        for number in 0..CONCURRENCY {
            tasks.spawn(drive(number, client.starting_at(number), Arc::clone(&load)));
            tasks.spawn(work(client.starting_at(number + 1), Arc::clone(&load)));
        }
        Running { load, tasks }
    }

    fn acknowledge<T>(&self, note: impl FnOnce(&mut Ledger) -> T) {
        note(&mut self.ledger.lock().expect("no panic here"));
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A client that outlives servers: it asks another one when the one that it asked is in trouble.
#[derive(Clone, Debug)]
pub struct Stubborn {
    addresses: Vec<String>,
    /// Which of them it asks.
    at: usize,
    client: Option<Client>,
}

impl Stubborn {
    /// A client of servers at these addresses.
    #[must_use]
    pub fn new(addresses: Vec<String>) -> Self {
        Self { addresses, at: 0, client: None }
    }

    /// The same, which begins at another of them.
    fn starting_at(&self, at: usize) -> Self {
        Self { at: at % self.addresses.len(), ..self.clone() }
    }

    /// Call until there is an answer that is not a sign of trouble.
    ///
    /// # Errors
    ///
    /// What the server answered instead.
    pub async fn call(&mut self, rpc: &str, request: Value) -> Result<Value, Refusal> {
        loop {
            match self.attempt(rpc, request.clone()).await {
                Some(outcome) => return outcome,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// One attempt; nothing when the server is in trouble.
    async fn attempt(&mut self, rpc: &str, request: Value) -> Option<Result<Value, Refusal>> {
        if self.client.is_none() {
            self.at = (self.at + 1) % self.addresses.len();
            let client = Client::connect(&self.addresses[self.at]).await.ok()?;
            self.client = Some(client.with_deadline(Duration::from_secs(10)));
        }
        let outcome = self.client.as_ref()?.call(rpc, request).await;
        if let Err(refusal) = &outcome
            && ([Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Unknown, Code::ResourceExhausted]
                .contains(&refusal.code)
                || is_broken_off(refusal))
        {
            self.client = None;
            return None;
        }
        Some(outcome)
    }
}

/// Whether the connection ended in the middle of a call, which no server answers. Every SDK tries again then.
fn is_broken_off(refusal: &Refusal) -> bool {
    refusal.code == Code::Internal && refusal.message.starts_with("h2 protocol error")
}

/// A load that goes on.
#[derive(Debug)]
pub struct Running {
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Acknowledgements so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.load.acknowledged.load(Ordering::Relaxed)
    }

    /// Wait until so many more things are acknowledged.
    pub async fn more(&self, count: usize) {
        let enough = self.acknowledged() + count;
        wait::until_async("acknowledgements", async || {
            let seen = self.acknowledged();
            if enough <= seen { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    /// End it, when everything that was started is finished. Answers what was acknowledged.
    ///
    /// # Panics
    ///
    /// When it is not, or the load met something that it should not.
    pub async fn end(mut self) -> Ledger {
        self.load.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("the load does not panic");
        }
        let ledger = mem::take(&mut *self.load.ledger.lock().expect("no panic here"));
        assert!(ledger.completed.len() == ledger.started.len(), "{ledger:?}");
        ledger
    }
}

/// Start and signal workflows until the load is over.
async fn drive(driver: usize, mut client: Stubborn, load: Arc<Load>) {
    for number in 0.. {
        if load.is_over() {
            return;
        }
        let id = format!("{driver}-{number}");
        let started = client.call("StartWorkflowExecution", request::start(&id, "queue")).await;
        let started = started.unwrap_or_else(|refusal| panic!("start {id}: {refusal}"));
        load.acknowledge(|ledger| ledger.started.insert(id.clone(), started["runId"].clone()));
        for number in 0..SIGNALS {
            let name = format!("{id}/{number}");
            let fields = json!({"requestId": name, "input": payloads(&[json!(name)])});
            let signalled = client.call("SignalWorkflowExecution", merged(request::signal(&id), fields)).await;
            match signalled {
                Ok(_) => {}
                // An attempt whose answer was lost may have been the last signal, and the workflow is over by now. Whether
                // it counts shows in the end.
                Err(refusal) if refusal.code == Code::NotFound => {}
                Err(refusal) => panic!("signal {name}: {refusal}"),
            }
            load.acknowledge(|ledger| ledger.signalled.insert(name));
        }
    }
}

/// Complete workflows that have all their signals, until every one that was started is.
async fn work(mut client: Stubborn, load: Arc<Load>) {
    loop {
        let finished = |ledger: &Ledger| ledger.completed.len() == ledger.started.len();
        if load.is_over() && finished(&load.ledger.lock().expect("no panic here")) {
            return;
        }
        let poll = json!({"namespace": "default", "taskQueue": {"name": "queue"}, "identity": "worker"});
        let Ok(task) = client.call("PollWorkflowTaskQueue", poll).await else { continue };
        let Some(id) = task["workflowExecution"]["workflowId"].as_str() else { continue };
        let last = SIGNALS <= count(&task["history"]["events"], "WORKFLOW_EXECUTION_SIGNALED");
        let commands = if last { json!([command::complete()]) } else { json!([]) };
        let request = json!({"namespace": "default", "taskToken": task["taskToken"], "commands": commands});
        match client.call("RespondWorkflowTaskCompleted", request).await {
            Ok(_) if last => load.acknowledge(|ledger| ledger.completed.insert(id.to_owned())),
            Ok(_) => {}
            // The task timed out, or its answer was lost and counts.
            Err(refusal) if refusal.code == Code::NotFound => {
                let describe = json!({"namespace": "default", "execution": {"workflowId": id}});
                let description = client.call("DescribeWorkflowExecution", describe).await.expect("it was started");
                if description["workflowExecutionInfo"]["status"] == "WORKFLOW_EXECUTION_STATUS_COMPLETED" {
                    load.acknowledge(|ledger| ledger.completed.insert(id.to_owned()));
                }
            }
            // A signal came meanwhile; there will be another task.
            Err(refusal) if refusal.code == Code::InvalidArgument => {}
            Err(refusal) => panic!("complete {id}: {refusal}"),
        }
    }
}

fn count(events: &Value, kind: &str) -> usize {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter(|event| event["eventType"] == format!("EVENT_TYPE_{kind}")).count()
}

impl Ledger {
    /// How many workflows were started.
    #[must_use]
    pub fn workflows(&self) -> usize {
        self.started.len()
    }

    /// The store holds what was acknowledged, once.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn check(&self, client: &Client) {
        check(client, self).await;
    }

    /// Two stores hold the same bytes of what was started.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub async fn check_alike(&self, clients: [&Client; 2]) {
        for id in self.started.keys() {
            let request = json!({"namespace": "default", "execution": {"workflowId": id}});
            let bytes = async |client: &Client| {
                let history = client.call_for_bytes("GetWorkflowExecutionHistory", request.clone()).await;
                history.unwrap_or_else(|refusal| panic!("history of {id}: {refusal}"))
            };
            assert_eq!(bytes(clients[0]).await, bytes(clients[1]).await, "histories of {id}");
        }
    }
}

async fn check(client: &Client, ledger: &Ledger) {
    for (id, run_id) in &ledger.started {
        let request = json!({"namespace": "default", "execution": {"workflowId": id}});
        // The other cluster may still be catching up.
        let history = wait::until_async(&format!("the end of {id}"), async || {
            let page = client.call("GetWorkflowExecutionHistory", request.clone()).await;
            let history = page.map_err(|refusal| refusal.to_string())?["history"]["events"].clone();
            let ended = count(&history, "WORKFLOW_EXECUTION_COMPLETED") == 1;
            if ended { Ok(history) } else { Err(history.to_string()) }
        })
        .await;
        let described = client.call("DescribeWorkflowExecution", request.clone()).await.expect("it is there");
        assert_eq!(&described["workflowExecutionInfo"]["execution"]["runId"], run_id, "the run of {id}");
        assert_eq!(count(&history, "WORKFLOW_EXECUTION_STARTED"), 1, "starts of {id}");
        let signals = history.as_array().into_iter().flatten().filter_map(|event| {
            let input = event["workflowExecutionSignaledEventAttributes"]["input"]["payloads"][0]["data"].as_str()?;
            serde_json::from_str::<String>(&crate::raw::text(input)?).ok()
        });
        let expected: Vec<_> = ledger.signalled.range(format!("{id}/")..format!("{id}0")).cloned().collect();
        assert_eq!(signals.collect::<Vec<_>>(), expected, "signals of {id}, in order, each once");
    }
    let query = "WorkflowType = 'type'";
    let started = ledger.started.len().to_string();
    wait::until_async("every run to be listed once", async || {
        let counted = client.call("CountWorkflowExecutions", json!({"namespace": "default", "query": query})).await;
        let counted = counted.map_err(|refusal| refusal.to_string())?["count"].clone();
        if counted == started { Ok(()) } else { Err(format!("{counted} of {started}")) }
    })
    .await;
}
