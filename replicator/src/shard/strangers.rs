//! Tasks about namespaces that are not known here.
//!
//! Mostly the record is on its way, and they wait for it in memory. They must not fill it, nor hold back the stream for ever:
//! when there are too many, or it takes too long, they are let go. That loses nothing, for a shard that comes to know a
//! namespace of which it was never told asks for all of it (`seeding`). Where it was told before, this shard has just begun
//! and not heard of its namespaces yet; then they wait, and the window of the stream bounds them.

use alloc::vec::Vec;
use core::time::Duration;

use super::{
    Shard,
    io::{Output, Report},
    work::Told,
};
use crate::{
    ids::{ClusterId, NamespaceId},
    time::Timestamp,
};

/// What was told about a namespace that is not known.
#[derive(Debug)]
pub(super) struct Strangers {
    /// Who told it last.
    from: ClusterId,
    /// Tasks that wait, oldest first.
    told: Vec<Told>,
    /// When the first came.
    since: Timestamp,
    /// When the record is to be asked for again.
    again: Timestamp,
    /// Tasks that were let go.
    forsaken: usize,
}

impl Shard {
    /// A task about a namespace that is not known.
    pub(super) fn hear_stranger(&mut self, now: Timestamp, namespace: NamespaceId, told: Told) {
        let from = told.stream.cluster;
        let fresh = || Strangers { from, told: Vec::new(), since: now, again: now, forsaken: 0 };
        let strangers = self.strangers.entry(namespace).or_insert_with(fresh);
        strangers.from = from;
        strangers.told.push(told);
        if strangers.again <= now {
            strangers.again = now + ASK_AGAIN;
            self.outbox.push(Output::RefreshNamespace { namespace, from });
        }
        self.forsake(now, namespace);
        self.chores.strangers.get_or_insert(now + LONGEST);
    }

    /// The namespace of some tasks has become known.
    pub(super) fn hear_strangers(&mut self, now: Timestamp, namespace: NamespaceId) {
        let told = self.strangers.remove(&namespace).map(|strangers| strangers.told).unwrap_or_default();
        let heard: Vec<_> = told.into_iter().filter_map(|told| self.hear(now, told)).collect();
        heard.into_iter().for_each(|workflow| self.advance(now, &workflow));
    }

    /// Let go of what has waited long enough.
    pub(super) fn forsake_overdue(&mut self, now: Timestamp) {
        for namespace in self.strangers.keys().copied().collect::<Vec<_>>() {
            self.forsake(now, namespace);
        }
        if self.strangers.values().any(|strangers| !strangers.told.is_empty()) {
            self.chores.strangers = Some(now + LONGEST);
        }
    }

    /// Let go of a namespace's tasks, if they are too many or have waited for too long.
    fn forsake(&mut self, now: Timestamp, namespace: NamespaceId) {
        let Some(strangers) = self.strangers.get_mut(&namespace) else { return };
        let is_enough = strangers.told.len() > MOST || now >= strangers.since + LONGEST;
        if !is_enough || strangers.told.is_empty() || self.seeds.is_known(namespace) {
            return;
        }
        let told = core::mem::take(&mut strangers.told);
        let (from, is_first) = (strangers.from, strangers.forsaken == 0);
        strangers.forsaken += told.len();
        if is_first {
            self.report(Report::Forsaken { namespace, from });
        }
        let done: Vec<_> = told.iter().filter_map(Told::acknowledges).collect();
        // What was kept before under this namespace stays kept, and is tried again when it is known.
        self.on_applied(now, &done);
    }
}

/// Tasks of one namespace that wait in memory.
const MOST: usize = 256;
/// How long they wait: a record takes a way or two.
const LONGEST: Duration = Duration::from_secs(5);
/// How often the record is asked for while tasks come.
const ASK_AGAIN: Duration = Duration::from_millis(200);
