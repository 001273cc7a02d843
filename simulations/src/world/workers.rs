//! Workers: they take what matching offers, replay the workflow's program or do an activity, and say so to whichever
//! cluster is near. They vanish with work in their hands, fail, and are offered things twice.

use std::time::Duration;

use proto::temporal::api::{
    common::v1::Payloads,
    enums::v1::WorkflowTaskFailedCause,
    history::v1::history_event::Attributes,
    taskqueue::v1::{StickyExecutionAttributes, TaskQueue},
    workflowservice::v1 as api,
};
use replicator::{
    ids::{BranchId, EventId, RunKey, WorkflowKey},
    shard::io::{
        ActivityClaim, Call, DispatchQueue, Failure, Reply, Request, Response, StartedActivity, StartedWorkflowTask,
    },
    time::proto_duration,
};

use super::{Event, World, calls::Purpose, clients::signal};
use crate::{
    bank,
    checkers::{Attempt, Fact, Seen},
    network::Verdict,
    plan::workflow_name,
    program::{self, Errand, Program},
    random::Range,
    trace::{Place, name},
};

/// A worker takes what was offered.
pub(super) struct Take {
    cluster: usize,
    incarnation: u64,
    run: RunKey,
    scheduled: EventId,
    ticket: u64,
    request_id: String,
}

/// Work that is done, but for saying so.
pub(super) struct Job {
    region: usize,
    to: usize,
    run: RunKey,
    /// What the worker does before, in another workflow: a signal, and its request id.
    before: Option<(WorkflowKey, String)>,
    call: Call,
    tries: u32,
    /// What will be true when it is acknowledged.
    fact: Option<Fact>,
}

impl World {
    /// Workers will be offered a task, once or twice.
    pub(super) fn offer_later(&mut self, cluster: usize, run: RunKey, scheduled: EventId, ticket: u64) {
        let incarnation = self.clusters[cluster].incarnation;
        let delay = self.random.workers.duration(self.plan.workers.poll);
        if self.random.workers.chance(self.plan.workers.repeat) {
            self.coverage.hit("path: offer repeated");
            let again = delay + self.random.workers.duration(Range::millis(0, 200));
            self.after(again, Event::Offer(cluster, incarnation, run.clone(), scheduled, ticket));
        }
        self.after(delay, Event::Offer(cluster, incarnation, run, scheduled, ticket));
    }

    pub(super) fn on_offer(&mut self, cluster: usize, incarnation: u64, run: &RunKey, scheduled: EventId, ticket: u64) {
        let here = &self.clusters[cluster];
        if here.incarnation != incarnation {
            return;
        }
        let Some(dispatch) = here.matching.get(run, scheduled, ticket).cloned() else { return };
        let request_id = format!("poll-{}", self.fresh());
        let identity = format!("worker of {}", name(cluster));
        let queue = |name: &String| Some(TaskQueue { name: name.clone(), ..TaskQueue::default() });
        let call = match &dispatch.queue {
            DispatchQueue::Activity(_) => Call::StartActivity {
                scheduled,
                attempt: dispatch.attempt,
                request_id: request_id.clone(),
                poll: Box::new(api::PollActivityTaskQueueRequest { identity, ..Default::default() }),
            },
            DispatchQueue::Workflow(name) | DispatchQueue::Sticky(name, _) => {
                let is_sticky = matches!(dispatch.queue, DispatchQueue::Sticky(..));
                // The one worker that polls this queue is gone.
                if is_sticky && self.random.workers.chance(self.plan.workers.vanish * 2) {
                    return;
                }
                Call::StartWorkflowTask {
                    scheduled,
                    request_id: request_id.clone(),
                    poll: Box::new(api::PollWorkflowTaskQueueRequest {
                        task_queue: queue(name),
                        identity,
                        ..Default::default()
                    }),
                }
            }
        };
        let request = Request { workflow: run.workflow.clone(), run: Some(run.run), call };
        let take = Take { cluster, incarnation, run: run.clone(), scheduled, ticket, request_id };
        self.call(cluster, cluster, request, Purpose::Take(take));
    }

