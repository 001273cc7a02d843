//! Very many open workflows: each was started, a worker has had its first task, and it waits for a timer of a day. A signal ends it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use proto::temporal::api::{
    command::v1::{
        Command, CompleteWorkflowExecutionCommandAttributes, StartTimerCommandAttributes, command::Attributes,
    },
    common::v1::WorkflowExecution,
    enums::v1::CommandType,
    history::v1::history_event,
    workflowservice::v1::{
        PollWorkflowTaskQueueResponse, RespondWorkflowTaskCompletedRequest, SignalWorkflowExecutionRequest,
    },
};
use tokio::task::JoinSet;
use tonic::Status;

use crate::{
    load::{connect, input_of, result, start},
    worker::{Client, Place, survive, workflow_poll},
};

/// The workers of such workflows, for as long as it lives.
pub(crate) struct Crowd {
    client: Client,
    place: Place,
    workers: JoinSet<Status>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    /// Workers at `address`.
    pub(crate) async fn at(address: &str, place: &Place) -> anyhow::Result<Self> {
        let answered = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        let client = connect(address).await?;
        for _ in 0..LANES {
            workers.spawn(work(client.clone(), place.clone(), Arc::clone(&answered)));
        }
        Ok(Self { client: connect(address).await?, place: place.clone(), workers, answered })
    }

    /// Open those of these numbers.
    pub(crate) async fn open(&mut self, from: usize, to: usize) -> anyhow::Result<()> {
        let until = self.answered.load(Ordering::Relaxed) + (to - from);
        let mut starts = JoinSet::new();
        for lane in 0..LANES {
            let (mut client, place) = (self.client.clone(), self.place.clone());
            starts.spawn(async move {
                for number in (from + lane..to).step_by(LANES) {
                    let id = id(&place, number);
                    start(&mut client, &place, &id, input_of(&id)).await.with_context(|| format!("start {id}"))?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = starts.join_next().await {
            ended??;
        }
        while self.answered.load(Ordering::Relaxed) < until {
            if let Some(ended) = self.workers.try_join_next() {
                bail!("a worker gave up: {}", ended?);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Signal these, and wait until they are over.
    pub(crate) async fn finish(&self, numbers: impl Iterator<Item = usize>) -> anyhow::Result<usize> {
        let mut finished = 0;
        for number in numbers {
            let (mut client, id) = (self.client.clone(), id(&self.place, number));
            let signal = SignalWorkflowExecutionRequest {
                namespace: self.place.namespace.clone(),
                workflow_execution: Some(WorkflowExecution { workflow_id: id.clone(), run_id: String::new() }),
                signal_name: "end".to_owned(),
                request_id: format!("end {id}"),
                ..Default::default()
            };
            while let Err(status) = client.signal_workflow_execution(signal.clone()).await {
                survive(Err(status)).await.with_context(|| format!("signal {id}"))?;
            }
            result(&mut client, &self.place, &id, String::new()).await.with_context(|| format!("result of {id}"))?;
            finished += 1;
        }
        Ok(finished)
    }
}

fn id(place: &Place, number: usize) -> String {
    format!("{}-{number}", place.queue)
}

async fn work(mut client: Client, place: Place, answered: Arc<AtomicUsize>) -> Status {
    loop {
        let done = match client.poll_workflow_task_queue(workflow_poll(&place)).await.map(tonic::Response::into_inner) {
            Ok(task) if task.task_token.is_empty() => continue,
            Ok(task) => client.respond_workflow_task_completed(decide(task, &place)).await.map(drop),
            Err(status) => Err(status),
        };
        if done.is_ok() {
            answered.fetch_add(1, Ordering::Relaxed);
        }
        if let Err(status) = survive(done).await {
            return status;
        }
    }
}

/// A timer first, and the end when a signal has come.
fn decide(task: PollWorkflowTaskQueueResponse, place: &Place) -> RespondWorkflowTaskCompletedRequest {
    let events = task.history.unwrap_or_default().events;
    let is_signal = |attributes: &history_event::Attributes| {
        matches!(attributes, history_event::Attributes::WorkflowExecutionSignaledEventAttributes(_))
    };
    let command = match events.iter().filter_map(|event| event.attributes.as_ref()).any(is_signal) {
        true => Command {
            command_type: CommandType::CompleteWorkflowExecution.into(),
            attributes: Some(Attributes::CompleteWorkflowExecutionCommandAttributes(
                CompleteWorkflowExecutionCommandAttributes::default(),
            )),
            ..Default::default()
        },
        false => Command {
            command_type: CommandType::StartTimer.into(),
            attributes: Some(Attributes::StartTimerCommandAttributes(StartTimerCommandAttributes {
                timer_id: "1".to_owned(),
                start_to_fire_timeout: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
            })),
            ..Default::default()
        },
    };
    RespondWorkflowTaskCompletedRequest {
        task_token: task.task_token,
        commands: vec![command],
        identity: "bench".to_owned(),
        namespace: place.namespace.clone(),
        ..Default::default()
    }
}

/// Starts, and tasks, that are under way at a time.
const LANES: usize = 32;
