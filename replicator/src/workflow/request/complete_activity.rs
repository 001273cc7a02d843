//! An activity succeeded.

use proto::temporal::api::{common::v1::Payloads, history::v1::ActivityTaskCompletedEventAttributes};

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
    result: Option<&Payloads>,
    identity: &str,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let scheduled = find::activity(&transition, claim)?;
    let attributes = ActivityTaskCompletedEventAttributes {
        result: result.cloned(),
        scheduled_event_id: scheduled.0,
        identity: identity.into(),
        ..ActivityTaskCompletedEventAttributes::default()
    };
    let closing = Attributes::ActivityTaskCompletedEventAttributes(attributes);
    transition.end_activity(scheduled, Some(identity), closing);
    Ok(Response::Done)
}
