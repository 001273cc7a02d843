//! One task queue: those who wait for work, and work that waits for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use replicator::time::Timestamp;

use crate::{
    key::QueueKind,
    limiter::{Limiter, Permit},
    pollers::{Poller, Pollers},
    rate::Rate,
    task_queues::{PollerId, QueryId, Serial, TaskName},
};

/// Work and workers of one queue. Both wait at the same time only while the limiter holds tasks back.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Polls that wait, and since when. Ids grow, so the first has waited longest.
    waiting: BTreeMap<PollerId, Timestamp>,
    /// Tasks that wait, oldest first.
    backlog: BTreeMap<(Timestamp, Serial), TaskName>,
    /// Queries that wait, oldest first.
    queries: BTreeSet<(Timestamp, QueryId)>,
    limiter: Option<Limiter>,
    pub(crate) pollers: Pollers,
    pub(crate) added: Rate,
    pub(crate) dispatched: Rate,
    /// When a poller was last there, if one was and has not gone for good.
    last_polled: Option<Timestamp>,
    /// When the limiter lets the next task go, if somebody is to come back then.
    pub(crate) wake: Option<Timestamp>,
    /// When anything last happened here.
    pub(crate) last_used: Timestamp,
    /// The queue behind this one, if this is a sticky one and its poller has said so.
    pub(crate) normal: Option<String>,
    /// How many pollers other hosts were told are lacking here.
    pub(crate) told: usize,
    /// How many tasks a second pollers want of the whole queue, if they said so; `limiter` has the part of this host.
    rate_limit: Option<f64>,
}

/// What can be done in a queue at a moment.
#[derive(Debug)]
pub(crate) enum Step {
    /// Hand the task to the poller, who came at the given moment; both no longer wait.
    Task(PollerId, Timestamp, TaskName, Serial),
    /// Hand the query to the poller; both no longer wait.
    Query(PollerId, QueryId),
    /// Nothing before this moment.
    At(Timestamp),
    /// Nothing before something happens.
    Nothing,
}

