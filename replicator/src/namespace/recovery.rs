//! Namespaces of a cluster whose store was brought back from a backup.
//!
//! Whoever restores a cluster has often failed its namespaces over before, and the backup does not know. So every other
//! cluster is asked first. A namespace that is active here after all goes on under a version far above all that this cluster
//! may have had since the backup: what is written under it cannot be taken for what is gone.

use proto::temporal::server::api::enums::v1::NamespaceOperation;

use super::{Change, Federation, Namespace};
use crate::{ids::Life, time::Timestamp};

/// Whether other clusters of a namespace have to be asked before this one goes on, in a life of the store that is not its
/// first.
#[must_use]
pub fn is_wanted(namespace: &Namespace, life: Life) -> bool {
    namespace.is_replicated() && life != Life::FIRST && namespace.resumed_in != Some(life)
}

/// Every other cluster was asked, in this life of the store: go on, under a new version if the namespace is active here.
/// Nothing when that is not wanted.
#[must_use]
pub fn resume(old: &Namespace, life: Life, now: Timestamp, federation: &Federation) -> Option<Change> {
    if !is_wanted(old, life) {
        return None;
    }
    let me = federation.topology.current();
    let mut namespace = super::handover::change::release(old).namespace;
    namespace.resumed_in = Some(life);
    if !old.is_active_in(me) {
        return Some(Change { namespace, publish: None });
    }
    namespace.failover_version = federation.topology.leap(me, old.failover_version)?;
    namespace.remember_failover(now);
    Some(Change { namespace, publish: Some(NamespaceOperation::Update) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::tests::{abc, at, global, summary};

    #[test]
    fn what_is_active_here_goes_on_far_above_what_is_forgotten() {
        check(&global(&["a", "b"], 11), 2, Some("global, active a of a b, version 10011 (9s: 10011), told"));
        check(&global(&["b", "a"], 12), 2, Some("global, active b of b a, version 12"));
    }

    #[test]
    fn it_is_resumed_once_in_each_life_but_the_first() {
        check(&global(&["a", "b"], 11), 1, None);
        let resumed = Namespace { resumed_in: Some(Life::counted(2)), ..global(&["a", "b"], 10_011) };
        check(&resumed, 2, None);
        check(&resumed, 3, Some("global, active a of a b, version 20011 (9s: 20011), told"));
    }

    #[track_caller]
    fn check(namespace: &Namespace, life: i64, expected: Option<&str>) {
        let resumed = resume(namespace, Life::counted(life), at(9), &abc()).map(|change| summary(&change));
        assert_eq!(resumed.as_deref(), expected);
    }
}
