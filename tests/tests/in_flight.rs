//! What is in flight when a namespace moves, one thing at a time, with raw requests so that each is held where it is wanted.

use serde_json::{Value, json};
use tests::{
    cli,
    raw::{Client, Refusal, payloads},
    request::{self, command, merged},
    server::Server,
    wait,
};
use tonic::Code;

/// Two clusters with a connection to each.
struct World {
    server: Server,
    a: Client,
    b: Client,
}

impl World {
    async fn new(name: &str) -> Self {
        let server = Server::meridian(name, 2, &[]);
        let connect = async |cluster| Client::connect(server.address(cluster)).await.expect("connect");
        let (a, b) = (connect(0).await, connect(1).await);
        Self { server, a, b }
    }

    fn failover(&self, cluster: &str) {
        let _ = cli::meridian(&["failover", "default", "--to", cluster, "--address", self.server.address(0)]).ok();
    }

    /// Both stores come to hold the same history, ending with an event of a type.
    async fn converged(&self, last: &str) -> Vec<Value> {
        wait::until_async(&format!("{last} in both stores"), async || {
            let [a, b] = [stored(&self.a).await, stored(&self.b).await];
            let ended =
                |events: &[Value]| events.last().is_some_and(|it| it["eventType"] == format!("EVENT_TYPE_{last}"));
            if a == b && ended(&a) { Ok(a) } else { Err(format!("a: {} b: {}", types(&a), types(&b))) }
        })
        .await
    }
}

async fn stored(client: &Client) -> Vec<Value> {
    let request = json!({"namespace": "default", "execution": {"workflowId": "run"}});
    let page = client.without_redirection().call("GetWorkflowExecutionHistory", request).await.unwrap_or_default();
    page["history"]["events"].as_array().cloned().unwrap_or_default()
}

fn types(events: &[Value]) -> String {
    let name = |event: &Value| format!("{}@{}", event["eventType"].as_str().unwrap_or_default(), event["version"]);
    events.iter().map(name).collect::<Vec<_>>().join(" ")
}

/// How many events of a type there are.
fn count(events: &[Value], kind: &str) -> usize {
    events.iter().filter(|event| event["eventType"] == format!("EVENT_TYPE_{kind}")).count()
}

async fn accepted(client: &Client, rpc: &str, request: Value) -> Value {
    client.call_patiently(rpc, request).await.unwrap_or_else(|refusal| panic!("{rpc}: {refusal}"))
}

async fn poll(client: &Client, rpc: &str) -> Value {
    let poll = json!({"namespace": "default", "taskQueue": {"name": "queue"}, "identity": "worker"});
    accepted(client, rpc, poll).await
}

async fn workflow_task(client: &Client) -> Value {
    poll(client, "PollWorkflowTaskQueue").await
}

async fn answer(client: &Client, task: &Value, commands: Value) -> Result<Value, Refusal> {
    let request = json!({"namespace": "default", "taskToken": task["taskToken"], "commands": commands});
    client.call_patiently("RespondWorkflowTaskCompleted", request).await
}

async fn start(client: &Client) -> Value {
    accepted(client, "StartWorkflowExecution", request::start("run", "queue")).await
}

fn signal(id: &str) -> Value {
    merged(request::signal("run"), json!({"requestId": id}))
}

