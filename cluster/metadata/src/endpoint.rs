//! The part of AdminService that another crate answers: everything about runs.

use std::pin::Pin;

use proto::temporal::server::api::adminservice::v1 as admin;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, async_trait};

/// Messages that keep coming.
pub type MessageStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Answers peers that ask for runs. Requests keep their metadata: it says which shards the ends of a stream are (ST-2).
#[async_trait]
pub trait ReplicationEndpoint: Send + Sync + 'static {
    /// Tasks of one shard for one shard of a peer, for as long as both live.
    async fn stream_workflow_replication_messages(
        &self,
        request: Request<MessageStream<admin::StreamWorkflowReplicationMessagesRequest>>,
    ) -> Result<Response<MessageStream<admin::StreamWorkflowReplicationMessagesResponse>>, Status>;

    /// Events that a peer misses.
    async fn get_workflow_execution_raw_history_v2(
        &self,
        request: Request<admin::GetWorkflowExecutionRawHistoryV2Request>,
    ) -> Result<Response<admin::GetWorkflowExecutionRawHistoryV2Response>, Status>;

    /// A run as cached and as stored.
    async fn describe_mutable_state(
        &self,
        request: Request<admin::DescribeMutableStateRequest>,
    ) -> Result<Response<admin::DescribeMutableStateResponse>, Status>;
}
