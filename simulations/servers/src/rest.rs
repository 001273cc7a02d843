//! After the faults: whether everything is at rest, and what clients see then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prost::Message;
use proto::temporal::api::{
    enums::v1::WorkflowExecutionStatus,
    history::v1::{History, history_event::Attributes},
    workflowservice::v1::{
        DescribeNamespaceRequest, DescribeWorkflowExecutionRequest, GetWorkflowExecutionHistoryRequest,
    },
};
use replicator::{
    ids::{RunKey, ShardId},
    shard::io::{Load, Loaded},
    task::{Category, HistoryTask, TaskKind, TransferTask},
    workflow::{MutableState, execution::Phase},
};
use tokio::time::sleep;
use tonic::{Request, metadata::MetadataValue};

use crate::{
    client::{NAMESPACE, execution, query, workflow_id},
    operator::name,
    people::{Patience, People},
    plan::{CLUSTERS, Plan},
    store::{Hardware, Tables},
};

/// What is not at rest.
pub(crate) async fn unrest(people: &People, disks: &[Arc<Hardware>], plan: &Plan) -> Option<String> {
    let active = active(people).await;
    if active.iter().any(|name| *name != active[0]) {
        return Some(format!("clusters disagree about which is active: {active:?}"));
    }
    unrest_of_stores(disks, plan, &active[0])
}

/// Which cluster each takes for the active one.
async fn active(people: &People) -> Vec<String> {
    let mut active = Vec::new();
    for cluster in 0..CLUSTERS {
        let request = DescribeNamespaceRequest { namespace: NAMESPACE.into(), ..Default::default() };
        let mut client = people.client(cluster, cluster);
        let described = client.describe_namespace(request);
        let known = people.once("DescribeNamespace", Patience::Sdk, described).await;
        active.push(known.and_then(|known| known.replication_config).unwrap_or_default().active_cluster_name);
    }
    active
}

fn unrest_of_stores(disks: &[Arc<Hardware>], plan: &Plan, active: &str) -> Option<String> {
    let mut pictures = Vec::new();
    for (cluster, disk) in disks.iter().enumerate() {
        let mut tables = disk.tables();
        match picture(&tables) {
            Ok(picture) => pictures.push(picture),
            Err(text) => return Some(format!("{text} in {}", name(cluster))),
        }
        for shard in (1..=plan.shards[cluster]).map(ShardId) {
            for category in [Category::Transfer, Category::Replication] {
                let load = Load::Tasks { category, after: None, limit: usize::MAX };
                let Loaded::Tasks(mut tasks) = tables.rows.read(shard, &load, 1) else { continue };
                // What a branch that lost owes is looked after by the cluster that is active. Another one only learns that
                // it is paid when it becomes active itself.
                let is_owed = |task: &HistoryTask| task.kind == TaskKind::Transfer(TransferTask::Reapply);
                tasks.retain(|task| name(cluster) == active || !is_owed(task));
                if let Some(task) = tasks.first() {
                    return Some(format!("shard {} of {} has a task left: {task:?}", shard.0, name(cluster)));
                }
            }
        }
    }
    let differs = |run: &&RunKey| pictures.iter().any(|picture| picture.get(run) != pictures[0].get(run));
    let differing = pictures.iter().flat_map(BTreeMap::keys).find(differs)?;
    Some(format!("{} is not the same everywhere (run {})", differing.workflow.workflow, differing.run))
}

/// How every run stands; or one that is open.
fn picture(tables: &Tables) -> Result<BTreeMap<RunKey, (String, bool)>, String> {
    let stand = |run: &RunKey| {
        let state = tables.rows.run(run).map(MutableState::decode);
        let Some(Ok(state)) = state else { return Err(format!("{} cannot be read", run.workflow.workflow)) };
        if !matches!(state.execution.phase, Phase::Closed(_)) {
            let phase = if state.execution.phase == Phase::Zombie { "a zombie" } else { "open" };
            return Err(format!("{} is {phase} (run {})", run.workflow.workflow, run.run));
        }
        let branches = state.histories.all().iter().map(|branch| branch.versions.to_string());
        let mut branches: Vec<String> = branches.collect();
        branches.sort();
        let is_current = tables.rows.current(&run.workflow) == Some(run.run);
        Ok((run.clone(), (branches.join(" | "), is_current)))
    };
    tables.rows.runs().map(stand).collect()
}

