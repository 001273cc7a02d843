//! Clients: each wants one thing, and asks one cluster after the other, under the same request id, until it has an answer.

use std::time::Duration;

use proto::temporal::api::{
    common::v1::{WorkflowExecution, WorkflowType},
    enums::v1::{EventType, WorkflowIdReusePolicy},
    workflowservice::v1 as api,
};
use replicator::{
    ids::{EventId, RunId, RunKey, WorkflowKey},
    shard::io::{Call, Failure, Reply, Request, Response},
    time::proto_duration,
    workflow::MutableState,
};

use super::{Event, World, calls::Purpose};
use crate::{
    checkers::{Fact, Seen},
    plan::{Ask, Wish, workflow_name},
    program::{self, Program, WORKFLOW_TASK_TIME},
    random::Range,
    trace::{Place, name},
};

/// What a client wants, and how far it has come with it.
pub(super) struct Order {
    wish: Wish,
    workflow: WorkflowKey,
    /// The cluster that it asks next.
    to: usize,
    tries: u32,
    pub(super) is_done: bool,
    /// Where a run is to begin again: the end of the last decision that was known when it was first asked for.
    point: Option<(RunId, EventId)>,
}

impl Order {
    /// Whether it is about the deletion of a run of this workflow.
    pub(super) fn deletes(&self, workflow: &WorkflowKey) -> bool {
        self.wish.call == Ask::Delete && self.workflow == *workflow
    }
}

impl World {
    /// A client wants something.
    pub(super) fn order(&mut self, wish: Wish) {
        let namespace = self.namespaces[wish.namespace].id;
        let workflow = WorkflowKey { namespace, workflow: workflow_name(wish.workflow).into() };
        self.orders.push(Order { to: wish.from, wish, workflow, tries: 0, is_done: false, point: None });
        self.on_client(self.orders.len() - 1);
    }

    pub(super) fn on_client(&mut self, number: usize) {
        if self.orders[number].is_done {
            return;
        }
        if self.orders[number].wish.call == Ask::Reset && self.orders[number].point.is_none() {
            self.orders[number].point = self.reset_point(number);
            if self.orders[number].point.is_none() {
                // There is nothing to go back to.
                self.orders[number].is_done = true;
                return;
            }
        }
        let order = &mut self.orders[number];
        order.tries += 1;
        if order.tries == 2 {
            self.coverage.hit("path: request repeated");
        }
        let order = &self.orders[number];
        let (from, to, key) = (order.wish.from, order.to, order.workflow.clone());
        let call = request(&order.wish.call, &key, number, order.point);
        let run = order.point.map(|(run, _)| run);
        let (wish, tries) = (order.wish.clone(), order.tries);
        let request = Request { workflow: key.clone(), run, call };
        self.note(
            Place::World,
            "asks",
            Some(&key.workflow),
            format_args!("{}: {wish}, request {number}, try {tries}", name(to)),
        );
        if wish.call == Ask::Delete {
            self.show(&Seen::Deleting { workflow: &key });
        }
        if matches!(wish.call, Ask::Signal | Ask::SignalWithStart(_)) {
            self.show(&Seen::Asked { workflow: &key, request_id: &request_id(number) });
        }
        self.call(from, to, request, Purpose::Order(number));
    }

    pub(super) fn on_order_answered(&mut self, number: usize, reply: Option<Reply>) {
        let key = self.orders[number].workflow.clone();
        let text = match &reply {
            None => "nothing".to_owned(),
            Some(Ok(_)) => "done".to_owned(),
            Some(Err(failure)) => format!("{failure:?}"),
        };
        self.note(Place::World, "hears", Some(&key.workflow), format_args!("of request {number}: {text}"));
        match reply {
            Some(Ok(response)) => {
                let ask = self.orders[number].wish.call.clone();
                let request_id = request_id(number);
                self.orders[number].is_done = true;
                let mut facts = Vec::new();
                match (ask, response) {
                    (Ask::Start(_), Response::Started(started)) => {
                        facts.push(Fact::Started { workflow: key, request_id, run: parse(&started.run_id) });
                    }
                    (Ask::Signal, Response::Signaled { run }) => {
                        facts.push(Fact::Signaled { workflow: key, request_id, run });
                    }
                    (Ask::SignalWithStart(_), Response::SignaledWithStart(started)) => {
                        facts.push(Fact::Signaled { workflow: key, request_id, run: parse(&started.run_id) });
                    }
                    (Ask::Reset, _) => self.coverage.hit("path: run reset"),
                    (Ask::Delete, _) => self.coverage.hit("path: run deleted"),
                    (Ask::Cancel, _) => self.coverage.hit("path: cancelled"),
                    (Ask::Terminate, _) => {
                        self.coverage.hit("path: terminated");
                        facts.push(Fact::Terminated { workflow: key });
                    }
                    _ => {}
                }
                for fact in &facts {
                    self.show(&Seen::Acknowledged { fact });
                }
            }
            Some(Err(Failure::NotActive { active, .. })) => {
                let active = (0..self.clusters.len()).find(|cluster| name(*cluster) == active);
                self.orders[number].to = active.expect("a known cluster");
                let longest = 50 * u64::from(self.orders[number].tries.min(20));
                self.try_again(number, Range::millis(1, longest));
            }
            None | Some(Err(Failure::Unavailable(_) | Failure::ResourceExhausted { .. })) => {
                self.orders[number].to = self.random.clients.index(self.clusters.len());
                let longest = 100 * u64::from(self.orders[number].tries.min(10));
                self.try_again(number, Range::millis(20, longest));
            }
            Some(Err(failure)) => {
                if matches!(failure, Failure::AlreadyStarted { .. }) {
                    self.coverage.hit("path: start refused");
                }
                self.orders[number].is_done = true;
            }
        }
    }

