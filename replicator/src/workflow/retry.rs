//! Whether and when something that failed is tried again (api 5.1 to 5.3). Pure: activities and workflows share it.

use alloc::{
    format,
    string::{String, ToString},
};
use core::time::Duration;

use proto::temporal::api::{
    common::v1::RetryPolicy,
    enums::v1::{RetryState, TimeoutType},
    failure::v1::{Failure, failure::FailureInfo},
};

use crate::time::{Timestamp, duration, proto_duration};

/// What is known when an attempt has failed.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// How it is retried, if it is.
    pub policy: Option<&'a RetryPolicy>,
    /// Number of the attempt; the first is 1.
    pub number: i32,
    /// Why it failed.
    pub failure: &'a Failure,
    /// When it failed.
    pub now: Timestamp,
    /// When there is no point in going on, if ever.
    pub expiration: Option<Timestamp>,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It is tried again after this delay.
    Again(Duration),
    /// It is over, for this reason.
    Over(RetryState),
}

impl Attempt<'_> {
    /// Whether and when there is another attempt (api 5.3).
    #[must_use]
    pub fn decide(&self) -> Decision {
        let Some(policy) = self.policy else { return Decision::Over(RetryState::RetryPolicyNotSet) };
        match timeout_type(self.failure) {
            Some(TimeoutType::ScheduleToStart | TimeoutType::ScheduleToClose) => {
                return Decision::Over(RetryState::Timeout);
            }
            _ if !is_retryable(self.failure, &policy.non_retryable_error_types) => {
                return Decision::Over(RetryState::NonRetryableFailure);
            }
            _ => {}
        }
        if policy.maximum_attempts > 0 && self.number >= policy.maximum_attempts {
            return Decision::Over(RetryState::MaximumAttemptsReached);
        }
        let delay = match asked_delay(self.failure) {
            Some(delay) => delay,
            None => match interval(policy, self.number) {
                Some(delay) => delay,
                None => return Decision::Over(RetryState::Timeout),
            },
        };
        match self.expiration {
            Some(expiration) if self.now + delay > expiration => Decision::Over(RetryState::Timeout),
            _ => Decision::Again(delay),
        }
    }
}

/// How long to wait after attempt `number`: `initial · coefficient^(number-1)`, at most the maximum. `None` when that
/// overflows and no maximum is set.
#[must_use]
pub fn interval(policy: &RetryPolicy, number: i32) -> Option<Duration> {
    let initial = duration(policy.initial_interval.as_ref());
    let maximum = Some(duration(policy.maximum_interval.as_ref())).filter(|maximum| !maximum.is_zero());
    let factor = power(policy.backoff_coefficient, number.saturating_sub(1));
    let grown = initial.as_secs_f64() * factor;
    if !grown.is_finite() || grown > LONGEST.as_secs_f64() {
        return maximum;
    }
    let grown = Duration::try_from_secs_f64(grown).ok()?;
    Some(maximum.map_or(grown, |maximum| grown.min(maximum)))
}

/// `base` to the `exponent`, by squaring: an attempt's number may be large.
fn power(mut base: f64, exponent: i32) -> f64 {
    let mut exponent = exponent.max(0);
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

/// Fill in what a policy leaves open (api 5.2).
pub fn fill_in(policy: &mut RetryPolicy) {
    if duration(policy.initial_interval.as_ref()).is_zero() {
        policy.initial_interval = Some(proto_duration(INITIAL));
    }
    if policy.backoff_coefficient == 0.0 {
        policy.backoff_coefficient = COEFFICIENT;
    }
    if duration(policy.maximum_interval.as_ref()).is_zero() {
        let initial = duration(policy.initial_interval.as_ref());
        policy.maximum_interval = Some(proto_duration(initial.saturating_mul(MAXIMUM_FACTOR)));
    }
}

/// Whether a filled-in policy makes sense (api 5.2).
///
/// # Errors
///
/// A sentence that says what does not.
pub fn check(policy: &RetryPolicy) -> Result<(), String> {
    if policy.maximum_attempts == 1 {
        return Ok(());
    }
    check_duration(policy.initial_interval.as_ref())
        .map_err(|problem| format!("invalid InitialInterval set on retry policy: {problem}"))?;
    // Written so that what is not a number is refused too.
    if !(policy.backoff_coefficient == 0.0 || policy.backoff_coefficient >= 1.0) {
        return Err("BackoffCoefficient cannot be less than 1 on retry policy.".to_string());
    }
    check_duration(policy.maximum_interval.as_ref())
        .map_err(|problem| format!("invalid MaximumInterval set on retry policy: {problem}"))?;
    let maximum = duration(policy.maximum_interval.as_ref());
    if !maximum.is_zero() && maximum < duration(policy.initial_interval.as_ref()) {
        return Err("MaximumInterval cannot be less than InitialInterval on retry policy.".to_string());
    }
    if policy.maximum_attempts < 0 {
        return Err("MaximumAttempts cannot be negative on retry policy.".to_string());
    }
    for listed in &policy.non_retryable_error_types {
        let unknown = |name: &&str| !TIMEOUT_NAMES.iter().any(|(known, _)| known == name);
        if let Some(name) = listed.strip_prefix(TIMEOUT_PREFIX).filter(unknown) {
            return Err(format!("Invalid timeout type value: {name}."));
        }
    }
    Ok(())
}

/// Whether a duration field is one.
///
/// # Errors
///
/// What is wrong with it, in the words of Temporal's server.
pub fn check_duration(field: Option<&prost_types::Duration>) -> Result<(), &'static str> {
    match field {
        Some(field) if field.seconds < 0 || field.nanos < 0 => Err("negative duration"),
        Some(field) if field.nanos > 999_999_999 => Err("out of range"),
        _ => Ok(()),
    }
}

