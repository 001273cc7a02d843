//! Moments. Time comes in as an argument, so a moment is a plain number that can be constructed, compared and printed.

use core::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The epoch; as a fire time: at once.
    pub const ZERO: Self = Self(0);
    /// Later than everything.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Time since `earlier`, zero if it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates, because a timeout of a hundred years is not an error (api 0.1).
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for prost_types::Timestamp {
    fn from(time: Timestamp) -> Self {
        Self {
            seconds: time.0.div_euclid(1_000_000_000),
            // The remainder of a division by 10^9 fits.
            nanos: time.0.rem_euclid(1_000_000_000) as i32,
        }
    }
}

impl From<&prost_types::Timestamp> for Timestamp {
    /// Saturates outside the years 1678 to 2262.
    fn from(time: &prost_types::Timestamp) -> Self {
        Self(time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos)))
    }
}

impl From<prost_types::Timestamp> for Timestamp {
    fn from(time: prost_types::Timestamp) -> Self {
        Self::from(&time)
    }
}

impl fmt::Debug for Timestamp {
    /// Seconds since the epoch, with nanoseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000))
    }
}

/// A duration field of a message: unset, negative and malformed values count as zero, which means "none" (api 0.1).
#[must_use]
pub fn duration(field: Option<&prost_types::Duration>) -> Duration {
    field.map_or(Duration::ZERO, |d| match (u64::try_from(d.seconds), u32::try_from(d.nanos)) {
        (Ok(seconds), Ok(nanos)) => Duration::new(seconds.min(CENTURY.as_secs()), nanos.min(999_999_999)),
        _ => Duration::ZERO,
    })
}

/// The message form of a duration; zero is written as unset when `optional`.
#[must_use]
pub fn proto_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        // Sub-second nanoseconds are below 10^9.
        nanos: duration.subsec_nanos() as i32,
    }
}

/// Longer durations are capped to this, not refused (api 0.1).
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_the_wire() {
        for nanos in [0, 1, -1, 1_700_000_000_123_456_789] {
            let wire = prost_types::Timestamp::from(Timestamp(nanos));
            assert_eq!(Timestamp::from(&wire), Timestamp(nanos));
        }
    }

    #[test]
    fn nonsense_durations_are_zero_and_long_ones_capped() {
        let field = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        assert_eq!(duration(None), Duration::ZERO);
        assert_eq!(duration(field(-5, 0).as_ref()), Duration::ZERO);
        assert_eq!(duration(field(1, 500_000_000).as_ref()), Duration::from_millis(1500));
        assert_eq!(duration(field(i64::MAX, 0).as_ref()), CENTURY);
    }
}
