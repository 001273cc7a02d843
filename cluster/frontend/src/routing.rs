//! Calls on a cluster of several hosts: each is answered by the one that has the shard or the task queue that it is about.
//!
//! A call that is passed on is the same bytes to the same method, as between clusters, with the time that the caller has
//! left; whoever it is passed on to answers it or refuses it. Hosts may disagree for a moment about who has what, or it may
//! be on its way. Then nothing was done, and it is tried again where the ring points to then: the caller sees nothing but
//! time. When it is not known whether something was done, only what changes nothing is tried again; the rest is for the
//! caller to repeat, who knows by which request id.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hosts::{Host, Hosts, Owner, ROOT, Trouble, WANTED_AT, calls, is_moved, wanted_at};
use replicator::{
    ids::{NamespaceId, WorkflowKey},
    namespace::Namespace,
    shard::io::Failure,
};
use tokio::{select, time::sleep};
use tonic::Status;
use tracing::Span;
use uuid::Uuid;

use crate::{
    caller::{Caller, FORWARDED, FORWARDED_BY, FORWARDED_VERSION, REDIRECTION},
    errors::Error,
    frontend::Frontend,
    handlers,
    redirection::{KEPT, keep},
    rpcs::{Home, Rpc, field, text},
    tokens::{QueryToken, TaskToken},
};

impl Caller {
    /// Say to whoever follows the call what it is about.
    pub(crate) fn follow(&self, namespace: Option<&Namespace>) {
        let Some(namespace) = namespace.filter(|_| calls::are_followed()) else { return };
        let span = Span::current();
        span.record("temporalNamespace", &namespace.name);
        if let Ok(Some(What::Workflow(workflow))) = What::of(self, namespace.id) {
            span.record("temporalWorkflowID", tracing::field::display(&workflow.workflow));
        }
    }
}

