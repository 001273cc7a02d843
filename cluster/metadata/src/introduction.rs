//! Who calls: what a cluster says of itself with every call to another one, and whether that fits what is known here.
//!
//! Temporal's calls say little of their caller (IN-5), and its clusters believe what is said: whoever may call at all may
//! acknowledge for any cluster (W-34). Each of ours says who it is and whom it means to reach, and is refused by name when
//! the other side knows it differently. Calls that carry nothing of this are those of operators and of Temporal clusters.

use std::sync::Arc;

use proto::temporal::server::api::persistence::v1::ClusterMetadata;
use replicator::{ids::ClusterId, version::ClusterName};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    service::Interceptor,
};

use crate::{
    certificate::Certificate,
    clusters::{Clusters, View},
};

/// What a cluster says of itself, and to whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Introduction {
    /// Who calls.
    pub name: ClusterName,
    /// Its id on the wire: its initial failover version.
    pub id: ClusterId,
    /// The id that its store was given at its first start.
    pub cluster_id: Arc<str>,
    /// The distance between two of its failover versions.
    pub increment: i64,
    /// Whom it means to reach.
    pub to: ClusterId,
}

impl Interceptor for Introduction {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let [increment, id, to] = [self.increment, self.id.0.into(), self.to.0.into()].map(|number| number.to_string());
        for (header, text) in HEADERS.into_iter().zip([self.name.as_str(), &id, &self.cluster_id, &increment, &to]) {
            let value = MetadataValue::<Ascii>::try_from(text);
            let value = value.map_err(|_| Status::internal(format!("{header}: {text:?} cannot be sent")))?;
            request.metadata_mut().insert(header, value);
        }
        Ok(request)
    }
}

impl Introduction {
    /// What a call says of its caller; nothing when it says nothing.
    ///
    /// # Errors
    ///
    /// `InvalidArgument`, naming the header that is missing or cannot be read.
    pub fn of(metadata: &MetadataMap) -> Result<Option<Self>, Status> {
        if HEADERS.iter().all(|header| metadata.get(*header).is_none()) {
            return Ok(None);
        }
        let text = |header: &str| {
            let text = metadata.get(header).and_then(|value| value.to_str().ok());
            text.ok_or_else(|| Status::invalid_argument(format!("{header} is missing or no text")))
        };
        let number = |header: &str| {
            let number = text(header)?.parse::<i64>();
            number.map_err(|_| Status::invalid_argument(format!("{header} is no number")))
        };
        let id = |header: &str| {
            let id = i32::try_from(number(header)?);
            id.map(ClusterId).map_err(|_| Status::invalid_argument(format!("{header} is out of range")))
        };
        Ok(Some(Self {
            name: text(NAME)?.into(),
            id: id(ID)?,
            cluster_id: text(CLUSTER_ID)?.into(),
            increment: number(INCREMENT)?,
            to: id(TO)?,
        }))
    }

    /// Whether all of it fits what is known here.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition`, naming what does not.
    pub fn check(&self, view: &View) -> Result<(), Status> {
        let topology = &view.federation.topology;
        let refuse = |text: String| Err(Status::failed_precondition(text));
        let name = &self.name;
        if self.to != topology.current_id() {
            return refuse(format!(
                "this is cluster {} with id {}, not {}",
                view.current(),
                topology.current_id(),
                self.to
            ));
        }
        let Some(known) = view.records.get(name).filter(|_| name != view.current()) else {
            return refuse(format!("cluster {name} is not known here"));
        };
        if !view.peers.contains_key(name) {
            return refuse(format!("cluster {name} is not connected here"));
        }
        match self.difference(known) {
            None => Ok(()),
            Some((what, here, said)) => {
                refuse(format!("cluster {name} is known here with the {what} {here}, and says that it has {said}"))
            }
        }
    }

    /// What differs from the record: its name, as it is known, and as it was said.
    fn difference(&self, known: &ClusterMetadata) -> Option<(&'static str, String, String)> {
        let parts = [
            ("initial failover version", known.initial_failover_version.to_string(), self.id.0.to_string()),
            ("failover version increment", known.failover_version_increment.to_string(), self.increment.to_string()),
            ("cluster id", known.cluster_id.clone(), self.cluster_id.to_string()),
        ];
        parts.into_iter().find(|(_, known, said)| known != said)
    }
}

/// Refuses, whatever the method, callers that are not who they say.
#[derive(Clone)]
pub struct Guard(Clusters);

impl Guard {
    /// Judges by what these clusters are at the time of each call.
    #[must_use]
    pub fn new(clusters: Clusters) -> Self {
        Self(clusters)
    }
}

impl Interceptor for Guard {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(caller) = Introduction::of(request.metadata())? {
            Certificate::check(request.extensions(), caller.name.as_str())?;
            caller.check(&self.0.view()).inspect_err(|refusal| {
                tracing::warn!(cluster = %caller.name, reason = refusal.message(), "a peer's call is refused");
            })?;
        }
        // Streams say by number whom they are read for, and those of Temporal clusters say nothing else.
        let reader = request.metadata().get(READER).and_then(|id| id.to_str().ok()?.parse().ok());
        if let Some(peer) = reader.and_then(|id| self.0.view().peer(ClusterId(id)).cloned()) {
            Certificate::check(request.extensions(), peer.name.as_str())?;
        }
        Ok(request)
    }
}

/// The header of a stream that says who reads it (ST-2).
const READER: &str = "temporal-client-cluster-id";

const NAME: &str = "meridian-cluster";
const ID: &str = "meridian-cluster-initial-version";
const CLUSTER_ID: &str = "meridian-cluster-id";
const INCREMENT: &str = "meridian-cluster-version-increment";
const TO: &str = "meridian-to-cluster-initial-version";
const HEADERS: [&str; 5] = [NAME, ID, CLUSTER_ID, INCREMENT, TO];

#[cfg(test)]
mod tests {
    use super::*;

    fn introduction() -> Introduction {
        Introduction {
            name: "b".into(),
            id: ClusterId(2),
            cluster_id: "00000000-0000-4000-8000-000000000002".into(),
            increment: 10,
            to: ClusterId(1),
        }
    }

    #[test]
    fn what_is_said_is_heard() {
        let request = introduction().call(Request::new(())).unwrap();
        assert_eq!(Introduction::of(request.metadata()).unwrap(), Some(introduction()));
        assert_eq!(Introduction::of(&MetadataMap::new()).unwrap(), None);
    }

    #[test]
    fn half_an_introduction_is_refused_by_the_name_of_the_rest() {
        for header in HEADERS {
            let mut request = introduction().call(Request::new(())).unwrap();
            request.metadata_mut().remove(header);
            let refusal = Introduction::of(request.metadata()).unwrap_err();
            assert_eq!(refusal.message(), format!("{header} is missing or no text"));
        }
        let mut request = introduction().call(Request::new(())).unwrap();
        request.metadata_mut().insert(INCREMENT, "ten".parse().unwrap());
        assert_eq!(Introduction::of(request.metadata()).unwrap_err().message(), format!("{INCREMENT} is no number"));
    }
}
