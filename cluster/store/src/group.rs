//! What waits for the writer of a store, and which of it shares a write.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use replicator::{
    ids::{RangeId, ShardId},
    shard::io::{CommitOutcome, Transaction},
};
use tokio::sync::{mpsc, oneshot};

use crate::{Unavailable, plan};

/// What the writer is asked for.
pub(crate) enum Job<C> {
    /// Something that shares its write with others.
    Member(Member),
    /// Something that is written alone.
    Chore(C),
    /// Nothing more.
    Close(oneshot::Sender<()>),
}

/// Part of a group.
pub(crate) enum Member {
    Commit(Box<Transaction>, oneshot::Sender<Result<CommitOutcome, Unavailable>>),
    /// A shard, under the next range or under one far above.
    Acquire(ShardId, bool, oneshot::Sender<Result<Taken, Unavailable>>),
}

/// A shard's range and record.
pub(crate) type Taken = (RangeId, Bytes);

/// What the writer does next.
pub(crate) enum Turn<C> {
    /// These share a write.
    Group(Vec<Member>),
    /// This is written alone.
    Chore(C),
}

/// What became of a member.
pub(crate) enum Outcome {
    Commit(CommitOutcome),
    Acquired(Taken),
}

impl Member {
    /// What it commits, if it commits.
    pub(crate) fn transaction(&self) -> Option<&Transaction> {
        match self {
            Self::Commit(transaction, _) => Some(transaction),
            Self::Acquire(..) => None,
        }
    }

    /// Tell what became of it.
    pub(crate) fn answer(self, outcome: Outcome) {
        // Nobody may be waiting any more.
        match (self, outcome) {
            (Self::Commit(_, reply), Outcome::Commit(outcome)) => drop(reply.send(Ok(outcome))),
            (Self::Acquire(.., reply), Outcome::Acquired(taken)) => drop(reply.send(Ok(taken))),
            _ => unreachable!("outcomes are in the order of the members"),
        }
    }

    /// Tell why it was not carried out.
    pub(crate) fn refuse(self, trouble: &Trouble) {
        match self {
            Self::Commit(_, reply) => drop(reply.send(match trouble.kind {
                TroubleKind::Unknown => Ok(CommitOutcome::Unknown),
                TroubleKind::World | TroubleKind::Rows => Err(Unavailable(trouble.text.clone())),
            })),
            Self::Acquire(.., reply) => drop(reply.send(Err(Unavailable(trouble.text.clone())))),
        }
    }
}

/// Why a write was not carried out.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// What a caller is told.
    pub(crate) text: String,
    /// What is known.
    pub(crate) kind: TroubleKind,
    /// Whether the connection is to be replaced.
    pub(crate) reconnect: bool,
}

impl From<Trouble> for Unavailable {
    fn from(trouble: Trouble) -> Self {
        Self(trouble.text)
    }
}

/// What is known of a write that was not carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TroubleKind {
    /// The disk or a lock stands in the way; nothing was written.
    World,
    /// It may have been written.
    Unknown,
    /// One of the rows is at fault; nothing was written.
    Rows,
}

/// What waits.
pub(crate) struct Queue<C> {
    jobs: mpsc::Receiver<Job<C>>,
    /// What was taken out and did not fit into the group of that moment.
    waiting: VecDeque<Job<C>>,
    closing: Vec<oneshot::Sender<()>>,
}

impl<C> Queue<C> {
    pub(crate) fn new(jobs: mpsc::Receiver<Job<C>>) -> Self {
        Self { jobs, waiting: VecDeque::new(), closing: Vec::new() }
    }

    /// What to do next; `None`: nothing more, because the store is closed or nobody is left to ask.
    pub(crate) async fn next(&mut self) -> Option<Turn<C>> {
        loop {
            let job = match self.waiting.pop_front() {
                Some(job) => job,
                None => self.jobs.recv().await?,
            };
            match job {
                Job::Member(first) => {
                    self.linger().await;
                    return Some(Turn::Group(self.gather(first)));
                }
                Job::Chore(chore) => return Some(Turn::Chore(chore)),
                Job::Close(reply) => {
                    // What was sent before is written; nothing more can be sent.
                    self.jobs.close();
                    self.closing.push(reply);
                }
            }
        }
    }

    /// Everything was written.
    pub(crate) fn closed(self) {
        for reply in self.closing {
            let _ = reply.send(());
        }
    }

    /// Let whoever is about to send something do so, as long as somebody does: a write of many costs little more than a
    /// write of one.
    async fn linger(&mut self) {
        let mut waiting = self.jobs.len();
        for _ in 0..LONGEST_LINGER {
            tokio::task::yield_now().await;
            let more = self.jobs.len();
            if more == waiting {
                break;
            }
            waiting = more;
        }
    }

    /// The group that begins with `first`: everything that waits and may share a write. What may not is left in
    /// `waiting`.
    fn gather(&mut self, first: Member) -> Vec<Member> {
        let mut deleted = BTreeSet::new();
        let mut touched = BTreeSet::new();
        let mut joins = |member: &Member| match member {
            Member::Acquire(..) => true,
            Member::Commit(transaction, _) => {
                let Some(workflow) = plan::workflow(transaction) else { return true };
                // What a deletion removes is looked up before the group is written.
                let deletes = plan::deletes(transaction);
                if deleted.contains(workflow) || deletes && touched.contains(workflow) {
                    return false;
                }
                touched.insert(workflow.clone());
                if deletes {
                    deleted.insert(workflow.clone());
                }
                true
            }
        };
        joins(&first);
        let mut group = vec![first];
        while group.len() < MAX_GROUP {
            let Some(job) = self.waiting.pop_front().or_else(|| self.jobs.try_recv().ok()) else { break };
            match job {
                Job::Member(member) if joins(&member) => group.push(member),
                job => {
                    self.waiting.push_front(job);
                    break;
                }
            }
        }
        group
    }
}

/// Transactions of a group at most, so that the first of them does not wait for ever.
const MAX_GROUP: usize = 256;

/// Turns of the other tasks that a write waits for at most.
const LONGEST_LINGER: usize = 8;

/// Jobs that may wait for the writer; whoever comes then waits to be queued.
pub(crate) const QUEUE: usize = 1024;