    pub(super) fn on_taken(&mut self, take: Take, reply: Option<Reply>) {
        let Take { cluster, incarnation, run, scheduled, ticket, request_id } = take;
        let here = &mut self.clusters[cluster];
        if here.incarnation != incarnation {
            return;
        }
        match reply {
            None | Some(Err(Failure::Unavailable(_) | Failure::ResourceExhausted { .. })) => {
                self.after(PUT_OFF, Event::Offer(cluster, incarnation, run, scheduled, ticket));
            }
            Some(Err(_)) => here.matching.remove(&run, scheduled, ticket),
            Some(Ok(response)) => {
                here.matching.remove(&run, scheduled, ticket);
                let branch = here.runs.get(&run).map(|standing| standing.current_branch);
                if let Some(attempt) = branch.and_then(|branch| attempt(&run, scheduled, branch, &response)) {
                    self.show(&Seen::Granted { cluster, attempt: &attempt, request_id: &request_id });
                }
                self.hand_over(cluster, run, response);
            }
        }
    }

    /// What was taken goes to its worker, who may never get it.
    fn hand_over(&mut self, cluster: usize, run: RunKey, response: Response) {
        let region = self.random.workers.index(self.clusters.len());
        let way = self.network.send(self.now, cluster, region);
        let vanishes = self.random.workers.chance(self.plan.workers.vanish);
        let (Verdict::Deliver(way), false) = (way, vanishes) else {
            return self.note(
                Place::Cluster(cluster),
                "vanishes",
                Some(&run.workflow.workflow),
                format_args!("a task"),
            );
        };
        let before = match &response {
            Response::ActivityTask(task) => before(&run, task),
            _ => None,
        };
        let (work, time) = match response {
            Response::WorkflowTask(task) => {
                (self.think(cluster, &run, &task), self.random.workers.duration(self.plan.workers.think))
            }
            Response::ActivityTask(task) => {
                (self.act(&run, &task), self.random.workers.duration(self.plan.workers.act))
            }
            _ => return,
        };
        let (call, fact) = work;
        let job = Job { region, to: region, run, before, call, tries: 0, fact };
        self.after(way + time, Event::Work(Box::new(job)));
    }

