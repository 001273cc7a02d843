//! Chance, all of it from the seed.
//!
//! Every concern draws from a sequence of its own, named after it. So a run in which one fault is left out draws the same
//! latencies, delays and choices elsewhere, which is what makes a failing run shrink.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::written;

/// A sequence of draws.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: mix(seed) }
    }

    /// A sequence of its own for a concern. What is drawn from it does not depend on what was drawn here.
    #[must_use]
    pub fn of(seed: u64, concern: &str, number: u64) -> Self {
        let named = concern.bytes().fold(seed, |state, byte| mix(state ^ u64::from(byte)));
        Self { state: mix(named ^ mix(number)) }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is no number below 0");
        // The bias of a remainder is far below what any run could show.
        self.number() % end
    }

    /// A place in a list of `length`, which is not empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index fits")
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// Whether something happens that happens so often in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// A duration from a range, both ends included.
    pub fn duration(&mut self, range: Range) -> Duration {
        let (low, high) = (range.0.as_nanos() as u64, range.1.as_nanos() as u64);
        Duration::from_nanos(low + self.below(high.saturating_sub(low) + 1))
    }
}

/// From the shortest to the longest.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Range(#[serde(with = "written::time")] pub Duration, #[serde(with = "written::time")] pub Duration);

impl Range {
    /// A range in microseconds.
    #[must_use]
    pub const fn micros(low: u64, high: u64) -> Self {
        Self(Duration::from_micros(low), Duration::from_micros(high))
    }

    /// A range in milliseconds.
    #[must_use]
    pub const fn millis(low: u64, high: u64) -> Self {
        Self(Duration::from_millis(low), Duration::from_millis(high))
    }
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The step of SplitMix64: odd, and without a pattern in its bits.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concern_does_not_notice_what_others_draw() {
        let mut network = Random::of(7, "network", 0);
        let first: Vec<u64> = (0..4).map(|_| network.number()).collect();
        let mut store = Random::of(7, "store", 0);
        store.number();
        let mut again = Random::of(7, "network", 0);
        assert_eq!(first, (0..4).map(|_| again.number()).collect::<Vec<u64>>());
        assert_ne!(first[0], Random::of(7, "network", 1).number());
        assert_ne!(first[0], Random::of(8, "network", 0).number());
    }

    #[test]
    fn durations_stay_in_their_range() {
        let mut random = Random::new(1);
        let range = Range::micros(3, 5);
        for drawn in (0..100).map(|_| random.duration(range)) {
            assert!(range.0 <= drawn && drawn <= range.1, "{drawn:?}");
        }
    }
}
