//! Durations.

use prost_types::Duration;

use super::{Check, refuse};

/// A duration must be one, and not negative. Unset is zero; a very long one is not wrong, only capped (api 0.1).
fn duration(field: Option<&Duration>) -> Result<(), &'static str> {
    let Some(Duration { seconds, nanos }) = field else { return Ok(()) };
    match (seconds.signum(), i64::from(nanos.signum())) {
        (1, -1) | (-1, 1) => Err("duration has seconds and nanos with different signs"),
        (-1, _) | (_, -1) => Err("negative duration"),
        _ => Ok(()),
    }
}

/// A timeout of a start request; `name` as the API names it.
pub(super) fn timeout(name: &str, field: Option<&Duration>) -> Check {
    match duration(field) {
        Ok(()) => Ok(()),
        Err(why) => refuse(format!("An invalid {name} is set on request. cause: {why}")),
    }
}

/// An interval of a retry policy.
pub(super) fn interval(name: &str, field: Option<&Duration>) -> Check {
    match duration(field) {
        Ok(()) => Ok(()),
        Err(why) => refuse(format!("invalid {name} set on retry policy: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |seconds, nanos, expected| assert_eq!(duration(Some(&Duration { seconds, nanos })), expected);
        assert_eq!(duration(None), Ok(()));
        check(0, 0, Ok(()));
        check(1, 2_000_000_000, Ok(()));
        check(i64::MAX, i32::MAX, Ok(()));
        check(-1, 0, Err("negative duration"));
        check(0, -1, Err("negative duration"));
        check(i64::MIN, i32::MIN, Err("negative duration"));
        check(1, -5, Err("duration has seconds and nanos with different signs"));
        check(-1, 5, Err("duration has seconds and nanos with different signs"));
    }
}
