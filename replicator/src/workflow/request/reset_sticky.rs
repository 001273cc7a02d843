//! Forget the worker that has the run in its cache (api 3.15).

use super::find;
use crate::{
    shard::io::{Failure, Request, Response},
    workflow::draft::Draft,
};

pub(super) fn handle(draft: &mut Draft<'_>, request: &Request) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    draft.transition(run).expect("the run is loaded").clear_sticky();
    Ok(Response::Done)
}
