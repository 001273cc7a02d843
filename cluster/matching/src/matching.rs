//! The handle through which a cluster uses its task queues.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use proto::temporal::api::{query::v1::WorkflowQuery, workflowservice::v1::RespondQueryTaskCompletedRequest};
use replicator::{
    ids::{EventId, NamespaceId, RunKey},
    shard::io::{DirectQuery, Dispatch},
    time::Timestamp,
};
use tokio::{
    select,
    sync::{Notify, oneshot},
    time::sleep,
};

use crate::{
    key::QueueKey,
    pollers::Poller,
    task_queues::{Description, HandedTask, Matched, Output, PollRefused, PollerId, QueryId, TaskName, TaskQueues},
    wants::HostId,
};

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a worker says to a query.
pub type QueryAnswer = Box<RespondQueryTaskCompletedRequest>;

/// Brings tasks and queries together with the polls of workers. Clones share everything.
///
/// Somebody must keep [`run`](Self::run) running: limited and put-off tasks wait for it.
#[derive(Clone)]
pub struct Matching {
    shared: Arc<Shared>,
}

struct Shared {
    now: Clock,
    state: Mutex<State>,
    /// The moment for which `run` sleeps has moved forward.
    earlier: Notify,
    /// Other hosts are to be told of a queue.
    untold: Notify,
}

#[derive(Default)]
struct State {
    queues: TaskQueues,
    /// Where the answer of a poll goes; the same polls that wait in `queues`.
    polls: BTreeMap<PollerId, oneshot::Sender<Found>>,
    /// What is asked and where the answer goes; the same queries that `queues` has.
    queries: BTreeMap<QueryId, PendingQuery>,
    /// When `run` wakes by itself.
    armed: Option<Timestamp>,
    is_shut_down: bool,
}

/// How a wait for work ends.
type Found = Result<Match, PollRefused>;

struct PendingQuery {
    namespace: NamespaceId,
    asked: Arc<Question>,
    answer: oneshot::Sender<Result<QueryAnswer, QueryError>>,
}

/// What a worker is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// This, about this run.
    Run(WorkflowQuery, Box<DirectQuery>),
    /// What another host has written down for the worker.
    Written {
        /// An encoded `PollWorkflowTaskQueueResponse` without its token.
        response: Bytes,
        /// The queue that the run was started on.
        normal: String,
    },
}

impl Question {
    /// The queue that the run was started on, whose host knows the question.
    #[must_use]
    pub fn normal(&self) -> &str {
        match self {
            Self::Run(_, direct) => &direct.task_queue,
            Self::Written { normal, .. } => normal,
        }
    }
}

/// What a poll brings.
#[derive(Debug)]
pub enum Match {
    /// A task to start.
    Task(MatchedTask),
    /// A question to put to the worker.
    Query(QueryTask),
}

/// Why a query has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum QueryError {
    /// No worker was seen at the queue lately.
    NoPoller,
    /// No answer came in time.
    Timeout,
    /// The queue is on another host.
    Moved,
}

impl Matching {
    /// No task and no poller yet.
    #[must_use]
    pub fn new(now: Clock) -> Self {
        // Answers may come long after a restart: the ids of this life are above those of every life before.
        let queues = TaskQueues::starting_at(u64::try_from(now().0).unwrap_or(0));
        let state = Mutex::new(State { queues, ..State::default() });
        Self { shared: Arc::new(Shared { now, state, earlier: Notify::new(), untold: Notify::new() }) }
    }

    /// Wake those that wait for a moment. Ends never.
    pub async fn run(&self) {
        loop {
            let next = {
                let mut state = self.lock();
                state.armed = state.queues.poll_timeout();
                state.armed
            };
            match next {
                None => self.shared.earlier.notified().await,
                Some(moment) => select! {
                    biased;
                    () = sleep(moment.since(self.now())) => self.change(|state, now| state.queues.handle_timeout(now)),
                    () = self.shared.earlier.notified() => {}
                },
            }
        }
    }

    /// A shard has a task for a worker, and a partition of its queue for it. Offers may repeat.
    pub fn offer(&self, dispatch: Dispatch, partition: u32) {
        self.change(|state, now| state.queues.offer(now, dispatch, partition));
    }

