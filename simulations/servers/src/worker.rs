//! A worker: it polls, replays a workflow's program or does an activity, and says so. Some are careless.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use proto::temporal::api::{
    common::v1::{Payloads, WorkflowExecution},
    enums::v1::{QueryResultType, TaskQueueKind},
    history::v1::{HistoryEvent, history_event::Attributes},
    query::v1::WorkflowQueryResult,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::{
        GetWorkflowExecutionHistoryRequest, PollActivityTaskQueueRequest, PollActivityTaskQueueResponse,
        PollWorkflowTaskQueueRequest, PollWorkflowTaskQueueResponse, RecordActivityTaskHeartbeatRequest,
        RespondActivityTaskCompletedRequest, RespondActivityTaskFailedRequest, RespondQueryTaskCompletedRequest,
        RespondWorkflowTaskCompletedRequest,
    },
};
use replicator::{
    ids::{EventId, NamespaceId, RunId, RunKey, WorkflowKey},
    time::proto_duration,
};
use simulations::{
    checkers::Fact,
    program::{Program, QUEUE, failure, payloads, queue},
    random::{Random, Range},
};
use tokio::time::{sleep, timeout};
use tonic::{Code, Request, Response, Status};

use crate::{
    client::NAMESPACE,
    people::{Patience, People, is_retried},
};

/// The query that workflows answer: how many signals they have had.
pub(crate) const QUERY: &str = "signals";

/// One worker of a region. Clones are other hands of the same.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) people: People,
    pub(crate) namespace: NamespaceId,
    pub(crate) region: usize,
    /// Tells it from others of its region.
    pub(crate) number: usize,
    pub(crate) random: Random,
    /// Of a million tasks so many are taken and forgotten, or fail.
    pub(crate) careless: Arc<AtomicU32>,
    pub(crate) cache: Cache,
}

impl Worker {
    /// Take workflow tasks for ever: those that anybody may do, or those of runs that this worker remembers.
    pub(crate) async fn run_workflows(mut self, is_sticky: bool) {
        loop {
            let request = PollWorkflowTaskQueueRequest {
                namespace: NAMESPACE.into(),
                task_queue: Some(if is_sticky { self.sticky_queue() } else { queue() }),
                identity: self.identity(),
                ..Default::default()
            };
            let mut client = self.people.client(self.region, self.region);
            let polled = client.poll_workflow_task_queue(long(request));
            let task = self.polled("PollWorkflowTaskQueue", timeout(POLL, polled).await).await;
            match task {
                Some(task) if !task.task_token.is_empty() => self.do_workflow_task(task).await,
                _ => {}
            }
        }
    }

    /// Take activity tasks for ever.
    pub(crate) async fn run_activities(mut self) {
        loop {
            let request = PollActivityTaskQueueRequest {
                namespace: NAMESPACE.into(),
                task_queue: Some(queue()),
                identity: self.identity(),
                ..Default::default()
            };
            let mut client = self.people.client(self.region, self.region);
            let polled = client.poll_activity_task_queue(long(request));
            let task = self.polled("PollActivityTaskQueue", timeout(POLL, polled).await).await;
            match task {
                Some(task) if !task.task_token.is_empty() => self.do_activity(task).await,
                _ => {}
            }
        }
    }

    fn identity(&self) -> String {
        format!("worker {} of {}", self.number, self.region)
    }

    /// The queue of the runs that this worker remembers.
    fn sticky_queue(&self) -> TaskQueue {
        let name = format!("{QUEUE} of {}", self.identity());
        TaskQueue { name, kind: TaskQueueKind::Sticky.into(), normal_name: QUEUE.into() }
    }

    /// What a poll brought. Whoever was refused waits a little.
    async fn polled<T>(
        &self,
        what: &'static str,
        polled: Result<Result<Response<T>, Status>, tokio::time::error::Elapsed>,
    ) -> Option<T> {
        match polled {
            Ok(Ok(task)) => return Some(task.into_inner()),
            Ok(Err(status)) if !is_retried(status.code()) => self.people.refused(what, &status),
            _ => {}
        }
        sleep(AFTER_REFUSAL).await;
        None
    }

