//! Parts of one task queue on several hosts, joined by a false network that delivers in any order and loses what hosts and
//! workers that go were about to hear. Whatever happened before, in the end no worker waits on one host while there is work
//! on another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use matching::{HostId, Matched, Output, Poller, PollerId, QueryId, QueueKey, QueueKind, TaskName, TaskQueues};
use replicator::{
    entropy::Entropy,
    ids::{EventId, NamespaceId, RunId, RunKey, WorkflowKey},
    shard::io::{Dispatch, DispatchQueue},
    time::Timestamp,
};
use uuid::Uuid;

const NAMESPACE: NamespaceId = NamespaceId(Uuid::from_u128(1));

/// Partitions of the queue.
const PARTITIONS: u32 = 4;

/// One life of a host: its part of the queue, and what it believes.
struct Host {
    queues: TaskQueues,
    /// All hosts, as it has heard last.
    view: Vec<HostId>,
    /// Which worker a poll is of.
    polls: BTreeMap<PollerId, usize>,
    /// Which question a query is about.
    queries: BTreeMap<QueryId, usize>,
    /// Of which queues which host is still to be told.
    untold: BTreeMap<HostId, BTreeSet<Arc<QueueKey>>>,
    /// Who is just being told.
    busy: BTreeSet<HostId>,
}

/// What is on its way.
#[derive(Debug)]
enum Message {
    /// There are other hosts now.
    News(HostId),
    /// The shard has heard it.
    NewsOfShard,
    /// What the shard says of tasks reaches each host in order; this lets the next of it arrive.
    Change(HostId),
    /// From a host to another one.
    Want(HostId, HostId, Arc<QueueKey>, usize),
    /// A worker comes to poll.
    Poll(usize, HostId),
    /// A question is put.
    Query(usize, HostId),
}

/// What the shard says.
#[derive(Debug)]
enum Change {
    Offer(usize, u32),
    Withdraw(usize),
}

/// A task, as its shard knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Task {
    Wanted,
    Started,
    Withdrawn,
}

struct World {
    chance: Entropy,
    now: Timestamp,
    hosts: BTreeMap<HostId, Host>,
    lives: u128,
    network: Vec<Message>,
    shard_view: Vec<HostId>,
    changes: BTreeMap<HostId, std::collections::VecDeque<Change>>,
    tasks: Vec<Task>,
    /// Whether a question has its answer.
    questions: Vec<bool>,
    workers: usize,
    /// Workers that wait for work at the moment.
    idle: BTreeSet<usize>,
    /// Whether hosts come or go in this world, and workers go.
    is_stormy: bool,
    /// Tasks that somebody got though they had been started.
    twice: usize,
}

fn key() -> QueueKey {
    QueueKey::new(NAMESPACE, QueueKind::Workflow, "q")
}

fn name(task: usize) -> TaskName {
    let workflow = WorkflowKey { namespace: NAMESPACE, workflow: task.to_string().as_str().into() };
    TaskName { run: RunKey { workflow, run: RunId(Uuid::from_u128(2)) }, scheduled: EventId(5) }
}

/// The same order on every host that knows the same ones.
fn home(view: &[HostId], partition: u32) -> HostId {
    view[partition as usize % view.len()]
}

impl World {
    fn new(seed: u64, is_stormy: bool) -> Self {
        let mut world = Self {
            chance: Entropy::new(seed),
            now: Timestamp::from_millis(1_000_000),
            hosts: BTreeMap::new(),
            lives: 0,
            network: Vec::new(),
            shard_view: Vec::new(),
            changes: BTreeMap::new(),
            tasks: Vec::new(),
            questions: Vec::new(),
            workers: 0,
            idle: BTreeSet::new(),
            is_stormy,
            twice: 0,
        };
        for _ in 0..2 + world.below(3) {
            world.host_comes();
        }
        // They begin as one.
        while let Some(news) = world.network.pop() {
            world.deliver(news);
        }
        world
    }

    fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.chance.next_u64() % count as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn any_host(&mut self) -> HostId {
        let at = self.below(self.hosts.len());
        *self.hosts.keys().nth(at).unwrap()
    }

