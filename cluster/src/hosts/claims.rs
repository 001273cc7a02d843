//! Whether a shard may be taken. The range id alone keeps two owners apart; this keeps them from taking turns.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use history::{Claim, Occasion};
use hosts::{Hosts, Service};
use metadata::Metadata;
use proto::meridian::internal::v1::{YieldRequest, host_service_client::HostServiceClient};
use replicator::ids::ShardId;
use tonic::transport::Channel;

/// What other hosts are asked before shards are taken. Clones share it.
#[derive(Clone)]
pub(crate) struct Claims {
    hosts: Hosts,
    metadata: Metadata,
    /// Shards that were just given to this host: until the others have let go of them.
    given: Arc<Mutex<BTreeMap<ShardId, Shared<BoxFuture<'static, bool>>>>>,
}

impl Claims {
    pub(crate) fn new(hosts: Hosts, metadata: Metadata) -> Self {
        Self { hosts, metadata, given: Arc::default() }
    }

    /// These shards are given to this host, all at once.
    pub(crate) fn give(&self, shards: &[ShardId]) {
        if shards.is_empty() {
            return;
        }
        let yielded = self.clone().yielded(shards.to_vec()).boxed().shared();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.extend(shards.iter().map(|shard| (*shard, yielded.clone())));
    }

    /// As shards ask.
    pub(crate) fn claim(&self) -> Claim {
        let claims = self.clone();
        Arc::new(move |shard, occasion| claims.clone().may_take(shard, occasion).boxed())
    }

    async fn may_take(self, shard: ShardId, occasion: Occasion) -> bool {
        match occasion {
            // Nobody else has it.
            Occasion::Renewal => return true,
            Occasion::Given => {
                let given = self.given.lock().unwrap_or_else(PoisonError::into_inner).remove(&shard);
                if let Some(given) = given
                    && !given.await
                {
                    return false;
                }
            }
            Occasion::Lost => {
                // Whoever was away, and wakes, learns in this time that it was given to somebody else.
                tokio::time::sleep(RESPITE).await;
                if self.hosts.is_my_shard(shard) && !self.clone().yielded(vec![shard]).await {
                    return false;
                }
            }
        }
        self.hosts.is_my_shard(shard)
    }

    /// Wait until no other host has any of these shards, or does not say so in time; and then know every namespace as it is:
    /// one whose writes are held back may have been seen to be quiet by whoever had the shards. Whether that is known.
    async fn yielded(self, shards: Vec<ShardId>) -> bool {
        let shard_ids: Vec<u32> = shards.iter().map(|shard| shard.0).collect();
        let asked = self.hosts.others(Service::History).into_iter().map(|host| {
            let request = YieldRequest { shard_ids: shard_ids.clone() };
            async move {
                let call = async |mut client: HostServiceClient<Channel>, request| client.r#yield(request).await;
                if let Err(trouble) = host.call(PATIENCE, request, call).await {
                    tracing::info!(host = host.member().address, ?trouble, "a host does not let go of shards");
                }
            }
        });
        join_all(asked).await;
        let read = self.metadata.read_again().await;
        if let Err(status) = &read {
            tracing::warn!(reason = status.message(), "shards are not taken: namespaces cannot be read again");
        }
        read.is_ok()
    }
}

/// How long a host may take to let shards go. It writes what is under way, and does nothing else.
const PATIENCE: Duration = Duration::from_secs(1);

/// Before a shard is taken back from another host. Gossip goes round in this time.
const RESPITE: Duration = Duration::from_millis(500);
