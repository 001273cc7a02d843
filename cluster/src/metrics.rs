//! What a cluster counts, under the names that dashboards for Temporal know (api 12.5).
//!
//! Counters have no suffix `_total`; times are in seconds. Each cluster of a process has a registry of its own.

use std::{sync::Arc, time::Duration};

use config::Service;
use frontend::metrics::Meter;
use history::Memory;
use metadata::Metadata;
use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};
use replicator::{
    ids::{ClusterId, NamespaceId, ShardId},
    namespace::Outcome,
    shard::{Exposure, io::Report},
    version::ClusterName,
};
use tonic::Code;
use tracing::{error, info, warn};

use crate::ports::Clock;

/// The counters of one cluster. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
}

/// What can be counted.
#[derive(Debug)]
pub struct Families {
    /// Whether the dynamic configuration cannot be used, and an old one is.
    pub dynamic_config_update_failure: IntGauge,
    /// Certificates of this process that end soon.
    pub certificates_expiring: IntGauge,
    /// Certificates of this process that have ended.
    pub certificates_expired: IntGauge,
    /// Until one of them ends.
    pub certificate_expires_seconds: IntGaugeVec,
    /// Looks at files whose certificates could not be used.
    pub certificate_refresh_failures: IntCounter,
    /// Callers with whom hands were shaken.
    pub tls_connections: IntCounterVec,
    /// Callers with whom hands were not shaken.
    pub tls_handshakes_refused: IntCounterVec,
    /// Requests by `operation` and `namespace`.
    pub service_requests: IntCounterVec,
    /// Requests that were answered with an error that is not the caller's.
    pub service_errors: IntCounterVec,
    /// The same by `error_type`.
    pub service_error_with_type: IntCounterVec,
    /// How long requests took; polls wait, and are not slow because of it.
    pub service_latency: HistogramVec,
    /// Requests that are being answered.
    pub service_pending_requests: IntGaugeVec,
    /// Replication tasks that a peer has not acknowledged.
    pub replication_tasks_lag: IntGaugeVec,
    /// Age of the oldest of them.
    pub replication_lag_seconds: prometheus::GaugeVec,
    /// Namespaces of which a peer is being told everything.
    pub replication_seeding: IntGaugeVec,
    /// Whether a peer was away for longer than tasks are kept for it.
    pub replication_gap: IntGaugeVec,
    /// For how long a limit has kept tasks from being sent.
    pub replication_held_back_seconds: prometheus::GaugeVec,
    /// Events of a namespace that a peer has not acknowledged.
    pub replication_lag_events: IntGaugeVec,
    /// Their bytes.
    pub replication_lag_bytes: IntGaugeVec,
    /// Age of the oldest of them.
    pub replication_namespace_lag_seconds: prometheus::GaugeVec,
    /// Shards that this host has, or is taking over.
    pub numshards_gauge: IntGauge,
    /// Bytes that a cache may hold.
    pub cache_size: IntGaugeVec,
    /// Bytes that it holds.
    pub cache_usage: IntGaugeVec,
    /// Things in it.
    pub cache_entries: IntGaugeVec,
    /// Things that were taken out of it to make room.
    pub cache_evictions: IntGaugeVec,
    /// Bytes of requests that wait for a shard's answer.
    pub history_requests_waiting_bytes: IntGauge,
    /// Requests that were refused because too much waits.
    pub history_requests_refused: IntGauge,
    /// Polls that wait.
    pub pending_polls: IntGauge,
    /// Task queues in memory.
    pub loaded_task_queue_count: IntGauge,
    /// Tasks that wait for a worker.
    pub approximate_backlog_count: IntGauge,
    /// Tasks of peers that became durable here.
    pub replication_tasks_applied: IntCounterVec,
    /// Tasks of peers that cannot be applied.
    pub replication_tasks_failed: IntCounterVec,
    /// From a peer's write of a task until it is durable here.
    pub replication_latency: HistogramVec,
    /// Runs of which a peer made something else than we did.
    pub replication_digest_mismatches: IntCounterVec,
    /// Tasks of peers that are kept because they could not be applied.
    pub replication_quarantined: IntGaugeVec,
    /// Branches that gave way to one of a peer.
    pub replication_conflicts: IntCounterVec,
    /// Events on branches that are not current.
    pub replication_lost_events: IntCounterVec,
    /// Their bytes.
    pub replication_lost_bytes: IntCounterVec,
    /// Inputs of losing branches, by what became of them.
    pub replication_reapplied: IntCounterVec,
    /// Shards that had to be taken over again.
    pub sharditem_acquisition_lost_count: IntCounter,
    /// Namespaces that became active here.
    pub namespace_promotions: IntCounter,
    /// How long writes were held back by handovers.
    pub handover_pause_seconds: HistogramVec,
    /// Handovers by how they ended.
    pub handovers: IntCounterVec,
    /// Which program this is.
    pub build_information: IntGaugeVec,
}

