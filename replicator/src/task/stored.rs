//! How a task rests in its queue: its place is the key of the row, the rest is its value.

use alloc::boxed::Box;
use core::fmt;

use bytes::Bytes;
use prost::Message;
use proto::meridian::persistence::v1::{self as wire, task::Kind};

use super::{
    HistoryStretch, HistoryTask, Quarantined, ReplicationTask, TaskKey, TaskKind, TimerTask, TransferTask, WrittenBatch,
};
use crate::{
    ids::{ClusterId, EventId, NamespaceId, RunId, RunKey, ShardId, TaskId, WorkflowKey},
    time::Timestamp,
    version::{FailoverVersion, VersionHistoryItem, histories::BranchHistory},
    workflow::reset::Base,
};

impl HistoryTask {
    /// The value of the task's row.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let nothing = wire::TaskNothing {};
        let attempt = |scheduled: EventId, attempt| wire::TaskAttempt { scheduled: scheduled.0, attempt };
        let kind = match &self.kind {
            TaskKind::Transfer(TransferTask::Workflow { scheduled, attempt: n }) => {
                Kind::TransferWorkflow(attempt(*scheduled, *n))
            }
            TaskKind::Transfer(TransferTask::Activity { scheduled, attempt: n }) => {
                Kind::TransferActivity(attempt(*scheduled, *n))
            }
            TaskKind::Transfer(TransferTask::Reapply) => Kind::TransferReapply(nothing),
            TaskKind::Transfer(TransferTask::Delete) => Kind::TransferDelete(nothing),
            TaskKind::Tombstone(last) => {
                Kind::Tombstone(wire::TaskTombstone { event: last.event_id.0, version: last.version.0 })
            }
            TaskKind::Replication(ReplicationTask::Deletion { written, last }) => {
                Kind::ReplicationDeletion(wire::TaskDeletion {
                    written: written.0,
                    event: last.event_id.0,
                    version: last.version.0,
                })
            }
            TaskKind::Quarantined(told) => Kind::Quarantined(wire::TaskQuarantined {
                cluster_id: told.cluster.0,
                shard_id: told.shard.0,
                source_task_id: told.source.0,
                task: told.told.clone(),
                reason: told.reason.clone(),
                since: told.since.0,
            }),
            TaskKind::Diverged => Kind::Diverged(nothing),
            TaskKind::Timer(TimerTask::WorkflowTaskStartToClose { scheduled, attempt: n }) => {
                Kind::TimerWorkflowTaskStartToClose(attempt(*scheduled, *n))
            }
            TaskKind::Timer(TimerTask::WorkflowTaskScheduleToStart { scheduled, attempt: n }) => {
                Kind::TimerWorkflowTaskScheduleToStart(attempt(*scheduled, *n))
            }
            TaskKind::Timer(TimerTask::ActivityRetry { scheduled, attempt: n }) => {
                Kind::TimerActivityRetry(attempt(*scheduled, *n))
            }
            TaskKind::Timer(TimerTask::ActivityTimeout) => Kind::TimerActivityTimeout(nothing),
            TaskKind::Timer(TimerTask::UserTimer) => Kind::TimerUser(nothing),
            TaskKind::Timer(TimerTask::WorkflowBackoff) => Kind::TimerWorkflowBackoff(nothing),
            TaskKind::Timer(TimerTask::RunTimeout) => Kind::TimerRunTimeout(nothing),
            TaskKind::Timer(TimerTask::ExecutionTimeout) => Kind::TimerExecutionTimeout(nothing),
            TaskKind::Timer(TimerTask::Retention) => Kind::TimerRetention(nothing),
            TaskKind::Replication(ReplicationTask::History(stretch)) => Kind::ReplicationHistory(wire::TaskHistory {
                written: stretch.written.0,
                batch: Some(batch_to_wire(&stretch.batch)),
                new_run: stretch.new_run.as_ref().map(|(run, batch)| wire::TaskNewRun {
                    run: bytes_of(run.as_bytes()),
                    batch: Some(batch_to_wire(batch)),
                }),
                base: stretch.base.as_ref().map(|base| wire::TaskBase {
                    run: bytes_of(base.run.as_bytes()),
                    event: base.last.event_id.0,
                    version: base.last.version.0,
                    request_id: base.request_id.clone(),
                }),
                to_cluster: to_cluster(stretch.to),
            }),
            TaskKind::Replication(ReplicationTask::SyncActivity { written, scheduled, attributes, to }) => {
                Kind::ReplicationActivity(wire::TaskActivity {
                    written: written.0,
                    scheduled: scheduled.0,
                    attributes: attributes.clone(),
                    to_cluster: to_cluster(*to),
                })
            }
        };
        let task = wire::Task {
            namespace: bytes_of(self.run.workflow.namespace.as_bytes()),
            workflow: self.run.workflow.workflow.as_str().into(),
            run: bytes_of(self.run.run.as_bytes()),
            version: self.version.0,
            kind: Some(kind),
        };
        task.encode_to_vec().into()
    }

    /// Read a task's row.
    ///
    /// # Errors
    ///
    /// [`MalformedTask`], naming what is wrong with the value.
    pub fn decode(key: TaskKey, value: Bytes) -> Result<Self, MalformedTask> {
        let task = wire::Task::decode(value).map_err(|_| MalformedTask("no task"))?;
        let namespace = NamespaceId::from_bytes(sixteen(&task.namespace, "namespace")?);
        let workflow = WorkflowKey { namespace, workflow: task.workflow.into() };
        let kind = match task.kind.ok_or(MalformedTask("kind"))? {
            Kind::TransferWorkflow(t) => {
                TaskKind::Transfer(TransferTask::Workflow { scheduled: EventId(t.scheduled), attempt: t.attempt })
            }
            Kind::TransferActivity(t) => {
                TaskKind::Transfer(TransferTask::Activity { scheduled: EventId(t.scheduled), attempt: t.attempt })
            }
            Kind::TransferReapply(_) => TaskKind::Transfer(TransferTask::Reapply),
            Kind::Diverged(_) => TaskKind::Diverged,
            Kind::TransferDelete(_) => TaskKind::Transfer(TransferTask::Delete),
            Kind::Tombstone(t) => TaskKind::Tombstone(item(t.event, t.version)),
            Kind::ReplicationDeletion(t) => TaskKind::Replication(ReplicationTask::Deletion {
                written: Timestamp(t.written),
                last: item(t.event, t.version),
            }),
            Kind::Quarantined(t) => TaskKind::Quarantined(Box::new(Quarantined {
                cluster: ClusterId(t.cluster_id),
                shard: ShardId(t.shard_id),
                source: TaskId(t.source_task_id),
                told: t.task,
                reason: t.reason,
                since: Timestamp(t.since),
            })),
            Kind::TimerWorkflowTaskStartToClose(t) => TaskKind::Timer(TimerTask::WorkflowTaskStartToClose {
                scheduled: EventId(t.scheduled),
                attempt: t.attempt,
            }),
            Kind::TimerWorkflowTaskScheduleToStart(t) => TaskKind::Timer(TimerTask::WorkflowTaskScheduleToStart {
                scheduled: EventId(t.scheduled),
                attempt: t.attempt,
            }),
            Kind::TimerActivityRetry(t) => {
                TaskKind::Timer(TimerTask::ActivityRetry { scheduled: EventId(t.scheduled), attempt: t.attempt })
            }
            Kind::TimerActivityTimeout(_) => TaskKind::Timer(TimerTask::ActivityTimeout),
            Kind::TimerUser(_) => TaskKind::Timer(TimerTask::UserTimer),
            Kind::TimerWorkflowBackoff(_) => TaskKind::Timer(TimerTask::WorkflowBackoff),
            Kind::TimerRunTimeout(_) => TaskKind::Timer(TimerTask::RunTimeout),
            Kind::TimerExecutionTimeout(_) => TaskKind::Timer(TimerTask::ExecutionTimeout),
            Kind::TimerRetention(_) => TaskKind::Timer(TimerTask::Retention),
            Kind::ReplicationHistory(t) => TaskKind::Replication(ReplicationTask::History(Box::new(HistoryStretch {
                written: Timestamp(t.written),
                batch: batch_from_wire(t.batch)?,
                new_run: t.new_run.map(new_run).transpose()?,
                base: t.base.map(base).transpose()?,
                to: one_cluster(t.to_cluster),
            }))),
            Kind::ReplicationActivity(t) => TaskKind::Replication(ReplicationTask::SyncActivity {
                written: Timestamp(t.written),
                scheduled: EventId(t.scheduled),
                attributes: t.attributes,
                to: one_cluster(t.to_cluster),
            }),
        };
        let run = RunKey { workflow, run: RunId::from_bytes(sixteen(&task.run, "run")?) };
        Ok(Self { key, run, version: FailoverVersion(task.version), kind })
    }
}

