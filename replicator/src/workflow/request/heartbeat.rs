//! An activity is alive (api 5.7).

use proto::temporal::api::common::v1::Payloads;

use super::find;
use crate::{
    shard::io::{ActivityClaim, Failure, Request, Response},
    workflow::draft::Draft,
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    claim: &ActivityClaim,
    details: Option<&Payloads>,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let scheduled = find::activity(&transition, claim)?;
    let activity = transition.activity(scheduled).expect("a pending activity");
    if activity.started.is_none() {
        return Err(find::no_activity());
    }
    let cancel_requested = activity.cancel_requested.is_some();
    transition.record_heartbeat(scheduled, details.cloned());
    Ok(Response::Heartbeat { cancel_requested })
}
