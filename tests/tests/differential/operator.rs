//! What the cluster says of itself, and remote clusters.

use serde_json::{Value, json};

use crate::compare::compare;

#[test]
fn system() {
    compare("system", async |side| {
        let info = side.quietly("GetClusterInfo", json!({})).await;
        let fields = info.as_object().into_iter().flat_map(|fields| fields.keys().cloned().map(Value::from));
        side.note("fields of GetClusterInfo", fields.collect::<Vec<_>>().into());
        let clusters = side.quietly("ListClusters", json!({})).await;
        let connected = clusters["clusters"].as_array().map_or(0, Vec::len);
        side.note("clusters", connected.into());
    });
}

#[test]
fn remote_clusters_refused() {
    compare("bad remote clusters", async |side| {
        for (what, request) in [
            ("no address", json!({})),
            ("nobody there", json!({"frontendAddress": "127.0.0.1:1", "enableRemoteClusterConnection": true})),
        ] {
            side.step(what, "AddOrUpdateRemoteCluster", request).await;
        }
        side.step("no name", "RemoveRemoteCluster", json!({})).await;
        side.step("unknown", "RemoveRemoteCluster", json!({"clusterName": "nowhere"})).await;
    });
}
