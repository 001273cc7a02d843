//! Streams to peers that end when a cluster stops. By themselves they last as long as both ends do.

use std::sync::Arc;

use futures_util::StreamExt;
use metadata::{MessageStream, ReplicationEndpoint};
use proto::temporal::server::api::adminservice::v1 as admin;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, async_trait};

/// Another endpoint, until `stop`.
pub(crate) struct Draining {
    pub(crate) endpoint: Arc<dyn ReplicationEndpoint>,
    pub(crate) stop: CancellationToken,
}

#[async_trait]
impl ReplicationEndpoint for Draining {
    async fn stream_workflow_replication_messages(
        &self,
        request: Request<MessageStream<admin::StreamWorkflowReplicationMessagesRequest>>,
    ) -> Result<Response<MessageStream<admin::StreamWorkflowReplicationMessagesResponse>>, Status> {
        let response = self.endpoint.stream_workflow_replication_messages(request).await?;
        let stop = self.stop.clone().cancelled_owned();
        Ok(response.map(|stream| Box::pin(stream.take_until(Box::pin(stop))) as _))
    }

    async fn get_workflow_execution_raw_history_v2(
        &self,
        request: Request<admin::GetWorkflowExecutionRawHistoryV2Request>,
    ) -> Result<Response<admin::GetWorkflowExecutionRawHistoryV2Response>, Status> {
        self.endpoint.get_workflow_execution_raw_history_v2(request).await
    }

    async fn describe_mutable_state(
        &self,
        request: Request<admin::DescribeMutableStateRequest>,
    ) -> Result<Response<admin::DescribeMutableStateResponse>, Status> {
        self.endpoint.describe_mutable_state(request).await
    }
}
