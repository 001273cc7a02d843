//! A workflow, its callers and its workers, as a test tells them what to do.

use core::time::Duration;
use std::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use prost::Message;
use proto::temporal::api::{
    command::v1::{
        CancelTimerCommandAttributes, CancelWorkflowExecutionCommandAttributes, Command,
        CompleteWorkflowExecutionCommandAttributes, ContinueAsNewWorkflowExecutionCommandAttributes,
        FailWorkflowExecutionCommandAttributes, RecordMarkerCommandAttributes,
        RequestCancelActivityTaskCommandAttributes, ScheduleActivityTaskCommandAttributes, StartTimerCommandAttributes,
        command::Attributes,
    },
    common::v1::{ActivityType, Payload, Payloads, RetryPolicy, WorkflowType},
    enums::v1::CommandType,
    failure::v1::{ApplicationFailureInfo, Failure as FailureMessage, failure::FailureInfo},
    history::v1::{History, HistoryEvent},
    query::v1::{WorkflowQuery, WorkflowQueryResult},
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1::{
        PollActivityTaskQueueRequest, PollWorkflowTaskQueueRequest, QueryWorkflowRequest,
        RequestCancelWorkflowExecutionRequest, RespondWorkflowTaskCompletedRequest, RespondWorkflowTaskFailedRequest,
        SignalWithStartWorkflowExecutionRequest, SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest,
        TerminateWorkflowExecutionRequest,
    },
};

use crate::{
    history::event::EventType,
    ids::{EventId, RunId, WorkflowKey},
    shard::io::{
        ActivityClaim, Call, Failure, Reply, Report, Request, RequestId, Response, StartedActivity,
        StartedWorkflowTask, TaskClaim,
    },
    task::Category,
    time::proto_duration,
    version::FailoverVersion,
    workflow::{
        Closed,
        draft::Draft,
        due::{self, Fired},
        request::{self, Handled},
        tests::cluster::{Cluster, namespace},
    },
};

pub(super) struct World {
    pub(super) cluster: Cluster,
    /// What every run wrote, in the order of the runs.
    histories: Vec<(RunId, Vec<HistoryEvent>)>,
    /// The workflow task that the worker has.
    pub(super) task: Option<TaskClaim>,
    /// Answers that came later than their requests' transactions.
    pub(super) late: BTreeMap<u64, Reply>,
    /// What operators were told.
    pub(super) reports: Vec<Report>,
    /// Runs that were to be deleted.
    pub(super) deleted: Vec<RunId>,
    requests: u64,
}

/// Takes questions to the run that is current.
pub(super) const CURRENT: Option<RunId> = None;

impl World {
    pub(super) fn new() -> Self {
        let cluster = Cluster::new(namespace(), 7);
        let (histories, late, deleted) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { cluster, histories, task: None, late, reports: Vec::new(), deleted, requests: 0 }
    }

    /// A world whose workflow was started.
    pub(super) fn started() -> Self {
        Self::started_with(|_| {})
    }

    /// The same, with changes to the request.
    pub(super) fn started_with(change: impl FnOnce(&mut StartWorkflowExecutionRequest)) -> Self {
        let mut world = Self::new();
        world.start_with(change).expect("nothing is in the way");
        world
    }

    /// A world whose worker has the first workflow task.
    pub(super) fn taken() -> Self {
        let mut world = Self::started();
        world.take();
        world
    }

    pub(super) fn start_with(&mut self, change: impl FnOnce(&mut StartWorkflowExecutionRequest)) -> Reply {
        let mut request = start_request();
        change(&mut request);
        self.ask(Call::Start(request.into()))
    }

    pub(super) fn signal_with_start(
        &mut self,
        change: impl FnOnce(&mut SignalWithStartWorkflowExecutionRequest),
    ) -> Reply {
        let start = start_request();
        let mut request = SignalWithStartWorkflowExecutionRequest {
            workflow_id: start.workflow_id,
            workflow_type: start.workflow_type,
            task_queue: start.task_queue,
            signal_name: "go".to_string(),
            ..Default::default()
        };
        change(&mut request);
        self.ask(Call::SignalWithStart(request.into()))
    }

    pub(super) fn signal(&mut self, request_id: &str) -> Reply {
        let (signal_name, request_id) = ("go".to_string(), request_id.to_string());
        self.ask(Call::Signal(SignalWorkflowExecutionRequest { signal_name, request_id, ..Default::default() }.into()))
    }

    pub(super) fn cancel(&mut self) -> Reply {
        self.ask(Call::RequestCancel(RequestCancelWorkflowExecutionRequest::default().into()))
    }

    pub(super) fn terminate(&mut self) -> Reply {
        self.ask(Call::Terminate(TerminateWorkflowExecutionRequest::default().into()))
    }

