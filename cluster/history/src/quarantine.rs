//! What operators ask of the shards: which tasks of peers could not be applied, to try them again, and to let them go.

use std::collections::BTreeMap;

use replicator::{
    ids::{ShardId, TaskId},
    shard::io::{Failure, QuarantinedTask, Reply, Response},
};
use tokio::sync::oneshot;

use crate::{driver::Event, history::History};

/// A question to one shard.
pub(crate) enum Ask {
    /// What is kept?
    List(oneshot::Sender<Vec<QuarantinedTask>>),
    /// Try this now. Answered with whether it is the first of its run.
    Retry(TaskId, oneshot::Sender<bool>),
    /// Let these go. Answered when they are gone.
    Skip(Vec<TaskId>, oneshot::Sender<Reply>),
}

impl History {
    /// What is kept, of every shard that answers, in the order in which it was told.
    pub async fn quarantined(&self) -> BTreeMap<ShardId, Vec<QuarantinedTask>> {
        let mut found = self.ask(|answer| Event::Quarantine(Ask::List(answer))).await;
        found.values_mut().for_each(|of_shard| of_shard.sort_by_key(|kept| kept.task));
        found
    }

    /// Try a task now. Answers whether it is the first of its run: the others wait behind that.
    ///
    /// # Errors
    ///
    /// [`Failure::Unavailable`] when the shard is gone.
    pub async fn retry_quarantined(&self, shard: ShardId, task: TaskId) -> Result<bool, Failure> {
        let (answer, reply) = oneshot::channel();
        let sent = self.handle(shard).ok_or(Failure::Moved)?.events.send(Event::Quarantine(Ask::Retry(task, answer)));
        sent.map_err(|_| gone())?;
        reply.await.map_err(|_| gone())
    }

    /// Let tasks of a shard go without applying them, all in one write. Answers those that were there, when they are gone.
    ///
    /// # Errors
    ///
    /// [`Failure::Unavailable`] when nobody knows whether they are.
    pub async fn skip_quarantined(&self, shard: ShardId, tasks: Vec<TaskId>) -> Result<Vec<TaskId>, Failure> {
        let (answer, reply) = oneshot::channel();
        let sent = self.handle(shard).ok_or(Failure::Moved)?.events.send(Event::Quarantine(Ask::Skip(tasks, answer)));
        sent.map_err(|_| gone())?;
        match reply.await.unwrap_or_else(|_| Err(gone()))? {
            Response::Skipped(tasks) => Ok(tasks),
            _ => Err(Failure::Unavailable("an answer to another question".into())),
        }
    }
}

fn gone() -> Failure {
    Failure::Unavailable("the shard is shutting down".into())
}
