//! One thing to run: a world, and how it came to be run.

use std::path::PathBuf;

use simulations::{plan::Plan, run, scenario::Scenario, swarm, world::Outcome};

/// Something to run.
#[derive(Clone, Debug)]
pub(crate) enum Case {
    /// A seed that once failed, and what it showed.
    Corpus(u64, String),
    /// A seed.
    Seed(u64),
    /// A story.
    Scenario(&'static Scenario),
    /// A plan in a file.
    Plan(PathBuf, Box<Plan>),
}

impl Case {
    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Corpus(seed, _) | Self::Seed(seed) => swarm::plan(*seed),
            Self::Scenario(scenario) => (scenario.script)().plan().clone(),
            Self::Plan(_, plan) => plan.as_ref().clone(),
        }
    }

    /// Run it to its end.
    pub(crate) fn run(&self, keeps_lines: bool) -> Outcome {
        match self {
            Self::Scenario(scenario) => scenario.play(),
            _ => run::run(&self.plan(), keeps_lines, None),
        }
    }

    /// The group to which it belongs.
    pub(crate) fn group(&self) -> &'static str {
        match self {
            Self::Corpus(..) => "corpus",
            Self::Seed(_) => "fresh",
            Self::Scenario(_) => "scenario",
            Self::Plan(..) => "plan",
        }
    }

    /// What it is called in a title.
    pub(crate) fn title(&self) -> String {
        match self {
            Self::Corpus(seed, _) | Self::Seed(seed) => format!("Seed {seed}"),
            Self::Scenario(scenario) => format!("Scenario {}", scenario.name),
            Self::Plan(file, _) => format!("Plan {}", file.display()),
        }
    }

    /// What it is called, and what replays it when it follows `simulate replay`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Corpus(seed, _) | Self::Seed(seed) => seed.to_string(),
            Self::Scenario(scenario) => format!("--scenario {}", scenario.name),
            Self::Plan(file, _) => format!("--plan {}", file.display()),
        }
    }
}
