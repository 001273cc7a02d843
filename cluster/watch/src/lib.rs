//! A value that changes, and those who wait for that.
//!
//! As `tokio::sync::watch`, but for one thing: whoever began to wait first is woken first. Tokio draws the order by chance,
//! so that a simulated world would not go the same way twice.

use std::{
    fmt,
    ops::Deref,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

/// Changes the value. When it is dropped nobody will.
pub struct Sender<T>(Arc<Shared<T>>);

/// Sees the value, and waits for changes. Clones have seen as much, and go on apart.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The last version that was seen.
    seen: u64,
}

struct Shared<T> {
    state: RwLock<State<T>>,
    changed: Notify,
    is_closed: AtomicBool,
}

struct State<T> {
    value: T,
    /// Counts changes.
    version: u64,
}

/// The value, which does not change for as long as this lives.
pub struct Ref<'a, T>(RwLockReadGuard<'a, State<T>>);

/// Nobody will change the value any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Closed;

/// A value, and one who waits for its changes.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A value that nobody watches yet.
    pub fn new(value: T) -> Self {
        let state = RwLock::new(State { value, version: 0 });
        Self(Arc::new(Shared { state, changed: Notify::new(), is_closed: AtomicBool::new(false) }))
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.read())
    }

    /// One more who watches, from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { shared: self.0.clone(), seen: self.0.read().version }
    }

    /// Put another value in its place, and tell everybody.
    pub fn send_replace(&self, value: T) {
        self.send_modify(|old| *old = value);
    }

    /// Change the value, and tell everybody.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        {
            let mut state = self.0.write();
            change(&mut state.value);
            state.version += 1;
        }
        self.0.changed.notify_waiters();
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

impl<T> Receiver<T> {
    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The value, which is no news any more.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let state = self.shared.read();
        self.seen = state.version;
        Ref(state)
    }

    /// The value as it is now is no news.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.read().version;
    }

    /// Whether the value is another than the one that was seen.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.shared.read().version != self.seen
    }

    /// Whether nobody will change the value any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// Wait until the value is another than the one that was seen, which it then is.
    ///
    /// # Errors
    ///
    /// [`Closed`].
    pub async fn changed(&mut self) -> Result<(), Closed> {
        self.shared.newer(&mut self.seen).await
    }

    /// Wait for a value that is as wanted.
    ///
    /// # Errors
    ///
    /// [`Closed`], and the last value was not.
    pub async fn wait_for(&mut self, is_wanted: impl Fn(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        let Self { shared, seen } = self;
        loop {
            {
                let state = shared.read();
                *seen = state.version;
                if is_wanted(&state.value) {
                    return Ok(Ref(state));
                }
            }
            shared.newer(seen).await?;
        }
    }
}

impl<T> Shared<T> {
    async fn newer(&self, seen: &mut u64) -> Result<(), Closed> {
        loop {
            let mut told = std::pin::pin!(self.changed.notified());
            // Whatever changes from here on is heard.
            told.as_mut().enable();
            let is_closed = self.is_closed.load(Ordering::Acquire);
            let version = self.read().version;
            if *seen != version {
                *seen = version;
                return Ok(());
            }
            if is_closed {
                return Err(Closed);
            }
            told.await;
        }
    }

    /// A change that panicked left a value, and it is the one there is.
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn changes_are_seen_once() {
        let (sender, mut receiver) = channel(1);
        sender.send_replace(2);
        sender.send_modify(|value| *value += 1);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(*receiver.borrow(), 3);
        drop(sender);
        assert_eq!(receiver.changed().await, Err(Closed));
        assert_eq!(*receiver.borrow_and_update(), 3);
    }

    #[tokio::test]
    async fn what_was_said_last_is_heard_though_nobody_speaks_any_more() {
        let (sender, mut receiver) = channel(1);
        let mut other = receiver.clone();
        sender.send_replace(2);
        drop(sender);
        assert_eq!(receiver.wait_for(|value| *value == 2).await.map(|value| *value), Ok(2));
        assert_eq!(other.changed().await, Ok(()));
        assert_eq!(other.wait_for(|value| *value == 3).await.map(|value| *value), Err(Closed));
    }

    #[tokio::test]
    async fn whoever_waits_first_is_woken_first() {
        let sender = Sender::new(0);
        let order = Mutex::new(Vec::new());
        let waiters = (0..50).map(|number| {
            let (mut receiver, order) = (sender.subscribe(), &order);
            async move {
                receiver.changed().await.expect("it changes");
                order.lock().expect("nobody panics").push(number);
            }
        });
        let told = async {
            tokio::task::yield_now().await;
            sender.send_replace(1);
        };
        tokio::join!(join_all(waiters), told);
        assert_eq!(order.into_inner().expect("nobody panics"), (0..50).collect::<Vec<_>>());
    }
}