    /// A shard wants a task back.
    pub fn withdraw(&self, run: RunKey, scheduled: EventId) {
        self.change(|state, _| state.queues.withdraw(&TaskName { run, scheduled }));
    }

    /// Task queues are shared out among hosts anew: see [`TaskQueues::keep`].
    pub fn keep(
        &self,
        is_task_kept: impl Fn(NamespaceId, &str, u32) -> bool,
        is_kept: impl Fn(NamespaceId, &str) -> bool,
        is_host_kept: impl Fn(HostId) -> bool,
    ) {
        self.change(|state, _| state.queues.keep(is_task_kept, is_kept, is_host_kept));
    }

    /// Whether other hosts have parts of the queues from now on: see [`TaskQueues::share`].
    pub fn share(&self, is_shared: bool) {
        self.change(|state, _| state.queues.share(is_shared));
    }

    /// Other hosts are to be told once more what is lacking here: they are others now.
    pub fn tell_again(&self) {
        self.change(|state, _| state.queues.tell_again());
    }

    /// Wait until other hosts are to be told what [is lacking](Self::lacking) at queues; which.
    pub async fn untold(&self) -> Vec<Arc<QueueKey>> {
        loop {
            let untold: Vec<_> = {
                let mut state = self.lock();
                std::iter::from_fn(|| state.queues.poll_untold()).collect()
            };
            if !untold.is_empty() {
                return untold;
            }
            self.shared.untold.notified().await;
        }
    }

    /// How many pollers could have work from a queue here at once and are not there.
    #[must_use]
    pub fn lacking(&self, queue: &QueueKey) -> usize {
        self.lock().queues.lacking(queue)
    }

    /// So many pollers are lacking at a queue on another host.
    pub fn want(&self, queue: QueueKey, host: HostId, count: usize) {
        self.change(|state, now| state.queues.want(now, queue, host, count));
    }

    /// Wait for work from a queue until `deadline`, or until it is `called_back`; `None` when there was none by then, or the
    /// worker shuts down, or we do.
    ///
    /// Work that was found when it is called back is still the answer.
    ///
    /// A future that is dropped loses nothing: what it was about to return is offered again.
    ///
    /// # Errors
    ///
    /// [`PollRefused`], at once or when the queue goes to another host.
    pub async fn poll(
        &self,
        queue: QueueKey,
        poller: Poller,
        deadline: Timestamp,
        called_back: impl Future<Output = ()>,
    ) -> Result<Option<Match>, PollRefused> {
        // Declared first and so dropped last: what is in it comes back when its poller is known to be gone.
        let (sender, mut receiver) = oneshot::channel();
        let key = queue.clone();
        let id = self.change(|state, now| {
            if state.is_shut_down {
                return Ok(None);
            }
            let id = state.queues.poll(now, queue, poller)?;
            state.polls.insert(id, sender);
            Ok(Some(id))
        })?;
        let Some(id) = id else { return Ok(None) };
        let caller = Caller { matching: self, id, key: Some(key) };
        let over = async {
            select! {
                () = sleep(deadline.since(self.now())) => {}
                () = called_back => {}
            }
        };
        let answer = select! {
            biased;
            answer = &mut receiver => answer,
            () = over => {
                let still_waited = self.change(|state, now| {
                    state.polls.remove(&id);
                    state.queues.leave(now, id)
                });
                // Otherwise the answer is between the lock and us.
                if still_waited { caller.stays(); return Ok(None) }
                receiver.await
            }
        };
        caller.stays();
        // Whose end is dropped is told nothing.
        answer.ok().transpose()
    }

