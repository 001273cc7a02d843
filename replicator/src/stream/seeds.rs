//! What a shard has to be told from the beginning: namespaces that it joined, and all that peers can no longer tell in
//! order.
//!
//! A stream tells what is written from now on, and what was written and not acknowledged. A shard that joins a namespace
//! later, or that was away for longer than its peers keep their tasks, asks for the rest: for every run of the namespace,
//! as tasks like any other. How far that went is part of the shard's record, so that a restart does not begin it anew.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use bytes::Bytes;
use proto::meridian::persistence::v1::{self as stored, ShardRecord};

use crate::{
    ids::{ClusterId, NamespaceId, RunId, ShardId, WorkflowId},
    shard::io::{StreamKey, StreamRole},
};

/// A place in the runs of a namespace, which are ordered by workflow and run.
pub type Place = (WorkflowId, RunId);

/// What is asked of a peer: all runs of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The namespace.
    pub namespace: NamespaceId,
    /// Behind this run; `None`: from the first.
    pub after: Option<Place>,
    /// Tells it from the questions before, which may be answered still.
    pub number: u64,
}

/// Runs of a namespace, up to a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// The namespace.
    pub namespace: NamespaceId,
    /// The question that it answers; zero: the peer does not know of numbers.
    pub question: u64,
    /// The last run; `None`: none at all.
    pub after: Option<Place>,
    /// Whether there are no more.
    pub is_complete: bool,
}

/// What a shard was told, and what it still wants to be told.
#[derive(Debug, Default)]
pub struct Seeds {
    /// Namespaces of which it was told everything once.
    seeded: BTreeSet<NamespaceId>,
    /// What peers are to tell.
    wanted: BTreeMap<(NamespaceId, StreamKey), Wanted>,
    /// Questions that were asked.
    asked: u64,
}

#[derive(Debug, Default)]
struct Wanted {
    /// The last run that is durable here.
    after: Option<Place>,
    /// The question that the peer was asked.
    asked: Option<u64>,
}

impl Seeds {
    /// As it was stored. What peers said since this host has the shard is kept beside it.
    pub fn restore(&mut self, record: &ShardRecord) {
        let id = |bytes: &Bytes| Some(NamespaceId::from_bytes(bytes.as_ref().try_into().ok()?));
        let wanted = record.seeding.iter().filter_map(|row| {
            let cluster = ClusterId(row.cluster_id);
            let key = StreamKey { cluster, shard: ShardId(row.shard_id), role: StreamRole::Target };
            let run = row.run.as_ref().try_into().ok().map(RunId::from_bytes);
            let after = run.map(|run| (WorkflowId::from(row.workflow.as_str()), run));
            Some(((id(&row.namespace)?, key), Wanted { after, asked: None }))
        });
        for (key, wanted) in wanted {
            self.wanted.entry(key).or_insert(wanted);
        }
        self.seeded.extend(record.seeded.iter().filter_map(id));
    }

    /// Put it into the shard's record.
    pub fn store(&self, record: &mut ShardRecord) {
        let bytes = |id: &[u8; 16]| Bytes::copy_from_slice(id);
        record.seeded = self.seeded.iter().map(|id| bytes(id.as_bytes())).collect();
        record.seeding = (self.wanted.iter())
            .map(|((namespace, key), wanted)| stored::Seeding {
                cluster_id: key.cluster.0,
                shard_id: key.shard.0,
                namespace: bytes(namespace.as_bytes()),
                workflow: wanted.after.as_ref().map(|(workflow, _)| workflow.as_str().into()).unwrap_or_default(),
                run: wanted.after.as_ref().map(|(_, run)| bytes(run.as_bytes())).unwrap_or_default(),
            })
            .collect();
    }

    /// Whether the namespace was told, or somebody was chosen to tell it.
    #[must_use]
    pub fn is_known(&self, namespace: NamespaceId) -> bool {
        self.seeded.contains(&namespace) || self.is_wanted(namespace)
    }

