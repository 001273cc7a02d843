//! Two clusters of several processes each, which replicate, and the namespace `default` that goes from one to the other.

use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::{apart::Apart, cli, load::Stubborn, pair, proxy::Proxy, wait};

/// The clusters `a` and `b`.
#[derive(Debug)]
pub struct Regions {
    /// Both.
    pub clusters: [Apart; 2],
    /// The ways to `a` and to `b`: to whichever of its frontends is there.
    pub links: [Proxy; 2],
}

/// A namespace has moved.
#[derive(Debug)]
pub struct Moved {
    /// For how long writes were held back, as the command says it that moved it; nothing when nobody could say.
    pub paused: Option<f64>,
    /// What commands before it said; what several said is there once.
    pub refusals: Vec<String>,
}

impl Regions {
    /// Start a process for each of these services in each cluster, and create the namespace, active in `a`.
    ///
    /// # Panics
    ///
    /// When something does not start.
    pub async fn start(name: &str, server: &scratch_postgres::Server, services: &[&'static str]) -> Self {
        let clusters =
            ["a", "b"].map(|cluster| Apart::start_as(cluster, &format!("{name}-{cluster}"), server, services));
        let links = clusters.each_ref().map(|cluster| Proxy::to_any(&cluster.addresses()));
        for (cluster, peer) in [(0, 1), (1, 0)] {
            pair::introduce(&clusters[cluster].addresses()[0], links[peer].address());
        }
        let request = json!({
            "namespace": "default",
            "workflowExecutionRetentionPeriod": "86400s",
            "isGlobalNamespace": true,
            "activeClusterName": "a",
            "clusters": [{"clusterName": "a"}, {"clusterName": "b"}],
        });
        let regions = Self { clusters, links };
        let mut a = Stubborn::new(regions.clusters[0].addresses());
        a.call("RegisterNamespace", request).await.expect("registered");
        for address in regions.clusters[1].addresses() {
            let mut b = Stubborn::new(vec![address]);
            wait::until_async("the namespace on b", async || {
                let described = b.call("DescribeNamespace", json!({"namespace": "default"})).await;
                described.map_err(|refusal| refusal.to_string())
            })
            .await;
        }
        regions
    }

    /// Where clients ask: frontends of both in turn.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let [a, b] = self.clusters.each_ref().map(Apart::addresses);
        a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect()
    }

    /// Wait until nothing stands in the way of a handover: every shard of the new side is where it stays, and hears the old
    /// one.
    ///
    /// # Panics
    ///
    /// When something does all the time.
    pub fn until_ready(&self, to: &str) {
        self.clusters[usize::from(to == "b")].until_settled();
        let address = &self.clusters[usize::from(to == "a")].addresses()[0];
        wait::until("nothing to be in the way", || {
            let plan = ["failover", "default", "--to", to, "--plan", "--address", address, "--output", "json"];
            let plan = cli::meridian(&plan);
            let planned: Value = serde_json::from_str(&plan.out).map_err(|_| plan.err)?;
            if planned["blockers"] == json!([]) { Ok(()) } else { Err(planned["blockers"].to_string()) }
        });
    }

    /// Hand the namespace over, asking one frontend after the other of the cluster that gives it away until it has moved.
    ///
    /// # Panics
    ///
    /// The thread: when it does not move.
    #[must_use]
    pub fn hand_over(&self, to: &'static str) -> JoinHandle<Moved> {
        let mut addresses = self.clusters[usize::from(to == "a")].addresses();
        thread::spawn(move || {
            let mut refusals = Vec::new();
            let paused = wait::until(&format!("the namespace to move to {to}"), || {
                addresses.rotate_left(1);
                let command = ["failover", "default", "--to", to, "--address", &addresses[0], "--output", "json"];
                let outcome = cli::meridian(&command);
                if !outcome.success {
                    if refusals.last() != Some(&outcome.err) {
                        refusals.push(outcome.err);
                    }
                    return Err(refusals.clone());
                }
                Ok(outcome.json()["writes_paused_seconds"].as_f64())
            });
            Moved { paused, refusals }
        })
    }
}
