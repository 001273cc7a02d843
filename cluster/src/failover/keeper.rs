//! Ends pauses of writes that nobody ends: whoever held writes back may have died, or never come back.
//!
//! The shards take writes again by the clock in any case; this makes the record say so.

use std::{collections::BTreeMap, sync::Arc};

use metadata::{Metadata, Namespaces};
use replicator::{
    ids::NamespaceId,
    namespace::{Namespace, Refusal, handover::change},
    time::Timestamp,
};
use store::Spawner;
use tokio::sync::mpsc;

use crate::ports::Clock;

/// A start of the process: no handover that an earlier one began is under way any more.
pub(crate) async fn release_orphans(namespaces: &Namespaces) {
    for namespace in namespaces.list() {
        if namespace.replication_state.pause().is_some_and(|pause| pause.to.is_some()) {
            release(namespaces, &namespace, Timestamp::MAX).await;
        }
    }
}

/// From now on end pauses whose time is over.
pub(crate) async fn start(metadata: &Metadata, clock: Clock, spawn: &Spawner) {
    let (changes, heard) = mpsc::unbounded_channel();
    let listener = move |namespace: &Arc<Namespace>| _ = changes.send(namespace.clone());
    metadata.namespaces().listen(Box::new(listener)).await;
    spawn(Box::pin(keep(metadata.namespaces().clone(), clock, heard)));
}

async fn keep(namespaces: Namespaces, clock: Clock, mut changes: mpsc::UnboundedReceiver<Arc<Namespace>>) {
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
