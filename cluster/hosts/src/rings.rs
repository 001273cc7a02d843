//! On which host what is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use membership::{Member, Membership, Service, View};
use replicator::ids::{NamespaceId, ShardId, WorkflowKey, shard_of};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::{
    host::{Dial, Host},
    keys,
    partitions::{PartitionCounts, Partitions, ROOT},
};

/// The hosts of a cluster, as one of them reaches the others. Clones share everything.
#[derive(Clone)]
pub struct Hosts {
    membership: Membership,
    shards: u32,
    dial: Dial,
    pub(crate) partitions: Partitions,
    /// By life: a host that began anew is connected anew.
    channels: Arc<Mutex<BTreeMap<Uuid, Channel>>>,
}

/// Where something is.
#[derive(Clone)]
pub enum Owner {
    /// On this host.
    Here,
    /// On another one.
    There(Host),
    /// Nowhere: no host runs what it takes.
    Nobody,
}

impl Hosts {
    /// The hosts of a cluster of so many shards.
    #[must_use]
    pub fn new(membership: Membership, shards: u32, dial: Dial) -> Self {
        let partitions: Partitions = Arc::new(|_, _| PartitionCounts::default());
        Self { membership, shards, dial, partitions, channels: Arc::default() }
    }

    /// The same, and this says how many partitions task queues have.
    #[must_use]
    pub fn with_partitions(self, partitions: Partitions) -> Self {
        Self { partitions, ..self }
    }

    /// Who is there.
    #[must_use]
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// Who is there now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.membership.view()
    }

    /// Whether a shard is this host's.
    #[must_use]
    pub fn is_my_shard(&self, shard: ShardId) -> bool {
        self.view().is_mine(Service::History, &keys::shard(shard))
    }

    /// All shards that are this host's.
    pub fn my_shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let view = self.view();
        (1..=self.shards).map(ShardId).filter(move |shard| view.is_mine(Service::History, &keys::shard(*shard)))
    }

    /// Whether something that one host does for all is for this one to do.
    #[must_use]
    pub fn is_my_duty(&self, duty: &str) -> bool {
        let view = self.view();
        view.is_mine(dutiful(&view), duty.as_bytes())
    }

    /// Where something is done that one host does for all.
    #[must_use]
    pub fn of_duty(&self, duty: &str) -> Owner {
        self.owner(dutiful(&self.view()), duty.as_bytes())
    }

    /// Where a shard is.
    #[must_use]
    pub fn of_shard(&self, shard: ShardId) -> Owner {
        self.owner(Service::History, &keys::shard(shard))
    }

    /// Whose a shard is; nobody's when no host runs history.
    #[must_use]
    pub fn member_of_shard(&self, shard: ShardId) -> Option<Member> {
        self.view().owner(Service::History, &keys::shard(shard)).cloned()
    }

    /// Where a workflow is.
    #[must_use]
    pub fn of_workflow(&self, workflow: &WorkflowKey) -> Owner {
        self.of_shard(shard_of(workflow.namespace, &workflow.workflow, self.shards))
    }

    /// Where the root is of the task queues of a name: there queries wait, and what is for single workers.
    #[must_use]
    pub fn of_queue(&self, namespace: NamespaceId, normal: &str) -> Owner {
        self.of_partition(namespace, normal, ROOT)
    }

    /// The other hosts that run a service, those too that are about to go.
    #[must_use]
    pub fn others(&self, service: Service) -> Vec<Host> {
        let view = self.view();
        let others = view.members(service).filter(|member| member.id != view.me().id);
        others.map(|member| self.host(member)).collect()
    }

    /// All other hosts.
    #[must_use]
    pub fn all_others(&self) -> Vec<Host> {
        let view = self.view();
        view.all().filter(|member| member.id != view.me().id).map(|member| self.host(member)).collect()
    }

    fn owner(&self, service: Service, key: &[u8]) -> Owner {
        let view = self.view();
        match view.owner(service, key) {
            None => Owner::Nobody,
            Some(member) => self.way_to(&view, member),
        }
    }

    pub(crate) fn way_to(&self, view: &View, member: &Member) -> Owner {
        if member.id == view.me().id { Owner::Here } else { Owner::There(self.host(member)) }
    }

    pub(crate) fn host(&self, member: &Member) -> Host {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = match channels.get(&member.id) {
            Some(channel) => channel.clone(),
            None => {
                let view = self.view();
                channels.retain(|id, _| view.all().any(|member| member.id == *id));
                let channel = (self.dial)(&member.address);
                channels.insert(member.id, channel.clone());
                channel
            }
        };
        Host { member: member.clone(), channel, views: self.membership.watch() }
    }
}

/// Who does what one host does for all: those that run the worker service. A cluster often has but one of them, and when it
/// is gone nobody would hear what peers say; then it is for those without whom nothing goes on anyhow.
fn dutiful(view: &View) -> Service {
    let has_takers = view.members(Service::Worker).any(|member| !member.is_draining());
    if has_takers { Service::Worker } else { Service::History }
}