impl Metrics {
    /// Nothing counted yet; every series says which cluster it is of.
    #[must_use]
    pub fn new(cluster: &str) -> Self {
        let labels = [("cluster".to_owned(), cluster.to_owned())].into();
        let registry = Registry::new_custom(None, Some(labels)).expect("a label that is a constant");
        let families = Arc::new(Families::register(&registry));
        families.build_information.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Self { registry, families }
    }

    /// What can be counted.
    #[must_use]
    pub fn families(&self) -> &Families {
        &self.families
    }

    /// Where other parts of the cluster register what they count.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// As Prometheus reads them.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory does not fail");
        String::from_utf8(text).expect("names and labels are text")
    }
}

impl Metrics {
    /// Counts, and logs where somebody has to know, what shards report.
    #[must_use]
    pub fn reporter(&self, metadata: Metadata, now: Clock) -> Arc<dyn Fn(ShardId, Report) + Send + Sync> {
        let families = Arc::clone(&self.families);
        Arc::new(move |shard, report| {
            let view = metadata.clusters().view();
            let name = |id: ClusterId| view.peer(id).map_or_else(|| id.to_string(), |peer| peer.name.to_string());
            let namespace = |id: NamespaceId| {
                metadata.namespaces().get_by_id(id).map_or_else(|| id.to_string(), |namespace| namespace.name.clone())
            };
            match report {
                Report::Ready { range, tasks } => info!(%shard, %range, tasks, "shard is ready"),
                Report::OwnershipLost { outcome } => {
                    families.sharditem_acquisition_lost_count.inc();
                    warn!(%shard, ?outcome, "shard is taken over again");
                }
                Report::ConditionFailed { workflow } => {
                    warn!(%shard, ?workflow, "a run was not stored as expected and is read again");
                }
                Report::Promoted { namespace, version, unheard } => {
                    families.namespace_promotions.inc();
                    info!(%shard, %namespace, %version, unheard, "namespace is active here");
                }
                Report::Restored { namespaces } => {
                    warn!(%shard, namespaces, "the store was brought back from a backup; peers are asked for what it lacks");
                }
                Report::Recovered { namespace } => {
                    info!(%shard, %namespace, "all that other clusters have is here again");
                }
                Report::Applied { from, written } => {
                    let from = [name(from)];
                    families.replication_tasks_applied.with_label_values(&from).inc();
                    families.replication_latency.with_label_values(&from).observe(now().since(written).as_secs_f64());
                }
                Report::DigestDiffers { run, from } => {
                    let from = name(from);
                    families.replication_digest_mismatches.with_label_values(&[&from]).inc();
                    error!(%shard, ?run, cluster = from, "a peer made something else of the same events");
                }
                Report::Refused { from, task, run, reason } => {
                    let from = name(from);
                    families.replication_tasks_failed.with_label_values(&[&from]).inc();
                    error!(%shard, cluster = from, %task, ?run, reason, "a peer's task cannot be applied and is kept");
                }
                Report::Released { from, task, run } => {
                    info!(%shard, cluster = name(from), %task, ?run, "a peer's task that was kept is done with");
                }
                Report::Gap { from } => {
                    warn!(%shard, cluster = name(from), "a peer no longer has what it did not tell; it is asked for all");
                }
                Report::GapTold { to } => {
                    warn!(%shard, cluster = name(to), "a peer was away for too long and will be told everything anew");
                }
                Report::Forsaken { namespace, from } => {
                    warn!(%shard, %namespace, cluster = name(from), "a peer tells of a namespace that is not known here");
                }
                Report::Untold { run, to, reason } => {
                    error!(%shard, ?run, cluster = name(to), reason, "a peer asked for a run that cannot be read");
                }
                Report::Conflict { run, won, lost } => {
                    families.replication_conflicts.with_label_values(&[namespace(run.workflow.namespace)]).inc();
                    info!(%shard, ?run, %won, %lost, "branches of a run diverged, and another one is current now");
                }
                Report::Lost { run, events, bytes } => {
                    let namespace = [namespace(run.workflow.namespace)];
                    families.replication_lost_events.with_label_values(&namespace).inc_by(unsigned(events));
                    families.replication_lost_bytes.with_label_values(&namespace).inc_by(unsigned(bytes));
                }
                Report::Grown { run, measure, now } => {
                    let namespace = namespace(run.workflow.namespace);
                    warn!(%shard, namespace, ?run, ?measure, now, "the history of a run is large");
                }
                Report::Outgrown { run, measure, now } => {
                    let namespace = namespace(run.workflow.namespace);
                    warn!(%shard, namespace, ?run, ?measure, now, "a run was terminated: its history is too large");
                }
                Report::Reapplied { from, into, given, known, lost } => {
                    for (outcome, count) in [("given", given), ("known", known), ("lost", lost)] {
                        let labels = [&namespace(from.workflow.namespace), outcome];
                        families.replication_reapplied.with_label_values(&labels).inc_by(count as u64);
                    }
                    info!(%shard, ?from, ?into, given, known, lost, "inputs of losing branches were looked through");
                }
            }
        })
    }
}