fn is_retryable(failure: &Failure, listed: &[String]) -> bool {
    match &failure.failure_info {
        Some(FailureInfo::TerminatedFailureInfo(_) | FailureInfo::CanceledFailureInfo(_)) => false,
        Some(FailureInfo::ServerFailureInfo(info)) => !info.non_retryable,
        Some(FailureInfo::ApplicationFailureInfo(info)) => !info.non_retryable && !listed.contains(&info.r#type),
        Some(FailureInfo::TimeoutFailureInfo(info)) => {
            let names = TIMEOUT_NAMES.iter().filter(|(_, kind)| *kind == info.timeout_type());
            names.into_iter().all(|(name, _)| !listed.iter().any(|l| l.strip_prefix(TIMEOUT_PREFIX) == Some(name)))
        }
        _ => true,
    }
}

fn timeout_type(failure: &Failure) -> Option<TimeoutType> {
    match &failure.failure_info {
        Some(FailureInfo::TimeoutFailureInfo(info)) => Some(info.timeout_type()),
        _ => None,
    }
}

/// The delay that the application itself asks for.
fn asked_delay(failure: &Failure) -> Option<Duration> {
    match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            info.next_retry_delay.as_ref().map(|delay| duration(Some(delay)))
        }
        _ => None,
    }
}

