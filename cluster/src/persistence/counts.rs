//! What is counted of a store, under the names that dashboards for Temporal know (api 12.5).

use std::sync::{Arc, OnceLock};

use metadata::Namespaces;
use prometheus::{HistogramVec, IntCounterVec};
use replicator::{
    ids::NamespaceId,
    shard::io::{CommitOutcome, Loaded},
};
use store::{Answer, HistoryError, Unavailable, visibility::VisibilityError};
use tokio::time::Instant;

use crate::metrics::{Metrics, counter, times};

/// The counters. Clones share them.
#[derive(Clone)]
pub(crate) struct Counts {
    runs: Family,
    lists: Family,
    /// As soon as they are known.
    namespaces: Arc<OnceLock<Namespaces>>,
}

/// Runs and everything else, or lists.
#[derive(Clone)]
struct Family {
    requests: IntCounterVec,
    errors: IntCounterVec,
    errors_with_type: IntCounterVec,
    latency: HistogramVec,
}

/// What a store is asked.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// As Temporal calls it.
    pub(super) name: &'static str,
    /// The service that asks.
    pub(super) service: &'static str,
    pub(super) about: About,
}

/// Whom an operation concerns.
#[derive(Clone, Copy)]
pub(super) enum About {
    /// Nobody: it is asked on the cluster's own behalf.
    System,
    /// Runs of a namespace.
    Runs(NamespaceId),
    /// Lists of a namespace.
    Lists(NamespaceId),
}

impl Counts {
    /// Nothing counted yet.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let family = |prefix: &str, what: &str| Family {
            requests: counter(metrics.registry(), &format!("{prefix}persistence_requests"), what, &LABELS),
            errors: counter(metrics.registry(), &format!("{prefix}persistence_errors"), "Those that failed", &LABELS),
            errors_with_type: counter(
                metrics.registry(),
                &format!("{prefix}persistence_error_with_type"),
                "Those that did not do what was asked, by reason",
                &["operation", "namespace", "service_name", "error_type"],
            ),
            latency: times(
                metrics.registry(),
                &format!("{prefix}persistence_latency"),
                "How long they took, in seconds",
                &LABELS,
            ),
        };
        Self {
            runs: family("", "What the database was asked"),
            lists: family("visibility_", "Lists and counts that the database was asked for"),
            namespaces: Arc::default(),
        }
    }

    /// Namespaces have names from now on.
    pub(crate) fn know(&self, namespaces: Namespaces) {
        // They are told once.
        let _ = self.namespaces.set(namespaces);
    }

    /// An answer, and what is to be counted of it.
    pub(super) fn measured<'a, T: Send + 'a>(
        &self,
        operation: Operation,
        answer: Answer<'a, T>,
        error_type: fn(&T) -> Option<&'static str>,
    ) -> Answer<'a, T> {
        let family = match operation.about {
            About::System | About::Runs(_) => self.runs.clone(),
            About::Lists(_) => self.lists.clone(),
        };
        let namespace = self.namespace(operation.about);
        Box::pin(async move {
            let labels = [operation.name, &namespace, operation.service];
            family.requests.with_label_values(&labels).inc();
            let began = Instant::now();
            let answer = answer.await;
            family.latency.with_label_values(&labels).observe(began.elapsed().as_secs_f64());
            if let Some(kind) = error_type(&answer) {
                let [name, namespace, service] = labels;
                family.errors_with_type.with_label_values(&[name, namespace, service, kind]).inc();
                if [UNAVAILABLE, TIMEOUT, DATA_LOSS].contains(&kind) {
                    family.errors.with_label_values(&labels).inc();
                }
            }
            answer
        })
    }

    fn namespace(&self, about: About) -> String {
        let (About::Runs(id) | About::Lists(id)) = about else { return SYSTEM.to_owned() };
        let known = self.namespaces.get().and_then(|namespaces| namespaces.get_by_id(id));
        known.map_or_else(|| UNKNOWN.to_owned(), |namespace| namespace.name.clone())
    }
}

