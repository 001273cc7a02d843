//! Failures that the server itself reports, and how a long one is made short.

use alloc::{boxed::Box, format, string::String};

use prost::Message;
use proto::temporal::api::{
    enums::v1::TimeoutType,
    failure::v1::{ApplicationFailureInfo, Failure, ServerFailureInfo, TimeoutFailureInfo, failure::FailureInfo},
};

/// An activity ran out of time.
#[must_use]
pub fn timeout(kind: TimeoutType) -> Failure {
    timeout_saying(kind, format!("activity {} timeout", kind_name(kind)))
}

/// An activity ran out of time for all its attempts.
#[must_use]
pub fn out_of_time() -> Failure {
    let message = "Not enough time to schedule next retry before activity ScheduleToClose timeout, giving up retrying";
    timeout_saying(TimeoutType::ScheduleToClose, message.into())
}

/// A run ran out of time.
#[must_use]
pub fn workflow_timeout() -> Failure {
    timeout_saying(TimeoutType::StartToClose, "workflow timeout".into())
}

/// The server found fault with something.
#[must_use]
pub fn server(message: String) -> Failure {
    let info = ServerFailureInfo { non_retryable: false };
    Failure { message, failure_info: Some(FailureInfo::ServerFailureInfo(info)), ..Failure::default() }
}

/// `failure` in about `limit` bytes: what decides about retries stays, words are cut, causes go.
#[must_use]
pub fn truncated(failure: &Failure, limit: usize) -> Failure {
    if failure.encoded_len() <= limit {
        return failure.clone();
    }
    let failure_info = match &failure.failure_info {
        Some(FailureInfo::ApplicationFailureInfo(info)) => {
            Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
                r#type: prefix(&info.r#type, limit / 4),
                non_retryable: info.non_retryable,
                ..ApplicationFailureInfo::default()
            }))
        }
        Some(FailureInfo::ServerFailureInfo(info)) => Some(FailureInfo::ServerFailureInfo(*info)),
        _ => Some(FailureInfo::ServerFailureInfo(ServerFailureInfo { non_retryable: false })),
    };
    let mut short = Failure { failure_info, ..Failure::default() };
    for (from, to) in [
        (&failure.source, &mut short.source),
        (&failure.message, &mut short.message),
        (&failure.stack_trace, &mut short.stack_trace),
    ] {
        *to = prefix(from, limit / 4);
    }
    short
}

/// `failure`, because of `cause`.
#[must_use]
pub fn caused_by(failure: Failure, cause: Option<Failure>) -> Failure {
    Failure { cause: cause.map(Box::new), ..failure }
}

fn timeout_saying(kind: TimeoutType, message: String) -> Failure {
    let info = TimeoutFailureInfo { timeout_type: kind.into(), last_heartbeat_details: None };
    Failure {
        message,
        source: "Server".into(),
        failure_info: Some(FailureInfo::TimeoutFailureInfo(info)),
        ..Failure::default()
    }
}

fn kind_name(kind: TimeoutType) -> &'static str {
    match kind {
        TimeoutType::Unspecified => "Unspecified",
        TimeoutType::StartToClose => "StartToClose",
        TimeoutType::ScheduleToStart => "ScheduleToStart",
        TimeoutType::ScheduleToClose => "ScheduleToClose",
        TimeoutType::Heartbeat => "Heartbeat",
    }
}

/// The longest prefix of whole characters that fits `bytes`.
fn prefix(text: &str, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_long_failure_keeps_what_decides_about_retries() {
        let info = ApplicationFailureInfo { r#type: "Fatal".to_string(), non_retryable: true, ..Default::default() };
        let long = Failure {
            message: "é".repeat(9000),
            stack_trace: "x".repeat(9000),
            cause: Some(Box::new(server("deeper".to_string()))),
            failure_info: Some(FailureInfo::ApplicationFailureInfo(info.clone())),
            ..Failure::default()
        };
        let short = truncated(&long, 4096);
        assert!(short.encoded_len() <= 4096);
        assert!(short.message.starts_with('é') && short.cause.is_none());
        assert_eq!(short.failure_info, Some(FailureInfo::ApplicationFailureInfo(info)));
        assert_eq!(truncated(&short, 4096), short);
    }
}