    /// The worker takes the pending workflow task.
    pub(super) fn take(&mut self) -> StartedWorkflowTask {
        let task = self.cluster.state().workflow_task.pending.as_ref().expect("a workflow task is pending");
        let queue = match (&self.cluster.state().local.sticky, task.sticky) {
            (Some(sticky), true) => sticky.task_queue.clone(),
            _ => "queue".to_string(),
        };
        let scheduled = task.scheduled;
        match self.take_as(scheduled, "poll", &queue) {
            Ok(Response::WorkflowTask(task)) => *task,
            other => panic!("no workflow task: {other:?}"),
        }
    }

    pub(super) fn take_as(&mut self, scheduled: EventId, request_id: &str, queue: &str) -> Reply {
        let task_queue = Some(TaskQueue { name: queue.to_string(), ..Default::default() });
        let poll =
            PollWorkflowTaskQueueRequest { task_queue, identity: "worker".to_string(), ..Default::default() }.into();
        let reply = self.ask(Call::StartWorkflowTask { scheduled, request_id: request_id.to_string(), poll });
        if let Ok(Response::WorkflowTask(task)) = &reply {
            self.task = Some(task.claim.clone());
        }
        reply
    }

    /// The worker completes its workflow task.
    pub(super) fn complete<const N: usize>(&mut self, commands: [Command; N]) -> Reply {
        self.complete_with(|completion| completion.commands = commands.into())
    }

    pub(super) fn complete_with(&mut self, change: impl FnOnce(&mut RespondWorkflowTaskCompletedRequest)) -> Reply {
        let mut completion =
            RespondWorkflowTaskCompletedRequest { identity: "worker".to_string(), ..Default::default() };
        change(&mut completion);
        let claim = self.task.clone().expect("the worker has a task");
        let reply = self.ask(Call::CompleteWorkflowTask(claim, completion.into()));
        if let Ok(Response::WorkflowTaskCompleted { next: Some(next) }) = &reply {
            self.task = Some(next.claim.clone());
        }
        reply
    }

    /// The worker could not complete its workflow task.
    pub(super) fn fail_task(&mut self) -> Reply {
        let claim = self.task.clone().expect("the worker has a task");
        self.ask(Call::FailWorkflowTask(
            claim,
            RespondWorkflowTaskFailedRequest { cause: 24, ..Default::default() }.into(),
        ))
    }

    /// A worker takes the activity that is pending under this name.
    pub(super) fn take_activity(&mut self, id: &str) -> StartedActivity {
        let activity = self.cluster.state().activities.by_id(id).expect("the activity is pending");
        let (scheduled, attempt) = (activity.scheduled, activity.attempt);
        let poll = PollActivityTaskQueueRequest { identity: "worker".to_string(), ..Default::default() }.into();
        match self.ask(Call::StartActivity { scheduled, attempt, request_id: "poll".to_string(), poll }) {
            Ok(Response::ActivityTask(task)) => *task,
            other => panic!("no activity: {other:?}"),
        }
    }

    pub(super) fn complete_activity(&mut self, activity: ActivityClaim) -> Reply {
        self.ask(Call::CompleteActivity { activity, result: None, identity: "worker".to_string() })
    }

    pub(super) fn fail_activity(&mut self, activity: ActivityClaim) -> Reply {
        let failure = Some(failure("boom").into());
        self.ask(Call::FailActivity { activity, failure, last_heartbeat: None, identity: "worker".to_string() })
    }

    pub(super) fn cancel_activity(&mut self, activity: ActivityClaim) -> Reply {
        self.ask(Call::CancelActivity { activity, details: None, identity: "worker".to_string() })
    }

    pub(super) fn heartbeat(&mut self, activity: ActivityClaim, text: &'static str) -> Reply {
        let details = Some(payloads(text));
        self.ask(Call::HeartbeatActivity { activity, details, identity: "worker".to_string() })
    }

    /// Ask the workflow a question. `None`: the answer comes later, under the number.
    pub(super) fn query(&mut self) -> (u64, Option<Reply>) {
        let query = Some(WorkflowQuery { query_type: "state".to_string(), ..Default::default() });
        let call = Call::Query(QueryWorkflowRequest { query, ..Default::default() }.into());
        let reply = self.ask_run(CURRENT, call);
        (self.requests, reply)
    }

    /// Carry a request out, in a transaction of its own.
    pub(super) fn ask(&mut self, call: Call) -> Reply {
        self.ask_run(CURRENT, call).expect("this request is answered at once")
    }

