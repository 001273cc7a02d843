//! How the system asks a process to stop.

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

/// Wait until somebody wants the process to stop: SIGTERM, or SIGINT from a keyboard.
pub(crate) async fn stop_requested() {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        },
        // Without handlers the system's own apply.
        _ => std::future::pending().await,
    }
}
