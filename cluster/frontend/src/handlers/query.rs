//! Queries, and workers' answers to them (api 3.11).

use std::time::Duration;

use bytes::Bytes;
use hosts::{Host, Owner, Trouble};
use matching::{QueryAnswer, QueryError, QueryId, Question, QueueKey, QueueKind};
use prost::Message;
use proto::{
    meridian::internal::v1::{
        Kind, QueryRequest, QueryResponse, host_service_client::HostServiceClient, query_response::Outcome,
    },
    temporal::api::{
        enums::v1::QueryResultType,
        query::v1::WorkflowQuery,
        workflowservice::v1::{
            QueryWorkflowRequest, QueryWorkflowResponse, RespondQueryTaskCompletedRequest,
            RespondQueryTaskCompletedResponse,
        },
    },
};
use replicator::{
    shard::io::{self, DirectQuery, Failure, Response},
    time::{Timestamp, proto_duration},
};
use tokio::time::sleep;
use tonic::transport::Channel;

use super::{Call, poll_workflow_task::question};
use crate::{
    errors::Error,
    frontend::{Frontend, unexpected},
    rpcs::undecodable,
    tokens::{Malformed, QueryToken, TaskToken},
    validation::{self, Sizes},
};

pub(super) async fn query(
    frontend: &Frontend,
    call: Call<'_>,
    request: QueryWorkflowRequest,
) -> Result<QueryWorkflowResponse, Error> {
    let (workflow, run) = validation::execution(call.id(), request.execution.as_ref())?;
    let query = request.query.clone().ok_or_else(|| Error::invalid("WorkflowQuery is not set on request."))?;
    if query.query_type.is_empty() {
        return Err(Error::invalid("QueryType is not set on request."));
    }
    validation::blob(query.query_args.as_ref(), call.sizes)?;
    let _waiting = frontend.long_polls.enter(call.namespace, call.caller.rpc.name)?;
    match frontend.ask(workflow, run, io::Call::Query(Box::new(request))).await? {
        Response::Queried(answer) => Ok(*answer),
        Response::QueryDirectly(direct) => directly(frontend, call, query, *direct).await,
        other => Err(unexpected(&other)),
    }
}

/// Put the query to a worker: to the one that has the run cached if there is one, else to any.
async fn directly(
    frontend: &Frontend,
    call: Call<'_>,
    query: WorkflowQuery,
    direct: DirectQuery,
) -> Result<QueryWorkflowResponse, Error> {
    let deadline = call.caller.deadline.unwrap_or_else(|| frontend.now() + LONGEST_QUERY);
    if let Some((sticky, patience)) = direct.sticky.clone() {
        let queue = QueueKey::new(call.id(), QueueKind::Sticky, sticky);
        let until = deadline.min(frontend.now() + patience);
        match put(frontend, queue, &query, &direct, until).await? {
            Ok(answer) => return told(answer),
            Err(QueryError::Timeout) if until == deadline => return Err(Error::DeadlineExceeded),
            Err(QueryError::NoPoller | QueryError::Timeout | QueryError::Moved) => {
                forget_sticky(frontend, &direct).await;
            }
        }
    }
    let queue = QueueKey::new(call.id(), QueueKind::Workflow, direct.task_queue.as_str());
    match put(frontend, queue, &query, &direct, deadline).await? {
        Ok(answer) => told(answer),
        Err(QueryError::Timeout | QueryError::Moved) => Err(Error::DeadlineExceeded),
        Err(QueryError::NoPoller) => {
            let message = "no poller seen for task queue recently, worker may be down";
            Err(Failure::FailedPrecondition(message.into()).into())
        }
    }
}

/// Put the query to the workers of a queue, on whichever host that is. A query may be put twice: it changes nothing.
async fn put(
    frontend: &Frontend,
    queue: QueueKey,
    query: &WorkflowQuery,
    direct: &DirectQuery,
    until: Timestamp,
) -> Result<Result<QueryAnswer, QueryError>, Error> {
    loop {
        let owner = frontend.hosts.as_ref().map(|hosts| hosts.of_queue(queue.namespace, &direct.task_queue));
        let answer = match owner {
            None | Some(Owner::Here) => {
                let question = Question::Run(query.clone(), Box::new(direct.clone()));
                frontend.matching.query(queue.clone(), question, until).await
            }
            Some(Owner::There(host)) => {
                let response = question(frontend, query, direct, queue.kind).await?;
                put_there(frontend, &host, &queue, direct, response, until).await?
            }
            Some(Owner::Nobody) => Err(QueryError::Moved),
        };
        match answer {
            Err(QueryError::Moved) if frontend.now() + PAUSE < until => sleep(PAUSE).await,
            answer => return Ok(answer),
        }
    }
}