/// Bytes that hold no task; says which part is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MalformedTask(pub &'static str);

impl fmt::Display for MalformedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stored task is malformed: {}", self.0)
    }
}

fn to_cluster(to: Option<ClusterId>) -> i32 {
    to.map_or(0, |to| to.0)
}

fn one_cluster(to: i32) -> Option<ClusterId> {
    (to != 0).then_some(ClusterId(to))
}

fn new_run(new: wire::TaskNewRun) -> Result<(RunId, WrittenBatch), MalformedTask> {
    let run = RunId::from_bytes(sixteen(&new.run, "new run")?);
    Ok((run, batch_from_wire(new.batch)?))
}

fn base(base: wire::TaskBase) -> Result<Base, MalformedTask> {
    Ok(Base {
        run: RunId::from_bytes(sixteen(&base.run, "base run")?),
        last: item(base.event, base.version),
        request_id: base.request_id,
    })
}

fn item(event: i64, version: i64) -> VersionHistoryItem {
    VersionHistoryItem { event_id: EventId(event), version: FailoverVersion(version) }
}

fn batch_to_wire(batch: &WrittenBatch) -> wire::WrittenBatch {
    let history = BranchHistory { branch: batch.branch.clone(), versions: batch.versions.clone() };
    wire::WrittenBatch {
        versions: Some(history.to_wire()),
        first: batch.first.0,
        next: batch.next.0,
        start_request_id: batch.start_request_id.clone(),
        digest: batch.digest,
    }
}

