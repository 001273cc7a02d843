//! A namespace as bytes in the store.

use alloc::{string::ToString, vec::Vec};
use core::fmt;

use prost::Message;
use proto::{meridian::persistence::v1 as rows, temporal::api::enums::v1 as enums};

use super::{
    Namespace, NamespaceState, Pause, ReplicationState,
    replication::{carried_config, failover_history, parse_carried, parse_failover_history},
};
use crate::{
    ids::{Life, NamespaceId},
    time::{Timestamp, proto_duration},
    version::{ClusterName, FailoverVersion},
};

/// A stored namespace that cannot be read. The text names the field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Corrupt(&'static str);

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stored namespace has no readable {}", self.0)
    }
}

/// The bytes that the store keeps.
#[must_use]
pub fn encode(namespace: &Namespace) -> Vec<u8> {
    rows::Namespace {
        id: namespace.id.as_bytes().to_vec().into(),
        name: namespace.name.clone(),
        is_global: namespace.is_global,
        active_cluster: namespace.active.to_string(),
        config_version: namespace.config_version,
        failover_version: namespace.failover_version.0,
        failover_history: failover_history(&namespace.failover_history),
        resumed_in: namespace.resumed_in.map(|life| life.as_bytes().to_vec().into()).unwrap_or_default(),
        replication_state: namespace.replication_state.to_wire(),
        pause: namespace.replication_state.pause().map(|pause| rows::Pause {
            to_cluster: pause.to.as_ref().map(ToString::to_string).unwrap_or_default(),
            until: Some(pause.until.into()),
        }),
        ..settings(namespace)
    }
    .encode_to_vec()
}

/// The part of a record that the config version counts.
pub(super) fn settings(namespace: &Namespace) -> rows::Namespace {
    rows::Namespace {
        state: namespace.state as i32,
        description: namespace.description.clone(),
        owner_email: namespace.owner_email.clone(),
        data: namespace.data.clone(),
        retention: Some(proto_duration(namespace.retention)),
        clusters: namespace.clusters.iter().map(ToString::to_string).collect(),
        carried: Some(carried_config(&namespace.carried)),
        ..Default::default()
    }
}

/// The namespace that the store keeps.
///
/// # Errors
///
/// When the bytes are not what [`encode`] wrote.
pub fn decode(bytes: &[u8]) -> Result<Namespace, Corrupt> {
    let row = rows::Namespace::decode(bytes).map_err(|_| Corrupt("row"))?;
    let id = <[u8; 16]>::try_from(&row.id[..]).map_err(|_| Corrupt("id"))?;
    let carried = row.carried.as_ref().ok_or(Corrupt("settings"))?;
    if row.is_global != (row.failover_version > 0) {
        return Err(Corrupt("failover version"));
    }
    Ok(Namespace {
        id: NamespaceId::from_bytes(id),
        name: row.name,
        state: NamespaceState::from_wire(row.state).ok_or(Corrupt("state"))?,
        description: row.description,
        owner_email: row.owner_email,
        data: row.data,
        retention: crate::time::duration(row.retention.as_ref()),
        carried: parse_carried(carried),
        is_global: row.is_global,
        active: ClusterName::from(row.active_cluster),
        clusters: row.clusters.into_iter().map(ClusterName::from).collect(),
        replication_state: replication_state(row.replication_state, row.pause).ok_or(Corrupt("replication state"))?,
        config_version: row.config_version,
        failover_version: FailoverVersion(row.failover_version),
        failover_history: parse_failover_history(&row.failover_history),
        resumed_in: row.resumed_in.as_ref().try_into().ok().map(Life::from_bytes),
    })
}

/// A pause of which nothing else is known is over.
fn replication_state(number: i32, pause: Option<rows::Pause>) -> Option<ReplicationState> {
    match enums::ReplicationState::try_from(number).ok()? {
        enums::ReplicationState::Normal => Some(ReplicationState::Normal),
        enums::ReplicationState::Handover => {
            let pause = pause.unwrap_or_default();
            let to = (!pause.to_cluster.is_empty()).then(|| ClusterName::from(pause.to_cluster));
            let until = pause.until.as_ref().map_or(Timestamp::ZERO, Timestamp::from);
            Some(ReplicationState::Handover(Pause { to, until }))
        }
        enums::ReplicationState::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::namespace::tests::{any_namespace, global};

    proptest! {
        #[test]
        fn a_namespace_survives_the_store(namespace in any_namespace()) {
            prop_assert_eq!(decode(&encode(&namespace)), Ok(namespace));
        }

        #[test]
        fn damaged_rows_are_refused_or_read_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn a_row_that_says_two_things_is_refused() {
        let mut namespace = global(&["a"], 1);
        namespace.is_global = false;
        assert_eq!(decode(&encode(&namespace)), Err(Corrupt("failover version")));
        assert_eq!(decode(b""), Err(Corrupt("id")));
    }
}