impl Metrics {
    /// A handover is over.
    pub fn handover(&self, namespace: &str, to: &ClusterName, outcome: &Outcome) {
        let (name, paused) = match outcome {
            Outcome::Moved { paused, .. } => ("moved", Some(*paused)),
            Outcome::Kept { paused, .. } => ("kept", Some(*paused).filter(|paused| !paused.is_zero())),
            Outcome::TakenBack { paused, .. } => ("taken_back", Some(*paused)),
            Outcome::Overtaken { .. } => ("overtaken", None),
        };
        self.families.handovers.with_label_values(&[namespace, to.as_str(), name]).inc();
        if let Some(paused) = paused {
            let labels = [namespace, to.as_str()];
            self.families.handover_pause_seconds.with_label_values(&labels).observe(paused.as_secs_f64());
        }
    }
}

impl Meter for Metrics {
    fn begin(&self, service: Service, operation: &'static str, namespace: &str) {
        let labels = [operation, namespace, service.as_str()];
        self.families.service_requests.with_label_values(&labels).inc();
        self.families.service_pending_requests.with_label_values(&labels).inc();
    }

    fn end(&self, service: Service, operation: &'static str, namespace: &str, code: Code, took: Duration) {
        let labels = [operation, namespace, service.as_str()];
        self.families.service_pending_requests.with_label_values(&labels).dec();
        self.families.service_latency.with_label_values(&labels).observe(took.as_secs_f64());
        if let Some(kind) = error_type(code) {
            let typed = [operation, namespace, service.as_str(), kind];
            self.families.service_error_with_type.with_label_values(&typed).inc();
        }
        if is_our_fault(code) {
            self.families.service_errors.with_label_values(&labels).inc();
        }
    }
}

/// A count of the core, which is never negative.
fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// What dashboards call an error.
fn error_type(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Ok => return None,
        Code::Cancelled => "serviceerror_Canceled",
        Code::Unknown => "serviceerror_Unknown",
        Code::InvalidArgument => "serviceerror_InvalidArgument",
        Code::DeadlineExceeded => "serviceerror_DeadlineExceeded",
        Code::NotFound => "serviceerror_NotFound",
        Code::AlreadyExists => "serviceerror_AlreadyExists",
        Code::PermissionDenied | Code::Unauthenticated => "serviceerror_PermissionDenied",
        Code::ResourceExhausted => "serviceerror_ResourceExhausted",
        Code::FailedPrecondition => "serviceerror_FailedPrecondition",
        Code::Aborted => "serviceerror_Aborted",
        Code::OutOfRange => "serviceerror_OutOfRange",
        Code::Unimplemented => "serviceerror_Unimplemented",
        Code::Internal => "serviceerror_Internal",
        Code::Unavailable => "serviceerror_Unavailable",
        Code::DataLoss => "serviceerror_DataLoss",
    })
}

/// Whether an operator has to know. What callers do wrong is theirs.
fn is_our_fault(code: Code) -> bool {
    matches!(code, Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss | Code::DeadlineExceeded)
}

impl Families {
    /// What a peer does not have of a namespace.
    pub fn lag(&self, namespace: &str, peer: &str, exposure: &Exposure, age: Duration) {
        let labels = [namespace, peer];
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.replication_lag_events.with_label_values(&labels).set(gauge(exposure.events));
        self.replication_lag_bytes.with_label_values(&labels).set(gauge(exposure.bytes));
        self.replication_namespace_lag_seconds.with_label_values(&labels).set(age.as_secs_f64());
    }

