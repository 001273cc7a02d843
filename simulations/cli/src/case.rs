//! One thing to run: a seed, and how it came to be run.

use simulations::{plan::Plan, swarm};

/// Something to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Case {
    /// A seed that once failed, and what it showed.
    Corpus(u64, String),
    /// A seed.
    Seed(u64),
}

impl Case {
    pub(crate) fn plan(&self) -> Plan {
        match self {
            Self::Corpus(seed, _) | Self::Seed(seed) => swarm::plan(*seed),
        }
    }

    /// The group to which it belongs.
    pub(crate) fn group(&self) -> &'static str {
        match self {
            Self::Corpus(..) => "corpus",
            Self::Seed(_) => "fresh",
        }
    }

    /// What it is called, and what replays it when it follows `simulate replay`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Corpus(seed, _) | Self::Seed(seed) => seed.to_string(),
        }
    }
}
