//! Stories told by hand, in a small vocabulary. Each reads as an incident report, and is held to every promise and to what
//! it says must come of it.
//!
//! ```text
//! let mut t = Script::of(2, Kind::Forced);
//! t.at(1.0).starts(A, 1, "signals:1 end");
//! t.at(2.0).cut(A, B, 3.0).fails_over(B);
//! t.at(3.0).signals(B, 1);
//! t.ends(1, "completed");
//! ```

mod examples;
mod incidents;
mod script;

pub use script::{A, B, C, Script};

use crate::{
    checkers::{Finding, Violation},
    run,
    world::Outcome,
};

/// A story.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What happens, with the setup in brackets.
    pub title: &'static str,
    /// Where it comes from, and what went wrong there.
    pub about: &'static str,
    /// The story.
    pub script: fn() -> Script,
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    examples::ALL.iter().chain(incidents::ALL)
}

/// The one of a name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Scenario> {
    all().find(|scenario| scenario.name == name)
}

impl Scenario {
    /// Play it. That what must come of it did not is a broken promise like any other.
    #[must_use]
    pub fn play(&self) -> Outcome {
        let script = (self.script)();
        let mut outcome = run::run(script.plan(), true, None);
        if outcome.violation.is_none()
            && let Some(text) = script.unmet(&outcome)
        {
            outcome.violation = Some(Violation {
                at: outcome.elapsed,
                promise: "the story ends as told",
                finding: Finding::of_all(text),
            });
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_story_ends_as_told() {
        let play = |scenario: &Scenario| {
            let violation = scenario.play().violation?;
            Some(format!("{}: {}: {} at {:?}", scenario.name, violation.promise, violation.finding.text, violation.at))
        };
        let broken: Vec<String> = all().filter_map(play).collect();
        assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
    }

    #[test]
    fn names_are_given_once() {
        let names: BTreeSet<&str> = all().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(named("conflict").is_some() && named("nothing").is_none());
    }
}