    /// What the shards of this host have in memory.
    pub fn memory(&self, memory: &Memory) {
        let of_workflows = ["mutablestate"];
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let total = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.cache_size.with_label_values(&of_workflows).set(gauge(memory.limit));
        self.cache_usage.with_label_values(&of_workflows).set(gauge(memory.cached));
        self.cache_entries.with_label_values(&of_workflows).set(gauge(memory.workflows));
        self.cache_evictions.with_label_values(&of_workflows).set(total(memory.evicted));
        self.history_requests_waiting_bytes.set(gauge(memory.waiting));
        self.history_requests_refused.set(total(memory.refused));
    }

    fn register(registry: &Registry) -> Self {
        let request = ["operation", "namespace", "service_name"];
        let error = ["operation", "namespace", "service_name", "error_type"];
        let cache = ["cache_type"];
        Self {
            dynamic_config_update_failure: plain(
                registry,
                "dynamic_config_update_failure",
                "Whether the dynamic configuration cannot be used, and an old one is",
            ),
            certificates_expiring: plain(registry, "certificates_expiring", "Certificates that expire soon"),
            certificates_expired: plain(registry, "certificates_expired", "Certificates that have expired"),
            certificate_expires_seconds: gauge(
                registry,
                "certificate_expires_seconds",
                "Seconds until a certificate expires, by the key that names it",
                &["certificate"],
            ),
            certificate_refresh_failures: {
                let help = "Looks at files whose certificates could not be used";
                registered(registry, IntCounter::new("certificate_refresh_failures", help).expect(CONSTANT))
            },
            tls_connections: counter(registry, "tls_connections", "Callers with whom hands were shaken", &["port"]),
            tls_handshakes_refused: counter(
                registry,
                "tls_handshakes_refused",
                "Callers with whom hands were not shaken",
                &["port", "reason"],
            ),
            service_requests: counter(registry, "service_requests", "Requests", &request),
            service_errors: counter(registry, "service_errors", "Requests answered with an error", &request),
            service_error_with_type: counter(registry, "service_error_with_type", "Errors by type", &error),
            service_latency: times(registry, "service_latency", "How long requests took, in seconds", &request),
            service_pending_requests: gauge(registry, "service_pending_requests", "Requests in flight", &request),
            replication_tasks_lag: gauge(
                registry,
                "replication_tasks_lag",
                "Replication tasks that a peer has not acknowledged",
                &["to_cluster"],
            ),
            replication_lag_seconds: {
                let opts =
                    Opts::new("replication_lag_seconds", "Age of the oldest task that a peer has not acknowledged");
                registered(registry, prometheus::GaugeVec::new(opts, &["to_cluster"]).expect(CONSTANT))
            },
            replication_seeding: gauge(
                registry,
                "replication_seeding",
                "Namespaces of which a peer is being told everything",
                &["to_cluster"],
            ),
            replication_gap: gauge(
                registry,
                "replication_gap",
                "Whether a peer was away for longer than tasks are kept for it",
                &["to_cluster"],
            ),
            replication_held_back_seconds: {
                let opts =
                    Opts::new("replication_held_back_seconds", "For how long a limit has kept tasks from being sent");
                registered(registry, prometheus::GaugeVec::new(opts, &["to_cluster", "limit"]).expect(CONSTANT))
            },
            replication_lag_events: gauge(
                registry,
                "replication_lag_events",
                "Events of a namespace that a peer has not acknowledged",
                &["namespace", "to_cluster"],
            ),
            replication_lag_bytes: gauge(
                registry,
                "replication_lag_bytes",
                "Bytes of the events that a peer has not acknowledged",
                &["namespace", "to_cluster"],
            ),
            replication_namespace_lag_seconds: {
                let help = "Age of the oldest event of a namespace that a peer has not acknowledged";
                let opts = Opts::new("replication_namespace_lag_seconds", help);
                registered(registry, prometheus::GaugeVec::new(opts, &["namespace", "to_cluster"]).expect(CONSTANT))
            },
            numshards_gauge: plain(registry, "numshards_gauge", "Shards that this host has, or is taking over"),
            cache_size: gauge(registry, "cache_size", "Bytes that a cache may hold", &cache),
            cache_usage: gauge(registry, "cache_usage", "Bytes that a cache holds", &cache),
            cache_entries: gauge(registry, "cache_entries", "Things in a cache", &cache),
            cache_evictions: gauge(registry, "cache_evictions", "Things taken out of a cache to make room", &cache),
            history_requests_waiting_bytes: plain(
                registry,
                "history_requests_waiting_bytes",
                "Bytes of requests that wait for a shard's answer",
            ),
            history_requests_refused: plain(
                registry,
                "history_requests_refused",
                "Requests that were refused because too much waits",
            ),
            pending_polls: plain(registry, "pending_polls", "Polls that wait"),
            loaded_task_queue_count: plain(registry, "loaded_task_queue_count", "Task queues in memory"),
            approximate_backlog_count: plain(registry, "approximate_backlog_count", "Tasks that wait for a worker"),
            replication_tasks_applied: counter(
                registry,
                "replication_tasks_applied",
                "Tasks of peers that became durable here",
                &["from_cluster"],
            ),
            replication_tasks_failed: counter(
                registry,
                "replication_tasks_failed",
                "Tasks of peers that cannot be applied",
                &["from_cluster"],
            ),
            replication_latency: times(
                registry,
                "replication_latency",
                "From a peer's write of a task until it is durable here, in seconds",
                &["from_cluster"],
            ),
            replication_digest_mismatches: counter(
                registry,
                "replication_digest_mismatches",
                "Runs of which a peer made something else than we did",
                &["from_cluster"],
            ),
            replication_quarantined: gauge(
                registry,
                "replication_quarantined",
                "Tasks of peers that are kept because they could not be applied",
                &["namespace", "from_cluster"],
            ),
            replication_conflicts: counter(
                registry,
                "replication_conflicts",
                "Branches that gave way to one of a peer",
                &["namespace"],
            ),
            replication_lost_events: counter(
                registry,
                "replication_lost_events",
                "Events on branches that are not current",
                &["namespace"],
            ),
            replication_lost_bytes: counter(
                registry,
                "replication_lost_bytes",
                "Bytes of events on branches that are not current",
                &["namespace"],
            ),
            replication_reapplied: counter(
                registry,
                "replication_reapplied",
                "Inputs of losing branches, by what became of them",
                &["namespace", "outcome"],
            ),
            sharditem_acquisition_lost_count: {
                let help = "Shards that had to be taken over again";
                registered(registry, IntCounter::new("sharditem_acquisition_lost_count", help).expect(CONSTANT))
            },
            namespace_promotions: {
                let help = "Namespaces that became active here";
                registered(registry, IntCounter::new("namespace_promotions", help).expect(CONSTANT))
            },
            handover_pause_seconds: times(
                registry,
                "handover_pause_seconds",
                "How long writes were held back while a namespace was handed over",
                &["namespace", "to_cluster"],
            ),
            handovers: counter(
                registry,
                "handovers",
                "Handovers by how they ended",
                &["namespace", "to_cluster", "outcome"],
            ),
            build_information: gauge(registry, "build_information", "Which program this is", &["build_version"]),
        }
    }
}

