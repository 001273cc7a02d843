//! Waiting for a condition, never for a time.

use std::{
    fmt::Debug,
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before the test gives up. Generous: only a broken server meets it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at a condition that nothing announces.
pub const PAUSE: Duration = Duration::from_millis(5);

/// Look until there is an answer.
///
/// # Panics
///
/// When there is none by the deadline, naming `what` was awaited and what the last look said.
#[track_caller]
pub fn until<T, E: Debug>(what: &str, mut look: impl FnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if DEADLINE < started.elapsed() => panic!("waited in vain for {what}; last: {seen:?}"),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// Look until `look` sees what is expected.
#[track_caller]
pub fn until_eq<T: Debug + PartialEq>(expected: &T, mut look: impl FnMut() -> T) {
    until(&format!("{expected:?}"), || {
        let seen = look();
        if seen == *expected { Ok(()) } else { Err(seen) }
    });
}

/// [`until`] for a look that awaits.
///
/// # Panics
///
/// As [`until`].
pub async fn until_async<T, E: Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) if DEADLINE < started.elapsed() => panic!("waited in vain for {what}; last: {seen:?}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