    pub(super) fn ask_run(&mut self, run: Option<RunId>, call: Call) -> Option<Reply> {
        self.requests += 1;
        let id = RequestId(self.requests);
        let workflow = WorkflowKey { namespace: self.cluster.namespace.id, workflow: "order-7".into() };
        let request = Request { workflow, run, call };
        let mut reply = None;
        let closed = self.cluster.transact(|draft| {
            reply = match request::handle(draft, id, &request) {
                Ok(Handled::Answered(answer)) => Some(Ok(answer)),
                Ok(_) => None,
                Err(failure) => Some(Err(failure)),
            };
        });
        self.note(closed);
        reply
    }

    /// A transaction of its own.
    pub(super) fn step(&mut self, work: impl FnOnce(&mut Draft<'_>)) {
        let closed = self.cluster.transact(work);
        self.note(closed);
    }

    /// Let time pass, and do what becomes due at its time.
    pub(super) fn pass(&mut self, seconds: u64) {
        let end = self.cluster.now + Duration::from_secs(seconds);
        loop {
            let due = self.cluster.tasks.values().find(|task| task.kind.category() == Category::Timer);
            let Some(task) = due.filter(|task| task.key.fire_time <= end).cloned() else { break };
            self.cluster.tasks.remove(&(Category::Timer, task.key));
            self.cluster.now = self.cluster.now.max(task.key.fire_time);
            let mut fired = Fired::Stale;
            let closed = self.cluster.transact(|draft| fired = due::fire(draft, &task));
            if fired == Fired::Delete {
                // Whoever owns the runs deletes it; there is nothing more to see here.
                self.deleted.push(task.run.run);
                break;
            }
            self.note(closed);
        }
        self.cluster.now = end;
    }

    /// The namespace fails over to a later version of this cluster.
    pub(super) fn raise_version(&mut self) {
        let version = self.cluster.namespace.failover_version.0;
        self.cluster.namespace.failover_version = FailoverVersion(version + 10);
    }

    fn note(&mut self, closed: Closed) {
        self.reports.extend(closed.reports);
        for (id, reply) in closed.replies {
            self.late.insert(id.0, reply);
        }
        for write in closed.history {
            let events = History::decode(write.events).unwrap().events;
            match self.histories.iter_mut().find(|(run, _)| *run == write.tree) {
                Some((_, history)) => history.extend(events),
                None => self.histories.push((write.tree, events)),
            }
        }
    }

    /// Every event that the workflow's runs wrote, by short names, one line a run.
    pub(super) fn history(&self) -> String {
        let line = |(_, events): &(RunId, Vec<HistoryEvent>)| events.iter().map(name).collect::<Vec<_>>().join(" ");
        self.histories.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// The last event of the first run.
    pub(super) fn last(&self) -> &HistoryEvent {
        self.histories[0].1.last().expect("a run has events")
    }

    /// An event of the first run.
    pub(super) fn event(&self, id: i64) -> &HistoryEvent {
        &self.histories[0].1[usize::try_from(id - 1).unwrap()]
    }

    /// An event of the second run.
    pub(super) fn second(&self, id: i64) -> &HistoryEvent {
        &self.histories[1].1[usize::try_from(id - 1).unwrap()]
    }

    /// The runs, oldest first.
    pub(super) fn run(&self, index: usize) -> RunId {
        self.histories[index].0
    }

    /// The history is this, run by run.
    #[track_caller]
    pub(super) fn check(&self, expected: &str) {
        let lines = expected.lines().map(str::trim).filter(|line| !line.is_empty());
        assert_eq!(self.history(), lines.collect::<Vec<_>>().join("\n"));
    }
}

/// What an attempt's token claims.
pub(super) fn claim(task: &StartedActivity) -> ActivityClaim {
    ActivityClaim::Task { scheduled: task.scheduled, attempt: task.poll.attempt, version: task.version }
}

pub(super) fn by_id(id: &str) -> ActivityClaim {
    ActivityClaim::ById(id.to_string())
}

/// What a refusal says.
#[track_caller]
pub(super) fn refusal(reply: Reply) -> String {
    match reply.expect_err("it is refused") {
        Failure::InvalidArgument(text) => format!("InvalidArgument: {text}"),
        Failure::NotFound(text) => format!("NotFound: {text}"),
        Failure::AlreadyStarted { message, .. } => format!("AlreadyStarted: {message}"),
        Failure::WorkflowNotReady(text) => format!("WorkflowNotReady: {text}"),
        Failure::Moved => "Moved".to_string(),
        Failure::Unimplemented(text) => format!("Unimplemented: {text}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn activity(id: &str) -> Command {
    activity_with(id, |_| {})
}

/// Start-to-close 10 s, unless changed.
pub(super) fn activity_with(id: &str, change: impl FnOnce(&mut ScheduleActivityTaskCommandAttributes)) -> Command {
    let mut attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: id.to_string(),
        activity_type: Some(ActivityType { name: "ship".to_string() }),
        task_queue: Some(TaskQueue { name: "ships".to_string(), ..Default::default() }),
        start_to_close_timeout: seconds(10),
        ..Default::default()
    };
    change(&mut attributes);
    command(CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(attributes))
}

pub(super) fn cancel_activity(scheduled: i64) -> Command {
    let attributes = RequestCancelActivityTaskCommandAttributes { scheduled_event_id: scheduled };
    command(CommandType::RequestCancelActivityTask, Attributes::RequestCancelActivityTaskCommandAttributes(attributes))
}

pub(super) fn timer(id: &str, after: u64) -> Command {
    let attributes = StartTimerCommandAttributes { timer_id: id.to_string(), start_to_fire_timeout: seconds(after) };
    command(CommandType::StartTimer, Attributes::StartTimerCommandAttributes(attributes))
}

pub(super) fn cancel_timer(id: &str) -> Command {
    let attributes = CancelTimerCommandAttributes { timer_id: id.to_string() };
    command(CommandType::CancelTimer, Attributes::CancelTimerCommandAttributes(attributes))
}

pub(super) fn marker(name: &str) -> Command {
    let attributes = RecordMarkerCommandAttributes { marker_name: name.to_string(), ..Default::default() };
    command(CommandType::RecordMarker, Attributes::RecordMarkerCommandAttributes(attributes))
}

pub(super) fn done() -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes::default();
    command(CommandType::CompleteWorkflowExecution, Attributes::CompleteWorkflowExecutionCommandAttributes(attributes))
}

pub(super) fn fail() -> Command {
    let attributes = FailWorkflowExecutionCommandAttributes { failure: Some(failure("boom")) };
    command(CommandType::FailWorkflowExecution, Attributes::FailWorkflowExecutionCommandAttributes(attributes))
}

pub(super) fn canceled() -> Command {
    let attributes = CancelWorkflowExecutionCommandAttributes::default();
    command(CommandType::CancelWorkflowExecution, Attributes::CancelWorkflowExecutionCommandAttributes(attributes))
}

pub(super) fn continue_as_new(change: impl FnOnce(&mut ContinueAsNewWorkflowExecutionCommandAttributes)) -> Command {
    let mut attributes = ContinueAsNewWorkflowExecutionCommandAttributes::default();
    change(&mut attributes);
    let attributes = Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(attributes);
    command(CommandType::ContinueAsNewWorkflowExecution, attributes)
}

pub(super) fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind.into(), attributes: Some(attributes), ..Default::default() }
}

