//! Signal an open run (api 6.17).

use proto::temporal::api::{
    common::v1::{Header, Link, Payloads},
    history::v1::WorkflowExecutionSignaledEventAttributes,
    workflowservice::v1::SignalWorkflowExecutionRequest,
};

use super::find;
use crate::{
    defects::{Defect, planted},
    history::event::Attributes,
    shard::io::{Failure, Request, Response},
    workflow::{
        EventMeta,
        draft::{Draft, Transition},
    },
};

pub(super) fn handle(
    draft: &mut Draft<'_>,
    request: &Request,
    signal: &SignalWorkflowExecutionRequest,
) -> Result<Response, Failure> {
    let run = find::open_run(draft, request)?;
    let mut transition = draft.transition(run).expect("the run is loaded");
    let signal = Signal {
        name: &signal.signal_name,
        input: signal.input.as_ref(),
        identity: &signal.identity,
        request_id: &signal.request_id,
        header: signal.header.as_ref(),
        links: &signal.links,
    };
    if signal.is_known(&transition) {
        return Ok(Response::Signaled { run });
    }
    check_count(&transition)?;
    signal.receive(&mut transition);
    Ok(Response::Signaled { run })
}

/// What a signal says.
pub(super) struct Signal<'a> {
    pub(super) name: &'a str,
    pub(super) input: Option<&'a Payloads>,
    pub(super) identity: &'a str,
    /// The same id is the same signal, in every cluster: the event carries it. Empty for a caller that does not ask.
    pub(super) request_id: &'a str,
    pub(super) header: Option<&'a Header>,
    pub(super) links: &'a [Link],
}

impl Signal<'_> {
    /// Whether the run has received this signal before.
    pub(super) fn is_known(&self, transition: &Transition<'_>) -> bool {
        !planted(Defect::SignalCountsTwice)
            && !self.request_id.is_empty()
            && transition.signal_request_known(self.request_id)
    }

    /// The run receives the signal.
    pub(super) fn receive(&self, transition: &mut Transition<'_>) {
        let attributes = WorkflowExecutionSignaledEventAttributes {
            signal_name: self.name.into(),
            input: self.input.cloned(),
            identity: self.identity.into(),
            header: self.header.cloned(),
            request_id: self.request_id.into(),
            ..WorkflowExecutionSignaledEventAttributes::default()
        };
        let meta = EventMeta { links: self.links.into(), ..EventMeta::default() };
        transition.receive(Attributes::WorkflowExecutionSignaledEventAttributes(attributes), meta);
    }
}

/// Refuse when the run has received as many signals as a run may.
pub(super) fn check_count(transition: &Transition<'_>) -> Result<(), Failure> {
    let state = &transition.run.state;
    let buffered = state
        .local
        .buffered
        .iter()
        .filter(|event| matches!(event.attributes, Some(Attributes::WorkflowExecutionSignaledEventAttributes(_))));
    if state.signals.count.saturating_add(i64::try_from(buffered.count()).unwrap_or(i64::MAX)) < MOST_SIGNALS {
        return Ok(());
    }
    Err(Failure::InvalidArgument("exceeded workflow execution limit for signal events".into()))
}

/// Signals that one run may receive (api 11.6).
const MOST_SIGNALS: i64 = 10_000;
