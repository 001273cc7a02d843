//! What a workflow, or a transition of one, costs the server in processor time as things grow: shards, open workflows, the history of
//! a run, and its pending activities. What must be flat is time of the processor; how many were done in a second is shown.

use std::time::Instant;

use anyhow::Context;
use clap::{Args, ValueEnum};
use proto::temporal::api::{
    command::v1::{Command, RecordMarkerCommandAttributes, ScheduleActivityTaskCommandAttributes, command::Attributes},
    common::v1::{ActivityType, WorkflowExecution},
    enums::v1::CommandType,
    workflowservice::v1::{
        RecordActivityTaskHeartbeatRequest, RespondWorkflowTaskCompletedRequest, SignalWorkflowExecutionRequest,
    },
};
use serde::Serialize;
use serde_json::json;
use tests::{
    pair::{self, Keep},
    raw::Client as Raw,
    server::Server,
};
use tokio::task::JoinSet;

use crate::{
    crowd::Crowd,
    load::{Load, connect, input_of, start},
    replication::{NAMESPACE, register},
    usage::Usage,
    worker::{Client, Place, activity_poll, queue_named, survive, work, workflow_poll},
};

/// Measures cost as things grow.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What grows; everything if it is not said.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Axis::Shards, Axis::Open, Axis::Events, Axis::Activities, Axis::Standby])]
    axes: Vec<Axis>,
    /// Numbers of shards.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 64, 1_024])]
    shards: Vec<usize>,
    /// Numbers of open workflows.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 50_000, 200_000])]
    open: Vec<usize>,
    /// Numbers of events of one run.
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 25_000, 50_000])]
    events: Vec<usize>,
    /// Numbers of pending activities of one run.
    #[arg(long, value_delimiter = ',', default_values_t = [20, 200, 2_000])]
    activities: Vec<usize>,
    /// Workflows of one activity that are run to measure what one costs: enough that the database tidies its log meanwhile.
    #[arg(long, default_value_t = 10_000)]
    workflows: usize,
    /// Calls of a kind that are made to measure what one costs. A run takes ten thousand signals at most.
    #[arg(long, default_value_t = 2_000)]
    calls: usize,
}

/// What grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
pub(crate) enum Axis {
    /// Shards of the cluster.
    Shards,
    /// Workflows that are open, and of which nothing happens meanwhile.
    Open,
    /// Events of a run that is signalled.
    Events,
    /// Pending activities of a run that is signalled, and one of which tells that it is alive.
    Activities,
    /// The same, on a standby that is told of it.
    Standby,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// A line for each size.
    rows: Vec<Row>,
    /// For each thing that was measured along an axis, the most divided by the least.
    spreads: Vec<(Axis, &'static str, f64)>,
}

/// What one thing costs at one size.
#[derive(Debug, Serialize)]
struct Row {
    axis: Axis,
    size: usize,
    what: &'static str,
    #[serde(flatten)]
    cost: Cost,
}

/// What one of many things took.
#[derive(Clone, Copy, Debug, Serialize)]
struct Cost {
    cpu_ms: f64,
    per_second: f64,
}

/// Measures a server from one moment to the next.
struct Meter<'a> {
    server: &'a Server,
    began: Instant,
    used: f64,
}

impl<'a> Meter<'a> {
    fn start(server: &'a Server) -> anyhow::Result<Self> {
        Ok(Self { server, began: Instant::now(), used: used(server)? })
    }

    /// So many things were done since the last look.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn look(&mut self, done: usize) -> anyhow::Result<Cost> {
        let (before, done) = (std::mem::replace(self, Self::start(self.server)?), done as f64);
        let seconds = (self.began - before.began).as_secs_f64();
        Ok(Cost { cpu_ms: (self.used - before.used) / done, per_second: done / seconds })
    }
}

impl Figures {
    fn add(&mut self, axis: Axis, size: usize, what: &'static str, cost: Cost) {
        self.rows.push(Row { axis, size, what, cost });
    }

    fn spread(&mut self) {
        for row in &self.rows {
            if self.spreads.iter().any(|(axis, what, _)| (*axis, *what) == (row.axis, row.what)) {
                continue;
            }
            let alike = self.rows.iter().filter(|other| (other.axis, other.what) == (row.axis, row.what));
            let (least, most) = alike
                .fold((f64::MAX, 0.0), |(least, most), row| (row.cost.cpu_ms.min(least), row.cost.cpu_ms.max(most)));
            self.spreads.push((row.axis, row.what, most / least));
        }
    }

    /// Whether all is flat.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let steep: Vec<_> = self.spreads.iter().filter(|(_, _, spread)| *spread > FLAT).collect();
        anyhow::ensure!(steep.is_empty(), "more than {FLAT} times as much at one size as at another: {steep:?}");
        Ok(())
    }
}

