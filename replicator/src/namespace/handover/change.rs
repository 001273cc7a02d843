//! What a handover writes. Each is judged by the record as it is when it is written, for others may have been first.

use alloc::format;

use proto::temporal::server::api::enums::v1::NamespaceOperation;

use crate::{
    namespace::{
        Change, Federation, Namespace, NamespaceState, Pause, ReplicationState,
        refusal::{Refusal, invalid},
    },
    time::Timestamp,
    version::{ClusterName, FailoverVersion},
};

/// Hold writes back until `until`, for `to` to take over. Peers are not told: it is this cluster's affair (NS-47).
///
/// # Errors
///
/// When the namespace is not active here under `version`, or cannot be moved.
pub fn stop(
    old: &Namespace,
    to: &ClusterName,
    version: FailoverVersion,
    until: Timestamp,
    federation: &Federation,
) -> Result<Change, Refusal> {
    check(old, to, federation)?;
    expect(old, version)?;
    let pause = Pause { to: Some(to.clone()), until };
    let namespace = Namespace { replication_state: ReplicationState::Handover(pause), ..old.clone() };
    Ok(Change { namespace, publish: None })
}

/// Let `to` be the active cluster.
///
/// # Errors
///
/// When it is too late, writes are not held back for it any more, or it cannot take over.
pub fn switch(
    old: &Namespace,
    to: &ClusterName,
    version: FailoverVersion,
    now: Timestamp,
    before: Timestamp,
    federation: &Federation,
) -> Result<Change, Refusal> {
    check(old, to, federation)?;
    expect(old, version)?;
    if old.replication_state.pause().and_then(|pause| pause.to.as_ref()) != Some(to) {
        return invalid("writes are not held back any more");
    }
    if before <= now {
        return invalid("it took too long");
    }
    Ok(moved(old, to, now, federation))
}

/// Take writes again, if they are held back.
#[must_use]
pub fn release(old: &Namespace) -> Change {
    let namespace = Namespace { replication_state: ReplicationState::Normal, ..old.clone() };
    Change { namespace, publish: None }
}

/// Be active again, because the cluster that was to be has not confirmed that it is, under `version`.
///
/// # Errors
///
/// When somebody else failed over meanwhile.
pub fn take_back(
    old: &Namespace,
    version: FailoverVersion,
    now: Timestamp,
    federation: &Federation,
) -> Result<Change, Refusal> {
    expect(old, version)?;
    Ok(moved(old, federation.topology.current(), now, federation))
}

/// Whether a namespace can be handed over to `to`, by this cluster.
///
/// # Errors
///
/// When not, and why.
pub fn check(namespace: &Namespace, to: &ClusterName, federation: &Federation) -> Result<(), Refusal> {
    let name = &namespace.name;
    if !namespace.is_global {
        return invalid(format!("namespace {name} is local to its cluster and cannot be moved"));
    }
    if namespace.state == NamespaceState::Deleted {
        return invalid(format!("namespace {name} is being deleted"));
    }
    if namespace.active == *to {
        return invalid(format!("namespace {name} is active in {to} already"));
    }
    if !namespace.is_active_in(federation.topology.current()) {
        return invalid(format!("namespace {name} is active in {}, which alone can hand it over", namespace.active));
    }
    if !namespace.is_on(to) {
        return invalid(format!("namespace {name} is not in cluster {to}"));
    }
    if federation.topology.id_of(to).is_none() || federation.disconnected.contains(to) {
        return invalid(format!("cluster {to} is not known here, or not connected"));
    }
    Ok(())
}

fn expect(namespace: &Namespace, version: FailoverVersion) -> Result<(), Refusal> {
    if namespace.failover_version == version {
        return Ok(());
    }
    let (active, now) = (&namespace.active, namespace.failover_version);
    invalid(format!("it was failed over meanwhile, to {active} under version {now}"))
}

fn moved(old: &Namespace, to: &ClusterName, now: Timestamp, federation: &Federation) -> Change {
    let version = federation.topology.next_version(to, old.failover_version).expect("a known cluster");
    let mut namespace = Namespace {
        active: to.clone(),
        replication_state: ReplicationState::Normal,
        failover_version: version,
        ..old.clone()
    };
    namespace.remember_failover(now);
    Change { namespace, publish: Some(NamespaceOperation::Update) }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use super::*;
    use crate::namespace::tests::{abc, at, global, id, summary};

    const V1: FailoverVersion = FailoverVersion(1);

    fn stopped() -> Namespace {
        stop(&global(&["a", "b"], 1), &"b".into(), V1, at(20), &abc()).unwrap().namespace
    }

    #[test]
    fn what_each_step_writes() {
        let old = global(&["a", "b"], 1);
        check(
            stop(&old, &"b".into(), V1, at(20), &abc()),
            Ok("paused for b until 20s, global, active a of a b, version 1"),
        );
        let moved = "global, active b of a b, version 2 (9s: 2), told";
        check(switch(&stopped(), &"b".into(), V1, at(9), at(10), &abc()), Ok(moved));
        check(Ok(release(&stopped())), Ok("global, active a of a b, version 1"));
        let moved = switch(&stopped(), &"b".into(), V1, at(9), at(10), &abc()).unwrap().namespace;
        let back = "global, active a of a b, version 11 (9s: 2, 11s: 11), told";
        check(take_back(&moved, FailoverVersion(2), at(11), &abc()), Ok(back));
    }

    #[test]
    fn what_cannot_be_handed_over() {
        let stop = |old: &Namespace, to: &str| stop(old, &to.into(), V1, at(20), &abc());
        let local = Namespace::local(id(1), "n", "a".into(), core::time::Duration::from_secs(1));
        check(stop(&local, "b"), Err("namespace n is local to its cluster and cannot be moved"));
        check(stop(&global(&["a", "b"], 1), "a"), Err("namespace n is active in a already"));
        check(stop(&global(&["b", "a"], 2), "c"), Err("namespace n is active in b, which alone can hand it over"));
        check(stop(&global(&["a"], 1), "b"), Err("namespace n is not in cluster b"));
        check(stop(&global(&["a", "c"], 1), "c"), Err("cluster c is not known here, or not connected"));
        let later = "it was failed over meanwhile, to a under version 11";
        check(stop(&global(&["a", "b"], 11), "b"), Err(later));
    }

    #[test]
    fn a_switch_comes_in_time_and_to_whom_writes_wait_for_or_not_at_all() {
        let switch = |old: &Namespace, now, before| switch(old, &"b".into(), V1, at(now), at(before), &abc());
        check(switch(&global(&["a", "b"], 1), 9, 10), Err("writes are not held back any more"));
        check(switch(&stopped(), 10, 10), Err("it took too long"));
    }

    #[track_caller]
    fn check(found: Result<Change, Refusal>, expected: Result<&str, &str>) {
        let found = found.map(|change| summary(&change)).map_err(|refusal| refusal.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }
}
