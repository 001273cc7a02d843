//! What a cluster makes of what a peer tells about a namespace (NS-36 to NS-42).
//!
//! A task is the whole record as it was at the peer. Two parts of it are merged, each by its own order, and of each part
//! the greater one stays: settings by the config version, the active cluster by the failover version. Both orders are
//! total, so clusters that heard the same agree, whatever came twice, late or never alone:
//!
//! ```text
//!   settings   (config version,   then the settings themselves)
//!   failover   (failover version, then the history of failovers)
//! ```
//!
//! Where Temporal stops at the version (NS-40), two clusters that changed settings at the same time would differ for ever.

use alloc::{format, vec::Vec};
use core::{cmp::Ordering, time::Duration};

use prost::Message;
use proto::temporal::server::api::{enums::v1::NamespaceOperation, replication::v1::NamespaceTaskAttributes};

use super::{
    Namespace, NamespaceState, ReplicationState,
    federation::distinct,
    refusal::{Refusal, invalid},
    replication::{parse_carried, parse_failover_history},
    stored,
};
use crate::{
    defects::{Defect, planted},
    ids::NamespaceId,
    version::{ClusterName, FailoverVersion},
};

/// What is known under the id and under the name that a task speaks of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The namespace with the task's id.
    pub by_id: Option<&'a Namespace>,
    /// The namespace with the task's name.
    pub by_name: Option<&'a Namespace>,
}

/// The record that `here` keeps after it heard `task`, or `None` when that changes nothing.
///
/// # Errors
///
/// When the task is malformed, or its name or id belongs to another namespace here. It stays so: trying again is of no
/// use until a person has acted.
pub fn merge(
    known: Known<'_>,
    task: &NamespaceTaskAttributes,
    here: &ClusterName,
) -> Result<Option<Namespace>, Refusal> {
    let told = parse(task)?;
    match known {
        Known { by_id: None, by_name: None } => {
            // A namespace of other clusters only. What exists is always merged: so a cluster learns that it was removed.
            Ok(told.is_on(here).then_some(told))
        }
        Known { by_id: Some(old), by_name: Some(same) } if old.id == same.id => {
            let new = greater(old, told);
            Ok((new != *old).then_some(new))
        }
        _ => invalid("namespace replication encountered name / UUID collision"),
    }
}

/// Of each part the greater one.
fn greater(old: &Namespace, told: Namespace) -> Namespace {
    let mut new = old.clone();
    if order_of_settings(old, &told) == Ordering::Less {
        // What is being removed here stays so: that is never told (NS-27), and the peer does not know.
        new.state = if old.state == NamespaceState::Deleted { old.state } else { told.state };
        new.description = told.description;
        new.owner_email = told.owner_email;
        new.data = told.data;
        new.retention = told.retention;
        new.carried = told.carried;
        new.clusters = told.clusters;
        new.config_version = told.config_version;
    }
    if old.failover_version < told.failover_version && !planted(Defect::FailoverIsNotBelieved) {
        new.is_global = true;
        new.active = told.active;
        new.replication_state = told.replication_state;
        new.failover_version = told.failover_version;
        new.failover_history = told.failover_history;
    } else if old.failover_version == told.failover_version && old.failover_history < told.failover_history {
        // Two clusters failed over to the same third one; they agree on all but when.
        new.failover_history = told.failover_history;
    }
    new
}

/// Which settings stay. Equal versions are settled by content, which every cluster reads alike.
fn order_of_settings(old: &Namespace, told: &Namespace) -> Ordering {
    let content = |namespace: &Namespace| stored::settings(namespace).encode_to_vec();
    old.config_version.cmp(&told.config_version).then_with(|| content(old).cmp(&content(told)))
}

