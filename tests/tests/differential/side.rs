//! One server as a script sees it.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{
    raw::{Client, Refusal},
    wait,
};

use tests::request::{self, merged};

/// Something that was asked and what came of it.
#[derive(Debug)]
pub(crate) struct Step {
    /// The RPC, with what is special about the request.
    pub(crate) name: String,
    /// What came.
    pub(crate) outcome: Result<Value, Refusal>,
}

/// A server, and what the script saw there.
#[derive(Debug)]
pub(crate) struct Side {
    client: Client,
    /// Names the script's queue and workflows, so that scripts do not meet.
    pub(crate) script: String,
    pub(crate) seen: Vec<Step>,
}

impl Side {
    pub(crate) async fn connect(address: &str, script: &str) -> Self {
        let client = Client::connect(address).await.unwrap_or_else(|error| panic!("connect to {address}: {error}"));
        // No script waits for what does not come, so a shorter deadline than that of workers is only kinder to failures.
        Self { client: client.with_deadline(Duration::from_secs(15)), script: script.to_owned(), seen: Vec::new() }
    }

    /// Call an RPC as a step of the script. The answer, or null if it was refused.
    pub(crate) async fn call(&mut self, rpc: &str, request: Value) -> Value {
        self.step(rpc, rpc, request).await
    }

    /// [`Side::call`] with a name of its own.
    pub(crate) async fn step(&mut self, name: &str, rpc: &str, request: Value) -> Value {
        let outcome = self.client.call(rpc, request).await;
        let answer = outcome.clone().unwrap_or(Value::Null);
        self.seen.push(Step { name: name.to_owned(), outcome });
        answer
    }

    /// Send bytes that need not be a request.
    pub(crate) async fn step_with_bytes(&mut self, name: &str, rpc: &str, bytes: &'static [u8]) {
        let outcome = self.client.call_with_bytes(rpc, bytes::Bytes::from_static(bytes)).await;
        self.seen.push(Step { name: name.to_owned(), outcome });
    }

    /// Call an RPC that is not compared and must be accepted.
    pub(crate) async fn quietly(&self, rpc: &str, request: Value) -> Value {
        self.client.call(rpc, request).await.unwrap_or_else(|refusal| panic!("{}: {rpc}: {refusal}", self.script))
    }

    /// Note something that a call answered in a form of its own.
    pub(crate) fn note(&mut self, name: &str, answer: Value) {
        self.seen.push(Step { name: name.to_owned(), outcome: Ok(answer) });
    }

    /// Call an RPC until the answer satisfies the script, and compare only that one.
    pub(crate) async fn until(&mut self, rpc: &str, request: Value, enough: impl Fn(&Value) -> bool) -> Value {
        let answer = wait::until_async(rpc, async || {
            let answer = self.client.call(rpc, request.clone()).await.map_err(|refusal| refusal.to_string())?;
            if enough(&answer) { Ok(answer) } else { Err(answer.to_string()) }
        });
        let answer = answer.await;
        self.note(rpc, answer.clone());
        answer
    }

