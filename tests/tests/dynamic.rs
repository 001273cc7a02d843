//! Limits that change while a server runs.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tests::{
    pages::Metrics,
    pair::{self, Keep},
    provision,
    raw::{Client, Refusal, payload, payloads},
    request::{self, merged},
    server::Server,
    wait,
};
use tokio::task::JoinSet;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn limits_follow_their_file() {
    let file = provision::scratch("limits").join("limits.yaml");
    let write = |text: &str| fs::write(&file, text).expect("write limits");
    write("");
    let more = format!("dynamicConfigClient: {{filepath: {}, pollInterval: 100ms}}", file.display());
    let server = pair::alone("dynamic", Keep::InMemory, &more);
    let client = Client::connect(server.address(0)).await.expect("connect");
    for namespace in ["slow", "other"] {
        let request = json!({"namespace": namespace, "workflowExecutionRetentionPeriod": "86400s"});
        client.call("RegisterNamespace", request).await.expect("registered");
    }
    let count = async |namespace: &str| client.call("CountWorkflowExecutions", json!({"namespace": namespace})).await;
    let refused = async |namespace: &str| -> Option<Refusal> {
        for _ in 0..200 {
            if let Err(refusal) = count(namespace).await {
                return Some(refusal);
            }
        }
        None
    };
    assert_eq!(refused("slow").await, None, "nobody says anything yet");

    write("frontend.namespaceRPS: [{value: 1, constraints: {namespace: slow}}]");
    let refusal = wait::until_async("a refusal", async || refused("slow").await.ok_or("none")).await;
    assert_eq!((refusal.code, refusal.message.as_str()), (Code::ResourceExhausted, "namespace rate limit exceeded"));
    assert_eq!(refusal.details[0]["cause"], "RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT");
    assert_eq!(refusal.details[0]["scope"], "RESOURCE_EXHAUSTED_SCOPE_NAMESPACE");
    assert_eq!(refused("other").await, None);

    write("frontend.namespaceRPS: [{value: several}]");
    let log = || fs::read_to_string(server.folder().join("log")).unwrap_or_default();
    wait::until("a line about the file", || match log().contains("cannot be used, and the old one is kept") {
        true => Ok(()),
        false => Err(server.process().last_words()),
    });
    assert!(refused("slow").await.is_some(), "what was said before counts");

    write("frontend.rps: [{value: 1}]");
    let refusal = wait::until_async("a refusal", async || refused("other").await.ok_or("none")).await;
    assert_eq!(refusal.message, "service rate limit exceeded");
    assert_eq!(refusal.details[0]["scope"], "RESOURCE_EXHAUSTED_SCOPE_SYSTEM");

    write("{}");
    wait::until_async("no limits", async || match refused("slow").await {
        None => Ok(()),
        refusal => Err(refusal),
    })
    .await;

    write(
        "frontend.namespaceRPS.visibility: [{value: 1, constraints: {namespace: slow}}]
limit.blobSize.error: [{value: 100, constraints: {namespace: slow}}]
limit.memoSize.error: [{value: 50}]
limit.maxIDLength: [{value: 40}]",
    );
    let refusal = wait::until_async("a refusal", async || refused("slow").await.ok_or("none")).await;
    assert_eq!(refusal.message, "namespace rate limit exceeded");
    assert_eq!(refused("other").await, None);
    let start = async |patch: Value| {
        let request = merged(request::start("w", "q"), merged(json!({"namespace": "slow"}), patch));
        client.call("StartWorkflowExecution", request).await.map_err(|refusal| (refusal.code, refusal.message))
    };
    let too_much = |text: &str| Err((Code::InvalidArgument, text.to_owned()));
    let large = json!("x".repeat(200));
    assert_eq!(
        start(json!({"input": payloads(std::slice::from_ref(&large))})).await,
        too_much("Blob data size exceeds limit.")
    );
    let memo = json!({"memo": {"fields": {"a": payload(&large)}}});
    assert_eq!(start(memo).await, too_much("Memo size exceeds limit."));
    let long = "w".repeat(41);
    let told = "WorkflowId exceeds maximum allowed length (41/40)";
    assert_eq!(start(json!({"workflowId": long})).await, too_much(told));
    let elsewhere = json!({"namespace": "other", "input": payloads(&[large])});
    assert!(start(elsewhere).await.is_ok(), "other namespaces have the usual limit");
}

/// A server whose dynamic configuration is in a file, and who writes that.
struct Limited {
    server: Server,
    file: PathBuf,
}

