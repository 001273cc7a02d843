//! What peers ask of our runs: streams, missing events, and how a run stands.

use std::sync::Arc;

use metadata::{Introduction, MessageStream, Metadata, ReplicationEndpoint, View};
use prost::Message;
use proto::meridian::replication::v1::HistoryExtension;
use proto::temporal::{
    api::{
        common::v1::{DataBlob, WorkflowExecution},
        enums::v1::EncodingType,
        history::v1::History as HistoryMessage,
    },
    server::api::{
        adminservice::v1 as admin,
        history::v1 as history,
        persistence::v1::{WorkflowExecutionInfo, WorkflowMutableState},
    },
};
use replicator::{
    ids::{ClusterId, EventId, NamespaceId, RunId, ShardId, WorkflowKey},
    shard::io::{Call, Failure, Frame, Request as Ask, Response as Answer, RunView, StreamKey, StreamRole},
    stream::outgoing::items,
    version::{FailoverVersion, VersionHistoryItem},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};
use tonic::{Request, Response, Status, async_trait, metadata::MetadataMap};

use crate::{
    driver::Event,
    history::History,
    streams::{HEADERS, Open},
};

/// Answers peers. Clones share everything.
#[derive(Clone)]
pub struct Endpoint {
    history: History,
    metadata: Metadata,
}

impl Endpoint {
    /// Answers from these shards.
    #[must_use]
    pub fn new(history: History, metadata: Metadata) -> Self {
        Self { history, metadata }
    }

    async fn view(&self, namespace: NamespaceId, execution: &WorkflowExecution) -> Result<RunView, Status> {
        let run = match execution.run_id.as_str() {
            "" => None,
            run => Some(RunId::parse(run).map_err(|_| Status::invalid_argument("execution.run_id is not a UUID"))?),
        };
        let workflow = WorkflowKey { namespace, workflow: execution.workflow_id.as_str().into() };
        match self.history.call(Ask { workflow, run, call: Call::View }).await {
            Ok(Answer::View(view)) => Ok(*view),
            Ok(_) => Err(Status::internal("an answer to another question")),
            Err(failure) => Err(status(failure)),
        }
    }
}

#[async_trait]
impl ReplicationEndpoint for Endpoint {
    async fn stream_workflow_replication_messages(
        &self,
        request: Request<MessageStream<admin::StreamWorkflowReplicationMessagesRequest>>,
    ) -> Result<Response<MessageStream<admin::StreamWorkflowReplicationMessagesResponse>>, Status> {
        let [reader, reader_shard, source, source_shard] = numbers(request.metadata())?;
        let view = self.metadata.clusters().view();
        let me = view.federation.topology.current_id();
        let peer = view.peer(ClusterId(reader));
        let shard = u32::try_from(source_shard).ok().filter(|shard| (1..=self.history.shard_count()).contains(shard));
        // Each is refused by name: a peer must not read an early end as "nothing to do" (14, ST-3).
        if source != me.0 {
            return Err(Status::failed_precondition(format!("this is cluster {}, not {source}", me.0)));
        }
        let Some(peer) = peer else {
            return Err(Status::failed_precondition(format!("cluster {reader} is not known here, or not connected")));
        };
        let (Some(shard), Ok(reader_shard)) = (shard, u32::try_from(reader_shard)) else {
            return Err(Status::invalid_argument(format!("there is no shard {source_shard}")));
        };
        let fewer = self.history.shard_count().min(peer.shard_count).max(1);
        if reader_shard == 0 || reader_shard > peer.shard_count || (reader_shard - 1) % fewer != (shard - 1) % fewer {
            return Err(Status::invalid_argument(format!("shard {reader_shard} does not follow shard {shard}")));
        }

        if let Some(caller) = Introduction::of(request.metadata())?.filter(|caller| caller.id != peer.id) {
            return Err(Status::failed_precondition(format!("cluster {} reads as cluster {}", caller.name, peer.name)));
        }

        let key = StreamKey { cluster: peer.id, shard: ShardId(reader_shard), role: StreamRole::Source };
        let Some(events) = self.history.handle(ShardId(shard)).map(|handle| handle.events.clone()) else {
            return Err(Status::unavailable(format!("shard {shard} is on its way to another host")));
        };
        let (frames, outgoing) = mpsc::unbounded_channel();
        let open = Open::new(key, events.clone(), frames);
        let mut acks = request.into_inner();
        let hears = open.clone();
        let disconnected = disconnected(self.metadata.clusters().watch(), peer.id);
        (self.history.ports().spawn)(Box::pin(async move {
            use admin::stream_workflow_replication_messages_request::Attributes;
            tokio::pin!(disconnected);
            loop {
                let message = tokio::select! {
                    biased;
                    () = &mut disconnected => {
                        // The shard lets go of its end, and with it the stream ends.
                        let _ = events.send(Event::StreamClosed(key, hears.number));
                        return;
                    }
                    message = acks.next() => message,
                };
                let Some(Ok(message)) = message else { return };
                if let Some(Attributes::SyncReplicationState(state)) = message.attributes {
                    let frame = Box::new(Frame::Ack(state));
                    let _ = events.send(Event::StreamFrame(key, hears.number, frame));
                }
            }
        }));
        let messages = UnboundedReceiverStream::new(outgoing).filter_map(move |frame| {
            // The stream is open for as long as somebody reads it.
            let _open = &open;
            response(frame).map(Ok)
        });
        Ok(Response::new(Box::pin(messages)))
    }

