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

/// What a caller may be told beside an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Whatever an SDK tries again.
    Sdk,
    /// The same, and that there is no such thing: what was acknowledged elsewhere may not have been heard of yet.
    UntilHeard,
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

    /// Call one cluster after another, from a region and beginning with its own, until one answers.
    pub(crate) async fn ask<T, F, A>(&self, region: usize, what: &'static str, patience: Patience, mut call: F) -> T
    where
        F: FnMut(WorkflowServiceClient<Channel>) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let mut pause = FIRST_PAUSE;
        let mut cluster = region;
        loop {
            match self.once(what, patience, call(self.client(region, cluster))).await {
                Some(answer) => return answer,
                None => cluster = (cluster + 1) % CLUSTERS,
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
        match timeout(CALL, call).await {
            Err(_) => self.ledger.count("people: no answer in time"),
            Ok(Ok(answer)) => return Some(answer.into_inner()),
            Ok(Err(status)) => {
                let is_patient = patience == Patience::UntilHeard && status.code() == Code::NotFound;
                if !is_patient && !is_retried(status.code()) {
                    self.refused(what, &status);
                }
                self.ledger.count("people: told to come again");
            }
        }
        None
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