impl Limited {
    async fn start(name: &str, text: &str) -> (Self, Client) {
        let file = provision::scratch(&format!("{name}-file")).join("limits.yaml");
        fs::write(&file, text).expect("write limits");
        let more = format!("dynamicConfigClient: {{filepath: {}, pollInterval: 100ms}}", file.display());
        let server = pair::alone(name, Keep::InMemory, &more);
        let client = Client::connect(server.address(0)).await.expect("connect");
        for namespace in ["default", "small"] {
            let request = json!({"namespace": namespace, "workflowExecutionRetentionPeriod": "86400s"});
            client.call("RegisterNamespace", request).await.expect("registered");
        }
        (Self { server, file }, client)
    }

    /// At once, so that no look finds half of it.
    fn write(&self, text: &str) {
        let next = self.file.with_extension("next");
        fs::write(&next, text).expect("write limits");
        fs::rename(&next, &self.file).expect("replace the limits");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.server.folder().join("log")).unwrap_or_default()
    }

    /// Wait until a line of the log has all these words.
    fn until_logged(&self, words: &[&str]) {
        let has_all = |line: &str| words.iter().all(|word| line.contains(word));
        wait::until(&words.join(" "), || match self.log().lines().any(has_all) {
            true => Ok(()),
            false => Err(self.server.process().last_words()),
        });
    }

    /// What it counts, beside its port for gRPC as in the example that it is started from.
    fn metrics(&self) -> Metrics {
        let (host, port) = self.server.address(0).rsplit_once(':').expect("host:port");
        Metrics::read(&format!("{host}:{}", port.parse::<u16>().expect("a port") + 20))
    }
}

