//! An activity ended because it was asked to (api 5.9).

use proto::temporal::api::{common::v1::Payloads, history::v1::ActivityTaskCanceledEventAttributes};

use super::find;
use crate::{
    history::event::Attributes,
    shard::io::{ActivityClaim, Failure, Request, Response},
    workflow::draft::Draft,
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    claim: &ActivityClaim,
    details: Option<&Payloads>,
    identity: &str,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let scheduled = find::activity(&transition, claim)?;
    let activity = transition.activity(scheduled).expect("a pending activity");
    let Some(requested) = activity.cancel_requested else {
        let text = "unable to mark activity as canceled without activity being request canceled first";
        return Err(Failure::InvalidArgument(text.into()));
    };
    let attributes = ActivityTaskCanceledEventAttributes {
        details: details.cloned(),
        latest_cancel_requested_event_id: requested.0,
        scheduled_event_id: scheduled.0,
        identity: identity.into(),
        ..ActivityTaskCanceledEventAttributes::default()
    };
    let closing = Attributes::ActivityTaskCanceledEventAttributes(attributes);
    transition.end_activity(scheduled, Some(identity), closing);
    Ok(Response::Done)
}
