//! The load: so many workflows, so many at a time, each waited for and its result verified.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use proto::temporal::api::{
    common::v1::{Payload, Payloads, WorkflowExecution, WorkflowType},
    enums::v1::HistoryEventFilterType,
    history::v1::history_event::Attributes,
    workflowservice::v1::{GetWorkflowExecutionHistoryRequest, StartWorkflowExecutionRequest},
};
use tokio::task::JoinSet;
use tonic::{Request, transport::Channel};

use crate::worker::{self, Client, Place, queue_named, result_for};

/// A run of the load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The namespace, and the queue, which also names the workflows.
    pub(crate) place: Place,
    /// How many workflows in all.
    pub(crate) workflows: usize,
    /// How many at a time.
    pub(crate) concurrency: usize,
}

/// How it went.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// From the first start to the last result.
    pub(crate) elapsed: Duration,
    /// From sending a start to having its result, in order of size.
    pub(crate) latencies: Vec<Duration>,
}

/// What so many percent of the sorted durations do not exceed.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

impl Load {
    /// Run it against the server at `address`.
    pub(crate) async fn run(&self, address: &str) -> anyhow::Result<Outcome> {
        // As in life: an application and two workers, each with a connection of its own.
        let client = connect(address).await?;
        let mut workers =
            worker::start(&connect(address).await?, &connect(address).await?, &self.place, self.concurrency);
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let mut drivers = JoinSet::new();
        for _ in 0..self.concurrency {
            drivers.spawn(drive(client.clone(), self.clone(), Arc::clone(&next)));
        }
        let mut latencies = Vec::with_capacity(self.workflows);
        loop {
            tokio::select! {
                Some(ended) = workers.join_next() => bail!("a worker gave up: {}", ended?),
                driven = drivers.join_next() => match driven {
                    Some(driven) => latencies.extend(driven??),
                    None => break,
                },
            }
        }
        let elapsed = started.elapsed();
        latencies.sort_unstable();
        ensure!(latencies.len() == self.workflows, "{} of {} workflows", latencies.len(), self.workflows);
        Ok(Outcome { elapsed, latencies })
    }
}

/// Run one workflow after the other until there are no more.
async fn drive(mut client: Client, load: Load, next: Arc<AtomicUsize>) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if load.workflows <= number {
            return Ok(latencies);
        }
        let started = Instant::now();
        let id = format!("{}-{number}", load.place.queue);
        let input = input_of(&id);
        let run_id =
            start(&mut client, &load.place, &id, input.clone()).await.with_context(|| format!("start {id}"))?;
        let result = result(&mut client, &load.place, &id, run_id).await.with_context(|| format!("result of {id}"))?;
        ensure!(result == result_for(input), "wrong result of {id}: {result:?}");
        latencies.push(started.elapsed());
    }
}

pub(crate) async fn start(client: &mut Client, place: &Place, id: &str, input: Payloads) -> anyhow::Result<String> {
    let request = StartWorkflowExecutionRequest {
        namespace: place.namespace.clone(),
        workflow_id: id.to_owned(),
        workflow_type: Some(WorkflowType { name: "bench".to_owned() }),
        task_queue: Some(queue_named(&place.queue)),
        input: Some(input),
        identity: "bench".to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    loop {
        match client.start_workflow_execution(request.clone()).await {
            Ok(response) => return Ok(response.into_inner().run_id),
            Err(status) => worker::survive(Err(status)).await?,
        }
    }
}

/// Wait as the SDKs do: for the event that closes the run.
pub(crate) async fn result(client: &mut Client, place: &Place, id: &str, run_id: String) -> anyhow::Result<Payloads> {
    let mut request = GetWorkflowExecutionHistoryRequest {
        namespace: place.namespace.clone(),
        execution: Some(WorkflowExecution { workflow_id: id.to_owned(), run_id }),
        wait_new_event: true,
        history_event_filter_type: HistoryEventFilterType::CloseEvent.into(),
        ..Default::default()
    };
    loop {
        let mut call = Request::new(request.clone());
        call.set_timeout(Duration::from_secs(30));
        let response = match client.get_workflow_execution_history(call).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                worker::survive(Err(status)).await?;
                continue;
            }
        };
        match response.history.unwrap_or_default().events.pop().and_then(|event| event.attributes) {
            Some(Attributes::WorkflowExecutionCompletedEventAttributes(completed)) => {
                return Ok(completed.result.unwrap_or_default());
            }
            Some(other) => bail!("it ended with {other:?}"),
            None => request.next_page_token = response.next_page_token,
        }
    }
}

pub(crate) fn input_of(id: &str) -> Payloads {
    let metadata = [("encoding".to_owned(), "binary/plain".into())].into();
    Payloads { payloads: vec![Payload { metadata, data: id.to_owned().into(), ..Default::default() }] }
}

pub(crate) async fn connect(address: &str) -> anyhow::Result<Client> {
    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await.context("connect")?;
    Ok(Client::new(channel))
}
