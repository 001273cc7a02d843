//! How many tasks a queue may hand out in a second.

use std::time::Duration;

use replicator::time::Timestamp;

/// A token bucket: tokens come at `per_second`, a task takes one.
///
/// `0 ≤ tokens ≤ burst`, where `burst` is what comes in one second and at least one.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    per_second: f64,
    tokens: f64,
    /// When `tokens` was right.
    filled: Timestamp,
}

/// Whether a task may go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// Now; its token has been taken.
    Now,
    /// Not before this moment.
    At(Timestamp),
    /// Not before somebody changes the rate.
    Never,
}

impl Limiter {
    /// A full bucket. Zero pauses.
    pub(crate) fn new(per_second: f64, now: Timestamp) -> Self {
        assert!(0.0 <= per_second, "a rate is not negative");
        Self { per_second, tokens: burst(per_second), filled: now }
    }

    /// Go on with another rate; what was saved up stays, as far as it fits.
    pub(crate) fn set(&mut self, per_second: f64, now: Timestamp) {
        if per_second != self.per_second {
            self.fill(now);
            let was_paused = self.per_second == 0.0;
            let tokens = if was_paused { 1.0 } else { self.tokens };
            *self = Self { tokens: tokens.min(burst(per_second)), ..Self::new(per_second, now) };
        }
    }

    /// Take a token if there is one.
    pub(crate) fn take(&mut self, now: Timestamp) -> Permit {
        if self.per_second == 0.0 {
            return Permit::Never;
        }
        self.fill(now);
        if ALMOST_ONE <= self.tokens {
            self.tokens = (self.tokens - 1.0).max(0.0);
            return Permit::Now;
        }
        let seconds = (1.0 - self.tokens) / self.per_second;
        // A nanosecond more, so that rounding does not wake us too early.
        let wait =
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).saturating_add(Duration::from_nanos(1));
        Permit::At(now + wait)
    }

    /// A token that was taken was not used after all.
    pub(crate) fn give_back(&mut self) {
        self.tokens = (self.tokens + 1.0).min(burst(self.per_second));
    }

    fn fill(&mut self, now: Timestamp) {
        let passed = now.since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(burst(self.per_second));
        self.filled = self.filled.max(now);
    }
}

fn burst(per_second: f64) -> f64 {
    per_second.max(1.0)
}

/// A whole token, but for what rounding may have lost.
const ALMOST_ONE: f64 = 1.0 - 1e-9;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// How many tokens there are at once.
    fn drain(limiter: &mut Limiter, now: Timestamp) -> usize {
        std::iter::from_fn(|| (limiter.take(now) == Permit::Now).then_some(())).take(10_000).count()
    }

    #[test]
    fn a_second_may_be_saved_up_and_no_more() {
        let mut limiter = Limiter::new(5.0, at(0));
        assert_eq!(drain(&mut limiter, at(0)), 5);
        assert_eq!(drain(&mut limiter, at(200)), 1);
        assert_eq!(drain(&mut limiter, at(60_000)), 5);
    }

    #[test]
    fn a_wait_ends_when_there_is_a_token() {
        for rate in [0.1, 0.3, 1.0, 3.0, 7.0, 1000.0] {
            let mut limiter = Limiter::new(rate, at(0));
            drain(&mut limiter, at(0));
            let mut now = at(0);
            for _ in 0..100 {
                let Permit::At(next) = limiter.take(now) else { panic!("a token too many") };
                assert!(now < next);
                now = next;
                assert_eq!(limiter.take(now), Permit::Now);
            }
            let expected = 100.0 / rate;
            let passed = now.since(at(0)).as_secs_f64();
            assert!((passed - expected).abs() < 0.001 * expected, "{rate}: {passed} s instead of {expected} s");
        }
    }

    #[test]
    fn zero_pauses_until_the_rate_changes() {
        let mut limiter = Limiter::new(0.0, at(0));
        assert_eq!(limiter.take(at(1_000_000)), Permit::Never);
        limiter.set(10.0, at(1_000_000));
        assert_eq!(drain(&mut limiter, at(1_000_000)), 1);
        limiter.set(0.0, at(1_000_000));
        assert_eq!(limiter.take(at(2_000_000)), Permit::Never);
    }

    #[test]
    fn a_tiny_rate_waits_for_ever_and_does_not_overflow() {
        let mut limiter = Limiter::new(f64::MIN_POSITIVE, at(0));
        assert_eq!(limiter.take(at(0)), Permit::Now);
        assert_eq!(limiter.take(at(0)), Permit::At(Timestamp::MAX));
    }

    #[test]
    fn an_unused_token_counts_again() {
        let mut limiter = Limiter::new(1.0, at(0));
        assert_eq!(limiter.take(at(0)), Permit::Now);
        limiter.give_back();
        assert_eq!(drain(&mut limiter, at(0)), 1);
    }
}
