//! Limits are those of the cluster that decides.

use std::{collections::BTreeMap, string::ToString, sync::Arc};

use super::world::{A, B, World};
use crate::{
    shard::io::{Failure, Report},
    workflow::limits::{HistoryLimit, Limits, RunLimits},
};

/// A cluster that follows takes in what it would not let a run do itself. When it decides, the next change ends the run.
#[test]
fn a_standby_follows_beyond_its_own_limits() {
    let mut world = World::new(2);
    let run = world.start(A, 0);
    limit(&mut world, B, 2);
    ["one", "two", "three"].into_iter().for_each(|name| world.signal(A, name));
    world.deliver_all();
    world.agree();
    assert!(world.state(B, run).is_open());

    world.failover(B, &[A, B]);
    world.deliver_all();
    let refusal = world.try_signal(B, None, "four").expect_err("the run has too many events");
    assert_eq!(refusal, Failure::InvalidArgument("Workflow history count exceeds limit.".to_string()));
    let told = world.clusters[B].reports.iter().filter(|report| matches!(report, Report::Outgrown { .. }));
    assert_eq!(told.count(), 1);
    world.deliver_all();
    world.agree();
    assert!(!world.state(A, run).is_open(), "peers are told of the end like of any other");
}

#[test]
fn a_namespace_may_have_limits_of_its_own() {
    let few = limits(2);
    let by_namespace = BTreeMap::from([("small".to_string(), few)]);
    let limits = Limits { usual: RunLimits::default(), by_namespace };
    assert_eq!((limits.of("small"), limits.of("other")), (&few, &RunLimits::default()));
}

fn limit(world: &mut World, cluster: usize, events: i64) {
    let limits = Limits { usual: limits(events), ..Limits::default() };
    world.clusters[cluster].shard.limit_runs(Arc::new(limits));
}

fn limits(events: i64) -> RunLimits {
    let usual = RunLimits::default();
    RunLimits { history_count: HistoryLimit { most: events, ..usual.history_count }, ..usual }
}
