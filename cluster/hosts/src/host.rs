//! One other host, and calls to it.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use http::uri::PathAndQuery;
use membership::{Member, View};
use proto::meridian::internal::v1::host_service_client::HostServiceClient;
use tonic::{Request, Status, client::Grpc, metadata::MetadataMap, transport::Channel};
use tracing::Instrument;

use crate::{calls, codec::BytesCodec, trouble::Trouble};

/// Gives a channel to a host. It connects when it is first used.
pub type Dial = Arc<dyn Fn(&str) -> Channel + Send + Sync>;

/// The public methods, as hosts call them on each other: to be answered there and nowhere else.
pub const WORKFLOW_SERVICE: &str = "meridian.internal.v1.WorkflowService";

/// Another host, for as long as it lives.
#[derive(Clone)]
pub struct Host {
    pub(crate) member: Member,
    pub(crate) channel: Channel,
    pub(crate) views: watch::Receiver<Arc<View>>,
}

impl Host {
    /// Who it is.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// The way there, for what is passed on as it comes.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Have it answer a call as it came: the same bytes to the same method.
    ///
    /// # Errors
    ///
    /// [`Trouble`].
    pub async fn pass(
        &self,
        method: &str,
        request: Bytes,
        headers: MetadataMap,
        patience: Option<Duration>,
    ) -> Result<Bytes, Trouble> {
        let mut message = Request::new(request);
        *message.metadata_mut() = headers;
        if let Some(patience) = patience {
            message.set_timeout(patience.min(LONGEST_TIMEOUT));
        }
        let path = PathAndQuery::try_from(format!("/{WORKFLOW_SERVICE}/{method}"));
        let path = path.map_err(|_| Trouble::Refused(Status::internal(format!("{method:?} is no method"))))?;
        let mut client = Grpc::new(self.channel()).max_decoding_message_size(usize::MAX);
        let span = calls::hop(method, &self.member.address, message.metadata_mut());
        let answer = async move {
            client.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
            client.unary(message, path, BytesCodec).await.map(tonic::Response::into_inner)
        };
        self.ask(answer).instrument(span).await
    }

    /// Have it answer one of the calls that hosts have for each other.
    ///
    /// # Errors
    ///
    /// [`Trouble`].
    pub async fn call<T, A>(
        &self,
        patience: Duration,
        message: T,
        call: impl AsyncFnOnce(HostServiceClient<Channel>, Request<T>) -> Result<tonic::Response<A>, Status>,
    ) -> Result<A, Trouble> {
        let mut request = Request::new(message);
        request.set_timeout(patience.min(LONGEST_TIMEOUT));
        let span = calls::hop(short_name::<T>(), &self.member.address, request.metadata_mut());
        let client = HostServiceClient::new(self.channel()).max_decoding_message_size(usize::MAX);
        let answer = async {
            match tokio::time::timeout(patience, call(client, request)).await {
                Ok(answer) => Ok(answer?.into_inner()),
                Err(elapsed) => Err(Status::from_error(Box::new(elapsed))),
            }
        };
        self.ask(answer).instrument(span).await
    }

    /// Wait for its answer, but not longer than it lives.
    ///
    /// # Errors
    ///
    /// [`Trouble`].
    pub async fn ask<A>(&self, answer: impl Future<Output = Result<A, Status>>) -> Result<A, Trouble> {
        tokio::select! {
            biased;
            answer = answer => answer.map_err(Trouble::of),
            () = self.gone() => Err(Trouble::Lost),
        }
    }

    /// Wait until the host is not among the members any more. One that comes back is another.
    pub async fn gone(&self) {
        let is_gone = |view: &Arc<View>| view.at(&self.member.address).is_none_or(|now| now.id != self.member.id);
        let mut views = self.views.clone();
        if views.wait_for(is_gone).await.is_err() {
            std::future::pending().await
        }
    }
}

/// The name of a message's type, without its module.
fn short_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit(':').next().unwrap_or_default()
}

/// More does not fit into the header.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(99_999_999);
