//! What other hosts of the cluster ask beside the public methods: to start a task here for a worker there, and to put a
//! question to the workers of a queue here.

use hosts::wire::{self, Malformed};
use matching::{QueryError, Question, QueueKey, QueueKind};
use prost::Message;
use proto::meridian::internal::v1::{
    Kind, QueryRequest, QueryResponse, StartTaskRequest, StartTaskResponse, query_response, start_task_response,
};
use replicator::{
    ids::{NamespaceId, RunKey},
    shard::io::Failure,
    time::duration,
};
use tonic::Status;

use crate::{
    errors::Error,
    frontend::Frontend,
    handlers::{poll_activity, poll_workflow_task},
};

impl Frontend {
    /// Start a task for a worker who waits on another host.
    ///
    /// # Errors
    ///
    /// When the request is malformed, the shard is not here, or the task was started and the rest failed.
    pub async fn start_task(&self, request: StartTaskRequest) -> Result<StartTaskResponse, Status> {
        use start_task_response::Outcome;
        let run = wire::read_run(request.run.clone()).map_err(malformed)?;
        let outcome = match self.started(&run, &request).await? {
            Ok(response) => Outcome::Response(response),
            Err(Failure::Moved) => return Err(Error::Refused(Failure::Moved).into()),
            Err(Failure::Unavailable(_) | Failure::ResourceExhausted { .. }) => Outcome::IsBusy(true),
            Err(Failure::NotFound(_) | Failure::NotActive { .. }) => Outcome::IsStale(true),
            Err(failure) => {
                tracing::warn!(?failure, ?run, "a task could not be started");
                Outcome::IsStale(true)
            }
        };
        Ok(StartTaskResponse { outcome: Some(outcome) })
    }

    async fn started(&self, run: &RunKey, request: &StartTaskRequest) -> Result<Result<bytes::Bytes, Failure>, Error> {
        match request.kind() {
            Kind::Workflow | Kind::Sticky => poll_workflow_task::start_for(self, run, request).await,
            Kind::Activity => poll_activity::start_for(self, run, request).await,
            Kind::Unspecified => Err(Error::invalid("kind is not set")),
        }
    }

    /// Put another host's question to the workers of a queue here.
    ///
    /// # Errors
    ///
    /// When the request is malformed, or the queue goes to another host.
    pub async fn put_question(&self, request: QueryRequest) -> Result<QueryResponse, Status> {
        use query_response::Outcome;
        let namespace = NamespaceId::parse(&request.namespace_id).map_err(|_| malformed(Malformed("namespace_id")))?;
        let kind = match request.kind() {
            Kind::Workflow => QueueKind::Workflow,
            Kind::Sticky => QueueKind::Sticky,
            Kind::Activity | Kind::Unspecified => return Err(malformed(Malformed("kind"))),
        };
        let until = self.now() + duration(request.patience.as_ref());
        let question = Question::Written { response: request.response, normal: request.normal_queue };
        let key = QueueKey::new(namespace, kind, request.queue);
        let outcome = match self.matching.query(key, question, until).await {
            Ok(answer) => Outcome::Answer(answer.encode_to_vec().into()),
            Err(QueryError::NoPoller) => Outcome::HasNoPoller(true),
            Err(QueryError::Timeout) => Outcome::HasTimedOut(true),
            Err(QueryError::Moved) => return Err(Error::Refused(Failure::Moved).into()),
        };
        Ok(QueryResponse { outcome: Some(outcome) })
    }
}

fn malformed(Malformed(field): Malformed) -> Status {
    Status::invalid_argument(format!("{field} is missing or malformed"))
}
