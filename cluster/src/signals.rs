//! How the system asks a process to stop.

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};

/// What the system says from the moment on that somebody listens; before that, it ends the process.
pub(crate) struct Signals(Option<[Signal; 2]>);

impl Signals {
    /// Listen.
    pub(crate) fn listen() -> Self {
        let both = [signal(SignalKind::terminate()), signal(SignalKind::interrupt())];
        match both {
            [Ok(terminate), Ok(interrupt)] => Self(Some([terminate, interrupt])),
            // Without handlers the system's own apply.
            _ => Self(None),
        }
    }

    /// Wait until somebody wants the process to stop, or has wanted it since: SIGTERM, or SIGINT from a keyboard.
    pub(crate) async fn stop_requested(&mut self) {
        match &mut self.0 {
            Some([terminate, interrupt]) => select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            None => std::future::pending().await,
        }
    }
}
