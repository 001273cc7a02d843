//! Whether a peer has heard of a failover: asked of the peer, which answers when it has.

use std::time::Duration;

use proto::temporal::server::api::adminservice::v1::{GetNamespaceRequest, get_namespace_request::Attributes};
use replicator::{
    ids::NamespaceId,
    version::{ClusterName, FailoverVersion},
};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{Clusters, Namespaces};

/// Metadata by which a Meridian asks another to answer when a namespace has at least this failover version. Others answer
/// at once, and are asked again.
const VERSION: &str = "meridian-version";

/// Wait until a peer has heard of a version of a namespace, however long that takes.
pub(crate) async fn confirmed(clusters: &Clusters, id: NamespaceId, peer: &ClusterName, version: FailoverVersion) {
    loop {
        match ask(clusters, id, peer, version).await {
            Ok(known) if version <= known => return,
            Ok(_) => tokio::time::sleep(POLL).await,
            Err(cause) => {
                tracing::debug!(%peer, namespace = %id, cause = cause.message(), "a failover is not confirmed");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn ask(
    clusters: &Clusters,
    id: NamespaceId,
    peer: &ClusterName,
    version: FailoverVersion,
) -> Result<FailoverVersion, Status> {
    let view = clusters.view();
    let peer = view.peers.get(peer).ok_or_else(|| Status::unavailable("the cluster is not connected"))?;
    let mut request = Request::new(GetNamespaceRequest { attributes: Some(Attributes::Id(id.to_string())) });
    request.metadata_mut().insert(VERSION, version.0.into());
    request.set_timeout(2 * LONGEST_WAIT);
    let answer = peer.admin().get_namespace(request).await.map(Response::into_inner)?;
    Ok(FailoverVersion(answer.failover_version))
}

/// Hold an answer back until the namespace has the version that the request asks for, or for a while.
pub(crate) async fn wait(namespaces: &Namespaces, id: NamespaceId, metadata: &MetadataMap) {
    let wanted = metadata.get(VERSION).and_then(|version| version.to_str().ok()?.parse::<i64>().ok());
    let Some(wanted) = wanted else { return };
    let has_it = async {
        while let Some(known) = namespaces.get_by_id(id).filter(|known| known.failover_version.0 < wanted) {
            namespaces.changed(&known).await;
        }
    };
    let _late = tokio::time::timeout(LONGEST_WAIT, has_it).await;
}

/// How long an answer is held back.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Between questions to a cluster that answers at once.
const POLL: Duration = Duration::from_millis(200);
/// Before the next question to one that does not answer.
const PAUSE: Duration = Duration::from_millis(50);
