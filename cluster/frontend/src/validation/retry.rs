//! Retry policies (api 5.2).

use proto::temporal::api::{common::v1::RetryPolicy, enums::v1::TimeoutType};
use replicator::time::duration;

use super::{Check, refuse, time};
use crate::errors::camel_case;

/// A policy that allows one attempt says nothing else that matters.
pub(super) fn retry_policy(policy: Option<&RetryPolicy>) -> Check {
    let Some(policy) = policy else { return Ok(()) };
    if policy.maximum_attempts == 1 {
        return Ok(());
    }
    time::interval("InitialInterval", policy.initial_interval.as_ref())?;
    // Zero is filled in later.
    if policy.backoff_coefficient != 0.0 && policy.backoff_coefficient < 1.0 {
        return refuse("BackoffCoefficient cannot be less than 1 on retry policy.");
    }
    if !policy.backoff_coefficient.is_finite() {
        return refuse("BackoffCoefficient must be a number on retry policy.");
    }
    time::interval("MaximumInterval", policy.maximum_interval.as_ref())?;
    let maximum = duration(policy.maximum_interval.as_ref());
    if !maximum.is_zero() && maximum < duration(policy.initial_interval.as_ref()) {
        return refuse("MaximumInterval cannot be less than InitialInterval on retry policy.");
    }
    if policy.maximum_attempts < 0 {
        return refuse("MaximumAttempts cannot be negative on retry policy.");
    }
    let timeouts = policy.non_retryable_error_types.iter().filter_map(|kind| kind.strip_prefix("TemporalTimeout:"));
    for name in timeouts {
        let types = (1..).map_while(|number| TimeoutType::try_from(number).ok());
        if !types.into_iter().any(|known| camel_case(known.as_str_name(), "TIMEOUT_TYPE_") == name) {
            return refuse(format!("Invalid timeout type value: {name}."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost_types::Duration;

    use super::{super::text, *};

    #[test]
    fn policies() {
        let check = |policy: RetryPolicy, expected: Option<&str>| {
            assert_eq!(text(retry_policy(Some(&policy))).as_deref(), expected, "{policy:?}");
        };
        let seconds = |seconds| Some(Duration { seconds, nanos: 0 });
        let none = RetryPolicy::default;
        assert_eq!(text(retry_policy(None)), None);
        check(none(), None);
        let negative = Some("invalid InitialInterval set on retry policy: negative duration");
        check(RetryPolicy { initial_interval: seconds(-1), ..none() }, negative);
        check(RetryPolicy { initial_interval: seconds(-1), maximum_attempts: 1, ..none() }, None);
        let below = Some("BackoffCoefficient cannot be less than 1 on retry policy.");
        check(RetryPolicy { backoff_coefficient: 0.5, ..none() }, below);
        check(RetryPolicy { backoff_coefficient: -1.0, ..none() }, below);
        check(RetryPolicy { backoff_coefficient: 1.0, ..none() }, None);
        let no_number = Some("BackoffCoefficient must be a number on retry policy.");
        check(RetryPolicy { backoff_coefficient: f64::NAN, ..none() }, no_number);
        check(RetryPolicy { backoff_coefficient: f64::INFINITY, ..none() }, no_number);
        check(
            RetryPolicy { maximum_interval: seconds(-5), ..none() },
            Some("invalid MaximumInterval set on retry policy: negative duration"),
        );
        check(
            RetryPolicy { initial_interval: seconds(10), maximum_interval: seconds(5), ..none() },
            Some("MaximumInterval cannot be less than InitialInterval on retry policy."),
        );
        check(
            RetryPolicy { maximum_attempts: -1, ..none() },
            Some("MaximumAttempts cannot be negative on retry policy."),
        );
        let types = |kind: &str| RetryPolicy { non_retryable_error_types: vec![kind.into()], ..none() };
        check(types("TemporalTimeout:StartToClose"), None);
        check(types("TemporalTimeout:Heartbeat"), None);
        check(types("OutOfStock"), None);
        check(types("TemporalTimeout:Foo"), Some("Invalid timeout type value: Foo."));
    }
}