    async fn do_workflow_task(&mut self, task: PollWorkflowTaskQueueResponse) {
        if self.is_careless() {
            return self.people.ledger.count("worker: workflow task forgotten");
        }
        let Some(events) = self.history(&task).await else { return };
        let Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) =
            events.first().and_then(|event| event.attributes.clone())
        else {
            return self.people.refused("PollWorkflowTaskQueue", &"a history that does not begin with a start");
        };
        let think = self.random.duration(Range::millis(0, 60));
        sleep(think).await;
        let mut client = self.people.client(self.region, self.region);
        if task.query.is_some() {
            let request = RespondQueryTaskCompletedRequest {
                task_token: task.task_token,
                completed_type: QueryResultType::Answered.into(),
                query_result: Some(signals(&events)),
                namespace: NAMESPACE.into(),
                ..Default::default()
            };
            let answered = client.respond_query_task_completed(request);
            self.people.once("RespondQueryTaskCompleted", Patience::UntilHeard, answered).await;
            return self.people.ledger.count("worker: query task answered");
        }
        let program = Program::of_input(start.input.as_ref());
        let answer = WorkflowQueryResult {
            result_type: QueryResultType::Answered.into(),
            answer: Some(signals(&events)),
            ..Default::default()
        };
        let request = RespondWorkflowTaskCompletedRequest {
            task_token: task.task_token,
            commands: program.decide(&events),
            query_results: task.queries.keys().map(|id| (id.clone(), answer.clone())).collect(),
            sticky_attributes: Some(StickyExecutionAttributes {
                worker_task_queue: Some(self.sticky_queue()),
                schedule_to_start_timeout: Some(proto_duration(STICKY_TIME)),
            }),
            identity: self.identity(),
            namespace: NAMESPACE.into(),
            ..Default::default()
        };
        let completed = self.respond("RespondWorkflowTaskCompleted", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.respond_workflow_task_completed(request).await }
        });
        if completed.await {
            self.people.ledger.count("worker: workflow task completed");
            let execution = task.workflow_execution.unwrap_or_default();
            self.acknowledge(&execution, &events);
            self.cache.keep(execution.run_id, events);
        }
    }

    /// A completion was acknowledged: it stays in its run.
    fn acknowledge(&self, execution: &WorkflowExecution, events: &[HistoryEvent]) {
        let started = events.iter().rev().find_map(|event| match &event.attributes {
            Some(Attributes::WorkflowTaskStartedEventAttributes(started)) => Some(started.scheduled_event_id),
            _ => None,
        });
        let (Some(scheduled), Ok(run)) = (started, RunId::parse(&execution.run_id)) else { return };
        let workflow = WorkflowKey { namespace: self.namespace, workflow: execution.workflow_id.as_str().into() };
        let fact = Fact::WorkflowTaskCompleted { run: RunKey { workflow, run }, scheduled: EventId(scheduled) };
        self.people.ledger.acknowledged(&fact);
    }

    /// The whole history of a task: what came with it, behind what is remembered; or all of it is fetched.
    async fn history(&self, task: &PollWorkflowTaskQueueResponse) -> Option<Vec<HistoryEvent>> {
        let came = task.history.clone().unwrap_or_default().events;
        let first = came.first().map_or(0, |event| event.event_id);
        let run = task.workflow_execution.clone().unwrap_or_default().run_id;
        if first == 1 {
            return self.pages(task, came, task.next_page_token.clone()).await;
        }
        if let Some(mut events) = self.cache.take(&run)
            && events.last().is_some_and(|event| event.event_id + 1 == first)
        {
            self.people.ledger.count("worker: sticky task");
            events.extend(came);
            return self.pages(task, events, task.next_page_token.clone()).await;
        }
        self.people.ledger.count("worker: history fetched anew");
        let mut events = self.fetch(task, Vec::new(), Bytes::new()).await?;
        // What came after the task began is of the next.
        if !came.is_empty() {
            events.retain(|event| event.event_id <= task.started_event_id);
        }
        Some(events)
    }

    /// Events, and what follows them on further pages.
    async fn pages(
        &self,
        task: &PollWorkflowTaskQueueResponse,
        events: Vec<HistoryEvent>,
        token: Bytes,
    ) -> Option<Vec<HistoryEvent>> {
        if token.is_empty() { Some(events) } else { self.fetch(task, events, token).await }
    }

    async fn fetch(
        &self,
        task: &PollWorkflowTaskQueueResponse,
        mut events: Vec<HistoryEvent>,
        mut token: Bytes,
    ) -> Option<Vec<HistoryEvent>> {
        let mut client = self.people.client(self.region, self.region);
        loop {
            let request = GetWorkflowExecutionHistoryRequest {
                namespace: NAMESPACE.into(),
                execution: task.workflow_execution.clone(),
                next_page_token: token,
                ..Default::default()
            };
            let read = client.get_workflow_execution_history(request);
            let page = self.people.once("GetWorkflowExecutionHistory", Patience::UntilHeard, read).await?;
            events.extend(page.history.unwrap_or_default().events);
            token = page.next_page_token;
            if token.is_empty() {
                return Some(events);
            }
        }
    }

    async fn do_activity(&mut self, task: PollActivityTaskQueueResponse) {
        if self.is_careless() {
            return self.people.ledger.count("worker: activity forgotten");
        }
        let client = self.people.client(self.region, self.region);
        let work = self.random.duration(Range::millis(5, 400));
        sleep(work).await;
        if self.random.chance(200_000) {
            let request = RecordActivityTaskHeartbeatRequest {
                task_token: task.task_token.clone(),
                namespace: NAMESPACE.into(),
                ..Default::default()
            };
            let mut client = client.clone();
            let beat = client.record_activity_task_heartbeat(request);
            self.people.once("RecordActivityTaskHeartbeat", Patience::UntilHeard, beat).await;
            self.people.ledger.count("worker: heartbeat");
        }
        if self.is_careless() {
            let request = RespondActivityTaskFailedRequest {
                task_token: task.task_token,
                failure: Some(failure("carelessness")),
                namespace: NAMESPACE.into(),
                ..Default::default()
            };
            let failed = self.respond("RespondActivityTaskFailed", || {
                let (mut client, request) = (client.clone(), request.clone());
                async move { client.respond_activity_task_failed(request).await }
            });
            if failed.await {
                self.people.ledger.count("worker: activity failed");
            }
            return;
        }
        let request = RespondActivityTaskCompletedRequest {
            task_token: task.task_token,
            result: Some(payloads(b"done".to_vec())),
            identity: self.identity(),
            namespace: NAMESPACE.into(),
            ..Default::default()
        };
        let completed = self.respond("RespondActivityTaskCompleted", || {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.respond_activity_task_completed(request).await }
        });
        if completed.await {
            self.people.ledger.count("worker: activity completed");
        }
    }

    /// Say something until it is acknowledged, or nobody wants to know it any more. Whether it is acknowledged.
    async fn respond<T, A>(&self, what: &'static str, mut call: impl FnMut() -> A) -> bool
    where
        A: Future<Output = Result<Response<T>, Status>>,
    {
        for _ in 0..TRIES {
            match timeout(RESPOND, call()).await {
                Ok(Ok(_)) => return true,
                // The task is over, or its run has heard of more since.
                Ok(Err(status)) if status.code() == Code::NotFound || is_overtaken(&status) => return false,
                Ok(Err(status)) if !is_retried(status.code()) => self.people.refused(what, &status),
                _ => {}
            }
            sleep(AFTER_REFUSAL).await;
        }
        false
    }

    fn is_careless(&mut self) -> bool {
        self.random.chance(self.careless.load(Ordering::Relaxed))
    }
}