impl Frontend {
    /// Have a call answered by the host that it is for.
    pub(crate) async fn at_home(
        &self,
        hosts: &Hosts,
        caller: &Caller,
        namespace: &Arc<Namespace>,
    ) -> Result<Bytes, Error> {
        let Some(what) = What::of(caller, namespace.id)? else {
            return handlers::run(self, caller, Some(namespace)).await;
        };
        let partition = match &what {
            What::Part(namespace, name) => hosts.read_partition(*namespace, name, self.next_poll()),
            What::Workflow(_) | What::Queue(..) => ROOT,
        };
        let give_up_at = self.now() + PATIENCE;
        let mut wanted: Option<Uuid> = None;
        loop {
            let owner = wanted.take().and_then(|host| hosts.of_life(host));
            let outcome = match owner.unwrap_or_else(|| what.owner(hosts, partition)) {
                Owner::Here => self.at_service(caller, Some(namespace)).await,
                // Nothing is what a poll brings that has waited long enough.
                Owner::There(_) if caller.rpc.is_poll() && self.stops() => return Ok(Bytes::new()),
                Owner::There(host) if caller.rpc.is_poll() => select! {
                    biased;
                    outcome = self.pass(&host, caller) => outcome,
                    // The other host ends it as soon as it hears that we stop; so this is for one that does not hear.
                    () = self.has_stopped_for(LAST_WORD) => return Ok(Bytes::new()),
                },
                Owner::There(host) => self.pass(&host, caller).await,
                Owner::Nobody => Err(Error::Refused(Failure::Moved)),
            };
            wanted = outcome.as_ref().err().and_then(sent_to);
            match outcome {
                // It brings nothing when there is no time left to wait elsewhere.
                Err(_) if wanted.is_some() && !self.has_time(caller) => return Ok(Bytes::new()),
                Err(_) if wanted.is_some() => {}
                Err(error) if is_elsewhere(&error) && self.now() < give_up_at => sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// Whether a poll may wait on yet another host.
    fn has_time(&self, caller: &Caller) -> bool {
        caller.deadline.is_some_and(|deadline| SHORTEST_WAIT <= deadline.since(self.now()))
    }

    /// Pass a call on to a host.
    pub(crate) async fn pass(&self, host: &Host, caller: &Caller) -> Result<Bytes, Error> {
        let mut headers = keep(&caller.headers, &[&KEPT[..], &PLACE[..]].concat());
        if let Some(hosts) = &self.hosts {
            headers.insert(PASSED_BY, hosts.me().to_string().parse().expect("a UUID is a header's value"));
        }
        let patience = caller.deadline.map(|deadline| deadline.since(self.now()));
        match host.pass(caller.rpc.name, caller.request.clone(), headers, patience).await {
            Ok(answer) => Ok(answer),
            Err(Trouble::Refused(status)) => Err(as_it_was(&status).into()),
            Err(trouble) if trouble.is_harmless() || changes_nothing(caller.rpc) => {
                tracing::debug!(host = host.member().address, method = caller.rpc.name, ?trouble, "tried again");
                Err(Error::Refused(Failure::Moved))
            }
            Err(_) => {
                let text = "the host that has it was lost; whether the call was carried out is not known; try again";
                Err(Failure::Unavailable(text.into()).into())
            }
        }
    }
}

/// What a call is about, as far as it says on which host that is.
enum What {
    Workflow(WorkflowKey),
    /// All of a task queue, or what its root has.
    Queue(NamespaceId, String),
    /// Any part of a task queue.
    Part(NamespaceId, String),
}

impl What {
    /// Nothing when any host will do, be it to refuse the call.
    fn of(caller: &Caller, namespace: NamespaceId) -> Result<Option<Self>, Error> {
        let request = &caller.request;
        let workflow = |id: String| Self::Workflow(WorkflowKey { namespace, workflow: id.as_str().into() });
        let token = || field(request, TOKEN);
        Ok(match caller.rpc.home {
            Home::Any => None,
            Home::Workflow([id]) => Some(text(request, *id)?).filter(|id| !id.is_empty()).map(workflow),
            Home::Workflow(path) => {
                let execution = field(request, path[0])?;
                Some(text(&execution, WORKFLOW_ID)?).filter(|id| !id.is_empty()).map(workflow)
            }
            Home::Task => TaskToken::decode(&token()?).ok().map(|token| Self::Workflow(token.workflow)),
            Home::Question => {
                QueryToken::decode(&token()?).ok().map(|token| Self::Queue(token.namespace, token.task_queue))
            }
            Home::Queue(number) => {
                let queue = field(request, number)?;
                let (name, normal) = (text(&queue, QUEUE_NAME)?, text(&queue, NORMAL_NAME)?);
                if !normal.is_empty() {
                    return Ok(Some(Self::Queue(namespace, normal)));
                }
                let what = if caller.rpc.is_poll() { Self::Part } else { Self::Queue };
                Some(name).filter(|name| !name.is_empty()).map(|name| what(namespace, name))
            }
        })
    }

    fn owner(&self, hosts: &Hosts, partition: u32) -> Owner {
        match self {
            Self::Workflow(workflow) => hosts.of_workflow(workflow),
            Self::Queue(namespace, name) | Self::Part(namespace, name) => {
                hosts.of_partition(*namespace, name, partition)
            }
        }
    }
}

/// The host to which a poll is sent that waited where nothing is.
fn sent_to(error: &Error) -> Option<Uuid> {
    match error {
        Error::Wanted(host) => Some(*host),
        Error::Status(status) => wanted_at(status),
        _ => None,
    }
}

/// Whether nothing was done because it is to be done elsewhere.
fn is_elsewhere(error: &Error) -> bool {
    match error {
        Error::Refused(Failure::Moved) => true,
        Error::Status(status) => is_moved(status),
        _ => false,
    }
}

/// Whether a call may be made again, though it may have been carried out.
fn changes_nothing(rpc: &Rpc) -> bool {
    rpc.is_poll() || ["Get", "Describe", "Query"].iter().any(|verb| rpc.name.starts_with(verb))
}

/// Another host's refusal, as ours.
fn as_it_was(status: &Status) -> Status {
    let (code, details) = (status.code(), Bytes::copy_from_slice(status.details()));
    let mut told = Status::with_details(code, status.message(), details);
    *told.metadata_mut() =
        keep(status.metadata(), &["x-resource-exhausted-cause", "x-resource-exhausted-scope", WANTED_AT]);
    told
}

/// Which life of a host passed a call on. When it is about to stop, a poll ends.
pub(crate) const PASSED_BY: &str = "meridian-passed-by";

/// So long a poll that was passed on may take to end after we began to stop. Whoever waits for calls to be answered before it
/// cuts them off waits for longer, or clients do not hear of it.
pub const LAST_WORD: Duration = Duration::from_secs(1);

/// Headers that say in which cluster a call is to be answered.
const PLACE: [&str; 4] = [REDIRECTION, FORWARDED, FORWARDED_BY, FORWARDED_VERSION];

/// The field of every task token and query token.
const TOKEN: u32 = 1;

/// `WorkflowExecution.workflow_id`.
const WORKFLOW_ID: u32 = 1;

/// `TaskQueue.name`.
const QUEUE_NAME: u32 = 1;

/// `TaskQueue.normal_name`.
const NORMAL_NAME: u32 = 3;

/// Before it is tried again. What moves is there in a few of these.
const PAUSE: Duration = Duration::from_millis(20);

/// Something that nobody has for so long is not on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// A poll with less time is not sent to another host, which would refuse it.
const SHORTEST_WAIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::temporal::api::{common::v1::WorkflowExecution, taskqueue::v1::TaskQueue, workflowservice::v1 as api};
    use replicator::ids::RunId;

    use super::*;
    use crate::{fake::namespace, rpcs::tests::caller, tokens::TaskOf};

    #[test]
    fn what_calls_are_about() {
        let start = api::StartWorkflowExecutionRequest { workflow_id: "w".into(), ..Default::default() };
        check("StartWorkflowExecution", &start, "workflow w");
        check("StartWorkflowExecution", &api::StartWorkflowExecutionRequest::default(), "any");
        let execution = Some(WorkflowExecution { workflow_id: "w".into(), run_id: "r".into() });
        let signal =
            api::SignalWorkflowExecutionRequest { workflow_execution: execution.clone(), ..Default::default() };
        check("SignalWorkflowExecution", &signal, "workflow w");
        let history = api::GetWorkflowExecutionHistoryRequest { execution, ..Default::default() };
        check("GetWorkflowExecutionHistory", &history, "workflow w");
        check("ListWorkflowExecutions", &api::ListWorkflowExecutionsRequest::default(), "any");
    }

    #[test]
    fn a_sticky_queue_goes_with_the_one_that_it_falls_back_to() {
        let poll = |name: &str, normal: &str| {
            let task_queue = Some(TaskQueue { name: name.into(), kind: 2, normal_name: normal.into() });
            api::PollWorkflowTaskQueueRequest { task_queue, ..Default::default() }
        };
        check("PollWorkflowTaskQueue", &poll("mine", "q"), "queue q");
        check("PollWorkflowTaskQueue", &poll("q", ""), "part of queue q");
        let task_queue = Some(TaskQueue { name: "q".into(), ..Default::default() });
        let describe = api::DescribeTaskQueueRequest { task_queue, ..Default::default() };
        check("DescribeTaskQueue", &describe, "queue q");
        check("PollWorkflowTaskQueue", &poll("", ""), "any");
    }

    #[test]
    fn tokens_say_what_they_are_about() {
        let workflow = WorkflowKey { namespace: namespace("n").id, workflow: "w".into() };
        let task = TaskOf::Activity {
            scheduled: replicator::ids::EventId(5),
            attempt: 1,
            version: replicator::version::FailoverVersion(1),
            activity_id: "a".into(),
        };
        let task_token = TaskToken { workflow, run: RunId(uuid::Uuid::nil()), task }.encode();
        let done = api::RespondActivityTaskCompletedRequest { task_token, ..Default::default() };
        check("RespondActivityTaskCompleted", &done, "workflow w");
        let token = QueryToken { namespace: namespace("n").id, task_queue: "q".into(), query: "7".into() };
        let answer = api::RespondQueryTaskCompletedRequest { task_token: token.encode(), ..Default::default() };
        check("RespondQueryTaskCompleted", &answer, "queue q");
        let nonsense = api::RespondQueryTaskCompletedRequest { task_token: "abc".into(), ..Default::default() };
        check("RespondQueryTaskCompleted", &nonsense, "any");
    }

    #[track_caller]
    fn check(method: &str, request: &impl Message, expected: &str) {
        let caller = Caller { request: request.encode_to_vec().into(), ..caller(method, &[]) };
        let found = match What::of(&caller, namespace("n").id).expect("it can be read") {
            None => "any".to_owned(),
            Some(What::Workflow(workflow)) => format!("workflow {}", workflow.workflow),
            Some(What::Queue(_, name)) => format!("queue {name}"),
            Some(What::Part(_, name)) => format!("part of queue {name}"),
        };
        assert_eq!(found, expected);
    }
}