    /// A workflow id of this script.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{} {name}", self.script)
    }

    /// Start a workflow on the script's queue, as a step.
    pub(crate) async fn start(&mut self, name: &str) -> Value {
        self.start_with(name, json!({})).await
    }

    /// [`Side::start`] with further fields.
    pub(crate) async fn start_with(&mut self, name: &str, fields: Value) -> Value {
        let request = merged(request::start(&self.id(name), &self.script), fields);
        self.call("StartWorkflowExecution", request).await
    }

    /// Take the next workflow task of the script's queue, as a step.
    pub(crate) async fn workflow_task(&mut self) -> Value {
        let poll = json!({"namespace": "default", "taskQueue": {"name": self.script}, "identity": "worker"});
        self.call("PollWorkflowTaskQueue", poll).await
    }

    /// Take the next activity task of the script's queue, as a step.
    pub(crate) async fn activity_task(&mut self) -> Value {
        let poll = json!({"namespace": "default", "taskQueue": {"name": self.script}, "identity": "worker"});
        self.call("PollActivityTaskQueue", poll).await
    }

    /// Answer a workflow task with commands, as a step.
    pub(crate) async fn complete(&mut self, task: &Value, commands: Value) -> Value {
        self.complete_with(task, commands, json!({})).await
    }

    /// [`Side::complete`] with further fields.
    pub(crate) async fn complete_with(&mut self, task: &Value, commands: Value, fields: Value) -> Value {
        let request = json!({
            "namespace": "default", "identity": "worker", "taskToken": task["taskToken"], "commands": commands,
        });
        self.call("RespondWorkflowTaskCompleted", merged(request, fields)).await
    }

    /// Start a workflow and answer its first workflow task with commands.
    pub(crate) async fn started_with(&mut self, name: &str, commands: Value) -> Value {
        self.start(name).await;
        let task = self.workflow_task().await;
        self.complete(&task, commands).await
    }

    /// The whole history, as a step.
    pub(crate) async fn history(&mut self, name: &str) -> Value {
        let request = json!({"namespace": "default", "execution": {"workflowId": self.id(name)}});
        self.step(&format!("history of {name}"), "GetWorkflowExecutionHistory", request).await
    }

    /// Wait until the history ends with an event of a type.
    pub(crate) async fn until_last_event(&self, name: &str, kind: &str) {
        let request = json!({"namespace": "default", "execution": {"workflowId": self.id(name)}});
        wait::until_async(kind, async || {
            let page = self.quietly("GetWorkflowExecutionHistory", request.clone()).await;
            let events = page["history"]["events"].as_array().cloned().unwrap_or_default();
            let last = events.last().map(|event| event["eventType"].clone());
            if last == Some(format!("EVENT_TYPE_{kind}").into()) { Ok(()) } else { Err(last) }
        })
        .await;
    }

    /// What describing a workflow says, as a step.
    pub(crate) async fn describe(&mut self, name: &str) -> Value {
        let request = json!({"namespace": "default", "execution": {"workflowId": self.id(name)}});
        let outcome = self.client.call("DescribeWorkflowExecution", request).await.map(|mut description| {
            // The real server gives them in random order.
            if let Some(pending) = description["pendingActivities"].as_array_mut() {
                pending.sort_by_key(|activity| activity["activityId"].to_string());
            }
            description
        });
        let answer = outcome.clone().unwrap_or(Value::Null);
        self.seen.push(Step { name: format!("describe {name}"), outcome });
        answer
    }
}

/// Asks while the script goes on.
#[derive(Debug)]
pub(crate) struct Asker(Client);

impl Asker {
    pub(crate) async fn ask(&self, rpc: &str, request: Value) -> Result<Value, Refusal> {
        self.0.call(rpc, request).await
    }

    pub(crate) async fn query(&self, request: Value) -> Result<Value, Refusal> {
        self.ask("QueryWorkflow", request).await
    }
}

impl Side {
    /// For a call that waits until the script goes on.
    pub(crate) fn clone_for_asking(&self) -> Asker {
        Asker(self.client.clone())
    }

    /// What came of such a call, as a step.
    pub(crate) fn outcome(&mut self, name: &str, outcome: Result<Value, Refusal>) {
        self.seen.push(Step { name: name.to_owned(), outcome });
    }
}

impl Side {
    /// Call an RPC that is not compared and may be refused.
    pub(crate) async fn quietly_or_not(&self, rpc: &str, request: Value) -> Result<Value, Refusal> {
        self.client.call(rpc, request).await
    }

    /// Call an RPC until it is refused with a detail of a type, and compare only that refusal.
    pub(crate) async fn until_refused(&mut self, rpc: &str, request: Value, detail: &str) {
        let refusal = wait::until_async(detail, async || {
            let outcome = self.client.call(rpc, request.clone()).await;
            let refusal = outcome.err().ok_or_else(|| "it was accepted".to_owned())?;
            let kinds = refusal.details.iter().map(|it| it["@type"].as_str().unwrap_or_default());
            if kinds.into_iter().any(|kind| kind.ends_with(detail)) { Ok(refusal) } else { Err(refusal.to_string()) }
        });
        let refusal = refusal.await;
        self.outcome(rpc, Err(refusal));
    }
}
