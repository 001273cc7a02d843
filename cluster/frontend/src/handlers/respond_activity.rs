//! Outcomes and signs of life of activities, by token or by id.

use proto::temporal::api::{
    common::v1::Payloads,
    failure::v1::Failure,
    workflowservice::v1::{
        RecordActivityTaskHeartbeatByIdRequest, RecordActivityTaskHeartbeatByIdResponse,
        RecordActivityTaskHeartbeatRequest, RecordActivityTaskHeartbeatResponse,
        RespondActivityTaskCanceledByIdRequest, RespondActivityTaskCanceledByIdResponse,
        RespondActivityTaskCanceledRequest, RespondActivityTaskCanceledResponse,
        RespondActivityTaskCompletedByIdRequest, RespondActivityTaskCompletedByIdResponse,
        RespondActivityTaskCompletedRequest, RespondActivityTaskCompletedResponse,
        RespondActivityTaskFailedByIdRequest, RespondActivityTaskFailedByIdResponse, RespondActivityTaskFailedRequest,
        RespondActivityTaskFailedResponse,
    },
};
use replicator::{
    ids::{RunId, WorkflowKey},
    shard::io::{self, ActivityClaim, Response},
};

use super::Call;
use crate::{
    errors::Error,
    frontend::{Frontend, unexpected},
    tokens::{Malformed, TaskToken},
    validation::{self, CANCEL_TOO_LARGE, HEARTBEAT_TOO_LARGE, RESULT_TOO_LARGE, Sizes},
};

pub(super) async fn completed(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondActivityTaskCompletedRequest,
) -> Result<RespondActivityTaskCompletedResponse, Error> {
    let activity = Activity::of_token(&request.task_token, request.identity, call.sizes)?;
    activity.complete(frontend, request.result).await?;
    Ok(RespondActivityTaskCompletedResponse::default())
}

pub(super) async fn completed_by_id(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondActivityTaskCompletedByIdRequest,
) -> Result<RespondActivityTaskCompletedByIdResponse, Error> {
    let ids = [&request.workflow_id, &request.run_id, &request.activity_id];
    let activity = Activity::of_id(call, ids, request.identity)?;
    activity.complete(frontend, request.result).await?;
    Ok(RespondActivityTaskCompletedByIdResponse::default())
}

pub(super) async fn failed(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondActivityTaskFailedRequest,
) -> Result<RespondActivityTaskFailedResponse, Error> {
    validation::activity_failure(request.failure.as_ref())?;
    let activity = Activity::of_token(&request.task_token, request.identity, call.sizes)?;
    let failures = activity.fail(frontend, request.failure, request.last_heartbeat_details).await?;
    Ok(RespondActivityTaskFailedResponse { failures })
}

pub(super) async fn failed_by_id(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondActivityTaskFailedByIdRequest,
) -> Result<RespondActivityTaskFailedByIdResponse, Error> {
    let ids = [&request.workflow_id, &request.run_id, &request.activity_id];
    let activity = Activity::of_id(call, ids, request.identity)?;
    validation::activity_failure(request.failure.as_ref())?;
    let failures = activity.fail(frontend, request.failure, request.last_heartbeat_details).await?;
    Ok(RespondActivityTaskFailedByIdResponse { failures })
}

pub(super) async fn canceled(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondActivityTaskCanceledRequest,
) -> Result<RespondActivityTaskCanceledResponse, Error> {
    let activity = Activity::of_token(&request.task_token, request.identity, call.sizes)?;
    activity.cancel(frontend, request.details).await?;
    Ok(RespondActivityTaskCanceledResponse::default())
}

pub(super) async fn canceled_by_id(
    frontend: &Frontend,
    call: Call<'_>,
    request: RespondActivityTaskCanceledByIdRequest,
) -> Result<RespondActivityTaskCanceledByIdResponse, Error> {
    let ids = [&request.workflow_id, &request.run_id, &request.activity_id];
    let activity = Activity::of_id(call, ids, request.identity)?;
    activity.cancel(frontend, request.details).await?;
    Ok(RespondActivityTaskCanceledByIdResponse::default())
}

pub(super) async fn heartbeat(
    frontend: &Frontend,
    call: Call<'_>,
    request: RecordActivityTaskHeartbeatRequest,
) -> Result<RecordActivityTaskHeartbeatResponse, Error> {
    let activity = Activity::of_token(&request.task_token, request.identity, call.sizes)?;
    let cancel_requested = activity.heartbeat(frontend, request.details).await?;
    Ok(RecordActivityTaskHeartbeatResponse { cancel_requested, ..Default::default() })
}