/// The record that a task holds.
fn parse(task: &NamespaceTaskAttributes) -> Result<Namespace, Refusal> {
    let (Some(info), Some(config), Some(replication)) = (&task.info, &task.config, &task.replication_config) else {
        let missing = match (&task.info, &task.config) {
            (None, _) => "info",
            (_, None) => "config",
            _ => "replication config",
        };
        return malformed(missing);
    };
    let Ok(id) = NamespaceId::parse(&task.id) else { return malformed("ID") };
    if info.name.is_empty() {
        return malformed("info");
    }
    if matches!(task.namespace_operation(), NamespaceOperation::Unspecified) {
        return malformed("operation");
    }
    let state = match NamespaceState::from_wire(info.state) {
        Some(state @ (NamespaceState::Registered | NamespaceState::Deprecated)) => state,
        _ => return malformed("state"),
    };
    if task.config_version < 0 {
        return malformed("config version");
    }
    if task.failover_version <= FailoverVersion::EMPTY.0 {
        return malformed("failover version");
    }
    let retention = crate::time::duration(config.workflow_execution_retention_ttl.as_ref());
    if retention == Duration::ZERO {
        // Taken at its word it would delete every closed run at once.
        return malformed("config");
    }
    let clusters: Vec<ClusterName> = distinct(replication.clusters.iter().map(|c| c.cluster_name.as_str()));
    if replication.active_cluster_name.is_empty() || clusters.is_empty() {
        return malformed("replication config");
    }
    Ok(Namespace {
        id,
        name: info.name.clone(),
        state,
        description: info.description.clone(),
        owner_email: info.owner_email.clone(),
        data: info.data.clone(),
        retention,
        carried: parse_carried(config),
        is_global: true,
        active: ClusterName::from(replication.active_cluster_name.as_str()),
        clusters,
        replication_state: ReplicationState::Normal,
        config_version: task.config_version,
        failover_version: FailoverVersion(task.failover_version),
        failover_history: parse_failover_history(&task.failover_history),
        resumed_in: None,
    })
}

