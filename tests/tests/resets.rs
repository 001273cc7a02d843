//! A workflow is reset and deleted while clusters follow each other: the same bytes on both sides, which the SDK replays.

use serde_json::{Value, json};
use tests::{
    cli,
    raw::Client,
    sdk::{Language, Sdk},
    server::Server,
    wait,
};

/// Two clusters, and Python with a worker on each.
struct World {
    server: Server,
    sdk: Sdk,
}

impl World {
    fn new(name: &str) -> Self {
        let world = Self { server: Server::meridian(name, 2, &[]), sdk: Sdk::start(Language::Python) };
        for (name, cluster) in [("a", 0), ("b", 1)] {
            world.sdk.work(name, world.server.address(cluster), "queue");
        }
        world
    }

    /// What a cluster itself has of a workflow's current run, or nothing.
    fn stored(&self, cluster: usize, id: &str) -> Option<(bytes::Bytes, Vec<Value>)> {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let client = Client::connect(self.server.address(cluster)).await.expect("connect").without_redirection();
            let request = json!({"namespace": "default", "execution": {"workflowId": id}});
            let bytes = client.call_for_bytes("GetWorkflowExecutionHistory", request.clone()).await.ok()?;
            let page = client.call("GetWorkflowExecutionHistory", request).await.ok()?;
            Some((bytes, page["history"]["events"].as_array().cloned().unwrap_or_default()))
        })
    }

    /// Both clusters come to hold the same history, with so many events of a type; its versions, each once.
    fn same(&self, id: &str, kind: &str, count: usize) -> Vec<Value> {
        let kind = format!("EVENT_TYPE_{kind}");
        wait::until(&format!("{count} {kind} of {id} on both sides"), || {
            let [a, b] = [0, 1].map(|cluster| self.stored(cluster, id));
            let has = |events: &[Value]| events.iter().filter(|event| event["eventType"] == kind.as_str()).count();
            match (a, b) {
                (Some(a), Some(b)) if a.0 == b.0 && has(&a.1) == count => {
                    let mut versions: Vec<_> = a.1.iter().map(|event| event["version"].clone()).collect();
                    versions.dedup();
                    Ok(versions)
                }
                (a, b) => Err(format!("{:?}", [a, b].map(|side| side.map(|side| side.1.len())))),
            }
        })
    }

    fn replays(&self, id: &str) {
        for cluster in [0, 1] {
            let replay = json!({"address": self.server.address(cluster), "id": id});
            assert_eq!(self.sdk.ask("replay", replay), Ok(Value::Null), "cluster {cluster}");
        }
    }
}

#[test]
fn a_run_made_by_a_reset_goes_on_in_the_other_cluster() {
    let world = World::new("reset");
    let (a, b) = (world.server.address(0), world.server.address(1));
    let run = world.sdk.run(a, "queue", "counter", "Counter", json!([]));
    run.signal("add", json!([1]));
    run.until("total", &json!(1));
    run.signal("add", json!([10]));
    run.until("total", &json!(11));

    // Asked of the cluster that is not active; it passes the call on.
    let made = run.at(b).ask("reset", json!({"event": 4})).expect("reset");
    run.until("total", &json!(11));
    world.same("counter", "WORKFLOW_EXECUTION_SIGNALED", 2);
    world.replays("counter");

    let _ = cli::meridian(&["failover", "default", "--to", "b", "--address", a]).ok();
    run.at(b).signal("add", json!([100]));
    run.at(b).until("total", &json!(111));
    run.at(b).signal("finish", json!([]));
    assert_eq!(run.at(b).result(), json!(111));
    assert_eq!(world.same("counter", "WORKFLOW_EXECUTION_COMPLETED", 1), [json!("1"), json!("2")]);
    world.replays("counter");

    // A run that is over runs again from its last workflow task, in the cluster that is active now.
    let again = run.ask("reset", json!({"event": 4})).expect("reset");
    assert_ne!(made, again);
    assert_eq!(run.result(), json!(111));
    world.same("counter", "WORKFLOW_EXECUTION_COMPLETED", 1);
    world.replays("counter");

    let _ = cli::temporal(b, &["workflow", "delete", "--yes", "--workflow-id", "counter"]).ok();
    wait::until("both clusters to have removed it", || {
        let left = [0, 1].map(|cluster| world.stored(cluster, "counter").is_some());
        if left == [false, false] { Ok(()) } else { Err(left) }
    });
    // The base and the first reset are left.
    let left = json!({"address": b, "query": "WorkflowType = \"Counter\""});
    wait::until_eq(&Ok(json!(2)), || world.sdk.ask("count", left.clone()));
}
