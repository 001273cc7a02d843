//! An attempt of an activity failed: there is another, or the activity is over (api 5.3).

use proto::temporal::api::{
    common::v1::Payloads, enums::v1::RetryState, failure::v1::Failure as FailureMessage,
    history::v1::ActivityTaskFailedEventAttributes,
};

use super::find;
use crate::{
    history::event::Attributes,
    shard::io::{ActivityClaim, Failure, Request, Response},
    time::Timestamp,
    workflow::{
        activity::Activity,
        draft::Draft,
        retry::{Attempt, Decision},
    },
};

/// What the worker says.
pub(super) struct Report<'a> {
    /// Why the attempt failed.
    pub(super) failure: Option<&'a FailureMessage>,
    /// Progress it had made, for the next one.
    pub(super) last_heartbeat: Option<&'a Payloads>,
}

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    claim: &ActivityClaim,
    report: Report<'_>,
    identity: &str,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let scheduled = find::activity(&transition, claim)?;
    let nothing = FailureMessage::default();
    let failure = report.failure.unwrap_or(&nothing);
    if let Some(details) = report.last_heartbeat {
        transition.record_heartbeat(scheduled, Some(details.clone()));
    }
    let activity = transition.activity(scheduled).expect("a pending activity");
    match decide(activity, failure, transition.now) {
        Decision::Again(delay) => transition.retry_attempt(scheduled, failure, delay),
        Decision::Over(retry_state) => {
            let attributes = ActivityTaskFailedEventAttributes {
                failure: report.failure.cloned(),
                scheduled_event_id: scheduled.0,
                identity: identity.into(),
                retry_state: retry_state.into(),
                ..ActivityTaskFailedEventAttributes::default()
            };
            let closing = Attributes::ActivityTaskFailedEventAttributes(attributes);
            transition.end_activity(scheduled, Some(identity), closing);
        }
    }
    Ok(Response::Done)
}

/// Whether there is another attempt. One that was asked to stop is not tried again.
pub(in crate::workflow) fn decide(activity: &Activity, failure: &FailureMessage, now: Timestamp) -> Decision {
    if activity.cancel_requested.is_some() {
        return Decision::Over(RetryState::CancelRequested);
    }
    let attempt = Attempt {
        policy: activity.attributes.retry_policy.as_ref(),
        number: activity.attempt,
        failure,
        now,
        expiration: activity.expiration(),
    };
    attempt.decide()
}
