//! A bar on the terminal that says how far it has come. Elsewhere nothing is shown.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// How far it has come.
pub(crate) struct Progress {
    is_shown: bool,
    begin: Instant,
    shown: Option<Instant>,
    /// What there is to do.
    goal: Goal,
    done: u64,
}

/// What there is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// So many worlds.
    Worlds(u64),
    /// As many as there is time for.
    Time(Duration),
}

impl Progress {
    pub(crate) fn new(goal: Goal) -> Self {
        Self { is_shown: io::stderr().is_terminal(), begin: Instant::now(), shown: None, goal, done: 0 }
    }

    /// One more is done.
    pub(crate) fn advance(&mut self) {
        self.done += 1;
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= EVERY);
        if self.is_shown && is_due {
            self.shown = Some(Instant::now());
            let bar = bar(self.done, self.goal, self.begin.elapsed());
            // A bar that cannot be shown is not missed.
            let _ = write!(io::stderr(), "\r{bar}");
        }
    }

    /// Make room for what is printed next.
    pub(crate) fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r{:WIDTH$}\r", "", WIDTH = CELLS + 60);
        }
    }
}

fn bar(done: u64, goal: Goal, elapsed: Duration) -> String {
    let (share, of) = match goal {
        Goal::Worlds(all) => (done as f64 / all.max(1) as f64, format!("of {all}")),
        Goal::Time(all) => (elapsed.as_secs_f64() / all.as_secs_f64(), format!("in {:.0?} of {all:?}", elapsed)),
    };
    let full = (share.clamp(0.0, 1.0) * CELLS as f64) as usize;
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001) * 60.0;
    format!("[{}{}] {done} {of}, {rate:.0} seeds/min  ", "#".repeat(full), "-".repeat(CELLS - full))
}

const CELLS: usize = 30;
const EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up() {
        let half = bar(150, Goal::Worlds(300), Duration::from_secs(30));
        assert_eq!(half, format!("[{}{}] 150 of 300, 300 seeds/min  ", "#".repeat(15), "-".repeat(15)));
        assert!(bar(900, Goal::Worlds(300), Duration::from_secs(1)).starts_with(&format!("[{}]", "#".repeat(30))));
        assert!(bar(0, Goal::Worlds(0), Duration::ZERO).starts_with("[-"));
    }
}
