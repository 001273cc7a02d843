//! What is counted while a cluster works, under the names and labels that dashboards for Temporal look for.

use serde_json::json;
use tests::{apart::Apart, load::Stubborn, raw::Client, request};
use tonic::Code;

/// Each service counts what it does: the frontend that was asked, and the one that answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_load_is_counted_by_the_services_that_it_passes() {
    const STARTS: u32 = 3;
    let cluster = Apart::start("watching", scratch_postgres::shared(), &["frontend", "history", "matching"]);
    let request = json!({"namespace": "default", "workflowExecutionRetentionPeriod": "86400s"});
    Stubborn::new(cluster.addresses()).call("RegisterNamespace", request).await.expect("registered");
    let client = Client::connect(&cluster.addresses()[0]).await.expect("connect");
    for number in 0..STARTS {
        let id = format!("w{number}");
        client.call("StartWorkflowExecution", request::start(&id, "q")).await.expect("started");
        client.call("SignalWorkflowExecution", request::signal(&id)).await.expect("signalled");
    }
    let refusal = client.call("SignalWorkflowExecution", request::signal("nobody")).await.expect_err("nobody");
    assert_eq!(refusal.code, Code::NotFound);
    client.call("ListWorkflowExecutions", json!({"namespace": "default"})).await.expect("listed");
    let poll = json!({"namespace": "default", "taskQueue": {"name": "q"}, "identity": "worker"});
    client.call("PollWorkflowTaskQueue", poll).await.expect("a task");

    let [frontend, history, matching] = [0, 1, 2].map(|host| cluster.metrics(host));
    let namespace = ("namespace", "default");
    for (metrics, service) in [(&frontend, "frontend"), (&history, "history")] {
        let count = |name: &str, operation: &str| {
            metrics.sum(name, &[namespace, ("operation", operation), ("service_name", service)])
        };
        let starts = f64::from(STARTS);
        assert_eq!(count("service_requests", "StartWorkflowExecution"), starts, "{}", metrics.text());
        assert_eq!(count("service_latency_count", "StartWorkflowExecution"), starts);
        assert_eq!(count("service_requests", "SignalWorkflowExecution"), starts + 1.0);
        assert_eq!(count("service_pending_requests", "SignalWorkflowExecution"), 0.0);
        assert_eq!(count("service_errors", "SignalWorkflowExecution"), 0.0, "it is the caller's");
        let not_found = [("error_type", "serviceerror_NotFound"), ("operation", "SignalWorkflowExecution")];
        assert_eq!(metrics.sum("service_error_with_type", &not_found), 1.0);
    }
    for (metrics, service) in [(&frontend, "frontend"), (&matching, "matching")] {
        let polls = [namespace, ("operation", "PollWorkflowTaskQueue"), ("service_name", service)];
        assert_eq!(metrics.sum("service_requests", &polls), 1.0, "{}", metrics.text());
    }
    let created = [namespace, ("operation", "CreateWorkflowExecution"), ("service_name", "history")];
    for name in ["persistence_requests", "persistence_latency_count"] {
        assert_eq!(history.sum(name, &created), f64::from(STARTS), "{}", history.text());
    }
    let changed = [namespace, ("operation", "UpdateWorkflowExecution"), ("service_name", "history")];
    assert!(history.sum("persistence_requests", &changed) > f64::from(STARTS), "{}", history.text());
    let listed = [namespace, ("operation", "ListWorkflowExecutions"), ("service_name", "frontend")];
    assert_eq!(frontend.sum("visibility_persistence_requests", &listed), 1.0, "{}", frontend.text());
}