    /// The end of the last decision in a workflow's current run, as the cluster knows it that is asked.
    fn reset_point(&self, number: usize) -> Option<(RunId, EventId)> {
        let order = &self.orders[number];
        let store = &self.clusters[order.to].store;
        let run = store.current(&order.workflow)?;
        let stored = store.run(&RunKey { workflow: order.workflow.clone(), run })?;
        let state = MutableState::decode(stored).ok()?;
        let branch = &state.histories.current().branch;
        let events = store.events(branch, EventId::FIRST, state.next_event_id()).flat_map(|batch| batch.iter());
        let decided = events.filter(|event| event.event_type() == EventType::WorkflowTaskCompleted);
        decided.last().map(|event| (run, EventId(event.event_id)))
    }

    /// Whether a client of a workflow waits for an answer.
    pub(super) fn is_asked(&self, workflow: &WorkflowKey) -> bool {
        self.orders.iter().any(|order| !order.is_done && order.workflow == *workflow)
    }

    fn try_again(&mut self, number: usize, pause: Range) {
        let pause = self.random.clients.duration(pause) + Duration::from_micros(1);
        self.after(pause, Event::Client(number));
    }
}

/// The request id of an order.
fn request_id(number: usize) -> String {
    format!("request-{number}")
}

fn request(ask: &Ask, key: &WorkflowKey, number: usize, point: Option<(RunId, EventId)>) -> Call {
    let workflow_id = key.workflow.to_string();
    let execution = Some(WorkflowExecution { workflow_id: workflow_id.clone(), run_id: String::new() });
    let (identity, request_id) = ("client".to_owned(), request_id(number));
    let workflow_type = Some(WorkflowType { name: "errand".into() });
    let reuse = WorkflowIdReusePolicy::RejectDuplicate;
    let timeout = Some(proto_duration(WORKFLOW_TASK_TIME));
    let input = |program: &Program| Some(program.to_input());
    match ask {
        Ask::Start(program) => Call::Start(Box::new(api::StartWorkflowExecutionRequest {
            workflow_id,
            workflow_type,
            task_queue: Some(program::queue()),
            input: input(program),
            workflow_task_timeout: timeout,
            identity,
            request_id,
            workflow_id_reuse_policy: reuse.into(),
            ..Default::default()
        })),
        Ask::SignalWithStart(program) => {
            Call::SignalWithStart(Box::new(api::SignalWithStartWorkflowExecutionRequest {
                workflow_id,
                workflow_type,
                task_queue: Some(program::queue()),
                input: input(program),
                workflow_task_timeout: timeout,
                identity,
                request_id,
                workflow_id_reuse_policy: reuse.into(),
                signal_name: "go".into(),
                ..Default::default()
            }))
        }
        Ask::Signal => signal(key, &request_id),
        Ask::Cancel => Call::RequestCancel(Box::new(api::RequestCancelWorkflowExecutionRequest {
            workflow_execution: execution,
            identity,
            request_id,
            ..Default::default()
        })),
        Ask::Reset => Call::Reset(Box::new(api::ResetWorkflowExecutionRequest {
            workflow_execution: execution,
            reason: "it went wrong".into(),
            workflow_task_finish_event_id: point.map_or(0, |(_, event)| event.0),
            request_id,
            ..Default::default()
        })),
        Ask::Delete => Call::Delete,
        Ask::Terminate => Call::Terminate(Box::new(api::TerminateWorkflowExecutionRequest {
            workflow_execution: execution,
            identity,
            ..Default::default()
        })),
    }
}

/// The call that signals a workflow.
pub(super) fn signal(key: &WorkflowKey, request_id: &str) -> Call {
    Call::Signal(Box::new(api::SignalWorkflowExecutionRequest {
        workflow_execution: Some(WorkflowExecution { workflow_id: key.workflow.to_string(), run_id: String::new() }),
        signal_name: "go".into(),
        identity: "client".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }))
}

fn parse(run: &str) -> RunId {
    RunId::parse(run).expect("a run that was started has an id")
}
