//! Over the store that a cluster really has: what was answered is there after a restart, and so is what peers are told.

#![allow(clippy::disallowed_methods, reason = "a test brings its own world")]

mod world;

use std::{path::Path, sync::Arc, time::Duration};

use metadata::{
    Join, Metadata, Ports,
    service::{NamespaceCalls, Offer},
};
use proto::temporal::api::workflowservice::v1::UpdateNamespaceRequest;
use replicator::time::Timestamp;
use store::{
    Spawner, Store,
    sqlite::{self, Location},
};

use crate::world::{dial, own, registration, serve};

#[tokio::test]
async fn two_clusters_on_files_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (a, a_store) = open(folder.path(), "a", 1).await;
    let calls = NamespaceCalls::new(a.namespaces().clone(), Offer::default());
    {
        let (b, b_store) = open(folder.path(), "b", 2).await;
        let (a_address, b_address) = (serve(a.clone()).await.to_string(), serve(b.clone()).await.to_string());
        a.join(Join { address: b_address, connection: true, ..Default::default() }).await.unwrap();
        b.join(Join { address: a_address, connection: true, ..Default::default() }).await.unwrap();
        b.start();
        calls.register(registration("alpha", &["a", "b"])).await.unwrap();
        appeared(&b, "alpha").await;
        while a_store.published_acks().await.unwrap().get("b") != Some(&0) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        b.stop();
        b_store.close().await;
    }

    // While `b` is away.
    calls.register(registration("beta", &["b", "a"])).await.unwrap();
    let mut request = UpdateNamespaceRequest { namespace: "alpha".into(), ..Default::default() };
    request.replication_config.get_or_insert_default().active_cluster_name = "b".into();
    calls.update(request).await.unwrap();
    let told = a.namespaces().list();
    a.stop();
    a_store.close().await;

    let (a, a_store) = open(folder.path(), "a", 1).await;
    assert_eq!(a.namespaces().list(), told);
    assert_eq!(a_store.last_published().await.unwrap(), 2);
    let (b, _) = open(folder.path(), "b", 2).await;
    let address = serve(a.clone()).await.to_string();
    b.join(Join { address, connection: true, ..Default::default() }).await.unwrap();
    b.start();
    appeared(&b, "beta").await;
    let alpha = b.namespaces().get("alpha").unwrap();
    let alpha = if alpha.failover_version.0 == 2 { alpha } else { b.namespaces().changed(&alpha).await.unwrap() };
    assert_eq!((alpha.active.as_str(), alpha.failover_version.0), ("b", 2));
    assert_eq!(b.namespaces().list(), told);
}

async fn open(folder: &Path, name: &str, id: i64) -> (Metadata, Arc<dyn Store>) {
    let spawn: Spawner = Arc::new(|work| drop(tokio::spawn(work)));
    let location = Location::File(folder.join(name));
    let mut store = sqlite::open(&location, &spawn).await;
    for _ in 0..100 {
        if store.is_ok() {
            break;
        }
        // The one before lets go of the file in its own time.
        tokio::time::sleep(Duration::from_millis(20)).await;
        store = sqlite::open(&location, &spawn).await;
    }
    let store: Arc<dyn Store> = Arc::new(store.unwrap());
    let clock = Arc::new(|| Timestamp::from_millis(1_000));
    let ports = Ports { store: store.clone(), clock, spawn, dial: Arc::new(dial), seed: id as u64, tell: None };
    (Metadata::open(ports, own(name, id, "here:1")).await.unwrap(), store)
}

async fn appeared(cluster: &Metadata, name: &str) {
    let appeared = cluster.namespaces().appeared(name);
    tokio::time::timeout(Duration::from_secs(5), appeared).await.expect("within five seconds");
}
