//! Ends pauses of writes that nobody ends: whoever held writes back may have died, or never come back.
//!
//! The shards take writes again by the clock in any case; this makes the record say so. Of several hosts the others notice
//! sooner that the one is gone that drove a handover, and take it back.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hosts::Hosts;
use metadata::{Metadata, Namespaces};
use replicator::{
    ids::NamespaceId,
    namespace::{Namespace, Refusal, handover::change},
    time::Timestamp,
};
use store::Spawner;
use tokio::sync::mpsc;

use super::running::Running;
use crate::{hosts::is_driven_elsewhere, ports::Clock};

/// A start of the process: no handover that an earlier one began is under way any more.
pub(crate) async fn release_orphans(namespaces: &Namespaces) {
    for namespace in namespaces.list() {
        if namespace.replication_state.pause().is_some_and(|pause| pause.to.is_some()) {
            release(namespaces, &namespace, Timestamp::MAX).await;
        }
    }
}

/// From now on end pauses whose time is over, and those of handovers that nobody drives.
pub(crate) async fn start(metadata: &Metadata, drivers: Drivers, clock: Clock, spawn: &Spawner) {
    let (changes, heard) = mpsc::unbounded_channel();
    let listener = move |namespace: &Arc<Namespace>| _ = changes.send(namespace.clone());
    metadata.namespaces().listen(Box::new(listener)).await;
    spawn(Box::pin(keep(metadata.namespaces().clone(), drivers, clock, heard)));
}

/// Who may drive a handover.
pub(crate) struct Drivers {
    /// This host.
    pub(crate) running: Running,
    /// The others.
    pub(crate) hosts: Option<Hosts>,
}

impl Drivers {
    /// Whether it is this host that looks after handovers whose driver is gone. Hosts may disagree for a moment: only one
    /// of them ends a pause.
    fn looks(&self) -> bool {
        self.hosts.as_ref().is_some_and(|hosts| {
            let view = hosts.view();
            view.all().map(|member| member.id).min() == Some(view.me().id)
        })
    }

    /// Whether no host drives the handover for which writes are held back.
    async fn have_lost(&self, namespace: &Namespace) -> bool {
        let is_handover = namespace.replication_state.pause().is_some_and(|pause| pause.to.is_some());
        match &self.hosts {
            Some(hosts) if is_handover && !self.running.drives(namespace.id) => {
                !is_driven_elsewhere(hosts, namespace.id).await
            }
            _ => false,
        }
    }
}

async fn keep(
    namespaces: Namespaces,
    drivers: Drivers,
    clock: Clock,
    mut changes: mpsc::UnboundedReceiver<Arc<Namespace>>,
) {
    let mut pauses: BTreeMap<NamespaceId, Arc<Namespace>> = BTreeMap::new();
    loop {
        let due = pauses.values().filter_map(|namespace| until(namespace)).min();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep(due.since(clock())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = changes.recv() => {
                let Some(namespace) = changed else { return };
                match until(&namespace) {
                    Some(_) => _ = pauses.insert(namespace.id, namespace),
                    None => _ = pauses.remove(&namespace.id),
                }
            }
            () = sleep => {
                let over = pauses.extract_if(.., |_, namespace| until(namespace).is_none_or(|until| until <= clock()));
                for (_, namespace) in over.collect::<Vec<_>>() {
                    release(&namespaces, &namespace, clock()).await;
                }
            }
            () = tokio::time::sleep(LOOK), if !pauses.is_empty() && drivers.looks() => {
                for namespace in pauses.values() {
                    // What it is then is heard as every change is.
                    if drivers.have_lost(namespace).await && let Some(until) = until(namespace) {
                        release(&namespaces, namespace, until).await;
                    }
                }
            }
        }
    }
}

fn until(namespace: &Namespace) -> Option<Timestamp> {
    namespace.replication_state.pause().map(|pause| pause.until)
}

/// Take writes again if they were to be held back until `now` at most.
async fn release(namespaces: &Namespaces, namespace: &Namespace, now: Timestamp) {
    let decide = move |old: &Namespace, _, _: &_| match until(old) {
        Some(until) if until <= now => Ok(change::release(old)),
        _ => Err(Refusal::InvalidArgument("somebody was first".into())),
    };
    match namespaces.change(namespace.name.clone(), decide).await {
        Ok(_) => tracing::warn!(namespace = namespace.name, "writes that nobody released are taken again"),
        Err(cause) => tracing::debug!(namespace = namespace.name, cause = cause.message(), "nothing to release"),
    }
}

/// A handover is looked at so long after it began to hold writes back; one that goes well is over by then.
const LOOK: Duration = Duration::from_secs(1);
