//! Delete a run (api 8.4). For callers it is gone at once; a task removes what is stored of it.

use alloc::vec::Vec;

use super::{find, terminate};
use crate::{
    shard::io::{Failure, Request, Response},
    workflow::draft::Draft,
};

pub(super) fn handle(draft: &mut Draft<'_>, request: &Request) -> Result<Response, Failure> {
    let run = find::run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    if find::is_running(&transition.run.state) {
        // Whoever waits for its end, and every peer, hears of that first.
        let order = terminate::Order {
            reason: DELETED.into(),
            details: None,
            identity: terminate::SERVER.into(),
            links: Vec::new(),
        };
        terminate::terminate(&mut transition, order);
    }
    transition.run.state.local.is_deleted = true;
    transition.run.changes.changed = true;
    Ok(Response::Done)
}

/// Why an open run was terminated.
const DELETED: &str = "Delete workflow execution";
