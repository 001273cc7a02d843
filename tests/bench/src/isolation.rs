//! What one namespace suffers from others: a workflow in quarantine, a neighbour at ten times its load, a dead peer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tests::{
    pair::{self, Keep},
    raw::Client as Raw,
    request::{self, merged},
    server::Server,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use crate::{
    load::{connect, input_of, percentile, start},
    replication::{NAMESPACE, START_EVERY, lags, register_as},
    side::milliseconds,
    worker::Place,
};

/// The neighbour.
const NOISY: &str = "noisy";
/// The workflow that the standby cannot go on with.
const POISON: &str = "poison";

/// Measures the lag of one namespace, undisturbed and disturbed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Starts whose lag is measured, each time.
    #[arg(long, default_value_t = 400)]
    starts: usize,
    /// The neighbour's load as a multiple of that of the namespace that is measured.
    #[arg(long, default_value_t = 10)]
    times: u32,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    undisturbed: Lag,
    disturbed: Lag,
    /// The disturbed p99 as a multiple of the undisturbed.
    p99_times: f64,
    /// Tasks of the workflow that cannot be applied, as the standby counts them.
    refused: String,
}

#[derive(Debug, Serialize)]
struct Lag {
    p50_ms: f64,
    p99_ms: f64,
}

/// Measure both, one after the other.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, mut b] = pair::start("isolation", Keep::OnDisk);
    let mut c = pair::third("isolation", Keep::OnDisk);
    for [one, other] in [[&a, &b], [&a, &c], [&b, &c]] {
        pair::join(one, other);
    }
    for namespace in [NAMESPACE, NOISY] {
        register_as(namespace, &["a", "b", "c"], &a, &b).await?;
    }
    let client = Raw::connect(a.address(0)).await?;
    let poison = merged(request::start(POISON, POISON), json!({"namespace": NOISY}));
    client.call("StartWorkflowExecution", poison).await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    until_known(&b, POISON).await;

    let undisturbed = with_neighbour(&a, &b, "calm", options, 1).await?;
    b.kill();
    damage(&b, POISON).await?;
    b.restart();
    c.kill();
    let signal = merged(request::signal(POISON), json!({"namespace": NOISY, "requestId": "poison"}));
    client.call("SignalWorkflowExecution", signal).await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let disturbed = with_neighbour(&a, &b, "disturbed", options, options.times).await?;
    Ok(Figures {
        p99_times: disturbed.p99_ms / undisturbed.p99_ms,
        undisturbed,
        disturbed,
        refused: metric(&b, "replication_tasks_failed").await?,
    })
}

/// The lag of the namespace while its neighbour has so many times its load.
async fn with_neighbour(a: &Server, b: &Server, name: &str, options: &Options, times: u32) -> anyhow::Result<Lag> {
    let over = Arc::new(AtomicBool::new(false));
    let noise = make_noise(a, name, times, Arc::clone(&over)).await?;
    let found = lags(a, b, name, options.starts).await;
    over.store(true, Ordering::Relaxed);
    noise.await??;
    let found = found?;
    Ok(Lag { p50_ms: milliseconds(percentile(&found, 50)), p99_ms: milliseconds(percentile(&found, 99)) })
}

/// Start workflows in the neighbour at a steady rate.
async fn make_noise(
    a: &Server,
    name: &str,
    times: u32,
    over: Arc<AtomicBool>,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let client = connect(a.address(0)).await?;
    let place = Place { namespace: NOISY.to_owned(), queue: format!("noise {name}") };
    let mut next = tokio::time::interval(START_EVERY / times);
    let name = name.to_owned();
    Ok(tokio::spawn(async move {
        let mut starting: Vec<JoinHandle<anyhow::Result<String>>> = Vec::new();
        for number in 0.. {
            next.tick().await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            let (mut client, place, id) = (client.clone(), place.clone(), format!("noise-{name}-{number}"));
            starting.push(tokio::spawn(async move { start(&mut client, &place, &id, input_of(&id)).await }));
        }
        for started in starting {
            started.await??;
        }
        Ok(())
    }))
}

/// Wait until the standby has the workflow.
async fn until_known(b: &Server, workflow: &str) {
    let request = json!({"namespace": NOISY, "execution": {"workflowId": workflow}});
    tests::wait::until_async("the workflow on b", async || {
        let standby = Raw::connect(b.address(0)).await.expect("b answers").without_redirection();
        standby.call("DescribeWorkflowExecution", request.clone()).await
    })
    .await;
}

/// Make a run in the files of a stopped cluster unreadable, as a bad disk would.
async fn damage(cluster: &Server, workflow: &str) -> anyhow::Result<()> {
    let file = std::fs::read_dir(cluster.folder())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "db"));
    let file = file.ok_or_else(|| anyhow::anyhow!("no database in {}", cluster.folder().display()))?;
    let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file)).await?;
    let row = sqlx::query("SELECT row FROM name WHERE workflow = ? AND length(run) = 16").bind(workflow);
    let row: i64 = row.fetch_one(&mut connection).await?.try_get(0)?;
    sqlx::query("UPDATE run SET state = x'ff' WHERE row = ?").bind(row).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// A line of the cluster's metrics.
async fn metric(cluster: &Server, name: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(cluster.folder().join("cluster.yaml"))?;
    let address = text.split("listenAddress: \"").nth(1).and_then(|rest| rest.split('"').next());
    let address = address.ok_or_else(|| anyhow::anyhow!("no address of metrics"))?;
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut found = String::new();
    stream.read_to_string(&mut found).await?;
    Ok(found.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned())
}
