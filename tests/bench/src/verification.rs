//! How fast two clusters are compared: by shard when they are alike, and run by run when every shard differs.

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tests::{
    cli,
    pair::{self, Keep},
    raw::Client as Raw,
    request::{self, merged},
    server::Server,
};
use tokio::task::JoinSet;

use crate::replication::{NAMESPACE, register};

/// Measures verification.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Runs that both clusters have.
    #[arg(long, default_value_t = 20_000)]
    runs: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    runs: usize,
    /// When both hold the same.
    alike_runs_per_second: f64,
    /// When a run of every shard differs, so that all are compared one by one.
    one_by_one_runs_per_second: f64,
    /// Differences found then, of those that were made.
    found: usize,
    made: usize,
}

/// Measure both.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, b] = pair::start("verification", Keep::OnDisk);
    let [to_a, to_b] = pair::join_by_links(&a, &b);
    register(&a, &b).await?;
    let client = Raw::connect(a.address(0)).await?;
    let mut starts = JoinSet::new();
    for lane in 0..LANES {
        let (client, runs) = (client.clone(), options.runs);
        starts.spawn(async move {
            for number in (lane..runs).step_by(LANES) {
                start(&client, number).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = starts.join_next().await {
        ended??;
    }
    let alike = tests::wait::until_async("both to hold the same", async || {
        let answer = verify(&a, 10);
        if answer["same"] == true { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    // Behind a cut link `a` goes on. `b` does not hear of it, but answers.
    to_a.cut();
    let made = 64.min(options.runs);
    for number in 0..made {
        let signal = merged(request::signal(&id(number)), json!({"namespace": NAMESPACE}));
        client.call_patiently("SignalWorkflowExecution", signal).await.map_err(|why| anyhow::anyhow!("{why}"))?;
    }
    let apart = verify(&a, 0);
    drop(to_b);
    Ok(Figures {
        runs: options.runs,
        alike_runs_per_second: rate(&alike),
        one_by_one_runs_per_second: rate(&apart),
        found: apart["differences"].as_array().map_or(0, Vec::len),
        made,
    })
}

async fn start(client: &Raw, number: usize) -> anyhow::Result<()> {
    let start = merged(request::start(&id(number), "nobody"), json!({"namespace": NAMESPACE}));
    let started = client.call_patiently("StartWorkflowExecution", start).await;
    started.map(drop).map_err(|refusal| anyhow::anyhow!("start: {refusal}"))
}

fn id(number: usize) -> String {
    format!("run-{number}")
}

/// What `meridian replication verify` says.
fn verify(server: &Server, patience: u32) -> Value {
    let patience = format!("--patience={patience}");
    let command = ["replication", "verify", NAMESPACE, &patience, "-o", "json", "--address", server.address(0)];
    let outcome = cli::meridian(&command);
    serde_json::from_str(&outcome.out).unwrap_or_else(|_| json!({"failed": outcome.err}))
}

fn rate(answer: &Value) -> f64 {
    let runs = answer["runs_here"].as_f64().unwrap_or_default();
    runs / answer["seconds"].as_f64().unwrap_or(f64::INFINITY)
}

/// Starts that are under way at a time.
const LANES: usize = 50;