fn batch_from_wire(batch: Option<wire::WrittenBatch>) -> Result<WrittenBatch, MalformedTask> {
    let batch = batch.ok_or(MalformedTask("batch"))?;
    let history =
        BranchHistory::from_wire(&batch.versions.unwrap_or_default()).ok_or(MalformedTask("version history"))?;
    Ok(WrittenBatch {
        branch: history.branch,
        versions: history.versions,
        first: EventId(batch.first),
        next: EventId(batch.next),
        start_request_id: batch.start_request_id,
        digest: batch.digest,
    })
}

fn sixteen(bytes: &[u8], part: &'static str) -> Result<[u8; 16], MalformedTask> {
    bytes.try_into().map_err(|_| MalformedTask(part))
}

fn bytes_of(id: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{entropy::Entropy, history::Branch, version::VersionHistory};
    use std::vec::Vec;

    #[test]
    fn every_kind_survives_storage() {
        let mut entropy = Entropy::new(3);
        let written = Timestamp(99);
        let workflow = WorkflowKey { namespace: NamespaceId(entropy.uuid()), workflow: "order-7".into() };
        let run = RunKey { workflow, run: entropy.run_id() };
        let (scheduled, attempt) = (EventId(5), 2);
        let branch = Branch::root(run.run, &mut entropy).fork(EventId(4), &mut entropy);
        let item = VersionHistoryItem { event_id: EventId(8), version: FailoverVersion(12) };
        let batch = WrittenBatch {
            branch,
            versions: VersionHistory::new(item),
            first: EventId(4),
            next: EventId(9),
            start_request_id: "request".into(),
            digest: Some(u64::MAX),
        };
        let stretch = |new_run| HistoryStretch { written, batch: batch.clone(), new_run, base: None, to: None };
        let base = Base { run: entropy.run_id(), last: item, request_id: "reset".into() };
        let shares = HistoryStretch { base: Some(base), ..stretch(None) };
        let mut kinds: Vec<_> = [
            TransferTask::Workflow { scheduled, attempt },
            TransferTask::Activity { scheduled, attempt },
            TransferTask::Reapply,
            TransferTask::Delete,
        ]
        .map(TaskKind::Transfer)
        .into();
        kinds.push(TaskKind::Tombstone(item));
        kinds.push(TaskKind::Quarantined(Box::new(Quarantined {
            cluster: ClusterId(2),
            shard: ShardId(3),
            source: TaskId(4),
            told: "told".into(),
            reason: "no reason".into(),
            since: written,
        })));
        kinds.extend(
            [
                TimerTask::WorkflowTaskStartToClose { scheduled, attempt },
                TimerTask::WorkflowTaskScheduleToStart { scheduled, attempt },
                TimerTask::ActivityTimeout,
                TimerTask::ActivityRetry { scheduled, attempt },
                TimerTask::UserTimer,
                TimerTask::WorkflowBackoff,
                TimerTask::RunTimeout,
                TimerTask::ExecutionTimeout,
                TimerTask::Retention,
            ]
            .map(TaskKind::Timer),
        );
        kinds.extend(
            [
                ReplicationTask::History(Box::new(stretch(Some((entropy.run_id(), batch.clone()))))),
                ReplicationTask::History(Box::new(stretch(None))),
                ReplicationTask::History(Box::new(shares)),
                ReplicationTask::Deletion { written, last: item },
                ReplicationTask::SyncActivity { written, scheduled, attributes: "told".into(), to: Some(ClusterId(3)) },
            ]
            .map(TaskKind::Replication),
        );
        let key = TaskKey { fire_time: Timestamp(77), id: TaskId(8) };
        for kind in kinds {
            let task = HistoryTask { key, run: run.clone(), version: FailoverVersion(12), kind };
            assert_eq!(HistoryTask::decode(key, task.encode()), Ok(task));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let key = TaskKey { fire_time: Timestamp::ZERO, id: TaskId(1) };
        let decode = |bytes: &[u8]| HistoryTask::decode(key, Bytes::copy_from_slice(bytes)).unwrap_err().0;
        assert_eq!(decode(b"\xff"), "no task");
        assert_eq!(decode(b""), "namespace");
    }
}
