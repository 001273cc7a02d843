//! Every task queue of a cluster, and what waits in them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use replicator::{
    ids::{EventId, NamespaceId, RunKey},
    shard::io::Dispatch,
    time::Timestamp,
};

use crate::{
    key::{MAX_NAME_BYTES, QueueKey, QueueKind},
    pollers::{Poller, SeenPoller},
    queue::{Queue, Step},
    wants::{HostId, Wants},
};

/// Brings tasks and queries together with pollers.
///
/// On a cluster of several hosts each has one of these, with its own part of every queue. Work stays where it was put; pollers
/// go where they are wanted. If work waits here without a poller, the others are told how many are lacking
/// ([`poll_untold`](Self::poll_untold)), and what they lack comes in by [`want`](Self::want). A poller who has nothing to do
/// here while another host wants one is sent there at once. So as soon as everybody has been told, no poller waits on one
/// host while work that he could have waits on another.
///
/// Verbs say what somebody wants, `handle_timeout` that time has passed, `poll_output` what comes out and
/// `poll_timeout` when to come back. After any input take all outputs before the next. Time never goes backwards by
/// more than clocks do; nothing depends on it but ages and rates. Every method costs the logarithm of what is there,
/// and something for each task or poller that it moves.
#[derive(Debug, Default)]
pub struct TaskQueues {
    /// Created by use, unloaded by disuse.
    queues: BTreeMap<Arc<QueueKey>, Queue>,
    /// Every task that was offered and neither taken nor withdrawn.
    tasks: BTreeMap<TaskName, Task>,
    /// The queue of every poll that waits.
    polls: BTreeMap<PollerId, Arc<QueueKey>>,
    /// How many of them there are by namespace, activities (`true`) apart.
    polls_of: BTreeMap<(NamespaceId, bool), usize>,
    /// Every query that was asked and is not over.
    queries: BTreeMap<QueryId, Query>,
    /// Tasks that were put off, by when they come back.
    deferred: BTreeMap<(Timestamp, Serial), TaskName>,
    /// Queues whose limiter lets a task go at a moment.
    throttled: BTreeSet<(Timestamp, Arc<QueueKey>)>,
    /// When to see whether a queue is still used; one entry for each queue.
    checks: BTreeSet<(Timestamp, Arc<QueueKey>)>,
    /// What the parts of queues on other hosts lack.
    wants: Wants,
    /// Whether other hosts have parts of the queues.
    is_shared: bool,
    /// Queues that lack other than was told; none unless they are shared.
    untold: BTreeSet<Arc<QueueKey>>,
    outputs: VecDeque<Output>,
    /// Numbers pollers, tasks and queries in the order in which they come.
    sequence: u64,
}

/// Identifies a poll that waits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PollerId(u64);

/// Identifies one offer of a task: what is said of an older offer of the same task is ignored.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Serial(pub u64);

/// Identifies a query for as long as it is asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QueryId(pub u64);

/// Names a task.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TaskName {
    /// The run it belongs to.
    pub run: RunKey,
    /// The event that scheduled it.
    pub scheduled: EventId,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A poll is over. It no longer waits.
    Answer(PollerId, Matched),
    /// There is nobody to answer a query. It no longer waits.
    NoPoller(QueryId),
    /// The queue of a query is on another host. It no longer waits.
    Moved(QueryId),
}

/// How a poll ends.
#[derive(Clone, Debug, PartialEq)]
pub enum Matched {
    /// With a task.
    Task(HandedTask),
    /// With a query, which came through this queue.
    Query(QueryId, Arc<QueueKey>),
    /// With nothing: the worker said that it shuts down, or we do.
    Nothing,
    /// The queue is on another host: wait there.
    Moved,
    /// There is work on this other host: wait there.
    Wanted(HostId),
}

