//! Wakes those who wait for a run to change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use replicator::{ids::RunKey, shard::io::Notification};

/// Everybody who waits, by run. A run that nobody waits for takes no room.
#[derive(Default)]
pub(crate) struct Watches {
    runs: Mutex<HashMap<RunKey, Weak<Channel>>>,
}

type Channel = watch::Sender<Option<Notification>>;

impl Watches {
    /// Wait for changes of `run` from now on.
    pub(crate) fn watch(self: &Arc<Self>, run: &RunKey) -> RunWatch {
        let mut runs = self.lock();
        let known = runs.get(run).and_then(Weak::upgrade);
        let channel = known.unwrap_or_else(|| {
            let channel = Arc::new(watch::Sender::new(None));
            runs.insert(run.clone(), Arc::downgrade(&channel));
            channel
        });
        let mut changes = channel.subscribe();
        changes.mark_unchanged();
        RunWatch { run: run.clone(), changes, channel, watches: Arc::clone(self) }
    }

    /// A run has changed, durably.
    pub(crate) fn notify(&self, notification: Notification) {
        let channel = self.lock().get(&notification.run).and_then(Weak::upgrade);
        if let Some(channel) = channel {
            channel.send_replace(Some(notification));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunKey, Weak<Channel>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for changes of one run.
pub struct RunWatch {
    run: RunKey,
    changes: watch::Receiver<Option<Notification>>,
    /// Keeps the channel alive for as long as somebody waits.
    channel: Arc<Channel>,
    watches: Arc<Watches>,
}

impl RunWatch {
    /// The latest durable change since the last call, or since the watch began.
    pub async fn changed(&mut self) -> Notification {
        loop {
            // The watch itself holds a sender, so the channel is never closed.
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            if let Some(notification) = self.changes.borrow_and_update().clone() {
                return notification;
            }
        }
    }
}

impl Drop for RunWatch {
    fn drop(&mut self) {
        let mut runs = self.watches.lock();
        if Arc::strong_count(&self.channel) == 1 {
            runs.remove(&self.run);
        }
    }
}
