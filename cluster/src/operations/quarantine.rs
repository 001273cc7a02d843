//! `meridian.quarantine.v1.QuarantineService`: tasks of peers that could not be applied, and what is to become of them.
//!
//! What is done is done to tasks that were named, and to no others. A dry run says the same without doing it.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use proto::{
    meridian::quarantine::v1::{
        Action, ListQuarantinedRequest, ListQuarantinedResponse, Outcome, QuarantinedTask, RetryQuarantinedRequest,
        RetryQuarantinedResponse, SkipQuarantinedRequest, SkipQuarantinedResponse, TaskName, ToldEvent,
        quarantine_service_server::QuarantineService,
    },
    temporal::{
        api::history::v1::History as HistoryMessage,
        server::api::replication::v1::{ReplicationTask, replication_task::Attributes},
    },
};
use replicator::{
    ids::{ClusterId, NamespaceId, RunId, RunKey, ShardId, TaskId},
    shard::io::QuarantinedTask as Kept,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Operations, page_size, refused, run_id};
use crate::hosts::AllShards;

/// Everything that is kept, by its name.
struct All {
    tasks: BTreeMap<(ShardId, TaskId), Kept>,
    /// The first task of each run.
    firsts: BTreeMap<(ShardId, RunKey), TaskId>,
}

impl All {
    async fn of(shards: &AllShards) -> Self {
        let mut all = Self { tasks: BTreeMap::new(), firsts: BTreeMap::new() };
        for (shard, kept) in shards.quarantined().await {
            for task in kept {
                all.firsts.entry((shard, task.run.clone())).or_insert(task.task);
                all.tasks.insert((shard, task.task), task);
            }
        }
        all
    }

    /// The task behind which this one waits.
    fn before(&self, shard: ShardId, task: &Kept) -> Option<TaskName> {
        let first = self.firsts.get(&(shard, task.run.clone())).copied();
        first.filter(|first| *first != task.task).map(|first| name(shard, first))
    }

    /// What a retry means for each of these.
    fn retried(&self, names: &[TaskName]) -> Vec<Outcome> {
        let outcome = |wanted: &TaskName| {
            let Some(kept) = self.tasks.get(&key(wanted)) else { return outcome(*wanted, Action::NotThere) };
            let behind = self.before(ShardId(wanted.shard_id), kept);
            let action = if behind.is_some() { Action::Waits } else { Action::Tried };
            Outcome { behind, ..outcome(*wanted, action) }
        };
        names.iter().map(outcome).collect()
    }
}

#[async_trait]
impl QuarantineService for Operations {
    async fn list_quarantined(
        &self,
        request: Request<ListQuarantinedRequest>,
    ) -> Result<Response<ListQuarantinedResponse>, Status> {
        self.list(request.into_inner()).await.map(Response::new)
    }

    async fn retry_quarantined(
        &self,
        request: Request<RetryQuarantinedRequest>,
    ) -> Result<Response<RetryQuarantinedResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.tasks)?;
        let mut outcomes = All::of(&self.shards).await.retried(&request.tasks);
        if !request.dry_run {
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.action() == Action::Tried) {
                let (shard, task) = key(&outcome.name.unwrap_or_default());
                // It may have been applied meanwhile.
                if !self.shards.retry_quarantined(shard, task).await.map_err(refused)? {
                    outcome.set_action(Action::NotThere);
                }
            }
        }
        Ok(Response::new(RetryQuarantinedResponse { outcomes }))
    }

    async fn skip_quarantined(
        &self,
        request: Request<SkipQuarantinedRequest>,
    ) -> Result<Response<SkipQuarantinedResponse>, Status> {
        let request = request.into_inner();
        self.check(&request.tasks)?;
        let mut gone: BTreeSet<(ShardId, TaskId)> = BTreeSet::new();
        if request.dry_run {
            gone.extend(All::of(&self.shards).await.tasks.into_keys());
        } else {
            let mut by_shard: BTreeMap<ShardId, Vec<TaskId>> = BTreeMap::new();
            for (shard, task) in request.tasks.iter().map(key) {
                by_shard.entry(shard).or_default().push(task);
            }
            for (shard, tasks) in by_shard {
                let skipped = self.shards.skip_quarantined(shard, tasks).await.map_err(refused)?;
                gone.extend(skipped.into_iter().map(|task| (shard, task)));
            }
        }
        let action = |name: &TaskName| if gone.contains(&key(name)) { Action::Skipped } else { Action::NotThere };
        let outcomes = request.tasks.iter().map(|name| outcome(*name, action(name))).collect();
        Ok(Response::new(SkipQuarantinedResponse { outcomes }))
    }
}