async fn put_there(
    frontend: &Frontend,
    host: &Host,
    queue: &QueueKey,
    direct: &DirectQuery,
    response: Bytes,
    until: Timestamp,
) -> Result<Result<QueryAnswer, QueryError>, Error> {
    let patience = until.since(frontend.now());
    let request = QueryRequest {
        namespace_id: queue.namespace.to_string(),
        kind: if queue.kind == QueueKind::Sticky { Kind::Sticky } else { Kind::Workflow }.into(),
        queue: queue.name.as_ref().into(),
        normal_queue: direct.task_queue.clone(),
        response,
        patience: Some(proto_duration(patience)),
    };
    let call = async |mut client: HostServiceClient<Channel>, request| client.query(request).await;
    match host.call(patience + MARGIN, request, call).await {
        Ok(QueryResponse { outcome: Some(Outcome::Answer(answer)) }) => {
            Ok(Ok(Box::new(RespondQueryTaskCompletedRequest::decode(answer).map_err(undecodable)?)))
        }
        Ok(QueryResponse { outcome: Some(Outcome::HasNoPoller(_)) }) => Ok(Err(QueryError::NoPoller)),
        Ok(QueryResponse { outcome: Some(Outcome::HasTimedOut(_)) | None }) => Ok(Err(QueryError::Timeout)),
        Err(Trouble::Refused(status)) => Err(status.into()),
        Err(Trouble::Moved | Trouble::NotReached | Trouble::Lost) => Ok(Err(QueryError::Moved)),
    }
}

/// The worker that had the run cached does not answer. That it does not is no reason to refuse the query.
async fn forget_sticky(frontend: &Frontend, direct: &DirectQuery) {
    if direct.view.is_open {
        let run = &direct.view.run;
        let outcome = frontend.tell(run.workflow.clone(), Some(run.run), io::Call::ResetSticky).await;
        if let Err(error) = outcome {
            tracing::debug!(?error, "the sticky queue of a silent worker was not forgotten");
        }
    }
}

/// What a worker said.
fn told(answer: QueryAnswer) -> Result<QueryWorkflowResponse, Error> {
    match answer.completed_type() {
        QueryResultType::Answered => {
            Ok(QueryWorkflowResponse { query_result: answer.query_result, ..Default::default() })
        }
        QueryResultType::Failed => {
            let failure = answer.failure.map(Box::new);
            Err(Failure::QueryFailed { message: answer.error_message, failure }.into())
        }
        QueryResultType::Unspecified => Err(Error::invalid("the worker's answer to the query is of no known type")),
    }
}

/// A worker answers. It may be asked through another cluster than the one that it polls, so what is not known here is passed
/// on.
pub(super) async fn completed(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondQueryTaskCompletedRequest,
) -> Result<RespondQueryTaskCompletedResponse, Error> {
    let expired = || Error::not_found("query task not found, or already expired");
    let token = match QueryToken::decode(&request.task_token) {
        Ok(token) => token,
        Err(Malformed) if TaskToken::decode(&request.task_token).is_ok() => return Err(expired()),
        Err(Malformed) => return Err(Error::invalid("Error deserializing task token.")),
    };
    let id = token.query.parse().map_err(|_| Error::invalid("Error deserializing task token."))?;
    if frontend.matching.answer_query(token.namespace, QueryId(id), fitting(request, call.sizes)) {
        return Ok(RespondQueryTaskCompletedResponse::default());
    }
    match frontend.elsewhere(call.caller, call.namespace) {
        Some(cluster) => {
            frontend.forward(call.caller, &cluster, call.id()).await?;
            Ok(RespondQueryTaskCompletedResponse::default())
        }
        None => Err(expired()),
    }
}

/// An answer that is too large is no answer, and the asker is told so.
fn fitting(mut request: RespondQueryTaskCompletedRequest, sizes: Sizes) -> QueryAnswer {
    let size = request.query_result.as_ref().map_or(0, Message::encoded_len);
    let most = sizes.blob;
    if most < size {
        request.query_result = None;
        request.set_completed_type(QueryResultType::Failed);
        request.error_message = format!("query result size ({size}) exceeds limit ({most})");
    }
    Box::new(request)
}

/// Before a query is put again where its queue is by then.
const PAUSE: Duration = Duration::from_millis(50);

/// Another host has so much longer than the worker: its answer takes a way.
const MARGIN: Duration = Duration::from_secs(1);

/// How long somebody waits who did not say how long.
const LONGEST_QUERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use proto::temporal::api::common::v1::{Payload, Payloads};
    use tonic::{Code, Status};

    use super::*;

    #[test]
    fn what_workers_say() {
        let check = |request: RespondQueryTaskCompletedRequest, expected: Result<Option<usize>, (Code, &str)>| {
            let outcome = told(fitting(request, Sizes::default()));
            let found = outcome.map(|response| response.query_result.map(|result| result.payloads.len()));
            let found = found.map_err(Status::from);
            let found = found.as_ref().map(|found| *found).map_err(|status| (status.code(), status.message()));
            assert_eq!(found, expected);
        };
        let answer = |len| RespondQueryTaskCompletedRequest {
            completed_type: QueryResultType::Answered.into(),
            query_result: Some(Payloads {
                payloads: vec![Payload { data: vec![0; len].into(), ..Default::default() }],
            }),
            ..Default::default()
        };
        check(answer(1), Ok(Some(1)));
        let too_large = "query result size (2097162) exceeds limit (2097152)";
        check(answer(Sizes::default().blob), Err((Code::InvalidArgument, too_large)));
        let failed = RespondQueryTaskCompletedRequest {
            completed_type: QueryResultType::Failed.into(),
            error_message: "no such query".into(),
            ..Default::default()
        };
        check(failed, Err((Code::InvalidArgument, "no such query")));
        let unknown = "the worker's answer to the query is of no known type";
        check(Default::default(), Err((Code::InvalidArgument, unknown)));
    }
}
