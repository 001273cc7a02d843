//! Calls as they are followed from host to host, in a program that was built to (feature `otel` of the crate `cluster`).
//!
//! Spans have a target of their own, [`TARGET`], which no log asks for. So where nobody follows calls, a span is a look at a
//! flag and nothing else.

use std::sync::OnceLock;

use tonic::metadata::MetadataMap;
use tracing::{Level, Span, info_span};

/// Target of the spans of calls.
pub const TARGET: &str = "calls";

/// Writes the context of the current span into the headers of a call.
pub type Propagator = fn(&mut MetadataMap);

/// Of the process, as whoever collects its spans is: a call is followed through all of its clusters or through none.
static PROPAGATOR: OnceLock<Propagator> = OnceLock::new();

/// From now on other hosts are told of which trace a call is. Only the first call of a process has an effect.
pub fn propagate_by(propagator: Propagator) {
    // Somebody else's is as good.
    let _second = PROPAGATOR.set(propagator);
}

/// Whether anybody follows calls.
#[must_use]
pub fn are_followed() -> bool {
    tracing::enabled!(target: TARGET, Level::INFO)
}

/// A span for a call that goes on to another host, whose headers say so.
#[must_use]
pub fn hop(method: &str, to: &str, headers: &mut MetadataMap) -> Span {
    let span = info_span!(target: TARGET, "hop", otel.name = method, otel.kind = "client", server.address = to);
    if let Some(propagate) = PROPAGATOR.get().filter(|_| !span.is_disabled()) {
        span.in_scope(|| propagate(headers));
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nobody_follows_calls_nothing_is_said_of_them() {
        propagate_by(|headers| drop(headers.insert("traceparent", "a trace".parse().expect("text"))));
        let mut headers = MetadataMap::new();
        assert!(hop("StartWorkflowExecution", "127.0.0.1:1", &mut headers).is_disabled());
        assert!(headers.is_empty() && !are_followed());
    }
}