    fn host_comes(&mut self) {
        self.lives += 1;
        let host = Host {
            queues: TaskQueues::starting_at(u64::try_from(self.lives).unwrap() << 32),
            view: vec![HostId(self.lives)],
            polls: BTreeMap::new(),
            queries: BTreeMap::new(),
            untold: BTreeMap::new(),
            busy: BTreeSet::new(),
        };
        self.hosts.insert(HostId(self.lives), host);
        self.news();
    }

    /// It dies. Its workers, and whoever asked something there, come again elsewhere.
    fn host_goes(&mut self, id: HostId) {
        let host = self.hosts.remove(&id).unwrap();
        self.changes.remove(&id);
        for worker in host.polls.into_values() {
            self.poll_somewhere(worker);
        }
        for question in host.queries.into_values() {
            self.ask(question);
        }
        self.news();
    }

    fn news(&mut self) {
        self.network.extend(self.hosts.keys().map(|id| Message::News(*id)));
        self.network.push(Message::NewsOfShard);
    }

    fn poll_somewhere(&mut self, worker: usize) {
        self.idle.remove(&worker);
        let (view, partition) =
            (self.hosts.keys().copied().collect::<Vec<_>>(), self.below(PARTITIONS as usize) as u32);
        self.network.push(Message::Poll(worker, home(&view, partition)));
    }

    fn ask(&mut self, question: usize) {
        let to = *self.hosts.keys().next().unwrap();
        self.network.push(Message::Query(question, to));
    }

    fn say(&mut self, to: HostId, change: Change) {
        self.changes.entry(to).or_default().push_back(change);
        self.network.push(Message::Change(to));
    }

    fn offer(&mut self, task: usize) {
        if self.shard_view.is_empty() {
            return;
        }
        let partition = u32::try_from(task).unwrap() % PARTITIONS;
        self.say(home(&self.shard_view, partition), Change::Offer(task, partition));
    }

    /// Something happens that nobody planned.
    fn happen(&mut self) {
        match self.below(10) {
            0..4 => {
                self.tasks.push(Task::Wanted);
                self.offer(self.tasks.len() - 1);
            }
            4..7 => {
                self.workers += 1;
                self.poll_somewhere(self.workers);
            }
            7 if !self.tasks.is_empty() => {
                let task = self.below(self.tasks.len());
                if self.tasks[task] == Task::Wanted {
                    self.tasks[task] = Task::Withdrawn;
                    for host in self.shard_view.clone() {
                        self.say(host, Change::Withdraw(task));
                    }
                }
            }
            8 if !self.is_stormy => {
                self.questions.push(false);
                self.ask(self.questions.len() - 1);
            }
            8 if self.one_in(3) => {
                // A worker dies where it waits.
                let id = self.any_host();
                let host = self.hosts.get_mut(&id).unwrap();
                if let Some((poll, worker)) = host.polls.pop_first() {
                    host.queues.lose(self.now, poll, &key());
                    self.idle.remove(&worker);
                    self.settle(id);
                }
            }
            9 if self.is_stormy && self.one_in(4) => match self.hosts.len() {
                2.. if self.one_in(2) => {
                    let id = self.any_host();
                    self.host_goes(id);
                }
                _ => self.host_comes(),
            },
            _ => self.pass(self.now + Duration::from_millis(100)),
        }
    }

