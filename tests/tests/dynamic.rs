//! Limits that change while a server runs.

use std::fs;

use serde_json::{Value, json};
use tests::{
    pair::{self, Keep},
    provision,
    raw::{Client, Refusal, payload, payloads},
    request::{self, merged},
    wait,
};
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