impl Queue {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            waiting: BTreeMap::new(),
            backlog: BTreeMap::new(),
            queries: BTreeSet::new(),
            limiter: None,
            pollers: Pollers::default(),
            added: Rate::new(),
            dispatched: Rate::new(),
            last_polled: None,
            wake: None,
            last_used: now,
            normal: None,
            told: 0,
            rate_limit: None,
        }
    }

    /// A poller begins to wait.
    pub(crate) fn enter(&mut self, now: Timestamp, id: PollerId, poller: Poller) {
        self.last_polled = Some(now);
        self.last_used = now;
        // Nonsense asks for nothing.
        if let Some(rate) = poller.max_tasks_per_second.filter(|rate| rate.is_finite() && 0.0 <= *rate) {
            self.rate_limit = Some(rate);
            let part = rate * poller.share.filter(|share| (0.0..=1.0).contains(share)).unwrap_or(1.0);
            match &mut self.limiter {
                Some(limiter) => limiter.set(part, now),
                None => self.limiter = Some(Limiter::new(part, now)),
            }
        }
        self.normal = poller.normal.clone().or(self.normal.take());
        self.pollers.see(now, poller);
        self.waiting.insert(id, now);
    }

    /// A poller stops waiting with nothing in its hands.
    pub(crate) fn leave(&mut self, now: Timestamp, id: PollerId) {
        self.waiting.remove(&id);
        self.last_polled = Some(now);
        self.last_used = now;
    }

    /// The connection of a sticky queue's poller broke, which is how a worker that dies looks from here. If nobody else
    /// waits, nobody is expected: any worker can do what was meant for this one, and one that lives comes back at once.
    pub(crate) fn lose(&mut self) {
        if self.waiting.is_empty() {
            self.last_polled = None;
        }
    }

    /// How many pollers wait for whom there is no work, not even work that the limiter holds back.
    pub(crate) fn spare(&self) -> usize {
        self.waiting.len().saturating_sub(self.backlog.len() + self.queries.len())
    }

    /// How many pollers could have work and are not there.
    pub(crate) fn lacking(&self) -> usize {
        if self.waiting.is_empty() { self.backlog.len() + self.queries.len() } else { 0 }
    }

    /// Whether what is lacking is no longer about what was told.
    pub(crate) fn is_worth_telling(&self) -> bool {
        let (told, lacking) = (self.told, self.lacking());
        (told == 0) != (lacking == 0) || told.saturating_mul(2) < lacking || lacking < told / 2
    }

    /// Those who have waited longest leave, to wait elsewhere.
    pub(crate) fn send_away(&mut self, now: Timestamp, count: usize) -> Vec<PollerId> {
        self.last_used = now;
        std::iter::from_fn(|| self.waiting.pop_first()).take(count).map(|(id, _)| id).collect()
    }

    /// Every poller that waits leaves, and none is expected.
    pub(crate) fn evict(&mut self) -> Vec<PollerId> {
        self.last_polled = None;
        std::mem::take(&mut self.waiting).into_keys().collect()
    }

    /// Whether a poller is there, or was within what a queue of this kind may hope for.
    pub(crate) fn is_polled(&self, now: Timestamp, kind: QueueKind) -> bool {
        let hope = if kind == QueueKind::Sticky { STICKY_HOPE } else { QUERY_HOPE };
        !self.waiting.is_empty() || self.last_polled.is_some_and(|seen| now.since(seen) <= hope)
    }

    pub(crate) fn put_task(&mut self, now: Timestamp, scheduled_time: Timestamp, serial: Serial, name: TaskName) {
        self.last_used = now;
        self.backlog.insert((scheduled_time, serial), name);
    }

    pub(crate) fn remove_task(&mut self, scheduled_time: Timestamp, serial: Serial) {
        self.backlog.remove(&(scheduled_time, serial));
    }

    /// Take out every task that waits.
    pub(crate) fn take_backlog(&mut self) -> impl Iterator<Item = TaskName> + use<> {
        std::mem::take(&mut self.backlog).into_values()
    }

    pub(crate) fn put_query(&mut self, now: Timestamp, arrived: Timestamp, id: QueryId) {
        self.last_used = now;
        self.queries.insert((arrived, id));
    }

    pub(crate) fn holds_query(&self, arrived: Timestamp, id: QueryId) -> bool {
        self.queries.contains(&(arrived, id))
    }

    pub(crate) fn remove_query(&mut self, arrived: Timestamp, id: QueryId) {
        self.queries.remove(&(arrived, id));
    }

    /// Take out every query that waits.
    pub(crate) fn take_queries(&mut self) -> impl Iterator<Item = QueryId> + use<> {
        std::mem::take(&mut self.queries).into_iter().map(|(_, id)| id)
    }

    /// A task that was handed out here did not reach anybody.
    pub(crate) fn unused(&mut self) {
        if let Some(limiter) = &mut self.limiter {
            limiter.give_back();
        }
    }

    /// Bring together whoever has waited longest with what has waited longest. The limiter holds back tasks only.
    pub(crate) fn step(&mut self, now: Timestamp) -> Step {
        let Some((&poller, &since)) = self.waiting.first_key_value() else { return Step::Nothing };
        let task = self.backlog.first_key_value().map(|((scheduled, serial), _)| (*scheduled, *serial));
        let query = self.queries.first().copied();
        let mut step = Step::Nothing;
        if let Some((scheduled, serial)) = task
            && query.is_none_or(|(arrived, _)| scheduled <= arrived)
        {
            match self.limiter.as_mut().map_or(Permit::Now, |limiter| limiter.take(now)) {
                Permit::Now => {
                    let name = self.backlog.remove(&(scheduled, serial)).expect("it is the first");
                    self.dispatched.count(now);
                    self.hand_out(now, poller);
                    return Step::Task(poller, since, name, serial);
                }
                Permit::At(moment) => step = Step::At(moment),
                Permit::Never => {}
            }
        }
        if let Some((arrived, id)) = query {
            self.queries.remove(&(arrived, id));
            self.hand_out(now, poller);
            return Step::Query(poller, id);
        }
        step
    }

    fn hand_out(&mut self, now: Timestamp, poller: PollerId) {
        self.waiting.remove(&poller);
        self.last_polled = Some(now);
        self.last_used = now;
    }

    pub(crate) fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// When the oldest task that waits was scheduled.
    pub(crate) fn oldest(&self) -> Option<Timestamp> {
        self.backlog.first_key_value().map(|((scheduled, _), _)| *scheduled)
    }

    pub(crate) fn rate_limit(&self) -> Option<f64> {
        self.rate_limit
    }

    /// Whether nobody and nothing is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.backlog.is_empty() && self.queries.is_empty()
    }
}

/// A sticky queue whose worker was not seen for so long is given up (api 3.3).
const STICKY_HOPE: Duration = Duration::from_secs(10);

/// A query that waits in vain is told that there is no worker if none was seen for so long (api 3.11).
const QUERY_HOPE: Duration = Duration::from_secs(20);
