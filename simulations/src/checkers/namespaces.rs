//! Clusters come to know the same of a namespace, however they heard of it.

use replicator::namespace::Namespace;

use super::{AtRest, Checker, Finding, Seen};
use crate::trace::name;

/// Needs no model: clusters are each other's.
pub(super) struct Namespaces;

impl Checker for Namespaces {
    fn promise(&self) -> &'static str {
        "what clusters know of a namespace converges"
    }

    fn see(&mut self, _: &Seen<'_>) -> Result<(), Finding> {
        Ok(())
    }

    fn rest(&mut self, world: &AtRest<'_>) -> Result<(), Finding> {
        for (cluster, records) in world.records.iter().enumerate().skip(1) {
            if let Some((id, ours)) =
                world.records[0].iter().find(|(id, ours)| records.get(id).map(told) != Some(told(ours)))
            {
                let theirs = records.get(id);
                let text = format!("{} knows {ours:?}, and {} {theirs:?}", name(0), name(cluster));
                return Err(Finding::of_all(text));
            }
        }
        Ok(())
    }
}

/// What clusters tell each other of a namespace.
pub(crate) fn told(namespace: &Namespace) -> Namespace {
    Namespace { resumed_in: None, ..namespace.clone() }
}
