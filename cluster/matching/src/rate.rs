//! How often something happened lately.

use replicator::time::Timestamp;

/// Counts what happened in each of the last seconds.
///
/// `newest` is the second that was counted last; the slot of second `s` is `s mod WINDOW`, and slots of seconds in
/// `(newest - WINDOW, newest]` are current.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    counts: [u32; WINDOW],
    newest: i64,
}

impl Rate {
    pub(crate) fn new() -> Self {
        Self { counts: [0; WINDOW], newest: i64::MIN }
    }

    /// It happened once more.
    pub(crate) fn count(&mut self, now: Timestamp) {
        let second = self.advance(now);
        let slot = &mut self.counts[slot(second)];
        *slot = slot.saturating_add(1);
    }

    /// How often it happened in a second, on average over the window.
    pub(crate) fn per_second(&mut self, now: Timestamp) -> f32 {
        self.advance(now);
        let total: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        total as f32 / WINDOW as f32
    }

    /// Empty the slots of seconds that have passed since. Time that goes backwards counts as the newest second.
    fn advance(&mut self, now: Timestamp) -> i64 {
        let second = now.0.div_euclid(1_000_000_000).max(self.newest);
        let oldest = second - (WINDOW as i64 - 1);
        for passed in oldest.max(self.newest.saturating_add(1))..=second {
            self.counts[slot(passed)] = 0;
        }
        self.newest = second;
        second
    }
}

fn slot(second: i64) -> usize {
    // A remainder of a positive divisor fits.
    second.rem_euclid(WINDOW as i64) as usize
}

/// Seconds that count (api 10.6).
const WINDOW: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let at = |second: i64| Timestamp::from_millis(second * 1000);
        let mut rate = Rate::new();
        assert_eq!(rate.per_second(at(0)), 0.0);
        for _ in 0..60 {
            rate.count(at(100));
        }
        assert_eq!(rate.per_second(at(100)), 2.0);
        rate.count(at(99)); // Counts in second 100.
        for _ in 0..29 {
            rate.count(at(129));
        }
        assert_eq!(rate.per_second(at(129)), 3.0);
        assert_eq!(rate.per_second(at(130)), 29.0 / 30.0);
        assert_eq!(rate.per_second(at(159)), 0.0);
        assert_eq!(rate.per_second(at(1_000_000)), 0.0);
    }
}
