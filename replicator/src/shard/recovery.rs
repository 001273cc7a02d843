//! A store that was brought back from a backup.
//!
//! What was written after the backup is gone here, and peers have most of it. Two things must not come to pass. The shard
//! must not write as if nothing had happened: its next event would have the id and the version of one that is gone, and two
//! clusters would hold different events that are named alike. And it must not go on as a standby that lacks the middle: peers
//! know that they told it, and tell it again only what changes.
//!
//! A shard's record names the life of the store in which it was written. When it is read in another life, the shard
//!
//! 1. is taken under a range far above any that was ever given, so that no id of a task comes twice;
//! 2. asks every cluster of a namespace for all it has, as a cluster does that joins late;
//! 3. decides nothing of a namespace until that is told, and, if it is active here, until the cluster has resumed it in this
//!    life under a version of its own ([`crate::namespace::recovery`]): what is written from then on cannot be taken for what
//!    is gone;
//! 4. tells every peer everything when it has it again, for of what this cluster wrote some peers may have more than others.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use core::time::Duration;

use bytes::Bytes;
use proto::meridian::persistence::v1::{self as stored, ShardRecord};

use super::{
    Shard,
    io::{Report, StreamKey, StreamRole},
    ownership::Ownership,
};
use crate::{
    ids::{ClusterId, Life, NamespaceId},
    namespace::{Namespace, recovery},
    time::Timestamp,
};

/// Namespaces of which the store has an older state than it once had.
#[derive(Debug, Default)]
pub(super) struct Recoveries(BTreeMap<NamespaceId, Recovery>);

#[derive(Debug)]
struct Recovery {
    /// Clusters that were not asked, because nobody knew yet how many shards they have.
    unasked: BTreeSet<ClusterId>,
    /// Until when it waits for what was told and is kept apart.
    waits: Option<Timestamp>,
}

impl Recoveries {
    /// As they were stored.
    pub(super) fn of(record: &ShardRecord) -> Self {
        let read = |row: &stored::Recovery| {
            let id = NamespaceId::from_bytes(row.namespace.as_ref().try_into().ok()?);
            Some((id, Recovery { unasked: row.unasked.iter().copied().map(ClusterId).collect(), waits: None }))
        };
        Self(record.recovering.iter().filter_map(read).collect())
    }

    /// Put them into the shard's record.
    pub(super) fn store(&self, record: &mut ShardRecord) {
        let write = |(id, recovery): (&NamespaceId, &Recovery)| stored::Recovery {
            namespace: Bytes::copy_from_slice(id.as_bytes()),
            unasked: recovery.unasked.iter().map(|cluster| cluster.0).collect(),
        };
        record.recovering = self.0.iter().map(write).collect();
    }

    /// Whether a namespace must not be decided on.
    pub(super) fn hold(&self, namespace: NamespaceId) -> bool {
        self.0.contains_key(&namespace)
    }
}

/// The life of the store in which a record was written, if it says.
pub(super) fn life_of(record: &ShardRecord) -> Option<Life> {
    record.life.as_ref().try_into().ok().map(Life::from_bytes)
}

impl Shard {
    /// The store lives another life than the one in which the shard's record was written: every namespace that other
    /// clusters have is to be told by all of them.
    pub(super) fn recover(&mut self, now: Timestamp) {
        let known: Vec<NamespaceId> = self.namespaces.keys().copied().collect();
        known.into_iter().for_each(|id| self.recover_namespace(now, id));
        self.report(Report::Restored { namespaces: self.recoveries.0.len() });
    }

    /// A namespace is known that was not in the backup.
    pub(super) fn recover_if_unknown(&mut self, now: Timestamp, id: NamespaceId) {
        let is_resting = |known: &Namespace| self.life.is_some_and(|life| recovery::is_wanted(known, life));
        if self.namespaces.get(&id).is_some_and(is_resting) && !self.seeds.is_known(id) {
            self.recover_namespace(now, id);
        }
    }

    fn recover_namespace(&mut self, now: Timestamp, id: NamespaceId) {
        let (me, here) = (self.topology.current(), self.topology.current_id());
        let Some(known) = self.namespaces.get(&id).filter(|known| known.is_replicated() && known.clusters.contains(me))
        else {
            return;
        };
        let others = known.members().filter_map(|name| self.topology.id_of(name)).filter(|other| *other != here);
        let unasked: BTreeSet<ClusterId> = others.collect();
        if !unasked.is_empty() {
            self.recoveries.0.insert(id, Recovery { unasked, waits: None });
            self.seeds.forget(id);
            self.chores.record = Some(now);
        }
    }

    /// Ask whom nobody could ask before.
    pub(super) fn ask_to_recover(&mut self, now: Timestamp) {
        for (id, recovery) in &mut self.recoveries.0 {
            let Some(namespace) = self.namespaces.get(id) else { continue };
            recovery.unasked.retain(|cluster| {
                let is_member = self.topology.name_of(*cluster).is_some_and(|name| namespace.clusters.contains(name));
                let streams: Vec<StreamKey> = (self.topology.joined(self.id, *cluster))
                    .map(|shard| StreamKey { cluster: *cluster, shard, role: StreamRole::Target })
                    .collect();
                streams.iter().for_each(|stream| self.seeds.want(*stream, *id));
                if !streams.is_empty() {
                    self.chores.record.get_or_insert(now);
                }
                is_member && streams.is_empty()
            });
        }
        self.end_recoveries(now);
    }

    /// Whether something is still to be told that the store once had.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        !self.recoveries.0.is_empty()
    }

    /// Go on with namespaces of which everything was told.
    pub(super) fn end_recoveries(&mut self, now: Timestamp) {
        if self.recoveries.0.is_empty() || !self.is_ready() {
            return;
        }
        let me = self.topology.current();
        // What was told and cannot be applied yet is told to nobody else afterwards. A while is enough for what passes.
        for (id, recovery) in &mut self.recoveries.0 {
            if recovery.unasked.is_empty() && !self.seeds.is_wanted(*id) {
                let due = *recovery.waits.get_or_insert(now + KEPT);
                recovery.waits = Some(if self.quarantine.holds_in(*id) { due } else { due.min(now) });
            }
        }
        self.chores.recover =
            self.recoveries.0.values().filter_map(|recovery| recovery.waits).filter(|due| *due > now).min();
        let is_over = |id: &NamespaceId, recovery: &Recovery, namespace: &Namespace| {
            let is_told = recovery.unasked.is_empty() && !self.seeds.is_wanted(*id);
            let has_waited = recovery.waits.is_some_and(|due| due <= now);
            is_told && has_waited && (!namespace.is_active_in(me) || namespace.resumed_in == self.life)
        };
        let over =
            self.recoveries.0.iter().filter(|(id, recovery)| {
                self.namespaces.get(id).is_some_and(|namespace| is_over(id, recovery, namespace))
            });
        for id in over.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.recoveries.0.remove(&id);
            self.chores.record.get_or_insert(now);
            self.report(Report::Recovered { namespace: id });
            self.offer_all(now, id);
            self.advance_all(now, id);
        }
        if self.recoveries.0.is_empty() {
            self.tell_everything();
        }
    }

    /// Nobody but this cluster tells peers what it wrote after the backup: each is told that what it lacks is gone, and asks
    /// for everything.
    fn tell_everything(&mut self) {
        let Ownership::Owned { ids, .. } = &mut self.ownership else { return };
        self.floor = ids.next();
        self.is_floor_doubtful = true;
        self.backlog.forget(self.floor);
        self.pump_all();
    }
}

/// How long a shard waits for what was told and is kept apart.
const KEPT: Duration = Duration::from_secs(10);