#[tokio::test(flavor = "multi_thread")]
async fn workflow_task_is_with_a_worker() {
    let world = World::new("workflow-task").await;
    start(&world.a).await;
    let task = workflow_task(&world.a).await;
    world.failover("b");
    let late = answer(&world.a, &task, json!([command::complete()])).await;
    match late {
        Ok(_) => {}
        Err(refusal) => {
            assert_eq!(refusal.code, Code::NotFound, "what SDKs take for a lost task: {refusal}");
            let task = workflow_task(&world.b).await;
            answer(&world.b, &task, json!([command::complete()])).await.expect("the task of the new side counts");
        }
    }
    let events = world.converged("WORKFLOW_EXECUTION_COMPLETED").await;
    assert_eq!(events.last().map(|event| event["version"].clone()), Some(json!("2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_buffered() {
    let world = World::new("buffered").await;
    start(&world.a).await;
    let task = workflow_task(&world.a).await;
    for id in ["one", "two", "three"] {
        accepted(&world.a, "SignalWorkflowExecution", signal(id)).await;
    }
    world.failover("b");
    let _ = answer(&world.a, &task, json!([])).await;
    // Acknowledged is acknowledged: they are in the history of the new side, each once, and its worker sees them.
    loop {
        let task = workflow_task(&world.b).await;
        let seen =
            task["history"]["events"].as_array().map_or(0, |events| count(events, "WORKFLOW_EXECUTION_SIGNALED"));
        let commands = if seen == 3 { json!([command::complete()]) } else { json!([]) };
        if answer(&world.b, &task, commands).await.is_ok() && seen == 3 {
            break;
        }
    }
    let events = world.converged("WORKFLOW_EXECUTION_COMPLETED").await;
    assert_eq!(count(&events, "WORKFLOW_EXECUTION_SIGNALED"), 3, "{}", types(&events));
}

#[tokio::test(flavor = "multi_thread")]
async fn timer_is_due() {
    let world = World::new("timer").await;
    start(&world.a).await;
    let task = workflow_task(&world.a).await;
    answer(&world.a, &task, json!([command::timer("t", "0.5s")])).await.expect("start the timer");
    world.failover("b");
    let task = workflow_task(&world.b).await;
    answer(&world.b, &task, json!([command::complete()])).await.expect("complete");
    let events = world.converged("WORKFLOW_EXECUTION_COMPLETED").await;
    assert_eq!(count(&events, "TIMER_FIRED"), 1, "{}", types(&events));
}

/// The worker does not know that the namespace moved, and answers where it got the task.
#[tokio::test(flavor = "multi_thread")]
async fn completion_goes_to_the_demoted_side() {
    let world = World::new("completion").await;
    start(&world.a).await;
    let task = workflow_task(&world.a).await;
    let fields = json!({"startToCloseTimeout": "2s", "retryPolicy": {"initialInterval": "0.1s"}});
    answer(&world.a, &task, json!([command::activity("a", "queue", fields)])).await.expect("schedule");
    let activity = poll(&world.a, "PollActivityTaskQueue").await;
    world.failover("b");
    let result =
        |task: &Value| json!({"namespace": "default", "taskToken": task["taskToken"], "result": payloads(&[json!(1)])});
    if let Err(refusal) = world.a.call_patiently("RespondActivityTaskCompleted", result(&activity)).await {
        assert_eq!(refusal.code, Code::NotFound, "what SDKs take for a lost task: {refusal}");
        let again = poll(&world.b, "PollActivityTaskQueue").await;
        accepted(&world.b, "RespondActivityTaskCompleted", result(&again)).await;
    }
    let task = workflow_task(&world.b).await;
    answer(&world.b, &task, json!([command::complete()])).await.expect("complete");
    let events = world.converged("WORKFLOW_EXECUTION_COMPLETED").await;
    assert_eq!(count(&events, "ACTIVITY_TASK_COMPLETED"), 1, "{}", types(&events));
}

/// The client never saw the answers, and asks the other side again with the same request ids.
#[tokio::test(flavor = "multi_thread")]
async fn start_and_signal_are_sent_again() {
    let world = World::new("again").await;
    let first = start(&world.a).await;
    accepted(&world.a, "SignalWorkflowExecution", signal("lost")).await;
    // Forced: what the other side has not yet heard of it cannot know.
    world.converged("WORKFLOW_EXECUTION_SIGNALED").await;
    world.failover("b");
    let second = start(&world.b).await;
    assert_eq!(first["runId"], second["runId"]);
    accepted(&world.b, "SignalWorkflowExecution", signal("lost")).await;
    accepted(&world.b, "SignalWorkflowExecution", signal("another")).await;
    let events = world.converged("WORKFLOW_EXECUTION_SIGNALED").await;
    assert_eq!(count(&events, "WORKFLOW_EXECUTION_SIGNALED"), 2, "{}", types(&events));
}

/// Without any move: what reaches the standby is done by the active side, once.
#[tokio::test(flavor = "multi_thread")]
async fn requests_to_the_standby_are_redirected() {
    let world = World::new("redirected").await;
    start(&world.b).await;
    accepted(&world.b, "SignalWorkflowExecution", signal("one")).await;
    let events = world.converged("WORKFLOW_EXECUTION_SIGNALED").await;
    assert_eq!(count(&events, "WORKFLOW_EXECUTION_STARTED"), 1);
    assert_eq!(count(&events, "WORKFLOW_EXECUTION_SIGNALED"), 1);
    assert!(events.iter().all(|event| event["version"] == "1"), "{}", types(&events));
    // Said not to redirect, the standby refuses to write.
    let refusal = world.b.without_redirection().call("SignalWorkflowExecution", signal("two")).await;
    let refusal = refusal.expect_err("the standby may not write");
    assert_eq!(refusal.code, Code::FailedPrecondition, "{refusal}");
    assert_eq!(refusal.details[0]["@type"], "temporal.api.errordetails.v1.NamespaceNotActiveFailure");
    assert_eq!([&refusal.details[0]["currentCluster"], &refusal.details[0]["activeCluster"]], ["b", "a"]);
}