fn malformed<T>(attribute: &str) -> Result<T, Refusal> {
    invalid(format!("invalid namespace {attribute} attribute"))
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use proptest::prelude::*;
    use proto::temporal::{
        api::workflowservice::v1::UpdateNamespaceRequest, server::api::replication::v1::replication_task::Attributes,
    };

    use super::*;
    use crate::{
        namespace::{
            Change, Federation,
            replication::task,
            tests::{abc, at, cluster_list, global, id, summary},
            update::update,
        },
        time::Timestamp,
        version::Topology,
    };

    #[test]
    fn a_cluster_takes_what_lists_it() {
        check("listed", None, &global(&["a", "b"], 1), Ok("global, active a of a b, version 1"));
        check("not listed", None, &global(&["a", "c"], 1), Ok("nothing"));
        let removed = told(&global(&["a", "b"], 1), |n| {
            n.clusters.pop();
            n.config_version = 1;
        });
        check(
            "no longer listed",
            Some(&global(&["a", "b"], 1)),
            &removed,
            Ok("global, active a of a, config 1, version 1"),
        );
    }

    #[test]
    fn each_part_goes_by_its_own_version() {
        let here = told(&global(&["a", "b"], 2), |n| {
            n.active = "b".into();
            n.config_version = 3;
        });
        let same = here.clone();
        check("nothing new", Some(&here), &same, Ok("nothing"));
        let old = global(&["a", "b"], 1);
        check("all older", Some(&here), &old, Ok("nothing"));
        let failover = told(&here, |n| {
            n.active = "a".into();
            n.failover_version = FailoverVersion(11);
            n.config_version = 1;
            n.description = "older".into();
        });
        check("newer failover", Some(&here), &failover, Ok("global, active a of a b, config 3, version 11"));
        let settings = told(&global(&["a", "b", "c"], 1), |n| n.config_version = 4);
        check("newer settings", Some(&here), &settings, Ok("global, active b of a b c, config 4, version 2"));
    }

    #[test]
    fn a_cluster_that_takes_over_stays_a_member() {
        // `a` removes `b` while `b` takes over.
        let here = told(&global(&["a", "b"], 2), |n| n.active = "b".into());
        let removal = told(&global(&["a"], 1), |n| n.config_version = 1);
        let merged = merge(Known { by_id: Some(&here), by_name: Some(&here) }, &attributes(&removal), &"b".into());
        let merged = merged.unwrap().unwrap();
        assert_eq!(merged.clusters, ["a".into()]);
        assert!(merged.is_replicated() && merged.is_on(&"b".into()), "or what it writes would reach nobody");
    }

    #[test]
    fn what_is_deleted_here_stays_deleted() {
        let here = told(&global(&["a", "b"], 1), |n| n.state = NamespaceState::Deleted);
        let edit = told(&global(&["a", "b"], 1), |n| n.config_version = 5);
        check("an edit elsewhere", Some(&here), &edit, Ok("Deleted, global, active a of a b, config 5, version 1"));
    }

    #[test]
    fn names_and_ids_that_do_not_belong_together() {
        let told = global(&["a", "b"], 1);
        let other_id = Namespace { id: id(2), ..told.clone() };
        let other_name = Namespace { name: "m".into(), ..told.clone() };
        for known in [
            Known { by_id: None, by_name: Some(&other_id) },
            Known { by_id: Some(&other_name), by_name: None },
            Known { by_id: Some(&other_name), by_name: Some(&other_id) },
        ] {
            let refusal = merge(known, &attributes(&told), &"b".into()).unwrap_err();
            assert_eq!(refusal.to_string(), "namespace replication encountered name / UUID collision");
        }
    }

    #[test]
    fn malformed_tasks_are_refused_by_name() {
        type Edit = fn(&mut NamespaceTaskAttributes);
        let cases: [(&str, Edit); 14] = [
            ("ID", |t| t.id.clear()),
            ("ID", |t| t.id = "no uuid".into()),
            ("info", |t| t.info = None),
            ("info", |t| t.info.as_mut().unwrap().name.clear()),
            ("config", |t| t.config = None),
            ("config", |t| t.config.as_mut().unwrap().workflow_execution_retention_ttl = None),
            ("replication config", |t| t.replication_config = None),
            ("replication config", |t| t.replication_config.as_mut().unwrap().active_cluster_name.clear()),
            ("replication config", |t| t.replication_config.as_mut().unwrap().clusters.clear()),
            ("operation", |t| t.namespace_operation = 0),
            ("operation", |t| t.namespace_operation = 7),
            ("state", |t| t.info.as_mut().unwrap().state = 3),
            ("failover version", |t| t.failover_version = 0),
            ("config version", |t| t.config_version = -1),
        ];
        for (attribute, edit) in cases {
            let mut task = attributes(&global(&["a", "b"], 1));
            edit(&mut task);
            let refusal = merge(Known::default(), &task, &"b".into()).unwrap_err();
            assert_eq!(refusal.to_string(), format!("invalid namespace {attribute} attribute"));
        }
    }

    /// Something that happens among the clusters `a`, `b` and `c`.
    #[derive(Clone, Debug)]
    enum Step {
        /// Somebody changes a setting at a cluster.
        Edit(usize, String),
        /// Somebody fails over, at one cluster, to another.
        Failover(usize, usize),
        /// Somebody changes the list of clusters.
        List(usize, bool),
        /// A cluster hears something that another told once, however long ago.
        Hear { by: usize, from: usize, which: prop::sample::Index },
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3usize, "[a-z]{1,2}").prop_map(|(at, text)| Step::Edit(at, text)),
            (0..3usize, 0..3usize).prop_map(|(at, to)| Step::Failover(at, to)),
            (0..3usize, any::<bool>()).prop_map(|(at, all)| Step::List(at, all)),
            (0..3usize, 0..3usize, any::<prop::sample::Index>()).prop_map(|(by, from, which)| Step::Hear {
                by,
                from,
                which
            }),
        ]
    }

    proptest! {
        /// Any interleaving, reordering and duplication of what three clusters tell each other, concurrent edits and
        /// failovers included, ends with equal records once each has heard everything.
        #[test]
        fn ct_14_clusters_that_heard_the_same_agree(
            steps in proptest::collection::vec(any_step(), 0..40),
            last in Just((0..200usize).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut world = World::new();
            for (now, step) in steps.into_iter().enumerate() {
                world.step(step, at(now as i64));
            }
            let told: Vec<_> = world.told.concat();
            for by in 0..3 {
                for index in last.iter().skip(by * 7).chain(&last).filter(|index| **index < told.len()) {
                    world.hear(by, &told[*index]);
                }
            }
            prop_assert_eq!(&world.records[0], &world.records[1]);
            prop_assert_eq!(&world.records[1], &world.records[2]);
        }
    }

    struct World {
        names: [ClusterName; 3],
        federations: Vec<Federation>,
        records: Vec<Namespace>,
        told: Vec<Vec<NamespaceTaskAttributes>>,
    }

    impl World {
        fn new() -> Self {
            let names = ["a", "b", "c"].map(ClusterName::from);
            let all = abc().topology;
            let seen_from = |name: &ClusterName| {
                let mut topology = Topology::new(10, name.clone(), all.id_of(name).unwrap()).unwrap();
                for (name, id) in all.clusters() {
                    topology.add(name.clone(), id).unwrap();
                }
                Federation::alone(topology)
            };
            Self {
                federations: names.iter().map(seen_from).collect(),
                names,
                records: alloc::vec![global(&["a", "b", "c"], 1); 3],
                told: alloc::vec![Vec::new(); 3],
            }
        }

        fn step(&mut self, step: Step, now: Timestamp) {
            let mut request = UpdateNamespaceRequest::default();
            let by = match step {
                Step::Edit(by, text) => {
                    request.update_info.get_or_insert_default().description = text;
                    by
                }
                Step::Failover(by, to) => {
                    request.replication_config.get_or_insert_default().active_cluster_name = self.names[to].to_string();
                    by
                }
                Step::List(by, all) => {
                    let clusters: &[&str] = if all { &["a", "b", "c"] } else { &["a", "b"] };
                    request.replication_config.get_or_insert_default().clusters = cluster_list(clusters);
                    by
                }
                Step::Hear { by, from, which } => {
                    if !self.told[from].is_empty() {
                        let task = which.get(&self.told[from]).clone();
                        self.hear(by, &task);
                    }
                    return;
                }
            };
            if let Ok(Change { namespace, publish }) = update(&self.records[by], &request, now, &self.federations[by]) {
                assert!(namespace.failover_version >= self.records[by].failover_version, "versions only grow");
                assert!(publish.is_some());
                self.told[by].push(attributes(&namespace));
                self.records[by] = namespace;
            }
        }

        fn hear(&mut self, by: usize, task: &NamespaceTaskAttributes) {
            let old = &self.records[by];
            let known = Known { by_id: Some(old), by_name: Some(old) };
            if let Some(new) = merge(known, task, &self.names[by]).unwrap() {
                assert!(new.failover_version >= old.failover_version, "versions only grow");
                self.records[by] = new;
            }
        }
    }

    /// What `b` makes of a task that tells of `told`, when it knows `old`.
    #[track_caller]
    fn check(title: &str, old: Option<&Namespace>, told: &Namespace, expected: Result<&str, &str>) {
        let found = merge(Known { by_id: old, by_name: old }, &attributes(told), &"b".into())
            .map(|new| new.map_or("nothing".into(), |namespace| summary(&Change { namespace, publish: None })))
            .map_err(|refusal| refusal.to_string());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{title}");
    }

    fn told(namespace: &Namespace, edit: impl FnOnce(&mut Namespace)) -> Namespace {
        let mut namespace = namespace.clone();
        edit(&mut namespace);
        namespace
    }

    fn attributes(namespace: &Namespace) -> NamespaceTaskAttributes {
        match task(namespace, NamespaceOperation::Update).attributes {
            Some(Attributes::NamespaceTaskAttributes(attributes)) => attributes,
            _ => unreachable!("it tells of a namespace"),
        }
    }
}