impl Operations {
    /// A page of what is kept.
    pub(super) async fn list(&self, request: ListQuarantinedRequest) -> Result<ListQuarantinedResponse, Status> {
        let filter = Filter::of(self, &request)?;
        let after = match &request.next_page_token[..] {
            [] => (ShardId(0), TaskId(0)),
            token => key(&TaskName::decode(token).map_err(|_| Status::invalid_argument("next_page_token is none"))?),
        };
        let all = All::of(&self.shards).await;
        let size = page_size(request.page_size);
        let rest = all.tasks.iter().filter(|(key, kept)| **key > after && filter.matches(**key, kept));
        let mut tasks: Vec<_> = rest.take(size + 1).map(|((shard, _), kept)| self.show(&all, *shard, kept)).collect();
        let more = tasks.len() > size;
        tasks.truncate(size);
        let last = tasks.last().and_then(|task| task.name).filter(|_| more);
        let next_page_token = last.map(|name| name.encode_to_vec().into()).unwrap_or_default();
        Ok(ListQuarantinedResponse { tasks, next_page_token })
    }

    /// Whether names can be names of tasks here.
    fn check(&self, names: &[TaskName]) -> Result<(), Status> {
        if names.is_empty() {
            return Err(Status::invalid_argument("tasks is empty: name those that are meant"));
        }
        let shards = self.history.shard_count();
        match names.iter().position(|name| !(1..=shards).contains(&name.shard_id)) {
            Some(at) => Err(Status::invalid_argument(format!("tasks[{at}].shard_id is not one of 1 to {shards}"))),
            None => Ok(()),
        }
    }

    fn show(&self, all: &All, shard: ShardId, kept: &Kept) -> QuarantinedTask {
        let workflow = &kept.run.workflow;
        let named = |text: String| if workflow.workflow.as_str().is_empty() { String::new() } else { text };
        let told = ReplicationTask::decode(kept.told.clone()).unwrap_or_default();
        QuarantinedTask {
            name: Some(name(shard, kept.task)),
            namespace: named(self.namespace_name(workflow.namespace)),
            workflow_id: workflow.workflow.as_str().to_owned(),
            run_id: named(kept.run.run.to_string()),
            cluster_name: self.cluster_name(kept.from.cluster),
            source_shard_id: kept.from.shard.0,
            source_task_id: kept.source.0,
            cause: kept.reason.clone(),
            behind: all.before(shard, kept),
            since: Some(kept.since.into()),
            tries: kept.tries,
            kind: told.task_type().as_str_name().to_owned(),
            events: events(&told),
            bytes: i64::try_from(kept.told.len()).unwrap_or(i64::MAX),
        }
    }
}

/// What is to be listed.
struct Filter {
    namespace: Option<NamespaceId>,
    workflow: String,
    run: Option<RunId>,
    cluster: Option<ClusterId>,
    tasks: BTreeSet<(ShardId, TaskId)>,
}

impl Filter {
    fn of(operations: &Operations, request: &ListQuarantinedRequest) -> Result<Self, Status> {
        let named = Some(request.namespace.as_str()).filter(|name| !name.is_empty());
        let namespace = named.map(|name| operations.namespace(name)).transpose()?.map(|namespace| namespace.id);
        let cluster = Some(request.cluster_name.as_str()).filter(|name| !name.is_empty());
        let topology = operations.metadata.clusters().view().federation.topology.clone();
        let cluster = cluster.map(|name| {
            let unknown = || Status::not_found(format!("cluster {name} is not known here"));
            topology.id_of(&name.into()).ok_or_else(unknown)
        });
        Ok(Self {
            namespace,
            workflow: request.workflow_id.clone(),
            run: run_id(&request.run_id)?,
            cluster: cluster.transpose()?,
            tasks: request.tasks.iter().map(key).collect(),
        })
    }

    fn matches(&self, key: (ShardId, TaskId), kept: &Kept) -> bool {
        let workflow = &kept.run.workflow;
        self.namespace.is_none_or(|namespace| namespace == workflow.namespace)
            && (self.workflow.is_empty() || self.workflow == workflow.workflow.as_str())
            && self.run.is_none_or(|run| run == kept.run.run)
            && self.cluster.is_none_or(|cluster| cluster == kept.from.cluster)
            && (self.tasks.is_empty() || self.tasks.contains(&key))
    }
}

fn name(shard: ShardId, task: TaskId) -> TaskName {
    TaskName { shard_id: shard.0, task_id: task.0 }
}

fn key(name: &TaskName) -> (ShardId, TaskId) {
    (ShardId(name.shard_id), TaskId(name.task_id))
}

fn outcome(name: TaskName, action: Action) -> Outcome {
    Outcome { name: Some(name), action: action.into(), behind: None }
}

/// The events that a task brings, as far as they can be read.
fn events(task: &ReplicationTask) -> Vec<ToldEvent> {
    let Some(Attributes::HistoryTaskAttributes(history)) = &task.attributes else { return Vec::new() };
    let blobs = history.events.iter().chain(&history.events_batches);
    let batches = blobs.filter_map(|blob| HistoryMessage::decode(blob.data.clone()).ok());
    let events = batches.flat_map(|batch| batch.events).map(|event| ToldEvent {
        event_id: event.event_id,
        version: event.version,
        event_type: event.event_type().as_str_name().to_owned(),
    });
    events.collect()
}