async fn signal(client: &Client, namespace: &str, id: &str, number: usize) -> Result<Value, Refusal> {
    let fields = json!({"namespace": namespace, "requestId": number.to_string()});
    client.call("SignalWorkflowExecution", merged(request::signal(id), fields)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_what_changes_and_what_has_no_effect() {
    let (limited, _client) = Limited::start("dynamic-log", "history.shardUpdateMinInterval: [{value: 5}]").await;
    limited.until_logged(&["history.shardUpdateMinInterval", "has no effect here"]);
    limited.write(
        "history.shardUpdateMinInterval: [{value: 5}]
history.enableReplicationStream: [{value: true}]
frontend.rps: [{value: 100000}]
limit.historyCount.error: [{value: 77, constraints: {namespace: small}}]",
    );
    limited.until_logged(&["history.enableReplicationStream", "has no effect here"]);
    limited.until_logged(&["has changed", "frontend.rps", r#""before":"unset""#, r#""after":"100000""#]);
    limited.until_logged(&["has changed", "limit.historyCount.error", r#""namespace":"small""#, r#""after":"77""#]);
    limited.write("frontend.rps: [{value: 200000}]");
    limited.until_logged(&["has changed", "frontend.rps", r#""before":"100000""#, r#""after":"200000""#]);
    let named = limited.log().matches("history.shardUpdateMinInterval: has no effect").count();
    assert_eq!(named, 1, "what was named is not named again");
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_may_grow_as_the_file_says() {
    let (limited, client) = Limited::start("dynamic-runs", "").await;
    for namespace in ["default", "small"] {
        let start = merged(request::start("w", "q"), json!({"namespace": namespace}));
        client.call("StartWorkflowExecution", start).await.expect("started");
        for number in 0..10 {
            signal(&client, namespace, "w", number).await.expect("nobody says anything yet");
        }
    }
    limited.write("limit.historyCount.error: [{value: 5, constraints: {namespace: small}}]");
    limited.until_logged(&["has changed", "limit.historyCount.error"]);
    let refusal = wait::until_async("a refusal", async || match signal(&client, "small", "w", 10).await {
        Ok(answer) => Err(answer),
        Err(refusal) => Ok(refusal),
    });
    let refusal = refusal.await;
    let reason = "Workflow history count exceeds limit.";
    assert_eq!((refusal.code, refusal.message.as_str()), (Code::InvalidArgument, reason));
    let last = json!({"namespace": "small", "execution": {"workflowId": "w"}, "historyEventFilterType": 2});
    let history = client.call("GetWorkflowExecutionHistory", last).await.expect("the last event");
    let ended = &history["history"]["events"][0]["workflowExecutionTerminatedEventAttributes"];
    assert_eq!((&ended["reason"], &ended["identity"]), (&json!(reason), &json!("history-service")));
    limited.until_logged(&["a run was terminated", r#""namespace":"small""#]);
    signal(&client, "default", "w", 10).await.expect("other namespaces have the usual limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn task_queues_answer_so_many_calls() {
    let (_limited, client) = Limited::start("dynamic-matching", "matching.rps: [{value: 2}]").await;
    let describe = json!({"namespace": "default", "taskQueue": {"name": "q"}, "taskQueueType": 1});
    let refusal = wait::until_async("a refusal", async || {
        client.call("DescribeTaskQueue", describe.clone()).await.err().ok_or("it is answered")
    });
    let refusal = refusal.await;
    assert_eq!((refusal.code, refusal.message.as_str()), (Code::ResourceExhausted, "service rate limit exceeded"));
    assert_eq!(refusal.details[0]["cause"], "RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT");
    assert_eq!(refusal.details[0]["scope"], "RESOURCE_EXHAUSTED_SCOPE_SYSTEM");
    for number in 0..20 {
        let start = request::start(&number.to_string(), "q");
        client.call("StartWorkflowExecution", start).await.expect("no task queue answers this");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_workflows_are_in_memory_as_the_file_says() {
    const RUNS: f64 = 20.0;
    let (limited, client) = Limited::start("dynamic-cache", "").await;
    for number in 0..RUNS as usize {
        client.call("StartWorkflowExecution", request::start(&number.to_string(), "q")).await.expect("started");
    }
    let of_workflows = [("cache_type", "mutablestate")];
    let metrics = limited.metrics();
    assert_eq!(metrics.sum("cache_entries", &of_workflows), RUNS, "{}", metrics.text());
    limited.write("history.hostLevelCacheMaxSizeBytes: [{value: 0}]");
    wait::until("no workflow in memory", || {
        let metrics = limited.metrics();
        match metrics.sum("cache_entries", &of_workflows) {
            0.0 => Ok(()),
            some => Err(some),
        }
    });
    let metrics = limited.metrics();
    assert_eq!(metrics.sum("cache_size", &of_workflows), 0.0);
    assert_eq!(metrics.sum("cache_evictions", &of_workflows), RUNS);
    for number in 0..RUNS as usize {
        signal(&client, "default", &number.to_string(), 0).await.expect("it is read again");
    }
}

/// Questions wait for the first workflow task of their runs, which nobody takes, until there is no room for more.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_says_that_too_much_waits() {
    const MOST: usize = 64 << 20;
    const LARGE: usize = 1_900_000;
    let (limited, client) = Limited::start("dynamic-waiting", "").await;
    let runs: Vec<String> = (0..MOST / LARGE + 5).map(|number| format!("w{number}")).collect();
    let mut waiting = JoinSet::new();
    for id in &runs {
        client.call("StartWorkflowExecution", request::start(id, "q")).await.expect("started");
        let query = json!({
            "namespace": "default",
            "execution": {"workflowId": id},
            "query": {"queryType": "state", "queryArgs": payloads(&[json!("x".repeat(LARGE))])},
        });
        let client = client.clone();
        waiting.spawn(async move { client.call("QueryWorkflow", query).await.expect_err("nobody answers") });
    }
    let refusal = waiting.join_next().await.expect("they wait").expect("asking does not panic");
    assert_eq!(refusal.code, Code::ResourceExhausted, "{refusal}");
    assert_eq!(refusal.details[0]["cause"], "RESOURCE_EXHAUSTED_CAUSE_SYSTEM_OVERLOADED");
    let metrics = limited.metrics();
    assert!(metrics.sum("history_requests_refused", &[]) > 0.0, "{}", metrics.text());
    assert!(metrics.sum("history_requests_waiting_bytes", &[]) <= MOST as f64, "{}", metrics.text());

    // Each of them has room for its end, and makes more.
    for id in &runs {
        let end = json!({"namespace": "default", "workflowExecution": {"workflowId": id}, "identity": "client"});
        client.call("TerminateWorkflowExecution", end).await.expect("terminated");
    }
    let refusals = waiting.join_all().await;
    let over = refusals.iter().filter(|refusal| refusal.code != Code::ResourceExhausted).count();
    assert!(over > 0, "those that waited are told that their runs are over");
    wait::until("room again", || match limited.metrics().sum("history_requests_waiting_bytes", &[]) {
        0.0 => Ok(()),
        bytes => Err(bytes),
    });
}