/// A task in somebody's hands. It is theirs until they say what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct HandedTask {
    /// The task.
    pub name: TaskName,
    /// The offer.
    pub serial: Serial,
    /// Attempt that was offered.
    pub attempt: i32,
    /// The queue it came through. A workflow task that comes through a normal queue needs the whole history.
    pub queue: Arc<QueueKey>,
    /// When the attempt became ready.
    pub scheduled_time: Timestamp,
    /// How many tasks are left in the queue.
    pub backlog: usize,
    /// How long the poll had waited.
    pub waited: Duration,
    /// Whether the poll was there before the task.
    pub is_sync: bool,
}

/// What an operator sees of a queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// Who polled it lately, by identity.
    pub pollers: Vec<SeenPoller>,
    /// Tasks that wait.
    pub backlog: usize,
    /// How long the oldest of them has waited.
    pub backlog_age: Duration,
    /// Tasks offered in a second, lately.
    pub add_rate: f32,
    /// Tasks handed out in a second, lately.
    pub dispatch_rate: f32,
    /// Tasks that may be handed out in a second, if somebody said so.
    pub rate_limit: Option<f64>,
}

/// Why a poll may not wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PollRefused {
    /// The name of the queue is empty or longer than [`MAX_NAME_BYTES`]; it stays so.
    BadName,
    /// [`MAX_POLLS`] polls of the namespace wait already; try later.
    TooMany,
    /// The queue is on another host: wait there.
    Moved,
    /// There is work on this other host: wait there.
    Wanted(HostId),
}

#[derive(Debug)]
struct Task {
    serial: Serial,
    attempt: i32,
    /// To which partition of its queue it was offered.
    partition: u32,
    scheduled_time: Timestamp,
    /// Where it was offered to.
    origin: Arc<QueueKey>,
    /// Where it goes when `origin`, a sticky queue, is given up.
    normal: Option<Arc<QueueKey>>,
    place: Place,
}

/// Where a task is.
#[derive(Debug)]
enum Place {
    Backlog(Arc<QueueKey>),
    Deferred(Timestamp),
    Handed,
}

#[derive(Debug)]
struct Query {
    queue: Arc<QueueKey>,
    arrived: Timestamp,
}

impl TaskQueues {
    /// No queue yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No queue yet; ids of pollers, tasks and queries begin above `sequence`.
    #[must_use]
    pub fn starting_at(sequence: u64) -> Self {
        Self { sequence, ..Self::default() }
    }

    /// A shard has a task for a worker, and a partition of its queue for it. What is already here, in this attempt and
    /// queue, stays as it is; another attempt replaces it.
    pub fn offer(&mut self, now: Timestamp, dispatch: Dispatch, partition: u32) {
        let (origin, normal) = QueueKey::of(&dispatch);
        let attempt = dispatch.attempt;
        let name = TaskName { run: dispatch.run, scheduled: dispatch.scheduled };
        if let Some(known) = self.tasks.get_mut(&name) {
            if known.attempt == attempt && *known.origin == origin {
                known.partition = partition;
                return;
            }
            self.remove(&name);
        }
        let (origin, normal) = (self.intern(origin), normal.map(|key| self.intern(key)));
        let (serial, scheduled_time) = (Serial(self.next()), dispatch.scheduled_time);
        // In our hands, until it is placed.
        let task = Task { serial, attempt, partition, scheduled_time, origin, normal, place: Place::Handed };
        self.tasks.insert(name.clone(), task);
        let key = self.place(now, name);
        self.queue(&key).added.count(now);
    }

    /// A shard wants a task back. In somebody's hands it is of no use any more; starting it will show that.
    pub fn withdraw(&mut self, name: &TaskName) {
        self.remove(name);
    }

    /// What was handed out is done with: a worker has started it, or it turned out to be stale.
    pub fn let_go(&mut self, now: Timestamp, handed: &HandedTask, was_started: bool) {
        if !was_started {
            self.return_permit(now, &handed.queue);
        }
        if self.tasks.get(&handed.name).is_some_and(|task| task.serial == handed.serial) {
            self.tasks.remove(&handed.name);
        }
    }

