//! What the loser of a conflict does: the run's state is made anew from all events of the branch that won.
//!
//! The standby has written to a long run while the link was cut. Then the active cluster writes one event, and the time is
//! taken until the standby's current branch ends with it: the way there, the reading of the run, its rebuild and the write.
//! The same without a conflict is taken beside it.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use proto::temporal::{
    api::common::v1::WorkflowExecution,
    server::api::{
        adminservice::v1::{DescribeMutableStateRequest, admin_service_client::AdminServiceClient},
        history::v1::VersionHistories,
    },
};
use serde::Serialize;
use serde_json::json;
use tests::{
    pair::{self, Keep},
    raw::Client as Raw,
    request::{self, merged},
    server::Server,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    load::percentile,
    replication::{NAMESPACE, register},
    side::milliseconds,
};

/// Measures the resolution of conflicts.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Events of each run.
    #[arg(long, default_value_t = 10_000)]
    events: usize,
    /// Runs.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    events: usize,
    /// From the write of the winner until the loser has resolved the conflict.
    conflict_ms: Vec<f64>,
    conflict_p50_ms: f64,
    /// From a write until the standby has it, without a conflict.
    plain_p50_ms: f64,
}

/// Measure one run after the other.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let [a, b] = pair::start("conflict", Keep::OnDisk);
    let [to_a, to_b] = pair::join_by_links(&a, &b);
    register(&a, &b).await?;
    for run in 0..options.runs {
        grow(&a, &id(run), options.events).await?;
    }
    let mut admin = AdminServiceClient::new(connect(a.address(0)).await?);
    let mut standby = AdminServiceClient::new(connect(b.address(0)).await?);
    for run in 0..options.runs {
        let ours = branch(&mut admin, &id(run)).await?;
        until(&mut standby, &id(run), ours.0, ours.1).await?;
    }
    to_a.cut();
    to_b.cut();
    let [here, there] = [&a, &b].map(|server| Raw::connect(server.address(0)));
    let (here, there) = (here.await?, there.await?);
    for run in 0..options.runs {
        signal(&here, &id(run), "lost").await?;
    }
    let active = json!({"namespace": NAMESPACE, "replicationConfig": {"activeClusterName": "b"}});
    there.call("UpdateNamespace", active).await.map_err(|refusal| anyhow::anyhow!("fail over: {refusal}"))?;
    // The loser hears the winner, and not the other way round: so the winner's first event is the conflict.
    to_b.heal();
    let described = json!({"namespace": NAMESPACE});
    tests::wait::until_async("the failover to be known", async || {
        let known = here.without_redirection().call("DescribeNamespace", described.clone()).await;
        let active = known.map_err(|refusal| refusal.to_string())?["replicationConfig"]["activeClusterName"].clone();
        if active == "b" { Ok(()) } else { Err(active.to_string()) }
    })
    .await;
    let (mut conflicts, mut plain) = (Vec::new(), Vec::new());
    for run in 0..options.runs {
        for (name, times) in [("won", &mut conflicts), ("more", &mut plain)] {
            let started = Instant::now();
            signal(&there, &id(run), name).await?;
            let written = branch(&mut standby, &id(run)).await?;
            until(&mut admin, &id(run), written.0, written.1).await?;
            times.push(started.elapsed());
        }
    }
    plain.sort_unstable();
    let conflict_ms = conflicts.iter().copied().map(milliseconds).collect();
    conflicts.sort_unstable();
    Ok(Figures {
        events: options.events,
        conflict_ms,
        conflict_p50_ms: milliseconds(percentile(&conflicts, 50)),
        plain_p50_ms: milliseconds(percentile(&plain, 50)),
    })
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    Channel::from_shared(format!("http://{address}"))?.connect().await.context("connect")
}

/// Start a run and signal it until it has so many events.
async fn grow(server: &Server, id: &str, events: usize) -> anyhow::Result<()> {
    let client = Raw::connect(server.address(0)).await?;
    let start = merged(request::start(id, "nobody"), json!({"namespace": NAMESPACE}));
    client.call("StartWorkflowExecution", start).await.map_err(|refusal| anyhow::anyhow!("start: {refusal}"))?;
    let mut signals = JoinSet::new();
    for lane in 0..LANES {
        let (client, id) = (client.clone(), id.to_owned());
        signals.spawn(async move {
            for number in (lane..events.saturating_sub(2)).step_by(LANES) {
                signal(&client, &id, &number.to_string()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = signals.join_next().await {
        ended?.context("signals")?;
    }
    Ok(())
}

async fn signal(client: &Raw, id: &str, name: &str) -> anyhow::Result<()> {
    let request = merged(request::signal(id), json!({"namespace": NAMESPACE, "requestId": format!("{id} {name}")}));
    let signalled = client.call_patiently("SignalWorkflowExecution", request).await;
    signalled.map(drop).map_err(|refusal| anyhow::anyhow!("signal {id}: {refusal}"))
}

/// The last event of the current branch, and its version.
async fn branch(admin: &mut AdminServiceClient<Channel>, id: &str) -> anyhow::Result<(i64, i64)> {
    let execution = Some(WorkflowExecution { workflow_id: id.to_owned(), run_id: String::new() });
    let request = DescribeMutableStateRequest { namespace: NAMESPACE.to_owned(), execution, ..Default::default() };
    let state = admin.describe_mutable_state(request).await?.into_inner().cache_mutable_state;
    let info = state.and_then(|state| state.execution_info).context("no execution info")?;
    let last = last(info.version_histories.as_ref()).context("no version history")?;
    Ok(last)
}

fn last(histories: Option<&VersionHistories>) -> Option<(i64, i64)> {
    let histories = histories?;
    let current = usize::try_from(histories.current_version_history_index).ok()?;
    histories.histories.get(current)?.items.last().map(|item| (item.event_id, item.version))
}

/// Wait until the current branch ends with an event.
async fn until(admin: &mut AdminServiceClient<Channel>, id: &str, event: i64, version: i64) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match branch(admin, id).await {
            Ok(found) if found == (event, version) => return Ok(()),
            seen if started.elapsed() > PATIENCE => anyhow::bail!("{id} is {seen:?} and not {event}@{version}"),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn id(run: usize) -> String {
    format!("long-{run}")
}

/// Signals that are under way at a time.
const LANES: usize = 50;
/// Between two looks; small against what is measured.
const PAUSE: Duration = Duration::from_micros(500);
/// Only a broken server takes longer.
const PATIENCE: Duration = Duration::from_secs(120);