/// Why a write was none.
pub(super) fn of_commit(answer: &Result<CommitOutcome, Unavailable>) -> Option<&'static str> {
    match answer {
        Ok(CommitOutcome::Committed) => None,
        Ok(CommitOutcome::ConditionFailed) => Some("persistence_WorkflowConditionFailedError"),
        Ok(CommitOutcome::ShardOwnershipLost) => Some("persistence_ShardOwnershipLostError"),
        Ok(CommitOutcome::Unknown) => Some(TIMEOUT),
        Ok(CommitOutcome::Unavailable) | Err(_) => Some(UNAVAILABLE),
    }
}

/// Why a shard's read found nothing.
pub(super) fn of_load(answer: &Loaded) -> Option<&'static str> {
    match answer {
        Loaded::Current(None) | Loaded::NoRuns | Loaded::Run(None) => Some(NOT_FOUND),
        Loaded::Failed(_) => Some(UNAVAILABLE),
        _ => None,
    }
}

/// Why there is no history.
pub(super) fn of_history<T>(answer: &Result<T, HistoryError>) -> Option<&'static str> {
    answer.as_ref().err().map(|error| match error {
        HistoryError::NotFound => NOT_FOUND,
        HistoryError::DataLoss(_) => DATA_LOSS,
        HistoryError::Unavailable(_) => UNAVAILABLE,
    })
}

/// Why there is no list.
pub(super) fn of_list<T>(answer: &Result<T, VisibilityError>) -> Option<&'static str> {
    answer.as_ref().err().map(|error| match error {
        VisibilityError::InvalidArgument(_) => "serviceerror_InvalidArgument",
        VisibilityError::Unavailable(_) => UNAVAILABLE,
    })
}

/// Why there is no answer.
pub(super) fn failed<T>(answer: &Result<T, Unavailable>) -> Option<&'static str> {
    answer.as_ref().err().map(|_| UNAVAILABLE)
}

const LABELS: [&str; 3] = ["operation", "namespace", "service_name"];

const UNAVAILABLE: &str = "serviceerror_Unavailable";
const NOT_FOUND: &str = "serviceerror_NotFound";
const DATA_LOSS: &str = "serviceerror_DataLoss";
const TIMEOUT: &str = "persistence_TimeoutError";

/// Where what is about no namespace is counted.
const SYSTEM: &str = "system";

/// Where a namespace is counted that is gone, or not known yet.
const UNKNOWN: &str = "_unknown_";

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn names_are_those_that_dashboards_know() {
        let metrics = Metrics::new("a");
        let counts = Counts::new(&metrics);
        let write = Operation { name: "UpdateWorkflowExecution", service: "history", about: About::System };
        for outcome in [CommitOutcome::Committed, CommitOutcome::ShardOwnershipLost, CommitOutcome::Unknown] {
            let _ = counts.measured(write, Box::pin(ready(Ok(outcome))), of_commit).await;
        }
        let namespace = NamespaceId::parse("00000000-0000-0000-0000-000000000001").expect("an id");
        let list = Operation { name: "ListWorkflowExecutions", service: "frontend", about: About::Lists(namespace) };
        let _ = counts.measured(list, Box::pin(ready(Ok(()))), of_list).await;

        let text = metrics.render();
        let of_write = r#"namespace="system",operation="UpdateWorkflowExecution",service_name="history",cluster="a""#;
        let of_list = r#"namespace="_unknown_",operation="ListWorkflowExecutions",service_name="frontend",cluster="a""#;
        for line in [
            format!("persistence_requests{{{of_write}}} 3"),
            format!("persistence_errors{{{of_write}}} 1"),
            format!(r#"persistence_error_with_type{{error_type="persistence_ShardOwnershipLostError",{of_write}}} 1"#),
            format!("persistence_latency_count{{{of_write}}} 3"),
            format!("visibility_persistence_requests{{{of_list}}} 1"),
            format!("visibility_persistence_latency_count{{{of_list}}} 1"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
