//! Namespaces: registering, describing, updating, deprecating.

use serde_json::{Value, json};

use tests::request::{self, merged};

use crate::{compare::compare, side::Side};

fn register(side: &Side, name: &str, fields: Value) -> Value {
    let good = json!({
        "namespace": side.id(name), "workflowExecutionRetentionPeriod": "86400s", "description": "described",
        "ownerEmail": "owner@example.com", "data": {"key": "value"},
    });
    merged(good, fields)
}

/// The settings of a namespace that both servers have; Meridian's are those of one cluster among others.
async fn describe(side: &mut Side, name: &str) {
    let request = json!({"namespace": side.id(name)});
    let description = side.quietly("DescribeNamespace", request).await;
    let info = &description["namespaceInfo"];
    let told = json!({
        "name": info["name"], "state": info["state"], "description": info["description"], "owner": info["ownerEmail"],
        "data": info["data"], "retention": description["config"]["workflowExecutionRetentionTtl"],
        "global": description["isGlobalNamespace"],
    });
    side.note(&format!("describe {name}"), told);
}

#[test]
fn from_registration_to_deprecation() {
    compare("life of a namespace", async |side| {
        side.call("RegisterNamespace", register(side, "one", json!({}))).await;
        side.call("RegisterNamespace", register(side, "one", json!({}))).await;
        describe(side, "one").await;
        for update in [
            json!({"updateInfo": {"description": "other", "ownerEmail": "other@example.com", "data": {"more": "yes"}}}),
            json!({"config": {"workflowExecutionRetentionTtl": "172800s"}}),
            json!({}),
        ] {
            let request = merged(json!({"namespace": side.id("one")}), update);
            side.quietly("UpdateNamespace", request).await;
            describe(side, "one").await;
        }
        side.call("DeprecateNamespace", json!({"namespace": side.id("one")})).await;
        describe(side, "one").await;
    });
}

#[test]
fn deprecated_ones_start_nothing() {
    compare("deprecated namespace", async |side| {
        side.quietly("RegisterNamespace", register(side, "old", json!({}))).await;
        side.quietly("DeprecateNamespace", json!({"namespace": side.id("old")})).await;
        let request = merged(request::start("refused", "queue"), json!({"namespace": side.id("old")}));
        // The real server's frontend learns of it a little later.
        side.until_refused("StartWorkflowExecution", request, "NamespaceInvalidStateFailure").await;
    });
}

#[test]
fn refused() {
    compare("bad namespaces", async |side| {
        for (what, fields) in [
            ("no name", json!({"namespace": ""})),
            ("long name", json!({"namespace": "x".repeat(1_001)})),
            ("no retention", json!({"workflowExecutionRetentionPeriod": null})),
            ("zero retention", json!({"workflowExecutionRetentionPeriod": "0s"})),
            ("negative retention", json!({"workflowExecutionRetentionPeriod": "-86400s"})),
            ("short retention", json!({"workflowExecutionRetentionPeriod": "60s"})),
            (
                "short retention, global",
                json!({"workflowExecutionRetentionPeriod": "7200s", "isGlobalNamespace": true}),
            ),
            ("unknown cluster", json!({"activeClusterName": "nowhere", "clusters": [{"clusterName": "nowhere"}]})),
            ("active elsewhere", json!({"isGlobalNamespace": true, "activeClusterName": "nowhere"})),
        ] {
            side.step(what, "RegisterNamespace", register(side, what, fields)).await;
        }
        for (what, request) in [
            ("describe nothing", json!({})),
            ("describe unknown", json!({"namespace": "nowhere"})),
            ("describe by unknown id", json!({"id": "11111111-2222-3333-4444-555555555555"})),
            ("describe both ways", json!({"namespace": "default", "id": "11111111-2222-3333-4444-555555555555"})),
        ] {
            side.step(what, "DescribeNamespace", request).await;
        }
        for (what, fields) in [
            ("update nothing", json!({"namespace": ""})),
            ("update unknown", json!({"namespace": "nowhere"})),
            ("bad state", json!({"updateInfo": {"state": "NAMESPACE_STATE_REGISTERED"}})),
            ("short retention", json!({"config": {"workflowExecutionRetentionTtl": "60s"}})),
            ("negative retention", json!({"config": {"workflowExecutionRetentionTtl": "-60s"}})),
            ("unknown active cluster", json!({"replicationConfig": {"activeClusterName": "nowhere"}})),
            ("unknown cluster", json!({"replicationConfig": {"clusters": [{"clusterName": "nowhere"}]}})),
            ("bad binary to delete", json!({"deleteBadBinary": "nothing"})),
        ] {
            let name = side.id("updated");
            // Meets the same namespace every time; the first registers it.
            let _ = side.quietly_or_not("RegisterNamespace", register(side, "updated", json!({}))).await;
            side.step(what, "UpdateNamespace", merged(json!({"namespace": name}), fields)).await;
        }
        side.step("deprecate nothing", "DeprecateNamespace", json!({})).await;
        side.step("deprecate unknown", "DeprecateNamespace", json!({"namespace": "nowhere"})).await;
    });
}

#[test]
fn listed() {
    compare("list of namespaces", async |side| {
        let names = ["first", "second"].map(|name| side.id(name));
        for name in ["first", "second"] {
            side.quietly("RegisterNamespace", register(side, name, json!({}))).await;
        }
        let (mut found, mut token) = (Vec::new(), json!(""));
        loop {
            let page = side.quietly("ListNamespaces", json!({"pageSize": 1, "nextPageToken": token})).await;
            let listed = page["namespaces"].as_array().cloned().unwrap_or_default();
            found.extend(listed.into_iter().map(|it| it["namespaceInfo"]["name"].clone()));
            token = page["nextPageToken"].clone();
            if token.is_null() {
                break;
            }
        }
        found.retain(|name| names.iter().any(|known| name == known));
        found.sort_by_key(Value::to_string);
        side.note("found", found.into());
    });
}

#[test]
fn search_attributes() {
    compare("search attributes", async |side| {
        side.call("GetSearchAttributes", json!({})).await;
        side.call("ListSearchAttributes", json!({"namespace": ""})).await;
        side.call("ListSearchAttributes", json!({"namespace": "nowhere"})).await;
        let listed = side.quietly("ListSearchAttributes", json!({"namespace": "default"})).await;
        side.note("system attributes", listed["systemAttributes"].clone());
    });
}