    /// What was handed out reached nobody, or could not be started now. It is offered again, not before `after` has
    /// passed, in its old order.
    pub fn give_back(&mut self, now: Timestamp, handed: &HandedTask, after: Duration) {
        self.return_permit(now, &handed.queue);
        let Some(task) = self.tasks.get_mut(&handed.name).filter(|task| task.serial == handed.serial) else { return };
        assert!(matches!(task.place, Place::Handed), "only what was handed out can be given back");
        if after.is_zero() {
            self.place(now, handed.name.clone());
        } else {
            let until = now + after;
            task.place = Place::Deferred(until);
            self.deferred.insert((until, handed.serial), handed.name.clone());
        }
    }

    /// Somebody waits for work from a queue.
    ///
    /// # Errors
    ///
    /// [`PollRefused`]; nothing has changed.
    pub fn poll(&mut self, now: Timestamp, key: QueueKey, poller: Poller) -> Result<PollerId, PollRefused> {
        if key.name.is_empty() || MAX_NAME_BYTES < key.name.len() {
            return Err(PollRefused::BadName);
        }
        let count = self.polls_of.entry(method(&key)).or_default();
        if MAX_POLLS <= *count {
            return Err(PollRefused::TooMany);
        }
        *count += 1;
        let key = self.load(now, key);
        let id = PollerId(self.next());
        self.polls.insert(id, key.clone());
        self.queue(&key).enter(now, id, poller);
        self.pump(now, &key);
        Ok(id)
    }

    /// A poll has waited long enough. Tells whether it still waited; if not, its answer is on the way.
    pub fn leave(&mut self, now: Timestamp, id: PollerId) -> bool {
        let Some(key) = self.polls.remove(&id) else { return false };
        self.queue(&key).leave(now, id);
        self.forget_poll(&key);
        self.weigh(&key);
        true
    }

    /// The caller of a poll is gone, whether the poll still waits or has been answered a moment ago.
    pub fn lose(&mut self, now: Timestamp, id: PollerId, key: &QueueKey) {
        self.leave(now, id);
        if key.kind == QueueKind::Sticky
            && let Some(queue) = self.queues.get_mut(key)
        {
            queue.lose();
        }
    }

    /// The worker of a sticky queue says that it goes. What waits there moves on at once.
    pub fn shutdown_worker(&mut self, now: Timestamp, namespace: NamespaceId, sticky: &str) {
        let key = QueueKey::new(namespace, QueueKind::Sticky, sticky);
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let (pollers, tasks) = (queue.evict(), queue.take_backlog());
        let queries = queue.take_queries();
        for id in pollers {
            self.polls.remove(&id).expect("it waited");
            self.forget_poll(&key);
            self.outputs.push_back(Output::Answer(id, Matched::Nothing));
        }
        for name in tasks {
            self.place(now, name);
        }
        for id in queries {
            self.queries.remove(&id).expect("it waited");
            self.outputs.push_back(Output::NoPoller(id));
        }
    }

    /// Every poll ends with nothing, and every query with nobody: we go.
    pub fn shutdown(&mut self) {
        for queue in self.queues.values_mut() {
            let polls = queue.evict().into_iter().map(|id| Output::Answer(id, Matched::Nothing));
            self.outputs.extend(polls);
            queue.take_queries().for_each(drop);
        }
        self.polls.clear();
        self.polls_of.clear();
        self.outputs.extend(std::mem::take(&mut self.queries).into_keys().map(Output::NoPoller));
    }