    /// Whether all of the namespace was told, and nothing of it is wanted again.
    #[must_use]
    pub fn is_seeded(&self, namespace: NamespaceId) -> bool {
        self.seeded.contains(&namespace) && !self.is_wanted(namespace)
    }

    /// Whether somebody is still to tell something of the namespace.
    #[must_use]
    pub fn is_wanted(&self, namespace: NamespaceId) -> bool {
        self.wanted_of(namespace).next().is_some()
    }

    /// The streams that are still to tell something of the namespace.
    pub fn wanted_of(&self, namespace: NamespaceId) -> impl Iterator<Item = StreamKey> + '_ {
        let first = StreamKey { cluster: ClusterId(i32::MIN), shard: ShardId(0), role: StreamRole::Source };
        let rest = self.wanted.range((namespace, first)..).map(|(key, _)| *key);
        rest.take_while(move |(of, _)| *of == namespace).map(|(_, stream)| stream)
    }

    /// The stream is to tell all of the namespace, from its first run.
    pub fn want(&mut self, stream: StreamKey, namespace: NamespaceId) {
        self.wanted.insert((namespace, stream), Wanted::default());
    }

    /// What is to be asked on a stream and was not. It counts as asked from now on.
    pub fn take_unasked(&mut self, stream: StreamKey) -> Vec<Question> {
        let unasked = self.wanted.iter_mut().filter(|((_, of), wanted)| *of == stream && wanted.asked.is_none());
        unasked
            .map(|((namespace, _), wanted)| {
                self.asked += 1;
                wanted.asked = Some(self.asked);
                Question { namespace: *namespace, after: wanted.after.clone(), number: self.asked }
            })
            .collect()
    }

    /// Whether something is to be asked on a stream.
    #[must_use]
    pub fn owes_question(&self, stream: StreamKey) -> bool {
        self.wanted.iter().any(|((_, of), wanted)| *of == stream && wanted.asked.is_none())
    }

    /// The stream opened: whatever it is to tell is asked again.
    pub fn on_opened(&mut self, stream: StreamKey) {
        for (_, wanted) in self.wanted.iter_mut().filter(|((_, of), _)| *of == stream) {
            wanted.asked = None;
        }
    }

    /// Runs up to a place were told on a stream and are durable here. Whether that is news: what answers a question before
    /// the last one was told before the peer let go of something, and says nothing of that.
    pub fn on_told(&mut self, stream: StreamKey, progress: Progress) -> bool {
        let key = (progress.namespace, stream);
        let Some(wanted) = self.wanted.get_mut(&key) else { return false };
        if progress.question != 0 && wanted.asked != Some(progress.question) {
            return false;
        }
        wanted.after = progress.after.max(wanted.after.take());
        if progress.is_complete {
            self.wanted.remove(&key);
            if !self.is_wanted(progress.namespace) {
                self.seeded.insert(progress.namespace);
            }
        }
        true
    }

    /// The namespace is none of this cluster's business any more. Should it be again, all of it is wanted.
    pub fn forget(&mut self, namespace: NamespaceId) -> bool {
        let before = self.wanted.len();
        self.wanted.retain(|(of, _), _| *of != namespace);
        self.seeded.remove(&namespace) || before != self.wanted.len()
    }

    /// Clusters that are gone tell nothing.
    pub fn retain(&mut self, is_there: impl Fn(ClusterId) -> bool) {
        self.wanted.retain(|(_, stream), _| is_there(stream.cluster));
    }

    /// What is still to be told.
    pub fn wanted(&self) -> impl Iterator<Item = (NamespaceId, StreamKey)> + '_ {
        self.wanted.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(record: &ShardRecord) -> Seeds {
        let mut seeds = Seeds::default();
        seeds.restore(record);
        seeds
    }

    fn stream(shard: u32) -> StreamKey {
        StreamKey { cluster: ClusterId(2), shard: ShardId(shard), role: StreamRole::Target }
    }

    fn place(number: u8) -> Place {
        ("order".into(), RunId::from_bytes([number; 16]))
    }

    fn namespace() -> NamespaceId {
        NamespaceId::from_bytes([7; 16])
    }

    fn told(question: u64, after: u8, is_complete: bool) -> Progress {
        Progress { namespace: namespace(), question, after: Some(place(after)), is_complete }
    }

    /// Where the question that is asked next begins.
    fn ask(seeds: &mut Seeds, shard: u32) -> Option<(u64, Option<Place>)> {
        seeds.take_unasked(stream(shard)).pop().map(|question| (question.number, question.after))
    }

    #[test]
    fn a_namespace_is_told_when_every_stream_has_told_it() {
        let mut seeds = Seeds::default();
        seeds.want(stream(1), namespace());
        seeds.want(stream(2), namespace());
        assert_eq!(ask(&mut seeds, 1), Some((1, None)));
        assert_eq!(ask(&mut seeds, 1), None);
        assert!(seeds.on_told(stream(1), told(1, 9, true)));
        assert!(!seeds.on_told(stream(1), told(1, 9, true)), "it is no news");
        assert_eq!(seeds.wanted().collect::<Vec<_>>(), [(namespace(), stream(2))]);
        assert_eq!(ask(&mut seeds, 2), Some((2, None)));
        assert!(seeds.on_told(stream(2), told(2, 9, true)));
        assert!(seeds.is_known(namespace()) && seeds.wanted().next().is_none());
    }

    #[test]
    fn a_restart_goes_on_where_it_was() {
        let mut seeds = Seeds::default();
        seeds.want(stream(1), namespace());
        assert_eq!(ask(&mut seeds, 1), Some((1, None)));
        seeds.on_told(stream(1), told(1, 3, false));
        let mut record = ShardRecord::default();
        seeds.store(&mut record);
        let mut seeds = restored(&record);
        assert_eq!(ask(&mut seeds, 1), Some((1, Some(place(3)))));
        seeds.on_opened(stream(1));
        assert!(seeds.owes_question(stream(1)), "a new stream is asked again");
        assert_eq!(ask(&mut seeds, 1), Some((2, Some(place(3)))));
        seeds.on_told(stream(1), Progress { namespace: namespace(), question: 2, after: None, is_complete: true });
        seeds.store(&mut record);
        assert!(record.seeding.is_empty());
        assert!(restored(&record).is_known(namespace()));
    }

    #[test]
    fn an_answer_to_an_earlier_question_is_none_to_the_last_one() {
        let mut seeds = Seeds::default();
        seeds.want(stream(1), namespace());
        assert_eq!(ask(&mut seeds, 1), Some((1, None)));
        seeds.want(stream(1), namespace());
        assert!(!seeds.on_told(stream(1), told(1, 9, true)), "what was let go since is asked next");
        assert_eq!(ask(&mut seeds, 1), Some((2, None)));
        assert!(!seeds.on_told(stream(1), told(1, 9, true)));
        assert!(seeds.on_told(stream(1), told(2, 9, true)));
        assert!(seeds.is_seeded(namespace()));
    }

    #[test]
    fn a_peer_that_knows_no_numbers_is_believed() {
        let mut seeds = Seeds::default();
        seeds.want(stream(1), namespace());
        assert!(seeds.on_told(stream(1), told(0, 9, true)));
    }

    #[test]
    fn what_left_and_comes_back_is_wanted_again() {
        let mut seeds = Seeds::default();
        seeds.want(stream(1), namespace());
        ask(&mut seeds, 1);
        seeds.on_told(stream(1), told(1, 1, true));
        assert!(seeds.forget(namespace()));
        assert!(!seeds.is_known(namespace()));
        seeds.want(stream(1), namespace());
        seeds.retain(|cluster| cluster != ClusterId(2));
        assert!(!seeds.is_known(namespace()), "somebody else is to tell it");
    }
}
