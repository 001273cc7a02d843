//! Lines of a log whose number others decide: only so many in a while.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use tokio::time::Instant;

/// Lets a few lines through, and counts the others.
#[derive(Debug)]
pub struct Quiet(Mutex<Said>);

#[derive(Debug)]
struct Said {
    since: Instant,
    lines: u32,
    withheld: u64,
}

impl Default for Quiet {
    fn default() -> Self {
        Self(Mutex::new(Said { since: Instant::now(), lines: 0, withheld: 0 }))
    }
}

impl Quiet {
    /// Whether a line may be written, and how many were not since the last one that was.
    pub fn may_say(&self) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if WHILE <= said.since.elapsed() {
            (said.since, said.lines) = (Instant::now(), 0);
        }
        if said.lines == LINES {
            said.withheld += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.withheld))
    }
}

/// Lines in a [`WHILE`].
const LINES: u32 = 20;

const WHILE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_lines() {
        let quiet = Quiet::default();
        let said = (0..100).filter(|_| quiet.may_say().is_some()).count();
        assert_eq!(said, LINES as usize);
        tokio::time::advance(WHILE).await;
        assert_eq!(quiet.may_say(), Some(100 - u64::from(LINES)));
        assert_eq!(quiet.may_say(), Some(0));
    }
}
