//! Durations as Go writes them: `10s`, `1h30m`, `1.5h`, `500ms`.

use std::time::Duration;

/// The duration that `text` says, or `None` when it says none. Negative durations are none: no key has a use for them.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        // Longest first: `ms` is not `m` followed by `s`.
        let (unit, after) =
            UNITS.iter().find_map(|(name, unit)| after.strip_prefix(name).map(|after| (*unit, after)))?;
        total += number(whole)?.checked_mul(unit)?;
        // Nanoseconds are the finest unit, so digits beyond these never show.
        let fraction = &fraction[..fraction.len().min(MAX_FRACTION_DIGITS)];
        total += number(fraction)? * unit / 10_u128.pow(fraction.len() as u32);
        if MAX_NANOSECONDS < total {
            return None;
        }
        rest = after;
    }
    Some(Duration::from_nanos(u64::try_from(total).expect("below the maximum")))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The number of `digits`; none is 0, and `None` is one that no duration can have.
fn number(digits: &str) -> Option<u128> {
    if digits.is_empty() { Some(0) } else { digits.parse::<u64>().ok().map(u128::from) }
}

const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Go counts nanoseconds in 63 bits.
const MAX_NANOSECONDS: u128 = i64::MAX as u128;

/// As many as a `u64` always holds.
const MAX_FRACTION_DIGITS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_strings() {
        check("0", Some(0));
        check("0s", Some(0));
        check("10s", Some(10_000));
        check("+10s", Some(10_000));
        check("500ms", Some(500));
        check("1h30m", Some(5_400_000));
        check("1.5h", Some(5_400_000));
        check(".5s", Some(500));
        check("1.s", Some(1_000));
        check("1m1m", Some(120_000));
        check("1000us", Some(1));
        check("1000\u{b5}s", Some(1));
        check("1000\u{3bc}s", Some(1));
        check("0.33333333333333333333333333333s", Some(333));
        check("2562047h", Some(9_223_369_200_000));
    }

    #[test]
    fn not_durations() {
        for text in ["", "+", "10", "s", ".s", "-10s", "10 s", "10x", "1h30", "1d", "10S", "2562048h", "1e3s"] {
            check(text, None);
        }
        check("99999999999999999999999s", None);
        check("18446744073709551615h", None);
    }

    #[track_caller]
    fn check(text: &str, milliseconds: Option<u128>) {
        assert_eq!(parse(text).map(|duration| duration.as_millis()), milliseconds, "{text}");
    }
}