    async fn get_workflow_execution_raw_history_v2(
        &self,
        request: Request<admin::GetWorkflowExecutionRawHistoryV2Request>,
    ) -> Result<Response<admin::GetWorkflowExecutionRawHistoryV2Response>, Status> {
        let request = request.into_inner();
        let namespace = NamespaceId::parse(&request.namespace_id)
            .map_err(|_| Status::invalid_argument("namespace_id is not a UUID"))?;
        let execution = request.execution.ok_or_else(|| Status::invalid_argument("execution is missing"))?;
        if execution.run_id.is_empty() {
            return Err(Status::invalid_argument("execution.run_id is missing"));
        }
        let page_size = usize::try_from(request.maximum_page_size).unwrap_or(0);
        if page_size == 0 {
            return Err(Status::invalid_argument("maximum_page_size must be positive"));
        }
        let view = self.view(namespace, &execution).await?;
        let after = bound(request.start_event_id, request.start_event_version);
        let before = bound(request.end_event_id, request.end_event_version);
        // The branch that leads to what the peer has next; the current one when that is its own next event (IN-12).
        let leads = before.and_then(|before| view.histories.containing(before));
        let branch = leads.unwrap_or_else(|| view.histories.current()).clone();
        let end = before.map_or(branch.versions.last().event_id.next(), |before| before.event_id);
        let first = match request.next_page_token.as_ref().try_into() {
            Ok(token) => EventId(i64::from_be_bytes(token)),
            Err(_) => after.map_or(EventId::FIRST, |after| after.event_id.next()),
        };
        let items = items(&branch.versions);
        let meridian = Some(HistoryExtension { start_request_id: view.start_request_id.clone() });
        let on_branch = RunView { histories: single(&branch), ..view };
        let page = self.history.events(&on_branch, first, end, page_size).await.map_err(status)?;
        let nodes = page.batches.iter().map(|batch| {
            let events = HistoryMessage::decode(batch.clone()).map(|history| history.events).unwrap_or_default();
            events.first().map_or(0, |event| event.event_id)
        });
        let history_node_ids = nodes.collect();
        let blob = |data| DataBlob { encoding_type: EncodingType::Proto3.into(), data };
        Ok(Response::new(admin::GetWorkflowExecutionRawHistoryV2Response {
            next_page_token: page.next.map_or_else(Default::default, |next| next.0.to_be_bytes().to_vec().into()),
            history_batches: page.batches.into_iter().map(blob).collect(),
            version_history: Some(history::VersionHistory { branch_token: branch.branch.token(), items }),
            history_node_ids,
            meridian,
        }))
    }