    /// Replay the program over the history that the task brings.
    fn think(&mut self, cluster: usize, run: &RunKey, task: &StartedWorkflowTask) -> (Call, Option<Fact>) {
        let branch = &task.view.histories.current().branch;
        let stored = self.clusters[cluster].store.events(branch, EventId::FIRST, task.view.next_event_id);
        let history: Vec<_> = stored.flat_map(|batch| batch.iter()).chain(&task.transient).collect();
        let identity = format!("worker of {}", name(cluster));
        if self.random.workers.chance(self.plan.workers.fail) {
            let cause = WorkflowTaskFailedCause::WorkflowWorkerUnhandledFailure.into();
            let failed = api::RespondWorkflowTaskFailedRequest { cause, identity, ..Default::default() };
            return (Call::FailWorkflowTask(task.claim.clone(), Box::new(failed)), None);
        }
        let input = match history.first().and_then(|event| event.attributes.as_ref()) {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(start)) => start.input.clone(),
            _ => None,
        };
        let commands = Program::of_input(input.as_ref()).decide(history);
        if commands
            .iter()
            .any(|c| c.command_type() == proto::temporal::api::enums::v1::CommandType::ContinueAsNewWorkflowExecution)
        {
            self.coverage.hit("path: continued as new");
        }
        let is_sticky = self.random.workers.chance(self.plan.workers.sticky);
        let sticky_attributes = is_sticky.then(|| StickyExecutionAttributes {
            worker_task_queue: Some(TaskQueue { name: format!("sticky-{}", name(cluster)), ..TaskQueue::default() }),
            schedule_to_start_timeout: Some(proto_duration(STICKY_TIME)),
        });
        let completion =
            api::RespondWorkflowTaskCompletedRequest { commands, identity, sticky_attributes, ..Default::default() };
        let fact = Fact::WorkflowTaskCompleted { run: run.clone(), scheduled: task.claim.scheduled };
        (Call::CompleteWorkflowTask(task.claim.clone(), Box::new(completion)), Some(fact))
    }

    fn act(&mut self, run: &RunKey, task: &StartedActivity) -> (Call, Option<Fact>) {
        let attempt = task.poll.attempt;
        let activity = ActivityClaim::Task { scheduled: task.scheduled, attempt, version: task.version };
        let identity = "worker".to_owned();
        if attempt > 1 {
            self.coverage.hit("path: activity retried");
        }
        if self.random.workers.chance(self.plan.workers.fail) {
            let failure = Some(Box::new(program::failure("it did not work")));
            return (Call::FailActivity { activity, failure, last_heartbeat: None, identity }, None);
        }
        if self.random.workers.chance(self.plan.workers.fail) {
            let details = Some(program::payloads(b"halfway".to_vec()));
            return (Call::HeartbeatActivity { activity, details, identity }, None);
        }
        let result = self.book(run, task);
        let fact = Fact::ActivityCompleted { run: run.clone(), scheduled: task.scheduled };
        (Call::CompleteActivity { activity, result, identity }, Some(fact))
    }

    /// What an activity does at the bank, if that is what it is for. The result is the receipt.
    fn book(&mut self, run: &RunKey, task: &StartedActivity) -> Option<Payloads> {
        let errand = errand(task);
        if !bank::is_booked(errand) {
            return None;
        }
        let (receipt, is_new) = self.bank.book(run, &task.poll.activity_id);
        if is_new {
            self.coverage.hit("path: money moved");
            self.show(&Seen::Booked { receipt, workflow: &run.workflow, errand });
        } else {
            self.coverage.hit("path: bank asked again");
        }
        Some(program::payloads(receipt.to_string().into_bytes()))
    }

    pub(super) fn on_work(&mut self, mut job: Job) {
        job.tries += 1;
        let request = match &job.before {
            Some((workflow, request_id)) => {
                self.show(&Seen::Asked { workflow, request_id });
                Request { workflow: workflow.clone(), run: None, call: signal(workflow, request_id) }
            }
            None => Request { workflow: job.run.workflow.clone(), run: Some(job.run.run), call: job.call.clone() },
        };
        let (from, to) = (job.region, job.to);
        self.call(from, to, request, Purpose::Job(Box::new(job)));
    }

    pub(super) fn on_job_answered(&mut self, mut job: Job, reply: Option<Reply>) {
        let pause = match reply {
            Some(Ok(Response::Signaled { run })) => {
                if let Some((workflow, request_id)) = job.before.take() {
                    self.coverage.hit("path: signal passed on");
                    self.show(&Seen::Acknowledged { fact: &Fact::Signaled { workflow, request_id, run } });
                }
                return self.on_work(job);
            }
            Some(Ok(_)) => {
                if let Some(fact) = &job.fact {
                    self.show(&Seen::Acknowledged { fact });
                }
                return;
            }
            Some(Err(Failure::NotActive { active, .. })) => {
                job.to = (0..self.clusters.len()).find(|cluster| name(*cluster) == active).expect("a known cluster");
                Range::millis(1, 50)
            }
            None | Some(Err(Failure::Unavailable(_) | Failure::ResourceExhausted { .. })) => {
                job.to = self.random.workers.index(self.clusters.len());
                Range::millis(20, 400)
            }
            // Who is to be signalled is not there, or not any more.
            Some(Err(_)) if job.before.take().is_some() => return self.on_work(job),
            Some(Err(_)) => return,
        };
        if job.tries < MOST_TRIES {
            let pause = self.random.workers.duration(pause);
            self.after(pause, Event::Work(Box::new(job)));
        }
    }

    /// From now on workers do what they take.
    pub(super) fn heal_workers(&mut self) {
        self.plan.workers.vanish = 0;
        self.plan.workers.fail = 0;
    }
}

/// What an activity is for.
fn errand(task: &StartedActivity) -> Errand {
    let kind = task.poll.activity_type.as_ref().map_or("", |kind| &kind.name);
    Errand::of(kind, task.poll.input.as_ref())
}

/// The signal that an activity sends, if that is what it is for. However often it is tried, it is the same one.
fn before(run: &RunKey, task: &StartedActivity) -> Option<(WorkflowKey, String)> {
    let Errand::Pass(to) = errand(task) else { return None };
    let workflow = WorkflowKey { namespace: run.workflow.namespace, workflow: workflow_name(to).into() };
    Some((workflow, format!("{}-{}", run.run, task.scheduled)))
}

/// The attempt that a worker was given.
fn attempt(run: &RunKey, scheduled: EventId, branch: BranchId, response: &Response) -> Option<Attempt> {
    let (attempt, version) = match response {
        Response::WorkflowTask(task) => (task.claim.attempt, task.claim.version),
        Response::ActivityTask(task) => (task.poll.attempt, task.version),
        _ => return None,
    };
    Some(Attempt { run: run.clone(), scheduled, attempt, version, branch })
}

/// How long matching waits before it offers again what could not be started.
const PUT_OFF: Duration = Duration::from_millis(100);
/// How long a task waits for the worker that has the run cached.
const STICKY_TIME: Duration = Duration::from_millis(700);
/// A worker that is not heard gives up.
const MOST_TRIES: u32 = 12;
