//! What of a run lost, for operators.

use alloc::boxed::Box;

use super::find;
use crate::{
    ndc::{
        RunClock,
        divergence::{Fate, GaveWay, Input, Outcome, View},
    },
    shard::io::{Failure, Request, Response},
    workflow::draft::Draft,
};

pub(super) fn handle(draft: &Draft<'_>, request: &Request) -> Result<Response, Failure> {
    let id = find::run(draft, request)?;
    let state = &draft.runs[&id].state;
    // A zombie may not have lost for certain; it is beside the current run all the same.
    let current = draft.current.filter(|_| state.execution.is_zombie());
    let current = current.and_then(|current| Some((current, draft.runs.get(&current)?)));
    let instead = current.map(|(run, current)| {
        let version = RunClock::of_start(&current.state).version;
        GaveWay { run, version, time: draft.now }
    });
    Ok(Response::Divergence(Box::new(View {
        run: state.run.clone(),
        histories: state.histories.clone(),
        gave_way: state.local.gave_way.or(instead),
        resolved: state.local.resolved,
    })))
}

/// Of each input what this cluster decided, or sees in the workflow's current run.
pub(super) fn fates(draft: &Draft<'_>, request: &Request, inputs: &[Input]) -> Result<Response, Failure> {
    let id = find::run(draft, request)?;
    let decided = &draft.runs[&id].state.local.fates;
    let current = draft.current.and_then(|current| Some((current, &draft.runs.get(&current)?.state)));
    let seen = |input: &Input| {
        let (run, state) = current?;
        let is_known = || !input.request_id.is_empty() && state.signals.requests.get(&input.request_id).is_some();
        let fate = match state.reapplied.table.get(&input.origin) {
            Some(_) => Fate::Given,
            None if is_known() => Fate::Known,
            None => return None,
        };
        Some(Outcome { fate, into: Some(run) })
    };
    let fates = inputs.iter().map(|input| decided.get(&input.origin).copied().or_else(|| seen(input)));
    Ok(Response::Fates(fates.collect()))
}
