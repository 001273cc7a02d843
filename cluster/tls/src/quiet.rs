//! Lines of a log whose number others decide: only so many of a kind in a while, so that no kind drowns another.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Lets a few lines of each kind through, and counts the others.
#[derive(Debug, Default)]
pub struct Quiet(Mutex<BTreeMap<&'static str, Said>>);

#[derive(Debug)]
struct Said {
    since: Instant,
    lines: u32,
    withheld: u64,
}

impl Quiet {
    /// Whether a line of a kind may be written, and how many of it were not since the last one that was.
    pub fn may_say(&self, kind: &'static str) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = all.entry(kind).or_insert_with(|| Said { since: Instant::now(), lines: 0, withheld: 0 });
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

/// Lines of a kind in a [`WHILE`].
const LINES: u32 = 5;

const WHILE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_so_many_lines() {
        let quiet = Quiet::default();
        let said = (0..100).filter(|_| quiet.may_say("loud").is_some()).count();
        assert_eq!(said, LINES as usize);
        assert_eq!(quiet.may_say("another"), Some(0));
        tokio::time::advance(WHILE).await;
        assert_eq!(quiet.may_say("loud"), Some(100 - u64::from(LINES)));
        assert_eq!(quiet.may_say("loud"), Some(0));
    }
}