pub(super) async fn heartbeat_by_id(
    frontend: &Frontend,
    call: Call<'_>,
    request: RecordActivityTaskHeartbeatByIdRequest,
) -> Result<RecordActivityTaskHeartbeatByIdResponse, Error> {
    let ids = [&request.workflow_id, &request.run_id, &request.activity_id];
    let activity = Activity::of_id(call, ids, request.identity)?;
    let cancel_requested = activity.heartbeat(frontend, request.details).await?;
    Ok(RecordActivityTaskHeartbeatByIdResponse { cancel_requested, ..Default::default() })
}

/// The activity that somebody speaks of, and who.
struct Activity {
    workflow: WorkflowKey,
    run: Option<RunId>,
    claim: ActivityClaim,
    identity: String,
    sizes: Sizes,
}

impl Activity {
    fn of_token(token: &[u8], identity: String, sizes: Sizes) -> Result<Self, Error> {
        let token = TaskToken::decode(token).map_err(|Malformed| Error::invalid("Error deserializing task token."))?;
        validation::identity(&identity, sizes)?;
        let claim = token.activity().ok_or_else(|| {
            Error::not_found("invalid activityID or activity already timed out or invoking workflow is completed")
        })?;
        Ok(Self { workflow: token.workflow, run: Some(token.run), claim, identity, sizes })
    }

    fn of_id(call: Call<'_>, ids: [&String; 3], identity: String) -> Result<Self, Error> {
        let [workflow_id, run_id, activity_id] = ids;
        let (workflow, run) = validation::by_id(call.id(), workflow_id, run_id, activity_id, &identity, call.sizes)?;
        Ok(Self { workflow, run, claim: ActivityClaim::ById(activity_id.clone()), identity, sizes: call.sizes })
    }

    async fn complete(self, frontend: &Frontend, result: Option<Payloads>) -> Result<(), Error> {
        if let Some(failure) = validation::fail_too_large(RESULT_TOO_LARGE, result.as_ref(), self.sizes) {
            return self.fail_with(frontend, failure).await;
        }
        let call = io::Call::CompleteActivity { activity: self.claim, result, identity: self.identity };
        frontend.tell(self.workflow, self.run, call).await
    }

    /// Answers what was not recorded as it was sent.
    async fn fail(
        self,
        frontend: &Frontend,
        mut failure: Option<Failure>,
        mut last_heartbeat: Option<Payloads>,
    ) -> Result<Vec<Failure>, Error> {
        let mut replaced = Vec::new();
        if let Some(instead) = validation::fail_too_large(HEARTBEAT_TOO_LARGE, last_heartbeat.as_ref(), self.sizes) {
            last_heartbeat = None;
            replaced.push(instead);
        }
        if let Some(instead) = validation::shrink(failure.as_ref(), self.sizes) {
            failure = Some(instead.clone());
            replaced.push(instead);
        }
        let call = io::Call::FailActivity {
            activity: self.claim,
            failure: failure.map(Box::new),
            last_heartbeat,
            identity: self.identity,
        };
        frontend.tell(self.workflow, self.run, call).await?;
        Ok(replaced)
    }

    async fn cancel(self, frontend: &Frontend, details: Option<Payloads>) -> Result<(), Error> {
        if let Some(failure) = validation::fail_too_large(CANCEL_TOO_LARGE, details.as_ref(), self.sizes) {
            return self.fail_with(frontend, failure).await;
        }
        let call = io::Call::CancelActivity { activity: self.claim, details, identity: self.identity };
        frontend.tell(self.workflow, self.run, call).await
    }

    /// Answers whether the activity is to stop.
    async fn heartbeat(self, frontend: &Frontend, details: Option<Payloads>) -> Result<bool, Error> {
        if let Some(failure) = validation::fail_too_large(HEARTBEAT_TOO_LARGE, details.as_ref(), self.sizes) {
            self.fail_with(frontend, failure).await?;
            return Ok(true);
        }
        let call = io::Call::HeartbeatActivity { activity: self.claim, details, identity: self.identity };
        match frontend.ask(self.workflow, self.run, call).await? {
            Response::Heartbeat { cancel_requested } => Ok(cancel_requested),
            other => Err(unexpected(&other)),
        }
    }

    async fn fail_with(self, frontend: &Frontend, failure: Failure) -> Result<(), Error> {
        let call = io::Call::FailActivity {
            activity: self.claim,
            failure: Some(Box::new(failure)),
            last_heartbeat: None,
            identity: self.identity,
        };
        frontend.tell(self.workflow, self.run, call).await
    }
}