/// Measure along each axis.
pub(crate) async fn measure(options: &Options) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    for axis in &options.axes {
        match axis {
            Axis::Shards => shards(options, &mut figures).await,
            Axis::Open => open(options, &mut figures).await,
            Axis::Events => events(options, &mut figures).await,
            Axis::Activities => activities(options, &mut figures).await,
            Axis::Standby => standby(options, &mut figures).await,
        }
        .with_context(|| format!("{axis:?}"))?;
    }
    figures.spread();
    Ok(figures)
}

async fn shards(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    for count in &options.shards {
        let server = alone(*count).await?;
        let cost = workflow_cost(&server, options).await?;
        figures.add(Axis::Shards, *count, "workflow", cost);
    }
    Ok(())
}

async fn open(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let server = alone(SHARDS).await?;
    let mut opened = 0;
    for count in &options.open {
        {
            let mut crowd = Crowd::at(server.address(0), &place("crowd")).await?;
            crowd.open(opened, *count).await?;
        }
        opened = *count;
        let cost = workflow_cost(&server, options).await?;
        figures.add(Axis::Open, *count, "workflow", cost);
    }
    Ok(())
}

async fn events(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let server = alone(SHARDS).await?;
    let mut client = connect(server.address(0)).await?;
    let place = place("long");
    start(&mut client, &place, "long", input_of("long")).await?;
    // Signals have a limit of their own, so the history grows by markers.
    for (round, size) in options.events.iter().enumerate() {
        while last_event(&server, "long").await? < size.saturating_sub(options.calls) {
            note(&mut client, &place).await?;
        }
        let (first, mut meter) = (round * options.calls, Meter::start(&server)?);
        signal_all(&client, "long", first..first + options.calls).await?;
        figures.add(Axis::Events, *size, "signal", meter.look(options.calls)?);
    }
    Ok(())
}

