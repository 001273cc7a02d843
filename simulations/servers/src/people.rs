//! Whoever speaks to clusters from outside, and how: as an SDK does, which tries again what may pass.

use std::{fmt::Debug, future::Future, time::Duration};

use proto::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tokio::time::{sleep, timeout};
use tonic::{Code, Response, Status, transport::Channel};

use crate::{
    host::Background,
    ledger::Ledger,
    network::{Network, Site},
    plan::CLUSTERS,
};

/// People of all regions. Clones share their connections.
#[derive(Clone)]
pub(crate) struct People {
    pub(crate) ledger: Ledger,
    /// From each region, to each cluster.
    channels: Vec<Vec<Channel>>,
}

/// What a caller may be told beside an answer, and beside what every SDK tries again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Nothing.
    Sdk,
    /// That there is no such thing: what was acknowledged elsewhere may not have been heard of yet.
    UntilHeard,
    /// The same, or that a workflow has not begun.
    UntilBegun,
    /// That there is one already: that was an earlier try, which nobody answered, and its run has gone on as another.
    ToStart,
    /// That there is no such thing yet; or not any more, because an earlier try, which nobody answered, was the last that
    /// was waited for.
    ToSignal,
}

impl Patience {
    /// Whether a call is made again.
    fn is_unshaken(self, status: &Status) -> bool {
        let awaits = match self {
            Self::Sdk | Self::ToStart => false,
            Self::UntilHeard | Self::ToSignal => status.code() == Code::NotFound,
            Self::UntilBegun => matches!(status.code(), Code::NotFound | Code::FailedPrecondition),
        };
        awaits || is_retried(status.code())
    }

    /// Whether a call need not be made again.
    fn is_content(self, status: &Status) -> bool {
        match self {
            Self::ToStart => status.code() == Code::AlreadyExists,
            Self::ToSignal => status.code() == Code::NotFound && status.message().contains("already completed"),
            _ => false,
        }
    }
}

/// What comes of one call.
enum Told<T> {
    Answer(T),
    /// It may be made again.
    Again,
    /// It need not be.
    Enough,
}

impl People {
    pub(crate) fn new(network: &Network, ledger: &Ledger, addresses: &[String]) -> Self {
        let background = Background::new(ledger);
        let channels = |region| {
            let channel = |address: &String| network.channel(Site::People(region), address, background.clone());
            addresses.iter().map(channel).collect()
        };
        Self { ledger: ledger.clone(), channels: (0..CLUSTERS).map(channels).collect() }
    }

    /// The way from a region to a cluster.
    pub(crate) fn channel(&self, region: usize, cluster: usize) -> Channel {
        self.channels[region][cluster].clone()
    }

    /// The public API of a cluster, as it is reached from a region.
    pub(crate) fn client(&self, region: usize, cluster: usize) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel(region, cluster)).max_decoding_message_size(LARGEST)
    }

    /// Call one cluster after another, from a region and beginning with its own, until one answers. `None`: it need not.
    pub(crate) async fn ask<T, F, A>(
        &self,
        region: usize,
        what: &'static str,
        patience: Patience,
        mut call: F,
    ) -> Option<T>
    where
        F: FnMut(WorkflowServiceClient<Channel>) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let mut pause = FIRST_PAUSE;
        let mut cluster = region;
        loop {
            match self.call(what, patience, call(self.client(region, cluster))).await {
                Told::Answer(answer) => return Some(answer),
                Told::Enough => return None,
                Told::Again => cluster = (cluster + 1) % CLUSTERS,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Make a call. `None`: it may be made again.
    pub(crate) async fn once<T>(
        &self,
        what: &'static str,
        patience: Patience,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Option<T> {
        match self.call(what, patience, call).await {
            Told::Answer(answer) => Some(answer),
            Told::Again | Told::Enough => None,
        }
    }

    async fn call<T>(
        &self,
        what: &'static str,
        patience: Patience,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Told<T> {
        match timeout(CALL, call).await {
            Err(_) => self.ledger.count("people: no answer in time"),
            Ok(Ok(answer)) => return Told::Answer(answer.into_inner()),
            Ok(Err(status)) if patience.is_content(&status) => return Told::Enough,
            Ok(Err(status)) => {
                if !patience.is_unshaken(&status) {
                    self.refused(what, &status);
                }
                self.ledger.count("people: told to come again");
            }
        }
        Told::Again
    }

    /// Somebody was told something that no SDK tries again.
    pub(crate) fn refused(&self, what: &'static str, told: &dyn Debug) {
        self.ledger.broken("nobody is told what an SDK does not try again", format!("{what}: {told:?}"));
    }
}

/// Whether an SDK makes a call again that was answered so.
pub(crate) fn is_retried(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, OutOfRange, ResourceExhausted, Unavailable};
    let codes = [Aborted, Cancelled, DataLoss, DeadlineExceeded, Internal, OutOfRange, ResourceExhausted, Unavailable];
    code == Code::Unknown || codes.contains(&code)
}

/// How long a call may take; polls take longer.
const CALL: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a client takes in one message.
const LARGEST: usize = 64 << 20;