    /// Time passes everywhere.
    fn pass(&mut self, until: Timestamp) {
        self.now = until;
        for id in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.hosts.get_mut(&id).unwrap().queues.handle_timeout(self.now);
            self.settle(id);
        }
    }

    /// One of the messages arrives, or in a stormy world is lost with a worker or for a moment.
    fn step(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let at = self.below(self.network.len());
        let message = self.network.swap_remove(at);
        match message {
            Message::Poll(..) if self.is_stormy && self.one_in(10) => {}
            Message::Want(from, to, key, _) if self.is_stormy && self.one_in(10) => self.was_not_told(from, to, key),
            message => self.deliver(message),
        }
    }

    fn was_not_told(&mut self, from: HostId, to: HostId, key: Arc<QueueKey>) {
        let Some(host) = self.hosts.get_mut(&from) else { return };
        host.busy.remove(&to);
        host.untold.entry(to).or_default().insert(key);
        self.settle(from);
    }

    fn deliver(&mut self, message: Message) {
        let (now, view) = (self.now, self.hosts.keys().copied().collect::<Vec<_>>());
        match message {
            Message::News(id) => {
                let Some(host) = self.hosts.get_mut(&id) else { return };
                host.view = view;
                let (view, is_here) = (&host.view, |partition| home(&host.view, partition) == id);
                let is_part = (0..PARTITIONS).any(is_here);
                host.queues.keep(|_, _, partition| is_here(partition), |_, _| is_part, |other| view.contains(&other));
                host.queues.share(1 < host.view.len());
                self.settle(id);
            }
            Message::NewsOfShard => {
                self.shard_view = view;
                let wanted = (0..self.tasks.len()).filter(|task| self.tasks[*task] == Task::Wanted);
                wanted.collect::<Vec<_>>().into_iter().for_each(|task| self.offer(task));
            }
            Message::Change(id) => {
                let Some(change) = self.changes.get_mut(&id).and_then(std::collections::VecDeque::pop_front) else {
                    return;
                };
                let Some(host) = self.hosts.get_mut(&id) else { return };
                match change {
                    Change::Offer(task, partition) if home(&host.view, partition) == id => {
                        let TaskName { run, scheduled } = name(task);
                        let queue = DispatchQueue::Workflow("q".into());
                        let dispatch = Dispatch { run, scheduled, attempt: 1, queue, scheduled_time: now };
                        host.queues.offer(now, dispatch, partition);
                    }
                    // It is not taken, and goes where the shard believes then.
                    Change::Offer(task, _) if self.tasks[task] == Task::Wanted => self.offer(task),
                    Change::Offer(..) => {}
                    Change::Withdraw(task) => host.queues.withdraw(&name(task)),
                }
                self.settle(id);
            }
            Message::Want(from, to, key, count) => {
                match self.hosts.get_mut(&to) {
                    Some(host) if host.view.contains(&from) => host.queues.want(now, (*key).clone(), from, count),
                    Some(_) => return self.was_not_told(from, to, key),
                    None => {}
                }
                if let Some(host) = self.hosts.get_mut(&from) {
                    host.busy.remove(&to);
                }
                self.settle(from);
                self.settle(to);
            }
            Message::Poll(worker, to) => match self.hosts.get_mut(&to) {
                // Others are told in a moment that it is not the place to wait.
                Some(host) if (0..PARTITIONS).any(|partition| home(&host.view, partition) == to) => {
                    let poll = host.queues.poll(now, key(), Poller::default()).unwrap();
                    host.polls.insert(poll, worker);
                    self.idle.insert(worker);
                    self.settle(to);
                }
                _ => self.poll_somewhere(worker),
            },
            Message::Query(question, to) => match self.hosts.get_mut(&to) {
                Some(host) => {
                    let id = host.queues.query(now, key()).unwrap();
                    host.queries.insert(id, question);
                    self.settle(to);
                }
                None => self.ask(question),
            },
        }
    }

    /// Carry out what came out of a host, and tell others what is lacking there.
    fn settle(&mut self, id: HostId) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        let mut outputs = Vec::new();
        loop {
            outputs.extend(std::iter::from_fn(|| host.queues.poll_output()));
            // The shard knows at once whether a task is still to be started.
            let handed = outputs.iter_mut().find_map(|output| match output {
                Output::Answer(_, Matched::Task(handed)) if self.tasks[number(&handed.name)] == Task::Wanted => {
                    Some(handed.clone())
                }
                _ => None,
            });
            let Some(handed) = handed else { break };
            self.tasks[number(&handed.name)] = Task::Started;
            host.queues.let_go(self.now, &handed, true);
            outputs.retain(|output| match output {
                Output::Answer(poll, Matched::Task(other)) if *other == handed => {
                    self.idle.remove(&host.polls.remove(poll).unwrap());
                    false
                }
                _ => true,
            });
        }
        let mut again = Vec::new();
        for output in outputs {
            match output {
                Output::Answer(poll, matched) => {
                    let worker = host.polls.remove(&poll).unwrap();
                    self.idle.remove(&worker);
                    match matched {
                        Matched::Wanted(to) => self.network.push(Message::Poll(worker, to)),
                        Matched::Query(query, _) => {
                            host.queues.end_query(query);
                            self.questions[host.queries.remove(&query).unwrap()] = true;
                        }
                        Matched::Task(handed) => {
                            self.twice += usize::from(self.tasks[number(&handed.name)] == Task::Started);
                            host.queues.let_go(self.now, &handed, false);
                            again.push(worker);
                        }
                        Matched::Moved | Matched::Nothing => again.push(worker),
                    }
                }
                Output::NoPoller(_) | Output::Moved(_) => unreachable!("queries are put where hosts stay"),
            }
        }
        while let Some(key) = host.queues.poll_untold() {
            for other in host.view.iter().filter(|other| **other != id) {
                host.untold.entry(*other).or_default().insert(key.clone());
            }
        }
        host.untold.retain(|other, _| host.view.contains(other));
        for (other, keys) in &mut host.untold {
            if !host.busy.contains(other)
                && let Some(key) = keys.pop_first()
            {
                host.busy.insert(*other);
                let count = host.queues.lacking(&key);
                self.network.push(Message::Want(id, *other, key, count));
            }
        }
        again.into_iter().for_each(|worker| self.poll_somewhere(worker));
        // What was let go may have let something else come.
        if self.hosts[&id].queues.has_untold() {
            self.settle(id);
        }
    }

    /// Everything arrives, and what is lost is given up.
    fn rest(&mut self) {
        self.is_stormy = false;
        for _ in 0..100_000 {
            if !self.network.is_empty() {
                self.step();
                continue;
            }
            let soon = self.now + Duration::from_secs(2);
            let due = self.hosts.values().filter_map(|host| host.queues.poll_timeout()).min();
            match due.filter(|due| *due <= soon) {
                Some(due) => self.pass(due),
                None => return,
            }
        }
        panic!("it does not come to rest");
    }

    /// Tasks and questions that no worker has got.
    fn waiting(&self) -> usize {
        let tasks = self.tasks.iter().filter(|task| **task == Task::Wanted).count();
        tasks + self.questions.iter().filter(|is_answered| !**is_answered).count()
    }

    /// As many workers come as there is work.
    fn finish(&mut self) {
        for _ in 0..self.waiting() {
            self.workers += 1;
            self.poll_somewhere(self.workers);
        }
        self.rest();
    }
}

