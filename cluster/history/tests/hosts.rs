//! Two hosts over one store: shards go from one to the other.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt;
use history::{Claim, Ended, History, Occasion, Ports, TaskSink};
use metadata::{Metadata, Own};
use replicator::{
    entropy::Entropy,
    ids::{EventId, NamespaceId, RunId, RunKey, ShardId, WorkflowKey},
    namespace::{Carried, Namespace, NamespaceState, ReplicationState},
    shard::io::{Call, Dispatch, Failure, Reply, Request},
    stream::BacklogLimit,
    time::Timestamp,
    version::FailoverVersion,
};
use store::{Store, sqlite};
use tonic::transport::Endpoint;
use uuid::Uuid;

const SHARDS: u32 = 4;

#[tokio::test]
async fn a_shard_answers_where_it_is_held_and_nowhere_else() {
    let world = World::new().await;
    let (one, two) = (world.host(1, None), world.host(2, None));
    assert_eq!(ask(&one, "w").await, Err(Failure::Moved), "nobody has it yet");
    one.hold_all();
    check(ask(&one, "w").await, "not found");

    let (mine, rest) = split(&one, "w");
    one.hold(&rest);
    assert_eq!(one.held(), rest);
    one.released(&Vec::from_iter(mine.clone())).await;
    assert_eq!(ask(&one, "w").await, Err(Failure::Moved));
    two.hold(&mine);
    check(ask(&two, "w").await, "not found");

    // And back again, while the other has not let go: the range tells them apart.
    one.hold_all();
    check(ask(&one, "w").await, "not found");
}

#[tokio::test]
async fn who_waits_for_a_run_learns_that_its_shard_is_gone() {
    let world = World::new().await;
    let one = world.host(1, None);
    one.hold_all();
    let mut watch = one.watch(&run("w"));
    let mut other = one.watch(&run("w"));
    one.hold(&BTreeSet::new());
    assert_eq!((watch.changed().await, other.changed().await), (Err(Ended), Err(Ended)));
    one.hold_all();
    let mut fresh = one.watch(&run("w"));
    assert!(fresh.changed().now_or_never().is_none(), "a later watch begins anew");
}

#[tokio::test]
async fn a_shard_that_may_not_be_taken_is_not() {
    let world = World::new().await;
    let claim: Claim = Arc::new(|_, occasion| {
        assert_eq!(occasion, Occasion::Given);
        async { false }.boxed()
    });
    let one = world.host(1, Some(claim));
    one.hold_all();
    assert_eq!(ask(&one, "w").await, Err(Failure::Moved));
    one.released(&(1..=SHARDS).map(ShardId).collect::<Vec<_>>()).await;
    assert_eq!(one.held(), BTreeSet::new());
}

/// The shards of a workflow, and the others.
fn split(history: &History, workflow: &str) -> (BTreeSet<ShardId>, BTreeSet<ShardId>) {
    let shard = history.shard_of(&run(workflow).workflow);
    (1..=SHARDS).map(ShardId).partition(|other| *other == shard)
}

async fn ask(history: &History, workflow: &str) -> Reply {
    history.call(Request { workflow: run(workflow).workflow, run: None, call: Call::View }).await
}

#[track_caller]
fn check(reply: Reply, expected: &str) {
    let found = match reply {
        Err(Failure::NotFound(_)) => "not found".to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!(found, expected);
}

fn namespace_id() -> NamespaceId {
    NamespaceId::from_bytes([7; 16])
}

fn run(workflow: &str) -> RunKey {
    let workflow = WorkflowKey { namespace: namespace_id(), workflow: workflow.into() };
    RunKey { workflow, run: RunId(Uuid::from_bytes([9; 16])) }
}

/// A store, and what is known of clusters.
struct World {
    store: Arc<dyn Store>,
    metadata: Metadata,
}

impl World {
    async fn new() -> Self {
        let store = sqlite::open(&sqlite::Location::Memory, &spawner()).await.expect("memory opens");
        let store: Arc<dyn Store> = Arc::new(store);
        let ports = metadata::Ports {
            store: store.clone(),
            clock: Arc::new(now),
            spawn: spawner(),
            dial: Arc::new(|_| Endpoint::from_static("http://nobody.invalid:1").connect_lazy()),
            seed: 1,
            tell: None,
        };
        let own = Own {
            name: "a".into(),
            cluster_id: Entropy::new(1).uuid(),
            shard_count: SHARDS,
            address: "a:1".into(),
            http_address: String::new(),
            failover_version_increment: 10,
            initial_failover_version: 1,
            global_namespaces: false,
            is_master: true,
        };
        let metadata = Metadata::open(ports, own).await.expect("metadata opens");
        Self { store, metadata }
    }

    /// A host that holds nothing yet.
    fn host(&self, seed: u64, claim: Option<Claim>) -> History {
        let ports = Ports {
            store: self.store.clone(),
            clock: Arc::new(now),
            spawn: spawner(),
            seed,
            sink: Arc::new(Nobody),
            clusters: self.metadata.clusters().watch(),
            report: Arc::new(|_, _| {}),
            handover: Arc::new(|_, _, _| {}),
            refresh_namespace: Arc::new(|_, _| {}),
            backlog_limit: BacklogLimit::default(),
            run_limits: Default::default(),
            claim,
        };
        let history = History::new(SHARDS, ports);
        history.put_namespace(&namespace());
        history
    }
}

/// No worker.
struct Nobody;

impl TaskSink for Nobody {
    fn offer(&self, _: Dispatch) {}

    fn withdraw(&self, _: RunKey, _: EventId) {}
}

fn namespace() -> Namespace {
    Namespace {
        resumed_in: None,
        id: namespace_id(),
        name: "n".into(),
        state: NamespaceState::Registered,
        description: String::new(),
        owner_email: String::new(),
        data: BTreeMap::new(),
        retention: Duration::from_secs(86_400),
        carried: Carried::default(),
        is_global: false,
        active: "a".into(),
        clusters: vec!["a".into()],
        replication_state: ReplicationState::Normal,
        config_version: 0,
        failover_version: FailoverVersion(1),
        failover_history: Vec::new(),
    }
}

fn spawner() -> store::Spawner {
    Arc::new(|task| drop(tokio::spawn(task)))
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}