    /// Task queues are shared out among hosts anew: forget what is not kept here, tasks by the name of their normal queue and
    /// their partition, all else by that name alone. Whoever waits at what is forgotten is told. Shards offer their tasks
    /// again, where they are then.
    pub fn keep(
        &mut self,
        is_task_kept: impl Fn(NamespaceId, &str, u32) -> bool,
        is_kept: impl Fn(NamespaceId, &str) -> bool,
        is_host_kept: impl Fn(HostId) -> bool,
    ) {
        self.wants.keep(|key| is_kept(key.namespace, &key.name), is_host_kept);
        let is_task_gone = |task: &Task| {
            let normal = task.normal.as_ref().unwrap_or(&task.origin);
            !is_task_kept(normal.namespace, &normal.name, task.partition)
        };
        let tasks: Vec<TaskName> =
            self.tasks.iter().filter(|(_, task)| is_task_gone(task)).map(|(name, _)| name.clone()).collect();
        for name in tasks {
            self.remove(&name);
        }
        let is_queue_gone = |(key, queue): &(&Arc<QueueKey>, &Queue)| {
            !is_kept(key.namespace, queue.normal.as_deref().unwrap_or(&key.name))
        };
        let queues: Vec<_> = self.queues.iter().filter(is_queue_gone).map(|(key, _)| key.clone()).collect();
        for key in queues {
            let queue = self.queue(&key);
            let (pollers, queries) = (queue.evict(), Vec::from_iter(queue.take_queries()));
            for id in pollers {
                self.polls.remove(&id).expect("it waited");
                self.forget_poll(&key);
                self.outputs.push_back(Output::Answer(id, Matched::Moved));
            }
            for id in queries {
                self.queries.remove(&id).expect("it waited");
                self.outputs.push_back(Output::Moved(id));
            }
            self.weigh(&key);
        }
    }

    /// Whether other hosts have parts of the queues from now on. They are told what is lacking here.
    pub fn share(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
        self.untold.clear();
        self.tell_again();
    }

    /// Other hosts are to be told once more what is lacking here: there may be some who never were.
    pub fn tell_again(&mut self) {
        let is_worth_telling = |queue: &Queue| 0 < queue.lacking() || 0 < queue.told;
        let queues = self.queues.iter().filter(|(key, queue)| key.is_shared() && is_worth_telling(queue));
        if self.is_shared {
            self.untold.extend(queues.map(|(key, _)| key.clone()));
        }
    }

