//! The one writer of this process: takes what waits, writes it together, answers.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
};

use replicator::ids::{RangeId, ShardId};

use crate::group::{Member, Outcome, Queue, Trouble, TroubleKind, Turn};

/// How groups are written to one database.
pub(crate) trait Hand: Send {
    /// Take shards, and forget what was known of their workflows.
    fn acquire(&mut self, group: &[Member]) -> impl Future<Output = Result<Vec<Outcome>, Trouble>> + Send;

    /// Decide commits and write those that hold.
    fn commit(&mut self, group: &[Member]) -> impl Future<Output = Result<Vec<Outcome>, Trouble>> + Send;

    /// Something went wrong: forget what is known, and the connection if it is of no use any more.
    fn forget(&mut self, reconnect: bool);

    /// A group is done: forget what is too much to keep.
    fn trim(&mut self);

    /// Close the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Nothing is written alone by the writer: what shards share is written on connections of its own.
pub(crate) enum Never {}

/// Write until told to close, or until nobody is left to ask.
pub(crate) async fn run(mut hand: impl Hand, mut queue: Queue<Never>) {
    while let Some(turn) = queue.next().await {
        match turn {
            Turn::Group(group) => write(&mut hand, group).await,
            Turn::Chore(never) => match never {},
        }
    }
    hand.close().await;
    queue.closed();
}

/// Write a group and answer. Shards are taken apart from commits. When a row is at fault, the members are written one by
/// one, so that only the one with that row fails.
async fn write(hand: &mut impl Hand, group: Vec<Member>) {
    let mut parts = apart(group);
    while let Some(group) = parts.pop_front() {
        let done = match &group[0] {
            Member::Acquire(..) => hand.acquire(&group).await,
            Member::Commit(..) => hand.commit(&group).await,
        };
        match done {
            Ok(outcomes) => {
                for (member, outcome) in group.into_iter().zip(outcomes) {
                    member.answer(outcome);
                }
            }
            Err(trouble) => {
                hand.forget(trouble.reconnect);
                if trouble.kind == TroubleKind::Rows && group.len() > 1 {
                    parts.extend(group.into_iter().map(|member| vec![member]));
                } else {
                    tracing::warn!(error = trouble.text, members = group.len(), "a write was not carried out");
                    group.into_iter().for_each(|member| member.refuse(&trouble));
                }
            }
        }
    }
    hand.trim();
}

/// Members in their order, shards that are taken apart from commits.
fn apart(group: Vec<Member>) -> VecDeque<Vec<Member>> {
    let mut parts: VecDeque<Vec<Member>> = VecDeque::new();
    for member in group {
        match parts.back_mut() {
            Some(part) if part[0].transaction().is_some() == member.transaction().is_some() => part.push(member),
            _ => parts.push_back(vec![member]),
        }
    }
    parts
}

/// How far the range of each shard of a group rises: one that two members ask for is taken once for each.
pub(crate) fn wanted(group: &[Member]) -> BTreeMap<ShardId, i64> {
    let mut times: BTreeMap<ShardId, i64> = BTreeMap::new();
    for member in group {
        *times.entry(member_shard(member)).or_default() += rise(member);
    }
    times
}

/// What the members of a group got: `taken` are the last range of each shard and its record.
pub(crate) fn acquired(group: &[Member], taken: &BTreeMap<ShardId, (RangeId, bytes::Bytes)>) -> Vec<Outcome> {
    let mut left = wanted(group);
    let outcomes = group.iter().map(|member| {
        let shard = member_shard(member);
        let (range, state) = taken.get(&shard).expect("every shard is answered");
        let left = left.get_mut(&shard).expect("it was wanted");
        *left -= rise(member);
        Outcome::Acquired((RangeId(range.0 - *left), state.clone()))
    });
    outcomes.collect()
}

/// How far a member raises the range of its shard.
fn rise(member: &Member) -> i64 {
    match member {
        Member::Acquire(_, leaps, _) => RangeId(0).next(*leaps).0,
        Member::Commit(..) => 0,
    }
}

fn member_shard(member: &Member) -> ShardId {
    match member {
        Member::Acquire(shard, ..) => *shard,
        Member::Commit(transaction, _) => transaction.shard,
    }
}