fn number(name: &TaskName) -> usize {
    name.run.workflow.workflow.to_string().parse().unwrap()
}

fn play(seed: u64, is_stormy: bool) -> World {
    let mut world = World::new(seed, is_stormy);
    for _ in 0..60 {
        world.happen();
        for _ in 0..world.below(4) {
            world.step();
        }
    }
    world.rest();
    assert!(
        world.idle.is_empty() || world.waiting() == 0,
        "seed {seed}: {} workers wait, and there is work for {}",
        world.idle.len(),
        world.waiting()
    );
    world
}

#[test]
fn no_worker_waits_while_there_is_work_on_another_host() {
    for seed in 0..3000 {
        let mut world = play(seed, false);
        assert_eq!(world.twice, 0, "seed {seed}: a task was handed out twice");
        let now = world.now;
        let waiting = world.tasks.iter().filter(|task| **task == Task::Wanted).count();
        let mut backlog = |host: &mut Host| host.queues.describe(now, &key()).backlog;
        let backlog: usize = world.hosts.values_mut().map(&mut backlog).sum();
        assert_eq!(backlog, waiting, "seed {seed}: what was withdrawn waits, or what waits is forgotten");
        world.finish();
        assert_eq!(world.waiting(), 0, "seed {seed}: work for which there are workers");
    }
}

#[test]
fn nor_when_hosts_and_workers_come_and_go() {
    for seed in 0..3000 {
        let mut world = play(seed, true);
        world.finish();
        assert_eq!(world.waiting(), 0, "seed {seed}: work for which there are workers");
    }
}
