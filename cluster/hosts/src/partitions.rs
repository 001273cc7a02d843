//! Partitions of task queues.
//!
//! A task queue of one name is shared out among several hosts. Its partitions go to them in turn, in the order in which they
//! would own it: partition 0, the root, is where all of it was if there were no others, and no host has two while another one
//! has none. What a host has of a queue is one part, however many partitions that is.

use std::sync::Arc;

use membership::{Member, Presence, Service, View, stir};
use replicator::ids::{EventId, NamespaceId, RunKey};
use uuid::Uuid;

use crate::{
    host::Host,
    keys,
    rings::{Hosts, Owner},
};

/// How many partitions the task queues of a name have in a namespace, now.
pub type Partitions = Arc<dyn Fn(NamespaceId, &str) -> PartitionCounts + Send + Sync>;

/// How many partitions a task queue has; at least one. Hosts may disagree about it for a while: a part that only some of them
/// know is as good as any other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartitionCounts {
    /// At these pollers wait.
    pub read: u32,
    /// To these tasks are offered.
    pub write: u32,
}

impl Default for PartitionCounts {
    fn default() -> Self {
        Self { read: PARTITIONS, write: PARTITIONS }
    }
}

/// The root of every task queue; a queue of a single worker has no other.
pub const ROOT: u32 = 0;

impl Hosts {
    /// The partition for a task, the same at each offer.
    #[must_use]
    pub fn write_partition(&self, queue: &str, run: &RunKey, scheduled: EventId) -> u32 {
        let (high, low) = run.run.0.as_u64_pair();
        let count = (self.partitions)(run.workflow.namespace, queue).write;
        pick(high ^ low ^ scheduled.0.cast_unsigned(), count)
    }

    /// A partition for a poll; polls of successive turns spread over all.
    #[must_use]
    pub fn read_partition(&self, namespace: NamespaceId, queue: &str, turn: u64) -> u32 {
        pick(turn, (self.partitions)(namespace, queue).read)
    }

    /// Where a partition is of the task queues of a name.
    #[must_use]
    pub fn of_partition(&self, namespace: NamespaceId, queue: &str, partition: u32) -> Owner {
        let view = self.view();
        let owners = view.owners(Service::Matching, &keys::queue(namespace, queue));
        let member = owners.get(place(partition, owners.len()));
        member.map_or(Owner::Nobody, |member| self.way_to(&view, member))
    }

    /// Whether a partition is this host's.
    #[must_use]
    pub fn is_my_partition(&self, namespace: NamespaceId, queue: &str, partition: u32) -> bool {
        matches!(self.of_partition(namespace, queue, partition), Owner::Here)
    }

    /// Whether any partition is this host's of the task queues of a name.
    #[must_use]
    pub fn is_my_queue(&self, namespace: NamespaceId, queue: &str) -> bool {
        let counts = (self.partitions)(namespace, queue);
        self.rank(&self.view(), namespace, queue).is_some_and(|rank| rank < counts.read.max(counts.write) as usize)
    }

    /// How much of what pollers want of a whole queue is for the part that is here: as much as it has of the partitions at
    /// which pollers wait, and never nothing, for they may wait here by an older view.
    #[must_use]
    pub fn share(&self, namespace: NamespaceId, queue: &str) -> f64 {
        let view = self.view();
        let read = (self.partitions)(namespace, queue).read;
        let hosts = view.owners(Service::Matching, &keys::queue(namespace, queue)).len();
        let mine = match self.rank(&view, namespace, queue) {
            Some(rank) => (0..read).filter(|partition| place(*partition, hosts) == rank).count(),
            None => 0,
        };
        mine.max(1) as f64 / f64::from(read)
    }

    /// The other hosts that have partitions of the task queues of a name.
    #[must_use]
    pub fn other_parts(&self, namespace: NamespaceId, queue: &str) -> Vec<Host> {
        let view = self.view();
        let counts = (self.partitions)(namespace, queue);
        let owners = view.owners(Service::Matching, &keys::queue(namespace, queue));
        let parts = owners.into_iter().take(counts.read.max(counts.write) as usize);
        parts.filter(|member| member.id != view.me().id).map(|member| self.host(member)).collect()
    }

    /// Whose each partition is at which pollers wait, by number; none if no host runs matching.
    #[must_use]
    pub fn owners_of_partitions(&self, namespace: NamespaceId, queue: &str) -> Vec<Member> {
        let view = self.view();
        let owners = view.owners(Service::Matching, &keys::queue(namespace, queue));
        let read = (self.partitions)(namespace, queue).read;
        (0..read).filter_map(|partition| owners.get(place(partition, owners.len()))).copied().cloned().collect()
    }

    /// This life of this host.
    #[must_use]
    pub fn me(&self) -> Uuid {
        self.view().me().id
    }

    /// Wait until a life of a host says that it is about to stop, or is gone.
    pub async fn leaves(&self, id: Uuid) {
        let presence = |view: &View| view.all().find(|member| member.id == id).map(|member| member.presence);
        let mut views = self.membership().watch();
        // What a host asks may come before gossip has told of it. Nobody tells of anything when we are gone ourselves.
        let _ = views.wait_for(|view| presence(view).is_some()).await;
        let _ = views.wait_for(|view| presence(view).is_none_or(|now| now == Presence::Leaving)).await;
    }

    /// The way to a life of a host, if it is there.
    #[must_use]
    pub fn of_life(&self, id: Uuid) -> Option<Owner> {
        let view = self.view();
        view.all().find(|member| member.id == id).map(|member| self.way_to(&view, member))
    }

    /// As which this host would own the task queues of a name; nothing if it does not run matching, or is about to go.
    fn rank(&self, view: &View, namespace: NamespaceId, queue: &str) -> Option<usize> {
        let owners = view.owners(Service::Matching, &keys::queue(namespace, queue));
        owners.iter().position(|member| member.id == view.me().id)
    }
}

/// As which owner of so many a host has a partition.
fn place(partition: u32, owners: usize) -> usize {
    (partition as usize).checked_rem(owners).unwrap_or_default()
}

/// One of so many, all about as often.
fn pick(number: u64, count: u32) -> u32 {
    // Of nought nothing would come but nought.
    let z = stir(number.wrapping_add(0x9e37_79b9_7f4a_7c15));
    u32::try_from(z % u64::from(count.max(1))).expect("less than the count")
}

/// If nobody says (api 10.1).
const PARTITIONS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_picked_about_as_often() {
        for count in [1, 3, 4, 7] {
            let mut picked = vec![0; count as usize];
            for number in 0..1000 * u64::from(count) {
                picked[pick(number, count) as usize] += 1;
            }
            assert!(picked.iter().all(|times| (900..1100).contains(times)), "{picked:?}");
        }
        assert_eq!(pick(7, 0), 0);
    }

    #[test]
    fn no_host_has_two_partitions_while_another_has_none() {
        assert_eq!([0, 1, 2, 3].map(|partition| place(partition, 3)), [0, 1, 2, 0]);
        assert_eq!([0, 1, 2, 3].map(|partition| place(partition, 1)), [0; 4]);
        assert_eq!(place(3, 0), 0);
    }
}