/// Histories of runs that a worker remembers. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Cache(Arc<Mutex<BTreeMap<String, Vec<HistoryEvent>>>>);

impl Cache {
    fn take(&self, run: &str) -> Option<Vec<HistoryEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(run)
    }

    fn keep(&self, run: String, events: Vec<HistoryEvent>) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever was there longest goes; by their ids that is as good as any.
        if runs.len() == REMEMBERED {
            runs.pop_first();
        }
        runs.insert(run, events);
    }
}

/// Whether something happened that the worker could not know of; it is given another task.
fn is_overtaken(status: &Status) -> bool {
    status.code() == Code::InvalidArgument && status.message().contains("UnhandledCommand")
}

/// A request that waits at the server for as long as polls do.
fn long<T>(request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.set_timeout(POLL);
    request
}

/// How many signals a history has.
fn signals(events: &[HistoryEvent]) -> Payloads {
    let is_signal = |event: &&HistoryEvent| {
        matches!(event.attributes, Some(Attributes::WorkflowExecutionSignaledEventAttributes(_)))
    };
    payloads(events.iter().filter(is_signal).count().to_string().into_bytes())
}

/// How long a task waits for the one worker that remembers its run.
const STICKY_TIME: Duration = Duration::from_secs(1);

/// Runs that a worker remembers; fewer than there are.
const REMEMBERED: usize = 12;

const POLL: Duration = Duration::from_secs(20);
const RESPOND: Duration = Duration::from_secs(5);
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// How often a worker says the same.
const TRIES: u32 = 10;
