//! The transfer and timer queues of a shard, in memory.
//!
//! What is here is also in the store, written by the transaction that caused it, and leaves both with the transaction
//! that makes it pointless. So the queues need no acknowledgement levels, a restart reads them back, and a standby
//! cluster holds exactly the tasks that it must do when it is promoted: it discards none by the clock (W-1, TK-11).

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    ids::{NamespaceId, RunKey},
    task::{Category, HistoryTask, TaskKey, TaskKind, TimerTask},
    time::Timestamp,
};

/// The waiting tasks of a shard.
#[derive(Debug, Default)]
pub struct Queues {
    /// Tasks for matching. They stay until a worker has started them.
    transfer: BTreeMap<TaskKey, HistoryTask>,
    /// Tasks whose time has not come, or has not been looked at.
    timers: BTreeMap<TaskKey, HistoryTask>,
    /// Timers that were handed out and are not completed.
    fired: BTreeMap<TaskKey, HistoryTask>,
}

impl Queues {
    /// A task that a transaction wrote, or that was read back. Replication tasks are the streams' business, and
    /// those of peers the quarantine's; a run that diverged is found in the store.
    pub fn add(&mut self, task: HistoryTask) {
        match task.kind {
            TaskKind::Transfer(_) => self.transfer.insert(task.key, task),
            TaskKind::Timer(_) => self.timers.insert(task.key, task),
            TaskKind::Replication(_) | TaskKind::Quarantined(_) | TaskKind::Diverged | TaskKind::Tombstone(_) => None,
        };
    }

    /// A transaction made the task pointless.
    pub fn remove(&mut self, category: Category, key: TaskKey) -> Option<HistoryTask> {
        match category {
            Category::Transfer => self.transfer.remove(&key),
            Category::Timer => self.fired.remove(&key).or_else(|| self.timers.remove(&key)),
            Category::Replication
            | Category::Visibility
            | Category::Quarantine
            | Category::Divergence
            | Category::Tombstone => None,
        }
    }

    /// When the next timer is due.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.first_key_value().map(|(key, _)| key.fire_time)
    }

    /// Hand out a timer that is due. It stays until it is removed, or until [`Queues::again`] makes it due once more.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<HistoryTask> {
        let (key, task) = self.timers.first_entry().filter(|due| due.key().fire_time <= now)?.remove_entry();
        self.fired.insert(key, task.clone());
        Some(task)
    }

    /// The timer was handed out in vain: a write failed, or the namespace was not active here.
    pub fn again(&mut self, key: TaskKey) {
        if let Some(task) = self.fired.remove(&key) {
            self.timers.insert(key, task);
        }
    }

    /// Every waiting task of a namespace that is for matching or was handed out in vain: what a promoted cluster looks at. A
    /// timer that is not due comes by itself.
    #[must_use]
    pub fn of_namespace(&self, namespace: NamespaceId) -> Vec<HistoryTask> {
        let all = self.transfer.values().chain(self.fired.values());
        all.filter(|task| task.run.workflow.namespace == namespace).cloned().collect()
    }

    /// Runs of a namespace whose workflow task is with a worker: their timeouts wait here.
    pub fn with_a_worker(&self, namespace: NamespaceId) -> impl Iterator<Item = &RunKey> {
        let is_timeout = move |task: &&HistoryTask| {
            task.run.workflow.namespace == namespace
                && matches!(task.kind, TaskKind::Timer(TimerTask::WorkflowTaskStartToClose { .. }))
        };
        self.fired.values().chain(self.timers.values()).filter(is_timeout).map(|task| &task.run)
    }

    /// Every task for matching.
    pub fn transfers(&self) -> impl Iterator<Item = &HistoryTask> {
        self.transfer.values()
    }

    /// How many tasks wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.transfer.len() + self.timers.len() + self.fired.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forget everything, because the store is about to be read again.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::{RunId, TaskId, WorkflowKey},
        version::FailoverVersion,
    };
    use std::vec;

    #[test]
    fn timers_come_out_once_and_in_order() {
        let mut queues = Queues::default();
        for (time, id) in [(30, 1), (10, 3), (10, 2)] {
            queues.add(timer(time, id));
        }
        assert_eq!(queues.next_due(), Some(Timestamp(10)));
        assert_eq!(due(&mut queues, 20), vec![2, 3]);
        assert_eq!(due(&mut queues, 20), vec![]);
        assert_eq!(queues.next_due(), Some(Timestamp(30)));
    }

    #[test]
    fn a_timer_handed_out_in_vain_comes_again() {
        let mut queues = Queues::default();
        queues.add(timer(10, 1));
        assert_eq!(due(&mut queues, 20), vec![1]);
        queues.again(timer(10, 1).key);
        assert_eq!(due(&mut queues, 20), vec![1]);
        queues.remove(Category::Timer, timer(10, 1).key);
        assert!(queues.is_empty());
    }

    fn due(queues: &mut Queues, now: i64) -> Vec<i64> {
        core::iter::from_fn(|| queues.pop_due(Timestamp(now))).map(|task| task.key.id.0).collect()
    }

    fn timer(time: i64, id: i64) -> HistoryTask {
        let workflow = WorkflowKey { namespace: NamespaceId::from_bytes([1; 16]), workflow: "w".into() };
        HistoryTask {
            key: TaskKey { fire_time: Timestamp(time), id: TaskId(id) },
            run: RunKey { workflow, run: RunId::from_bytes([2; 16]) },
            version: FailoverVersion(1),
            kind: TaskKind::Timer(TimerTask::UserTimer),
        }
    }
}
