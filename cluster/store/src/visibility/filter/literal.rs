//! Values of attributes, as callers write them.

use super::{
    Value,
    attribute::{Attribute, Kind},
    lexer::{Shortened, TokenKind},
};

/// The value of a literal for an attribute.
pub(super) fn value(attribute: Attribute, literal: &TokenKind) -> Result<Value, String> {
    let name = attribute.name();
    match (attribute.kind(), literal) {
        (Kind::Keyword, TokenKind::Text(text)) => Ok(Value::Text(text.clone())),
        (Kind::Int, TokenKind::Number(text)) => {
            integer(text).map(Value::Number).ok_or_else(|| mismatch(name, "an integer", literal))
        }
        (Kind::Datetime, TokenKind::Number(text)) => integer(text)
            .map(Value::Number)
            .ok_or_else(|| mismatch(name, "a time in RFC 3339 or nanoseconds since the epoch", literal)),
        (Kind::Datetime, TokenKind::Text(text)) => time(text)
            .map(Value::Number)
            .ok_or_else(|| mismatch(name, "a time in RFC 3339, as \"2006-01-02T15:04:05Z\"", literal)),
        (Kind::Duration, TokenKind::Number(text)) => {
            integer(text).map(Value::Number).ok_or_else(|| mismatch(name, "a duration or nanoseconds", literal))
        }
        (Kind::Duration, TokenKind::Text(text)) => duration(text)
            .map(Value::Number)
            .ok_or_else(|| mismatch(name, "a duration, as \"1h30m\" or \"01:30:00\"", literal)),
        (Kind::Status, TokenKind::Text(text)) => status(text)
            .map(Value::Number)
            .ok_or_else(|| format!("invalid expression: invalid ExecutionStatus value '{}'", Shortened(text))),
        (Kind::Status, TokenKind::Number(text)) => integer(text)
            .filter(|number| (0..=8).contains(number))
            .map(Value::Number)
            .ok_or_else(|| format!("invalid expression: invalid ExecutionStatus value {}", Shortened(text))),
        (Kind::Keyword, _) => Err(mismatch(name, "text in quotes", literal)),
        (Kind::Int, _) => Err(mismatch(name, "an integer", literal)),
        (Kind::Datetime, _) => Err(mismatch(name, "a time", literal)),
        (Kind::Duration, _) => Err(mismatch(name, "a duration", literal)),
        (Kind::Status, _) => Err(mismatch(name, "the name of a status in quotes, as \"Running\"", literal)),
    }
}

fn mismatch(name: &str, wanted: &str, literal: &TokenKind) -> String {
    format!("invalid expression: invalid value for search attribute {name}: it takes {wanted}, not {literal}")
}

fn integer(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Names of statuses, by their numbers.
const STATUSES: [(&str, i64); 8] = [
    ("Running", 1),
    ("Completed", 2),
    ("Failed", 3),
    ("Canceled", 4),
    ("Terminated", 5),
    ("ContinuedAsNew", 6),
    ("TimedOut", 7),
    ("Paused", 8),
];

fn status(text: &str) -> Option<i64> {
    STATUSES.iter().find(|(name, _)| *name == text).map(|(_, number)| *number)
}

/// Nanoseconds since the epoch of an RFC 3339 time, between the years 1678 and 2262.
pub(super) fn time(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let mut parts = date.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            let offset = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
            if zone.starts_with('-') { -offset } else { offset }
        }
    };
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, fraction)| (clock, Some(fraction)));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match fraction {
        None => 0,
        Some(fraction) => {
            if fraction.is_empty() || fraction.len() > 30 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            format!("{fraction:0<9}")[..9].parse::<i64>().ok()?
        }
    };
    let days = days_before(year, month) + day - 1;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && year % 100 != 0 || year % 400 == 0
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to the first of a month.
fn days_before(year: i64, month: i64) -> i64 {
    let leap_days = |year: i64| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    years + (1..month).map(|month| days_of(year, month)).sum::<i64>()
}

/// Nanoseconds of a duration in Go's notation or as `hh:mm:ss`.
pub(super) fn duration(text: &str) -> Option<i64> {
    if text.contains(':') {
        let mut parts = text.split(':').map(|part| digits(part, part.len().clamp(1, 9)));
        let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
        if parts.next().is_some() || minutes > 59 || seconds > 59 {
            return None;
        }
        return (hours * 3600 + minutes * 60 + seconds).checked_mul(1_000_000_000);
    }
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let nanos: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        if !whole.is_empty() {
            total = total.checked_add(whole.parse::<i64>().ok()?.checked_mul(nanos)?)?;
        }
        let mut scale = nanos;
        for digit in fraction.bytes() {
            scale /= 10;
            total = total.checked_add(i64::from(digit - b'0') * scale)?;
        }
        rest = after;
    }
    if text.trim_start_matches(['-', '+']).is_empty() {
        return None;
    }
    Some(if negative { -total } else { total })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:59:59.5Z", Some(-500_000_000)),
            ("2006-01-02T15:04:05Z", Some(1_136_214_245_000_000_000)),
            ("2006-01-02T15:04:05.123456789+07:00", Some(1_136_189_045_123_456_789)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000_000_000)),
            ("2100-02-29T00:00:00Z", None),
            ("2006-01-02", None),
            ("2006-01-02T15:04:05", None),
            ("2006-13-02T15:04:05Z", None),
            ("2006-01-02T24:00:00Z", None),
            ("9999-12-31T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(time(text), nanos, "{text}");
        }
    }

    #[test]
    fn durations() {
        const SECOND: i64 = 1_000_000_000;
        for (text, nanos) in [
            ("1h30m", Some(5400 * SECOND)),
            ("1.5h", Some(5400 * SECOND)),
            ("-1.5s", Some(-3 * SECOND / 2)),
            ("10ns", Some(10)),
            ("2us3µs", Some(5000)),
            (".5ms", Some(500_000)),
            ("01:30:00", Some(5400 * SECOND)),
            ("100:00:01", Some(360_001 * SECOND)),
            ("0", Some(0)),
            ("01:60:00", None),
            ("1:2", None),
            ("5", None),
            ("h", None),
            (".s", None),
            ("-", None),
            ("", None),
            ("9999999999h", None),
        ] {
            assert_eq!(duration(text), nanos, "{text}");
        }
    }
}
