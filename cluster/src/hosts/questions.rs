//! What peers ask of single runs, answered by the host that has their shard.

use std::{sync::Arc, time::Duration};

use hosts::{Host, Hosts, Owner, Trouble};
use metadata::{MessageStream, Metadata, ReplicationEndpoint};
use proto::temporal::{
    api::common::v1::WorkflowExecution,
    server::api::adminservice::v1::{self as admin, admin_service_client::AdminServiceClient},
};
use replicator::ids::{NamespaceId, WorkflowKey};
use tonic::{Request, Response, Status, async_trait, transport::Channel};

/// Another endpoint, wherever that is.
pub(crate) struct Everywhere {
    pub(crate) here: Arc<dyn ReplicationEndpoint>,
    pub(crate) hosts: Hosts,
    pub(crate) metadata: Metadata,
}

impl Everywhere {
    /// The other host that has a workflow. What cannot be found anywhere is refused here.
    fn there(&self, namespace: Option<NamespaceId>, execution: Option<&WorkflowExecution>) -> Option<Host> {
        let workflow = WorkflowKey { namespace: namespace?, workflow: execution?.workflow_id.as_str().into() };
        match self.hosts.of_workflow(&workflow) {
            Owner::There(host) => Some(host),
            Owner::Here | Owner::Nobody => None,
        }
    }
}

/// Ask another host, for as long as it lives.
async fn ask<Q, A>(
    host: &Host,
    question: Q,
    call: impl AsyncFnOnce(AdminServiceClient<Channel>, Request<Q>) -> Result<Response<A>, Status>,
) -> Result<Response<A>, Status> {
    let mut request = Request::new(question);
    request.set_timeout(PATIENCE);
    let client = AdminServiceClient::new(host.channel()).max_decoding_message_size(usize::MAX);
    match host.ask(call(client, request)).await {
        Ok(answer) => Ok(answer),
        Err(Trouble::Refused(status)) => Err(status),
        // A peer asks again.
        Err(_) => Err(Status::unavailable("the host that has the workflow is not reached")),
    }
}

#[async_trait]
impl ReplicationEndpoint for Everywhere {
    /// Passed on before it comes here.
    async fn stream_workflow_replication_messages(
        &self,
        request: Request<MessageStream<admin::StreamWorkflowReplicationMessagesRequest>>,
    ) -> Result<Response<MessageStream<admin::StreamWorkflowReplicationMessagesResponse>>, Status> {
        self.here.stream_workflow_replication_messages(request).await
    }

    async fn get_workflow_execution_raw_history_v2(
        &self,
        request: Request<admin::GetWorkflowExecutionRawHistoryV2Request>,
    ) -> Result<Response<admin::GetWorkflowExecutionRawHistoryV2Response>, Status> {
        let namespace = NamespaceId::parse(&request.get_ref().namespace_id).ok();
        let Some(host) = self.there(namespace, request.get_ref().execution.as_ref()) else {
            return self.here.get_workflow_execution_raw_history_v2(request).await;
        };
        let question = request.into_inner();
        ask(&host, question, async |mut client, request| client.get_workflow_execution_raw_history_v2(request).await)
            .await
    }

    async fn describe_mutable_state(
        &self,
        request: Request<admin::DescribeMutableStateRequest>,
    ) -> Result<Response<admin::DescribeMutableStateResponse>, Status> {
        let namespace = self.metadata.namespaces().get(&request.get_ref().namespace).map(|namespace| namespace.id);
        let Some(host) = self.there(namespace, request.get_ref().execution.as_ref()) else {
            return self.here.describe_mutable_state(request).await;
        };
        let question = request.into_inner();
        ask(&host, question, async |mut client, request| client.describe_mutable_state(request).await).await
    }
}

/// As long as a peer waits for a page of events.
const PATIENCE: Duration = Duration::from_secs(30);
