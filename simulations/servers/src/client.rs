//! A client: it starts a workflow, signals it, asks how it goes.

use proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    query::v1::WorkflowQuery,
    workflowservice::v1::{QueryWorkflowRequest, SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest},
};
use replicator::{
    ids::{NamespaceId, RunId, WorkflowKey},
    time::proto_duration,
};
use simulations::{
    checkers::Fact,
    program::{WORKFLOW_TASK_TIME, payloads, queue},
};
use tokio::time::{Duration, Instant, sleep_until};

use crate::{
    people::{Patience, People},
    plan::Order,
    worker::QUERY,
};

/// Want something, until all of it is acknowledged.
pub(crate) async fn want(people: People, namespace: NamespaceId, number: usize, order: Order) {
    let workflow = workflow_id(number);
    let key = WorkflowKey { namespace, workflow: workflow.as_str().into() };
    let request = StartWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_id: workflow.clone(),
        workflow_type: Some(WorkflowType { name: "errand".into() }),
        task_queue: Some(queue()),
        input: Some(order.program.to_input()),
        workflow_task_timeout: Some(proto_duration(WORKFLOW_TASK_TIME)),
        identity: "client".into(),
        request_id: format!("start-{number}"),
        ..Default::default()
    };
    let request_id = request.request_id.clone();
    let started = people.ask(order.region, "StartWorkflowExecution", Patience::ToStart, |mut client| {
        let request = request.clone();
        async move { client.start_workflow_execution(request).await }
    });
    let mut run = RunId::from_bytes([0; 16]);
    match started.await.map(|answer| RunId::parse(&answer.run_id)) {
        Some(Ok(acknowledged)) => {
            run = acknowledged;
            people.ledger.count("client: start acknowledged");
            people.ledger.acknowledged(&Fact::Started { workflow: key.clone(), request_id, run });
        }
        Some(Err(_)) => people.refused("StartWorkflowExecution", &"a run id that is none"),
        None => people.ledger.count("client: start was there already"),
    }

    let begin = Instant::now();
    let mut errands: Vec<(Duration, usize, bool)> =
        order.signals.iter().map(|(after, region)| (*after, *region, true)).collect();
    errands.extend(order.query.map(|after| (after, order.region, false)));
    errands.sort_by_key(|(after, ..)| *after);
    let mut sent = 0;
    for (after, region, is_signal) in errands {
        sleep_until(begin + after).await;
        if is_signal {
            sent += 1;
            signal(&people, region, &key, run, format!("signal-{number}-{sent}")).await;
        } else {
            query(&people, region, &workflow).await;
        }
    }
}

async fn signal(people: &People, region: usize, workflow: &WorkflowKey, run: RunId, request_id: String) {
    let request = SignalWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(workflow.workflow.as_str())),
        signal_name: "go on".into(),
        input: Some(payloads(request_id.clone().into_bytes())),
        identity: "client".into(),
        request_id: request_id.clone(),
        ..Default::default()
    };
    let signaled = people.ask(region, "SignalWorkflowExecution", Patience::ToSignal, |mut client| {
        let request = request.clone();
        async move { client.signal_workflow_execution(request).await }
    });
    if signaled.await.is_none() {
        return people.ledger.count("client: signal was there already");
    }
    people.ledger.count("client: signal acknowledged");
    people.ledger.acknowledged(&Fact::Signaled { workflow: workflow.clone(), request_id, run });
}

/// Ask how many signals a workflow has had.
pub(crate) async fn query(people: &People, region: usize, workflow: &str) -> String {
    let request = QueryWorkflowRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(workflow)),
        query: Some(WorkflowQuery { query_type: QUERY.into(), ..Default::default() }),
        ..Default::default()
    };
    let answered = people.ask(region, "QueryWorkflow", Patience::UntilBegun, |mut client| {
        let request = request.clone();
        async move { client.query_workflow(request).await }
    });
    let answer = answered.await.unwrap_or_default();
    people.ledger.count("client: query answered");
    let data = answer.query_result.and_then(|result| result.payloads.into_iter().next()).map(|payload| payload.data);
    String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()
}

/// The workflow of an order.
pub(crate) fn workflow_id(number: usize) -> String {
    format!("order-{number}")
}

/// The current run of a workflow.
pub(crate) fn execution(workflow: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: workflow.into(), run_id: String::new() }
}

/// Where everything happens.
pub(crate) const NAMESPACE: &str = "errands";