    /// Ask the workers of one queue, and wait for the answer until `deadline`. A worker may yet come, after a restart
    /// of it or of us, so that there is none is said only shortly before the deadline.
    ///
    /// # Errors
    ///
    /// [`QueryError`]; a worker may still be thinking about it after a timeout, its answer will find nobody.
    pub async fn query(
        &self,
        queue: QueueKey,
        question: Question,
        deadline: Timestamp,
    ) -> Result<QueryAnswer, QueryError> {
        let (answer, mut receiver) = oneshot::channel();
        let namespace = queue.namespace;
        let asked = Arc::new(question);
        let id = self.change(|state, now| {
            let id = if state.is_shut_down { None } else { state.queues.query(now, queue) }?;
            state.queries.insert(id, PendingQuery { namespace, asked, answer });
            Some(id)
        });
        let id = id.ok_or(QueryError::NoPoller)?;
        let _asker = Asker { matching: self, id };
        let wait = deadline.since(self.now());
        select! {
            biased;
            answer = &mut receiver => return answer.unwrap_or(Err(QueryError::NoPoller)),
            () = sleep(wait.saturating_sub(LAST_WORD)) => {}
        }
        if self.lock().queues.is_forlorn(self.now(), id) {
            return Err(QueryError::NoPoller);
        }
        select! {
            biased;
            answer = receiver => answer.unwrap_or(Err(QueryError::NoPoller)),
            () = sleep(wait.min(LAST_WORD)) => Err(QueryError::Timeout),
        }
    }

    /// A worker answers a query of a namespace. Tells whether anybody waited for it.
    pub fn answer_query(&self, namespace: NamespaceId, id: QueryId, answer: QueryAnswer) -> bool {
        self.change(|state, _| {
            let is_known = state.queries.get(&id).is_some_and(|query| query.namespace == namespace);
            let Some(query) = is_known.then(|| state.queries.remove(&id)).flatten() else { return false };
            state.queues.end_query(id);
            query.answer.send(Ok(answer)).is_ok()
        })
    }

    /// The worker of a sticky queue says that it goes: what waits there moves to the normal queues at once.
    pub fn shutdown_worker(&self, namespace: NamespaceId, sticky: &str) {
        self.change(|state, now| state.queues.shutdown_worker(now, namespace, sticky));
    }

    /// We go: every poll that waits or comes is answered with nothing, and every query with nobody.
    pub fn shutdown(&self) {
        self.change(|state, _| {
            state.is_shut_down = true;
            state.queues.shutdown();
        });
    }

    /// What an operator sees of a queue.
    #[must_use]
    pub fn describe(&self, queue: &QueueKey) -> Description {
        self.change(|state, now| state.queues.describe(now, queue))
    }

    /// How many queues are loaded, polls wait, and tasks wait or are in somebody's hands; for gauges.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let state = self.lock();
        (state.queues.loaded(), state.queues.pending_polls(), state.queues.pending_tasks())
    }

    /// The moment, by the clock that deadlines are measured with.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.shared.now)()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock is left half done by a panic but the caller's own wait.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Change the state, then tell everybody what follows.
    fn change<R>(&self, change: impl FnOnce(&mut State, Timestamp) -> R) -> R {
        let now = self.now();
        let mut answers = Vec::new();
        let (result, is_earlier, has_untold) = {
            let mut state = self.lock();
            let result = change(&mut state, now);
            while let Some(output) = state.queues.poll_output() {
                answers.extend(state.address(output, self));
            }
            let next = state.queues.poll_timeout();
            let is_earlier = next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed));
            if is_earlier {
                state.armed = next;
            }
            (result, is_earlier, state.queues.has_untold())
        };
        if has_untold {
            self.shared.untold.notify_one();
        }
        if is_earlier {
            self.shared.earlier.notify_one();
        }
        // Not under the lock: an answer that nobody takes is dropped here, and gives itself back.
        for (poll, answer) in answers {
            drop(poll.send(answer));
        }
        result
    }
}

impl State {
    /// Whom an output is for. Those that end with nothing are told by dropping their end.
    fn address(&mut self, output: Output, matching: &Matching) -> Option<(oneshot::Sender<Found>, Found)> {
        match output {
            Output::NoPoller(id) => {
                let query = self.queries.remove(&id)?;
                drop(query.answer.send(Err(QueryError::NoPoller)));
                None
            }
            Output::Moved(id) => {
                let query = self.queries.remove(&id)?;
                drop(query.answer.send(Err(QueryError::Moved)));
                None
            }
            Output::Answer(id, matched) => {
                let poll = self.polls.remove(&id).expect("a poll that waits is waited for");
                let matching = matching.clone();
                let answer = match matched {
                    Matched::Nothing => return None,
                    Matched::Moved => Err(PollRefused::Moved),
                    Matched::Wanted(host) => Err(PollRefused::Wanted(host)),
                    Matched::Task(handed) => Ok(Match::Task(MatchedTask { matching, handed, is_ours: true })),
                    Matched::Query(id, queue) => {
                        let asked = self.queries.get(&id).expect("a query that is handed out is asked").asked.clone();
                        Ok(Match::Query(QueryTask { matching, id, queue, asked, is_ours: true }))
                    }
                };
                Some((poll, answer))
            }
        }
    }
}

