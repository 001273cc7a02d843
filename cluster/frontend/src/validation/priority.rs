//! Priorities (api 10.7).

use proto::temporal::api::common::v1::Priority;

use super::{Check, refuse};

/// How urgent something is, and for whom.
pub(super) fn priority(priority: Option<&Priority>) -> Check {
    let Some(priority) = priority else { return Ok(()) };
    if priority.priority_key < 0 {
        return refuse("priority key can't be negative");
    }
    if MAX_FAIRNESS_KEY < priority.fairness_key.len() {
        return refuse("fairness key length exceeds limit");
    }
    if priority.fairness_weight < 0.0 {
        return refuse("must be greater than zero");
    }
    Ok(())
}

const MAX_FAIRNESS_KEY: usize = 64;

#[cfg(test)]
mod tests {
    use super::{super::text, *};

    #[test]
    fn priorities() {
        let check = |key, fairness: usize, weight, expected: Option<&str>| {
            let given = Priority { priority_key: key, fairness_key: "x".repeat(fairness), fairness_weight: weight };
            assert_eq!(text(priority(Some(&given))).as_deref(), expected);
        };
        assert_eq!(text(priority(None)), None);
        check(0, 0, 0.0, None);
        check(6, 64, 2000.0, None);
        check(-1, 0, 0.0, Some("priority key can't be negative"));
        check(1, 65, 0.0, Some("fairness key length exceeds limit"));
        check(1, 0, -1.0, Some("must be greater than zero"));
    }
}