/// A command without what it needs to be told.
pub(super) fn bare(kind: CommandType) -> Command {
    Command { command_type: kind.into(), ..Default::default() }
}

pub(super) fn sticky(queue: &str) -> Option<StickyExecutionAttributes> {
    let worker_task_queue = Some(TaskQueue { name: queue.to_string(), ..Default::default() });
    Some(StickyExecutionAttributes { worker_task_queue, schedule_to_start_timeout: seconds(5) })
}

pub(super) fn answered(text: &'static str) -> WorkflowQueryResult {
    WorkflowQueryResult { result_type: 1, answer: Some(payloads(text)), ..Default::default() }
}

pub(super) fn attempts(maximum_attempts: i32) -> Option<RetryPolicy> {
    Some(RetryPolicy { maximum_attempts, ..Default::default() })
}

pub(super) fn seconds(seconds: u64) -> Option<prost_types::Duration> {
    Some(proto_duration(Duration::from_secs(seconds)))
}

pub(super) fn payloads(text: &'static str) -> Payloads {
    Payloads { payloads: vec![Payload { data: text.into(), ..Default::default() }] }
}

pub(super) fn failure(message: &str) -> FailureMessage {
    let info = ApplicationFailureInfo { r#type: "Trouble".to_string(), ..Default::default() };
    FailureMessage {
        message: message.to_string(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

fn start_request() -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        workflow_id: "order-7".to_string(),
        workflow_type: Some(WorkflowType { name: "order".to_string() }),
        task_queue: Some(TaskQueue { name: "queue".to_string(), ..Default::default() }),
        ..Default::default()
    }
}

/// `Started`, `Completed` and so on for the run, `Wft…`, `Act…` and `Timer…` for its parts.
fn name(event: &HistoryEvent) -> String {
    let kind = EventType::try_from(event.event_type).unwrap();
    let name = format!("{kind:?}");
    let name = name.replace("WorkflowExecution", "").replace("WorkflowTask", "Wft").replace("ActivityTask", "Act");
    name.replace("Workflow", "")
}