/// Somebody who waits for work. Dropped while it waits, it is gone.
struct Caller<'a> {
    matching: &'a Matching,
    id: PollerId,
    key: Option<QueueKey>,
}

impl Caller<'_> {
    /// It got its answer.
    fn stays(mut self) {
        self.key = None;
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.matching.change(|state, now| {
                state.polls.remove(&self.id);
                state.queues.lose(now, self.id, &key);
            });
        }
    }
}

/// Somebody who waits for the answer to a query.
struct Asker<'a> {
    matching: &'a Matching,
    id: QueryId,
}

impl Drop for Asker<'_> {
    fn drop(&mut self) {
        self.matching.change(|state, _| {
            state.queries.remove(&self.id);
            state.queues.end_query(self.id);
        });
    }
}

/// A task in our hands. Dropped, it is offered again; so say what became of it.
pub struct MatchedTask {
    matching: Matching,
    handed: HandedTask,
    is_ours: bool,
}

impl MatchedTask {
    /// What was handed out.
    #[must_use]
    pub fn handed(&self) -> &HandedTask {
        &self.handed
    }

    /// The run it belongs to.
    #[must_use]
    pub fn run(&self) -> &RunKey {
        &self.handed.name.run
    }

    /// The event that scheduled it.
    #[must_use]
    pub fn scheduled(&self) -> EventId {
        self.handed.name.scheduled
    }

    /// Attempt that was offered.
    #[must_use]
    pub fn attempt(&self) -> i32 {
        self.handed.attempt
    }

    /// The queue it came through.
    #[must_use]
    pub fn queue(&self) -> &QueueKey {
        &self.handed.queue
    }

    /// The worker's start of it is durable.
    pub fn taken(mut self) {
        self.is_ours = false;
        self.matching.change(|state, now| state.queues.let_go(now, &self.handed, true));
    }

    /// Its shard says that it is over or was started by another. It costs its queue nothing.
    pub fn stale(mut self) {
        self.is_ours = false;
        self.matching.change(|state, now| state.queues.let_go(now, &self.handed, false));
    }

    /// Its shard cannot answer now; offer it again when `after` has passed.
    pub fn put_off(mut self, after: Duration) {
        self.is_ours = false;
        self.matching.change(|state, now| state.queues.give_back(now, &self.handed, after));
    }
}

impl Drop for MatchedTask {
    fn drop(&mut self) {
        if self.is_ours {
            self.matching.change(|state, now| state.queues.give_back(now, &self.handed, Duration::ZERO));
        }
    }
}

impl fmt::Debug for MatchedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MatchedTask").field(&self.handed).finish()
    }
}

/// A query in our hands. Dropped, it is put to another worker.
pub struct QueryTask {
    matching: Matching,
    id: QueryId,
    queue: Arc<QueueKey>,
    asked: Arc<Question>,
    is_ours: bool,
}

impl QueryTask {
    /// Names it in [`Matching::answer_query`].
    #[must_use]
    pub fn id(&self) -> QueryId {
        self.id
    }

    /// The queue it came through. A sticky worker needs no history, any other all of it.
    #[must_use]
    pub fn queue(&self) -> &QueueKey {
        &self.queue
    }

    /// What is asked.
    #[must_use]
    pub fn question(&self) -> &Question {
        &self.asked
    }

    /// A worker has it.
    pub fn taken(mut self) {
        self.is_ours = false;
    }
}

impl Drop for QueryTask {
    fn drop(&mut self) {
        if self.is_ours {
            self.matching.change(|state, now| state.queues.return_query(now, self.id));
        }
    }
}

impl fmt::Debug for QueryTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QueryTask").field(&self.id).field(&self.queue).field(&self.asked).finish()
    }
}

/// So long before its deadline an asker is told that there is no worker, rather than to time out by himself (api 3.11).
const LAST_WORD: Duration = Duration::from_secs(1);