/// First interval of a policy that names none.
const INITIAL: Duration = Duration::from_secs(1);
/// Growth of a policy that names none.
const COEFFICIENT: f64 = 2.0;
/// Of the initial interval: longest interval of a policy that names none.
const MAXIMUM_FACTOR: u32 = 100;
/// Longer intervals are as good as never.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Marks an entry of `non_retryable_error_types` that speaks of timeouts.
const TIMEOUT_PREFIX: &str = "TemporalTimeout:";
/// Timeouts by the name they are listed under.
const TIMEOUT_NAMES: [(&str, TimeoutType); 4] = [
    ("StartToClose", TimeoutType::StartToClose),
    ("ScheduleToStart", TimeoutType::ScheduleToStart),
    ("ScheduleToClose", TimeoutType::ScheduleToClose),
    ("Heartbeat", TimeoutType::Heartbeat),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::failure;
    use proto::temporal::api::failure::v1::ApplicationFailureInfo;
    use std::vec;

    #[test]
    fn intervals_grow_up_to_the_maximum() {
        let growing = policy("");
        let seconds: vec::Vec<_> = (1..10).map(|n| interval(&growing, n).unwrap().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
        assert_eq!(interval(&growing, i32::MAX), Some(Duration::from_secs(100)));
        assert_eq!(interval(&RetryPolicy { maximum_interval: None, ..growing }, 10_000), None);
    }

    #[test]
    fn a_failure_is_retried_until_something_forbids_it() {
        check("", 1, &app("boom"), "1s");
        check("max=3", 2, &app("boom"), "2s");
        check("max=3", 3, &app("boom"), "MaximumAttemptsReached");
        check("no=Fatal", 1, &app("Fatal"), "NonRetryableFailure");
        check("no=Fatal", 1, &app("boom"), "1s");
        check("", 1, &asking(Some(7), false), "7s");
        check("", 1, &asking(None, true), "NonRetryableFailure");
        check("", 1, &asking(Some(100_000), false), "Timeout");
        check("", 60, &app("boom"), "100s");
    }

    #[test]
    fn of_timeouts_only_those_of_an_attempt_are_retried() {
        check("", 1, &failure::timeout(TimeoutType::StartToClose), "1s");
        check("", 1, &failure::timeout(TimeoutType::Heartbeat), "1s");
        check("", 1, &failure::timeout(TimeoutType::ScheduleToStart), "Timeout");
        check("", 1, &failure::timeout(TimeoutType::ScheduleToClose), "Timeout");
        check("no=TemporalTimeout:Heartbeat", 1, &failure::timeout(TimeoutType::Heartbeat), "NonRetryableFailure");
        check("no=TemporalTimeout:Heartbeat", 1, &failure::timeout(TimeoutType::StartToClose), "1s");
    }

    #[test]
    fn without_a_policy_nothing_is_retried() {
        let attempt =
            Attempt { policy: None, number: 1, failure: &app("boom"), now: Timestamp::ZERO, expiration: None };
        assert_eq!(attempt.decide(), Decision::Over(RetryState::RetryPolicyNotSet));
    }

    #[test]
    fn policies_that_make_no_sense_are_refused() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let refused = |policy: RetryPolicy| super::check(&policy).unwrap_err();
        let base = RetryPolicy { backoff_coefficient: 2.0, ..RetryPolicy::default() };
        let with = |change: fn(&mut RetryPolicy)| {
            let mut policy = base.clone();
            change(&mut policy);
            policy
        };
        assert_eq!(
            refused(with(|policy| policy.maximum_attempts = -1)),
            "MaximumAttempts cannot be negative on retry policy."
        );
        assert_eq!(
            refused(with(|policy| policy.backoff_coefficient = 0.5)),
            "BackoffCoefficient cannot be less than 1 on retry policy."
        );
        assert_eq!(
            refused(RetryPolicy { initial_interval: seconds(10), maximum_interval: seconds(1), ..base.clone() }),
            "MaximumInterval cannot be less than InitialInterval on retry policy."
        );
        assert_eq!(
            refused(with(|policy| policy.non_retryable_error_types = vec!["TemporalTimeout:Foo".to_string()])),
            "Invalid timeout type value: Foo."
        );
        assert_eq!(
            refused(RetryPolicy { initial_interval: seconds(-1), ..base.clone() }),
            "invalid InitialInterval set on retry policy: negative duration"
        );
        assert_eq!(super::check(&RetryPolicy { maximum_attempts: 1, initial_interval: seconds(-1), ..base }), Ok(()));
    }

    /// An attempt at 0 s, with an hour to go.
    #[track_caller]
    fn check(rules: &str, number: i32, failure: &Failure, expected: &str) {
        let policy = policy(rules);
        let expiration = Some(Timestamp::from_millis(3_600_000));
        let attempt = Attempt { policy: Some(&policy), number, failure, now: Timestamp::ZERO, expiration };
        let outcome = match attempt.decide() {
            Decision::Again(delay) => format!("{}s", delay.as_secs()),
            Decision::Over(state) => format!("{state:?}"),
        };
        assert_eq!(outcome, expected);
    }

    /// The default policy with `max=` attempts and `no=` a failure type that is not retried.
    fn policy(rules: &str) -> RetryPolicy {
        let mut policy = RetryPolicy::default();
        for rule in rules.split_whitespace() {
            match rule.split_once('=').unwrap() {
                ("max", attempts) => policy.maximum_attempts = attempts.parse().unwrap(),
                (_, listed) => policy.non_retryable_error_types.push(listed.to_string()),
            }
        }
        fill_in(&mut policy);
        policy
    }

    fn app(kind: &str) -> Failure {
        application(ApplicationFailureInfo { r#type: kind.to_string(), ..Default::default() })
    }

    fn asking(delay: Option<u64>, non_retryable: bool) -> Failure {
        let next_retry_delay = delay.map(|seconds| proto_duration(Duration::from_secs(seconds)));
        application(ApplicationFailureInfo { next_retry_delay, non_retryable, ..Default::default() })
    }

    fn application(info: ApplicationFailureInfo) -> Failure {
        Failure { failure_info: Some(FailureInfo::ApplicationFailureInfo(info)), ..Failure::default() }
    }
}
