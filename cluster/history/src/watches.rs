//! Wakes those who wait for a run to change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use replicator::{
    ids::{RunKey, ShardId},
    shard::io::Notification,
};

/// Everybody who waits, by run. A run that nobody waits for takes no room. In order, so that those who wait are woken in the same
/// order whenever the same happens.
#[derive(Default)]
pub(crate) struct Watches {
    runs: Mutex<BTreeMap<RunKey, (ShardId, Weak<Channel>)>>,
}

type Channel = watch::Sender<News>;

/// What is known of a run that somebody waits for.
#[derive(Clone)]
enum News {
    None,
    Changed(Notification),
    Ended,
}

/// The shard of the run is not held here any more: nothing is heard of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended;

impl Watches {
    /// Wait for changes of `run` from now on.
    pub(crate) fn watch(self: &Arc<Self>, shard: ShardId, run: &RunKey) -> RunWatch {
        let mut runs = self.lock();
        let known = runs.get(run).and_then(|(_, channel)| channel.upgrade());
        // Whoever waits for what has ended is about to learn it.
        let known = known.filter(|channel| !matches!(*channel.borrow(), News::Ended));
        let channel = known.unwrap_or_else(|| {
            let channel = Arc::new(watch::Sender::new(News::None));
            runs.insert(run.clone(), (shard, Arc::downgrade(&channel)));
            channel
        });
        let mut changes = channel.subscribe();
        changes.mark_unchanged();
        RunWatch { run: run.clone(), changes, channel, watches: Arc::clone(self) }
    }

    /// A run has changed, durably.
    pub(crate) fn notify(&self, notification: Notification) {
        let channel = self.lock().get(&notification.run).and_then(|(_, channel)| channel.upgrade());
        if let Some(channel) = channel {
            channel.send_replace(News::Changed(notification));
        }
    }

    /// A shard is not held here any more.
    pub(crate) fn end(&self, shard: ShardId) {
        let ended: Vec<_> = {
            let runs = self.lock();
            let of_shard = runs.values().filter(|(of, _)| *of == shard);
            of_shard.filter_map(|(_, channel)| channel.upgrade()).collect()
        };
        for channel in ended {
            channel.send_replace(News::Ended);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunKey, (ShardId, Weak<Channel>)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for changes of one run.
pub struct RunWatch {
    run: RunKey,
    changes: watch::Receiver<News>,
    /// Keeps the channel alive for as long as somebody waits.
    channel: Arc<Channel>,
    watches: Arc<Watches>,
}

impl RunWatch {
    /// The latest durable change since the last call, or since the watch began.
    ///
    /// # Errors
    ///
    /// [`Ended`] when there is nothing to be heard any more.
    pub async fn changed(&mut self) -> Result<Notification, Ended> {
        loop {
            self.changes.changed().await.map_err(|watch::Closed| Ended)?;
            match self.changes.borrow_and_update().clone() {
                News::None => {}
                News::Changed(notification) => return Ok(notification),
                News::Ended => return Err(Ended),
            }
        }
    }
}

impl Drop for RunWatch {
    fn drop(&mut self) {
        let mut runs = self.watches.lock();
        let is_mine = runs.get(&self.run).is_some_and(|(_, channel)| channel.as_ptr() == Arc::as_ptr(&self.channel));
        if is_mine && Arc::strong_count(&self.channel) == 1 {
            runs.remove(&self.run);
        }
    }
}