/// Times, in seconds.
pub(crate) fn times(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let opts = HistogramOpts::new(name, help).buckets(LATENCIES.to_vec());
    registered(registry, HistogramVec::new(opts, labels).expect(CONSTANT))
}

/// Something that is counted.
pub(crate) fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels).expect(CONSTANT))
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels).expect(CONSTANT))
}

fn plain(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help).expect(CONSTANT))
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> C {
    registry.register(Box::new(family.clone())).expect(CONSTANT);
    family
}

const CONSTANT: &str = "names are constants, each used once";

/// Buckets of latencies in seconds: a local answer takes about a millisecond, a poll about a minute.
const LATENCIES: [f64; 16] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 70.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_dashboards_know() {
        let metrics = Metrics::new("a");
        metrics.begin(Service::Frontend, "StartWorkflowExecution", "default");
        metrics.end(
            Service::Frontend,
            "StartWorkflowExecution",
            "default",
            Code::InvalidArgument,
            Duration::from_millis(3),
        );
        let text = metrics.render();
        let lines = [
            "# TYPE service_requests counter",
            "service_requests{namespace=\"default\",operation=\"StartWorkflowExecution\",service_name=\"frontend\",\
             cluster=\"a\"} 1",
            "service_latency_bucket{namespace=\"default\",operation=\"StartWorkflowExecution\",\
             service_name=\"frontend\",cluster=\"a\",le=\"0.005\"} 1",
            "service_error_with_type{error_type=\"serviceerror_InvalidArgument\",namespace=\"default\",\
             operation=\"StartWorkflowExecution\",service_name=\"frontend\",cluster=\"a\"} 1",
            "pending_polls{cluster=\"a\"} 0",
        ];
        assert!(!text.contains("service_errors{"), "it is the caller's");
        for line in lines {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("_total"), "{text}");
    }

    #[test]
    fn clusters_of_one_process_count_apart() {
        let (a, b) = (Metrics::new("a"), Metrics::new("b"));
        a.families().pending_polls.set(3);
        assert!(b.render().contains("pending_polls{cluster=\"b\"} 0"));
    }
}
