//! The vocabulary in which stories are told.

use std::time::Duration;

use crate::{
    plan::{Ask, Kind, NetworkShape, Plan, Step, StoreShape, What, Wish, WorkerShape, workflow_name},
    program::Program,
    random::Range,
    world::{Ending, Outcome},
};

/// The first cluster. Namespaces begin here.
pub const A: usize = 0;
/// The second.
pub const B: usize = 1;
/// The third.
pub const C: usize = 2;

/// A story: what happens, and what must come of it. Where it does not say otherwise, everything is quick and nothing fails.
#[derive(Clone, Debug)]
pub struct Script {
    plan: Plan,
    /// When what is said next happens.
    now: Duration,
    musts: Vec<Must>,
}

/// What must come of a story.
#[derive(Clone, Debug)]
enum Must {
    /// This happened.
    Happen(&'static str),
    /// The workflow's current run came to this end, everywhere.
    End(u32, &'static str),
    /// A run of the workflow that is not the current one came to this end, everywhere.
    EndBeside(u32, &'static str),
    /// A run of the workflow has so many branches, everywhere.
    Branch(u32, usize),
    /// The current run of the workflow has so many events of a type, everywhere.
    Hold(u32, &'static str, usize),
    /// Everything is at rest after this long.
    Rest(Duration),
}

impl Script {
    /// A calm world of so many clusters of one shard, 5 ms apart.
    #[must_use]
    pub fn of(clusters: usize, kind: Kind) -> Self {
        let quick = Range::micros(100, 100);
        let plan = Plan {
            seed: 1,
            kind,
            shards: vec![1; clusters],
            old_wire: vec![false; clusters],
            namespaces: vec![A],
            late: Vec::new(),
            network: NetworkShape { latency: Range::millis(5, 5), loss: 0 },
            store: StoreShape {
                arrival: quick,
                sync: Range::millis(1, 1),
                read: quick,
                answer: quick,
                unknown: 0,
                failed: 0,
                page: 1_000,
            },
            workers: WorkerShape {
                poll: Range::millis(1, 1),
                think: Range::millis(2, 2),
                act: Range::millis(10, 10),
                vanish: 0,
                fail: 0,
                repeat: 0,
                sticky: 0,
            },
            backlog: None,
            duration: Duration::from_secs(1),
            steps: vec![Step { at: Duration::ZERO, what: What::Register(0) }],
        };
        Self { plan, now: Duration::ZERO, musts: Vec::new() }
    }

    /// What follows happens so many seconds after the beginning.
    pub fn at(&mut self, seconds: f64) -> &mut Self {
        self.now = Duration::from_secs_f64(seconds);
        self.plan.duration = self.plan.duration.max(self.now + Duration::from_secs(1));
        self
    }

    /// The plan that it makes.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn happens(&mut self, what: What) -> &mut Self {
        self.plan.steps.push(Step { at: self.now, what });
        self.plan.steps.sort_by_key(|step| step.at);
        self
    }

    fn asks(&mut self, from: usize, workflow: u32, call: Ask) -> &mut Self {
        self.happens(What::Client(Wish { from, namespace: 0, workflow, call }))
    }

    /// A client of a cluster starts a workflow.
    pub fn starts(&mut self, from: usize, workflow: u32, program: &str) -> &mut Self {
        let program = Program::parse(program).expect("a program of the story");
        self.asks(from, workflow, Ask::Start(program))
    }

    /// A client of a cluster signals a workflow.
    pub fn signals(&mut self, from: usize, workflow: u32) -> &mut Self {
        self.asks(from, workflow, Ask::Signal)
    }

    /// An operator moves the namespace.
    pub fn fails_over(&mut self, to: usize) -> &mut Self {
        self.happens(What::FailOver { namespace: 0, to, by: to })
    }

    /// Nothing arrives in either direction for so many seconds.
    pub fn cut(&mut self, one: usize, other: usize, seconds: f64) -> &mut Self {
        let time = Duration::from_secs_f64(seconds);
        self.happens(What::Cut(one, other, time)).happens(What::Cut(other, one, time))
    }

    /// A cluster is down for so many seconds.
    pub fn crashes(&mut self, cluster: usize, seconds: f64) -> &mut Self {
        self.happens(What::Crash(cluster, Duration::from_secs_f64(seconds)))
    }

    /// A cluster's clock jumps by so many seconds.
    pub fn clock_jumps(&mut self, cluster: usize, seconds: f64) -> &mut Self {
        self.happens(What::Skew(cluster, (seconds * 1_000.0) as i64))
    }

    /// Workers take so many seconds for a workflow task.
    pub fn workers_think(&mut self, seconds: f64) -> &mut Self {
        let time = Duration::from_secs_f64(seconds);
        self.plan.workers.think = Range(time, time);
        self
    }

    /// This must happen.
    pub fn exercises(&mut self, what: &'static str) -> &mut Self {
        self.musts.push(Must::Happen(what));
        self
    }

    /// The workflow's current run must come to this end, everywhere.
    pub fn ends(&mut self, workflow: u32, phase: &'static str) -> &mut Self {
        self.musts.push(Must::End(workflow, phase));
        self
    }

    /// Another run of the workflow than its current one must come to this end, everywhere.
    pub fn ends_beside(&mut self, workflow: u32, phase: &'static str) -> &mut Self {
        self.musts.push(Must::EndBeside(workflow, phase));
        self
    }

    /// A run of the workflow must have so many branches, everywhere.
    pub fn branches(&mut self, workflow: u32, count: usize) -> &mut Self {
        self.musts.push(Must::Branch(workflow, count));
        self
    }

    /// The workflow's current run must hold so many events of a type, everywhere.
    pub fn holds(&mut self, workflow: u32, event: &'static str, count: usize) -> &mut Self {
        self.musts.push(Must::Hold(workflow, event, count));
        self
    }

    /// Everything must be at rest after so many seconds.
    pub fn rests_within(&mut self, seconds: f64) -> &mut Self {
        self.musts.push(Must::Rest(Duration::from_secs_f64(seconds)));
        self
    }

    /// The first thing that must come of it and did not.
    pub(super) fn unmet(&self, outcome: &Outcome) -> Option<String> {
        self.musts.iter().find_map(|must| self.unmet_one(must, outcome))
    }

    fn unmet_one(&self, must: &Must, outcome: &Outcome) -> Option<String> {
        // What has to hold of a run on every cluster.
        let everywhere = |workflow: u32, holds: &dyn Fn(&Ending) -> bool, what: String| {
            let name = workflow_name(workflow);
            let lacks = |cluster: &usize| {
                let mut runs = outcome.endings.iter().filter(|ending| ending.cluster == *cluster);
                !runs.any(|ending| ending.run.workflow.workflow.as_str() == name && holds(ending))
            };
            let cluster = (0..self.plan.clusters()).find(lacks)?;
            Some(format!("in {} no run of {name} {what}", crate::trace::name(cluster)))
        };
        match must {
            Must::Happen(what) => (outcome.coverage.of(what) == 0).then(|| format!("it never happened: {what}")),
            Must::End(workflow, phase) => {
                everywhere(*workflow, &|ending| ending.is_current && ending.phase == *phase, format!("is {phase}"))
            }
            Must::EndBeside(workflow, phase) => {
                let holds = |ending: &Ending| !ending.is_current && ending.phase == *phase;
                everywhere(*workflow, &holds, format!("is {phase} beside the current one"))
            }
            Must::Branch(workflow, count) => {
                everywhere(*workflow, &|ending| ending.branches.len() == *count, format!("has {count} branches"))
            }
            Must::Hold(workflow, event, count) => {
                let held = |ending: &Ending| ending.events.iter().filter(|held| held == event).count();
                let holds = |ending: &Ending| ending.is_current && held(ending) == *count;
                everywhere(*workflow, &holds, format!("holds {event} {count} times"))
            }
            Must::Rest(time) => {
                let took = outcome.elapsed;
                (took > *time).then(|| format!("it came to rest after {took:?}, later than {time:?}"))
            }
        }
    }
}
