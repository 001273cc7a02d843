//! What the store knows of tasks: their bytes are the core's, and some speak of batches.

use bytes::Bytes;
use replicator::task::{Category, HistoryTask, ReplicationTask, TaskKey, TaskKind, WrittenBatch};

/// The task at a place; `None` when it is none of that queue.
pub(crate) fn decode(category: Category, key: TaskKey, body: Bytes) -> Option<HistoryTask> {
    HistoryTask::decode(key, body).ok().filter(|task| task.kind.category() == category)
}

/// The batches that a task speaks of: its own, and the first of the run that it started.
pub(crate) fn batches(task: &HistoryTask) -> Option<(&WrittenBatch, Option<&WrittenBatch>)> {
    match &task.kind {
        TaskKind::Replication(ReplicationTask::History(stretch)) => {
            Some((&stretch.batch, stretch.new_run.as_ref().map(|(_, batch)| batch)))
        }
        _ => None,
    }
}
