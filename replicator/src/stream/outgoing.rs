//! From a row of the replication queue to what a peer is told (8.4, the event form).

use alloc::{string::ToString, vec::Vec};

use prost::Message;
use proto::{
    meridian::replication::v1::{Omitted, TaskExtension},
    temporal::{
        api::{common::v1::DataBlob, enums::v1::EncodingType},
        server::api::{
            enums::v1::{ReplicationTaskType, TaskType},
            history::v1 as history,
            persistence::v1::ReplicationTaskInfo,
            replication::v1::{self as wire, replication_task::Attributes},
            workflow::v1::BaseExecutionInfo,
        },
    },
};

use crate::{
    ids::EventId,
    shard::io::BacklogTask,
    task::{HistoryTask, ReplicationTask, TaskKind, WrittenBatch},
    version::VersionHistory,
};

/// What a peer is told of `row`; `None` when there is nothing to tell: it is no replication task, or its run is gone.
#[must_use]
pub fn to_wire(row: &BacklogTask) -> Option<wire::ReplicationTask> {
    let task = &row.task;
    let TaskKind::Replication(kind) = &task.kind else { return None };
    let mut extension = TaskExtension::default();
    let (written, task_type, attributes) = match kind {
        ReplicationTask::History(stretch) => {
            let batch = &stretch.batch;
            extension.start_request_id = batch.start_request_id.clone();
            extension.state_digest = digest(batch);
            let (new_run_id, new_run_events) = match (&stretch.new_run, &row.new_run_events) {
                (Some((run, new)), Some(events)) => {
                    extension.new_run_start_request_id = new.start_request_id.clone();
                    extension.new_run_state_digest = digest(new);
                    (run.to_string(), Some(blob(events.clone())))
                }
                _ => Default::default(),
            };
            let base_execution_info = stretch.base.as_ref().map(|base| {
                extension.reset_request_id = base.request_id.clone();
                BaseExecutionInfo {
                    run_id: base.run.to_string(),
                    lowest_common_ancestor_event_id: base.last.event_id.0,
                    lowest_common_ancestor_event_version: base.last.version.0,
                }
            });
            let bytes: usize = row.events.iter().map(bytes::Bytes::len).sum();
            let is_large = bytes > LARGEST;
            if is_large {
                extension.omitted = Some(Omitted {
                    first_event_id: batch.first.0,
                    next_event_id: batch.next.0,
                    bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
                });
            }
            let told = row.events.iter().filter(|_| !is_large);
            let mut events: Vec<DataBlob> = told.cloned().map(blob).collect();
            // One batch goes into the field that every version reads (RT-6).
            let (one, many) = match events.len() {
                0 if !is_large => return None,
                0 => (None, Vec::new()),
                1 => (events.pop(), Vec::new()),
                _ => (None, events),
            };
            let attributes = wire::HistoryTaskAttributes {
                namespace_id: task.run.workflow.namespace.to_string(),
                workflow_id: task.run.workflow.workflow.to_string(),
                run_id: task.run.run.to_string(),
                version_history_items: items(&batch.versions),
                events: one,
                events_batches: many,
                new_run_events,
                new_run_id,
                base_execution_info,
            };
            (stretch.written, ReplicationTaskType::HistoryV2Task, Some(Attributes::HistoryTaskAttributes(attributes)))
        }
        ReplicationTask::SyncActivity { written, attributes, .. } => {
            let attributes = wire::SyncActivityTaskAttributes::decode(attributes.clone()).ok()?;
            (*written, ReplicationTaskType::SyncActivityTask, Some(Attributes::SyncActivityTaskAttributes(attributes)))
        }
        ReplicationTask::Deletion { written, .. } => (*written, ReplicationTaskType::DeleteExecutionTask, None),
    };
    extension.written_time = Some(written.into());
    Some(wire::ReplicationTask {
        raw_task_info: raw_task_info(task, kind),
        task_type: task_type.into(),
        source_task_id: task.key.id.0,
        visibility_time: Some(written.into()),
        meridian: Some(extension),
        attributes,
        ..wire::ReplicationTask::default()
    })
}

/// Bytes of events that a task carries; more are fetched by whoever wants them. Well below what a message may hold.
pub const LARGEST: usize = 16 << 20;

/// A deletion says everything in its row, as Temporal's does, and beside that how far the run had come.
fn raw_task_info(task: &HistoryTask, kind: &ReplicationTask) -> Option<ReplicationTaskInfo> {
    let ReplicationTask::Deletion { written, last } = kind else { return None };
    Some(ReplicationTaskInfo {
        namespace_id: task.run.workflow.namespace.to_string(),
        workflow_id: task.run.workflow.workflow.to_string(),
        run_id: task.run.run.to_string(),
        task_type: TaskType::ReplicationDeleteExecution.into(),
        version: last.version.0,
        task_id: task.key.id.0,
        visibility_time: Some((*written).into()),
        last_version_history_item: Some(history::VersionHistoryItem {
            event_id: last.event_id.0,
            version: last.version.0,
        }),
        archetype_id: WORKFLOW,
        ..ReplicationTaskInfo::default()
    })
}

fn digest(batch: &WrittenBatch) -> bytes::Bytes {
    batch.digest.map_or_else(bytes::Bytes::new, |digest| bytes::Bytes::copy_from_slice(&digest.to_be_bytes()))
}

fn blob(data: bytes::Bytes) -> DataBlob {
    DataBlob { encoding_type: EncodingType::Proto3.into(), data }
}

/// Version history items as peers read them.
#[must_use]
pub fn items(versions: &VersionHistory) -> Vec<history::VersionHistoryItem> {
    let item = |item: &crate::version::VersionHistoryItem| history::VersionHistoryItem {
        event_id: item.event_id.0,
        version: item.version.0,
    };
    versions.items().iter().map(item).collect()
}

/// Id of the first event that a row tells, or none.
#[must_use]
pub fn first_event(task: &HistoryTask) -> EventId {
    match &task.kind {
        TaskKind::Replication(ReplicationTask::History(stretch)) => stretch.batch.first,
        _ => EventId::NONE,
    }
}

/// What Temporal calls a workflow among the kinds of execution (section 14).
const WORKFLOW: u32 = 2_918_170_192;