/// A planned switchover loses nothing: nowhere do two branches of a run exist.
pub(crate) fn has_conflict(tables: &Tables) -> Option<RunKey> {
    let is_branched = |run: &&RunKey| match tables.rows.run(run).map(MutableState::decode) {
        Some(Ok(state)) => state.histories.all().len() > 1,
        _ => false,
    };
    tables.rows.runs().find(is_branched).cloned()
}

/// What clients see of every workflow, in each cluster: it completed with the right result, and its history is the same byte
/// for byte.
pub(crate) async fn look(people: &People, plan: &Plan) {
    for (number, order) in plan.orders.iter().enumerate() {
        let workflow = workflow_id(number);
        let mut seen = Vec::new();
        for cluster in 0..CLUSTERS {
            let status = status(people, cluster, &workflow).await;
            if status != WorkflowExecutionStatus::Completed {
                let text = format!("{workflow} is {} in {}", status.as_str_name(), name(cluster));
                return people.ledger.broken("every workflow finishes with the right result", text);
            }
            seen.push(history(people, cluster, &workflow).await);
        }
        if seen.iter().any(|history| *history != seen[0]) {
            return people.ledger.broken("histories are the same everywhere", workflow);
        }
        let expected = order.signals.len().to_string();
        let result = result(&seen[0]);
        if result != expected {
            let text = format!("{workflow} says that it had {result:?} signals, of {expected}");
            return people.ledger.broken("every workflow finishes with the right result", text);
        }
        if number % QUERIED == 0 {
            let told = query(people, order.region, &workflow).await;
            if told != expected {
                let text = format!("asked, {workflow} says that it had {told:?} signals, of {expected}");
                return people.ledger.broken("every workflow finishes with the right result", text);
            }
        }
    }
}

async fn status(people: &People, cluster: usize, workflow: &str) -> WorkflowExecutionStatus {
    loop {
        let request =
            DescribeWorkflowExecutionRequest { namespace: NAMESPACE.into(), execution: Some(execution(workflow)) };
        let mut client = people.client(cluster, cluster);
        let described = client.describe_workflow_execution(here(request));
        if let Some(answer) = people.once("DescribeWorkflowExecution", Patience::Sdk, described).await {
            return answer.workflow_execution_info.unwrap_or_default().status();
        }
        sleep(PAUSE).await;
    }
}

/// The history of the current run, as it comes.
async fn history(people: &People, cluster: usize, workflow: &str) -> Vec<u8> {
    let mut whole = History::default();
    let mut request = GetWorkflowExecutionHistoryRequest {
        namespace: NAMESPACE.into(),
        execution: Some(execution(workflow)),
        ..Default::default()
    };
    loop {
        let mut client = people.client(cluster, cluster);
        let read = client.get_workflow_execution_history(here(request.clone()));
        let Some(page) = people.once("GetWorkflowExecutionHistory", Patience::Sdk, read).await else {
            sleep(PAUSE).await;
            continue;
        };
        whole.events.extend(page.history.unwrap_or_default().events);
        if page.next_page_token.is_empty() {
            return whole.encode_to_vec();
        }
        request.next_page_token = page.next_page_token;
    }
}

/// What a workflow completed with.
fn result(history: &[u8]) -> String {
    let events = History::decode(history).unwrap_or_default().events;
    let Some(Attributes::WorkflowExecutionCompletedEventAttributes(completed)) =
        events.last().and_then(|event| event.attributes.clone())
    else {
        return String::new();
    };
    let data = completed.result.and_then(|result| result.payloads.into_iter().next()).map(|payload| payload.data);
    String::from_utf8_lossy(&data.unwrap_or_default()).into_owned()
}

/// A request that the cluster itself answers, though the namespace may be active elsewhere.
fn here<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("xdc-redirection", MetadataValue::from_static("false"));
    request
}

const PAUSE: Duration = Duration::from_millis(100);

/// One of so many workflows is asked, too.
const QUERIED: usize = 8;