    async fn describe_mutable_state(
        &self,
        request: Request<admin::DescribeMutableStateRequest>,
    ) -> Result<Response<admin::DescribeMutableStateResponse>, Status> {
        let request = request.into_inner();
        let namespace = self.metadata.namespaces().get(&request.namespace);
        let namespace = namespace.ok_or_else(|| metadata::status::namespace_not_found(&request.namespace))?;
        let execution = request.execution.ok_or_else(|| Status::invalid_argument("execution is missing"))?;
        let view = self.view(namespace.id, &execution).await?;
        let version_histories = history::VersionHistories {
            current_version_history_index: i32::try_from(view.histories.current_index()).unwrap_or(0),
            histories: view
                .histories
                .all()
                .iter()
                .map(|branch| history::VersionHistory {
                    branch_token: branch.branch.token(),
                    items: items(&branch.versions),
                })
                .collect(),
        };
        let state = WorkflowMutableState {
            execution_info: Some(WorkflowExecutionInfo {
                namespace_id: namespace.id.to_string(),
                workflow_id: execution.workflow_id,
                version_histories: Some(version_histories),
                first_execution_run_id: view.first_run.to_string(),
                ..WorkflowExecutionInfo::default()
            }),
            execution_state: Some(proto::temporal::server::api::persistence::v1::WorkflowExecutionState {
                run_id: view.run.run.to_string(),
                status: view.status,
                ..Default::default()
            }),
            next_event_id: view.next_event_id.0,
            ..WorkflowMutableState::default()
        };
        Ok(Response::new(admin::DescribeMutableStateResponse {
            shard_id: self.history.shard_of(&view.run.workflow).to_string(),
            cache_mutable_state: Some(state.clone()),
            database_mutable_state: Some(state),
            ..admin::DescribeMutableStateResponse::default()
        }))
    }
}

/// Waits until the peer is no longer connected.
async fn disconnected(mut clusters: watch::Receiver<Arc<View>>, peer: ClusterId) {
    while clusters.borrow_and_update().peer(peer).is_some() {
        if clusters.changed().await.is_err() {
            return;
        }
    }
}

/// The same run with one branch.
fn single(branch: &replicator::version::histories::BranchHistory) -> replicator::version::VersionHistories {
    replicator::version::VersionHistories::new(branch.branch.clone(), branch.versions.clone())
}

/// A bound of a range; missing when its id or version is zero (IN-12).
fn bound(event: i64, version: i64) -> Option<VersionHistoryItem> {
    let item = VersionHistoryItem { event_id: EventId(event), version: FailoverVersion(version) };
    (event > 0 && version > 0).then_some(item)
}

fn numbers(metadata: &MetadataMap) -> Result<[i32; 4], Status> {
    let mut numbers = [0; 4];
    for (name, number) in HEADERS.into_iter().zip(&mut numbers) {
        let text = metadata.get(name).and_then(|value| value.to_str().ok());
        let value = text.and_then(|text| text.parse().ok());
        *number = value.ok_or_else(|| Status::invalid_argument(format!("{name} is missing or no number")))?;
    }
    Ok(numbers)
}

fn response(frame: Frame) -> Option<admin::StreamWorkflowReplicationMessagesResponse> {
    use admin::stream_workflow_replication_messages_response::Attributes;
    match frame {
        Frame::Tasks(messages) => {
            Some(admin::StreamWorkflowReplicationMessagesResponse { attributes: Some(Attributes::Messages(messages)) })
        }
        Frame::Ack(_) => None,
    }
}

/// What a peer is told. `NOT_FOUND` is said only when the run is known not to be here: peers act on it (IN-7).
fn status(failure: Failure) -> Status {
    match failure {
        Failure::NotFound(text) => Status::not_found(text),
        Failure::InvalidArgument(text) => Status::invalid_argument(text),
        failure => Status::unavailable(format!("{failure:?}")),
    }
}