/// Have a run write many markers, and want another workflow task.
async fn note(client: &mut Client, place: &Place) -> anyhow::Result<()> {
    let task = client.poll_workflow_task_queue(workflow_poll(place)).await?.into_inner();
    let marker = || Command {
        command_type: CommandType::RecordMarker.into(),
        attributes: Some(Attributes::RecordMarkerCommandAttributes(RecordMarkerCommandAttributes {
            marker_name: "mark".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let completion = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token,
        commands: (0..MARKERS).map(|_| marker()).collect(),
        force_create_new_workflow_task: true,
        identity: "bench".to_owned(),
        namespace: place.namespace.clone(),
        ..Default::default()
    };
    client.respond_workflow_task_completed(completion).await?;
    Ok(())
}

async fn activities(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let server = alone(SHARDS).await?;
    let mut client = connect(server.address(0)).await?;
    workflow_cost(&server, options).await?;
    for size in &options.activities {
        let (id, place) = (format!("wide-{size}"), place(&format!("wide-{size}")));
        schedule(&mut client, &place, &id, *size).await?;
        let task = client.poll_activity_task_queue(activity_poll(&place)).await?.into_inner();
        let alive = RecordActivityTaskHeartbeatRequest {
            task_token: task.task_token.clone(),
            namespace: NAMESPACE.to_owned(),
            ..Default::default()
        };
        let mut meter = Meter::start(&server)?;
        for _ in 0..options.calls {
            client.record_activity_task_heartbeat(alive.clone()).await?;
        }
        figures.add(Axis::Activities, *size, "heartbeat", meter.look(options.calls)?);
        signal_all(&client, &id, 0..options.calls).await?;
        figures.add(Axis::Activities, *size, "signal", meter.look(options.calls)?);
        client.respond_activity_task_completed(work(task, &place)).await?;
        // Fewer than are pending, and as many whatever the size.
        let ended = options.activities.iter().min().map_or(0, |least| least - 1);
        for _ in 0..ended {
            let task = client.poll_activity_task_queue(activity_poll(&place)).await?.into_inner();
            client.respond_activity_task_completed(work(task, &place)).await?;
        }
    }
    Ok(())
}

async fn standby(options: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let [a, b] = pair::start("bench-scaling", Keep::OnDisk);
    pair::join(&a, &b);
    register(&a, &b).await?;
    let mut client = connect(a.address(0)).await?;
    for size in &options.activities {
        let (id, place) = (format!("wide-{size}"), place(&format!("wide-{size}")));
        schedule(&mut client, &place, &id, *size).await?;
        signal_all(&client, &id, 0..1).await?;
        told(&a, &b, &id).await?;
        // What is told costs so little that the kernel's clock needs more of it.
        let calls = 4 * options.calls;
        let mut meter = Meter::start(&b)?;
        signal_all(&client, &id, 1..calls + 1).await?;
        told(&a, &b, &id).await?;
        figures.add(Axis::Standby, *size, "signal", meter.look(calls)?);
    }
    Ok(())
}

/// Wait until a cluster was told all that another one has of a run.
async fn told(from: &Server, to: &Server, id: &str) -> anyhow::Result<()> {
    let expected = last_event(from, id).await?;
    tests::wait::until_async("the standby to have everything", async || {
        let last = last_event(to, id).await.map_err(|error| error.to_string())?;
        if last == expected { Ok(()) } else { Err(format!("{last} of {expected} events")) }
    })
    .await;
    Ok(())
}

/// The last event of a run, as a cluster has it.
async fn last_event(server: &Server, id: &str) -> anyhow::Result<usize> {
    let client = Raw::connect(server.address(0)).await?.without_redirection();
    let request = json!({"namespace": NAMESPACE, "execution": {"workflowId": id}, "maximumPageSize": 1});
    let answer = client.call("GetWorkflowExecutionHistoryReverse", request).await;
    let answer = answer.map_err(|refusal| anyhow::anyhow!("history of {id}: {refusal}"))?;
    let last = answer["history"]["events"][0]["eventId"].as_str().context("an event has an id")?;
    Ok(last.parse()?)
}

/// Start a run and have it schedule so many activities.
async fn schedule(client: &mut Client, place: &Place, id: &str, count: usize) -> anyhow::Result<()> {
    start(client, place, id, input_of(id)).await?;
    let task = client.poll_workflow_task_queue(workflow_poll(place)).await?.into_inner();
    let command = |number: usize| Command {
        command_type: CommandType::ScheduleActivityTask.into(),
        attributes: Some(Attributes::ScheduleActivityTaskCommandAttributes(ScheduleActivityTaskCommandAttributes {
            activity_id: number.to_string(),
            activity_type: Some(ActivityType { name: "work".to_owned() }),
            task_queue: Some(queue_named(&place.queue)),
            input: Some(input_of(id)),
            start_to_close_timeout: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
            ..Default::default()
        })),
        ..Default::default()
    };
    let completion = RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token,
        commands: (0..count).map(command).collect(),
        identity: "bench".to_owned(),
        namespace: place.namespace.clone(),
        ..Default::default()
    };
    client.respond_workflow_task_completed(completion).await?;
    Ok(())
}

/// Signal a run, a few at a time.
async fn signal_all(client: &Client, id: &str, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let (mut client, id, numbers) = (client.clone(), id.to_owned(), numbers.clone());
        lanes.spawn(async move {
            for number in numbers.skip(lane).step_by(LANES) {
                let request = SignalWorkflowExecutionRequest {
                    namespace: NAMESPACE.to_owned(),
                    workflow_execution: Some(WorkflowExecution { workflow_id: id.clone(), run_id: String::new() }),
                    signal_name: "signal".to_owned(),
                    request_id: format!("{id} {number}"),
                    ..Default::default()
                };
                while let Err(status) = client.signal_workflow_execution(request.clone()).await {
                    survive(Err(status)).await?;
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = lanes.join_next().await {
        ended??;
    }
    Ok(())
}

/// What a workflow of one activity costs a server.
async fn workflow_cost(server: &Server, options: &Options) -> anyhow::Result<Cost> {
    let load = |queue: &str, workflows| Load { place: place(queue), workflows, concurrency: 10 };
    let number = used(server)?;
    load(&format!("warm-up-{number}"), 100).run(server.address(0)).await?;
    let mut meter = Meter::start(server)?;
    load(&format!("load-{}", meter.used), options.workflows).run(server.address(0)).await?;
    meter.look(options.workflows)
}

/// A server of one cluster with so many shards.
async fn alone(shards: usize) -> anyhow::Result<Server> {
    let server = pair::alone_with_shards("bench-scaling", Keep::OnDisk, shards);
    let request = json!({"namespace": NAMESPACE, "workflowExecutionRetentionPeriod": "86400s"});
    let registered = Raw::connect(server.address(0)).await?.call("RegisterNamespace", request).await;
    registered.map_err(|refusal| anyhow::anyhow!("register: {refusal}"))?;
    Ok(server)
}

fn place(queue: &str) -> Place {
    Place { namespace: NAMESPACE.to_owned(), queue: queue.to_owned() }
}

/// Milliseconds of the processor so far.
fn used(server: &Server) -> anyhow::Result<f64> {
    Ok(Usage::of(server.process().id())?.cpu_seconds * 1e3)
}

/// Markers of one workflow task.
const MARKERS: usize = 500;
/// Signals that are under way at a time.
const LANES: usize = 4;
/// Where shards are not what grows.
const SHARDS: usize = 4;
/// The most that one size may cost, as a multiple of what another does.
const FLAT: f64 = 1.5;
