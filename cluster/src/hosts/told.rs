//! News of namespaces and clusters, from the host that made them to all others.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use hosts::{Host, Hosts};
use metadata::ports::Tell;
use proto::meridian::internal::v1::{RefreshRequest, host_service_client::HostServiceClient};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::ports::Spawner;

/// Tells every other host that there is something new, and waits until they know it. One that does not answer in time is
/// told until it does or is gone; whoever joins reads everything anyhow.
pub(crate) fn tell(hosts: Hosts, spawn: Spawner) -> Tell {
    Arc::new(move || {
        let told: Vec<_> = hosts.all_others().into_iter().map(|host| start(&spawn, host)).collect();
        async move {
            let _ = timeout(PATIENCE, join_all(told)).await;
        }
        .boxed()
    })
}

/// Tell one host, whether or not somebody waits for it.
fn start(spawn: &Spawner, host: Host) -> tokio::sync::oneshot::Receiver<()> {
    let (done, told) = tokio::sync::oneshot::channel();
    spawn(Box::pin(async move {
        let telling = async {
            let call = async |mut client: HostServiceClient<Channel>, request| client.refresh(request).await;
            while let Err(trouble) = host.call(PATIENCE, RefreshRequest {}, call).await {
                tracing::info!(host = host.member().address, ?trouble, "a host does not hear what is new");
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            () = telling => {}
            () = host.gone() => {}
        }
        // Nobody may be waiting any more.
        let _ = done.send(());
    }));
    told
}

/// Whoever changed something waits no longer for those who are to know.
const PATIENCE: Duration = Duration::from_secs(1);

/// Before a host is told once more.
const PAUSE: Duration = Duration::from_millis(200);