    /// A queue of which other hosts are to be told how many pollers it [lacks](Self::lacking).
    pub fn poll_untold(&mut self) -> Option<Arc<QueueKey>> {
        let key = self.untold.pop_first()?;
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.told = queue.lacking();
        }
        Some(key)
    }

    /// Whether other hosts are to be told of a queue.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// How many pollers could have work from a queue here at once and are not there.
    #[must_use]
    pub fn lacking(&self, key: &QueueKey) -> usize {
        self.queues.get(key).map_or(0, Queue::lacking)
    }

    /// So many pollers are lacking at a queue on another host.
    pub fn want(&mut self, now: Timestamp, key: QueueKey, host: HostId, count: usize) {
        let key = self.intern(key);
        self.wants.put(&key, host, count);
        self.pump(now, &key);
    }

    /// Somebody asks the workers of a queue. A query waits for a poller, but not for the one of a sticky queue that was
    /// not seen lately: any other may answer.
    pub fn query(&mut self, now: Timestamp, key: QueueKey) -> Option<QueryId> {
        if key.kind == QueueKind::Sticky && !self.is_polled(now, &key) {
            return None;
        }
        let key = self.load(now, key);
        let id = QueryId(self.next());
        self.queries.insert(id, Query { queue: key.clone(), arrived: now });
        self.queue(&key).put_query(now, now, id);
        self.pump(now, &key);
        Some(id)
    }

    /// A query that was handed out reached nobody; it waits again.
    pub fn return_query(&mut self, now: Timestamp, id: QueryId) {
        let Some(query) = self.queries.get(&id) else { return };
        let (key, arrived) = (query.queue.clone(), query.arrived);
        self.load(now, (*key).clone());
        if key.kind == QueueKind::Sticky && !self.is_polled(now, &key) {
            self.queries.remove(&id);
            self.outputs.push_back(Output::NoPoller(id));
        } else {
            self.queue(&key).put_query(now, arrived, id);
            self.pump(now, &key);
        }
    }

    /// Whether a query still waits for a poller at a queue that none was seen at lately.
    #[must_use]
    pub fn is_forlorn(&self, now: Timestamp, id: QueryId) -> bool {
        self.queries.get(&id).is_some_and(|query| {
            let waits = |queue: &Queue| queue.holds_query(query.arrived, id);
            self.queues.get(&query.queue).is_some_and(waits) && !self.is_polled(now, &query.queue)
        })
    }

    fn is_polled(&self, now: Timestamp, key: &QueueKey) -> bool {
        self.queues.get(key).is_some_and(|queue| queue.is_polled(now, key.kind))
    }

    /// A query is over: answered, or nobody waits for the answer.
    pub fn end_query(&mut self, id: QueryId) {
        if let Some(query) = self.queries.remove(&id)
            && let Some(queue) = self.queues.get_mut(&query.queue)
        {
            queue.remove_query(query.arrived, id);
            self.weigh(&query.queue);
        }
    }

    /// What an operator sees of a queue. Asking does not load it.
    pub fn describe(&mut self, now: Timestamp, key: &QueueKey) -> Description {
        let Some(queue) = self.queues.get_mut(key) else { return Description::default() };
        Description {
            pollers: queue.pollers.list(now),
            backlog: queue.backlog_len(),
            backlog_age: queue.oldest().map_or(Duration::ZERO, |oldest| now.since(oldest)),
            add_rate: queue.added.per_second(now),
            dispatch_rate: queue.dispatched.per_second(now),
            rate_limit: queue.rate_limit(),
        }
    }

    /// How many queues are loaded.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.queues.len()
    }

    /// How many polls wait.
    #[must_use]
    pub fn pending_polls(&self) -> usize {
        self.polls.len()
    }

    /// How many tasks were offered and neither taken nor withdrawn.
    #[must_use]
    pub fn pending_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(((until, _), _)) = self.deferred.first_key_value()
            && *until <= now
        {
            let (_, name) = self.deferred.pop_first().expect("seen");
            self.place(now, name);
        }
        while let Some((moment, _)) = self.throttled.first()
            && *moment <= now
        {
            let (_, key) = self.throttled.pop_first().expect("seen");
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.wake = None;
            }
            self.pump(now, &key);
        }
        while let Some(key) = self.wants.poll_due(now) {
            self.pump(now, &key);
        }
        while let Some((moment, _)) = self.checks.first()
            && *moment <= now
        {
            let (_, key) = self.checks.pop_first().expect("seen");
            let queue = self.queue(&key);
            let unload = queue.last_used + DISUSE;
            if !queue.is_empty() {
                self.checks.insert((now + DISUSE, key));
            } else if now < unload {
                self.checks.insert((unload, key));
            } else {
                self.queues.remove(&key);
            }
        }
    }

    /// What came out, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let deferred = self.deferred.first_key_value().map(|((until, _), _)| *until);
        let throttled = self.throttled.first().map(|(moment, _)| *moment);
        let check = self.checks.first().map(|(moment, _)| *moment);
        [deferred, throttled, check, self.wants.poll_timeout()].into_iter().flatten().min()
    }

    /// Let a task that waits nowhere wait in the queue that is right for it now, which is returned.
    fn place(&mut self, now: Timestamp, name: TaskName) -> Arc<QueueKey> {
        let task = &self.tasks[&name];
        let is_origin_polled = || self.queues.get(&task.origin).is_some_and(|q| q.is_polled(now, task.origin.kind));
        let key = match &task.normal {
            Some(normal) if !is_origin_polled() => normal.clone(),
            _ => task.origin.clone(),
        };
        let (scheduled_time, serial) = (task.scheduled_time, task.serial);
        let key = self.load(now, (*key).clone());
        self.queue(&key).put_task(now, scheduled_time, serial, name.clone());
        self.tasks.get_mut(&name).expect("seen").place = Place::Backlog(key.clone());
        self.pump(now, &key);
        key
    }

    /// Forget a task, wherever it is.
    fn remove(&mut self, name: &TaskName) {
        let Some(task) = self.tasks.remove(name) else { return };
        match task.place {
            Place::Backlog(key) => {
                self.queue(&key).remove_task(task.scheduled_time, task.serial);
                self.weigh(&key);
            }
            Place::Deferred(until) => drop(self.deferred.remove(&(until, task.serial))),
            Place::Handed => {}
        }
    }

    /// Bring together what can be in a queue, and send whoever has nothing to do here where he is wanted.
    fn pump(&mut self, now: Timestamp, key: &Arc<QueueKey>) {
        self.bring_together(now, key);
        self.send_away(now, key);
        self.weigh(key);
    }

    fn send_away(&mut self, now: Timestamp, key: &Arc<QueueKey>) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        while let spare @ 1.. = queue.spare()
            && let Some((host, count)) = self.wants.take(now, key, spare)
        {
            for id in queue.send_away(now, count) {
                self.polls.remove(&id).expect("what waits is known");
                forget_poll(&mut self.polls_of, key);
                self.outputs.push_back(Output::Answer(id, Matched::Wanted(host)));
            }
        }
    }

    /// Note whether other hosts are to be told what a queue lacks now.
    fn weigh(&mut self, key: &QueueKey) {
        if self.is_shared
            && key.is_shared()
            && let Some((key, queue)) = self.queues.get_key_value(key)
            && queue.is_worth_telling()
        {
            self.untold.insert(key.clone());
        }
    }

    fn bring_together(&mut self, now: Timestamp, key: &Arc<QueueKey>) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        loop {
            let (id, matched) = match queue.step(now) {
                Step::Nothing => return,
                Step::At(moment) => {
                    if queue.wake.is_none_or(|wake| moment < wake) {
                        if let Some(later) = queue.wake.replace(moment) {
                            self.throttled.remove(&(later, key.clone()));
                        }
                        self.throttled.insert((moment, key.clone()));
                    }
                    return;
                }
                Step::Query(id, query) => (id, Matched::Query(query, key.clone())),
                Step::Task(id, since, name, serial) => {
                    let task = self.tasks.get_mut(&name).expect("what waits is known");
                    assert_eq!(task.serial, serial, "only the last offer of a task waits");
                    task.place = Place::Handed;
                    let handed = HandedTask {
                        name,
                        serial,
                        attempt: task.attempt,
                        queue: key.clone(),
                        scheduled_time: task.scheduled_time,
                        backlog: queue.backlog_len(),
                        waited: now.since(since),
                        is_sync: id.0 < serial.0,
                    };
                    (id, Matched::Task(handed))
                }
            };
            self.polls.remove(&id).expect("what waits is known");
            forget_poll(&mut self.polls_of, key);
            self.outputs.push_back(Output::Answer(id, matched));
        }
    }

    fn return_permit(&mut self, now: Timestamp, key: &Arc<QueueKey>) {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.unused();
            self.pump(now, key);
        }
    }

    fn forget_poll(&mut self, key: &QueueKey) {
        forget_poll(&mut self.polls_of, key);
    }

    /// The queue of this name, which is loaded if it was not.
    fn load(&mut self, now: Timestamp, key: QueueKey) -> Arc<QueueKey> {
        if let Some((key, _)) = self.queues.get_key_value(&key) {
            return key.clone();
        }
        let key = Arc::new(key);
        self.queues.insert(key.clone(), Queue::new(now));
        self.checks.insert((now + DISUSE, key.clone()));
        key
    }

    /// The one copy of a name, if its queue is loaded.
    fn intern(&self, key: QueueKey) -> Arc<QueueKey> {
        self.queues.get_key_value(&key).map_or_else(|| Arc::new(key), |(key, _)| key.clone())
    }

    fn queue(&mut self, key: &QueueKey) -> &mut Queue {
        self.queues.get_mut(key).expect("a queue is loaded while something of it waits")
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

fn forget_poll(polls_of: &mut BTreeMap<(NamespaceId, bool), usize>, key: &QueueKey) {
    let count = polls_of.get_mut(&method(key)).expect("a poll that waits is counted");
    *count -= 1;
    if *count == 0 {
        polls_of.remove(&method(key));
    }
}

/// Polls are limited by namespace and by the call that they come with.
fn method(key: &QueueKey) -> (NamespaceId, bool) {
    (key.namespace, key.kind == QueueKind::Activity)
}

/// Polls of one namespace and call that may wait at once (api 11.7).
pub const MAX_POLLS: usize = 1200;

/// How long an unused queue stays loaded (api 10.2).
const DISUSE: Duration = Duration::from_secs(300);

#[cfg(test)]
#[path = "task_queues_tests.rs"]
mod tests;
