//! The shortest story of a broken promise: of thousands of happenings the few that a person needs to see first.
//!
//! They are what happened to the workflow in question, and what fate did to all while it lived. Writes that went well are
//! told once and not three times. What is still too long is told from its beginning and its end.

use std::time::Duration;

use replicator::time::Timestamp;

use crate::{
    trace::{Line, Place},
    world::Outcome,
};

/// The lines of a story, in order, and how many were left out after the first ones.
pub struct Story<'a> {
    /// How it began.
    pub beginning: Vec<&'a Line>,
    /// Lines that were left out.
    pub omitted: usize,
    /// How it ended.
    pub end: Vec<&'a Line>,
    begin: Timestamp,
}

impl<'a> Story<'a> {
    /// The story of what an outcome's violation is about; of a run that kept its lines.
    #[must_use]
    pub fn of(outcome: &'a Outcome) -> Self {
        let subject = outcome.violation.as_ref().and_then(|violation| violation.finding.subject.as_ref());
        let concerns = |line: &Line| subject.is_some() && line.subject.as_ref() == subject;
        let first = outcome.lines.iter().find(|line| concerns(line)).map_or(outcome.begin, |line| line.at);
        let since = Timestamp(first.0 - i64::try_from(BEFORE.as_nanos()).expect("seconds fit"));
        let told = |line: &&Line| (concerns(line) && !is_routine(line)) || (line.at >= since && is_fate(line));
        let mut beginning: Vec<&Line> = outcome.lines.iter().filter(told).collect();
        let mut end = Vec::new();
        let mut omitted = 0;
        if beginning.len() > FIRST + LAST {
            end = beginning.split_off(beginning.len() - LAST);
            omitted = beginning.len() - FIRST;
            beginning.truncate(FIRST);
        }
        Self { beginning, omitted, end, begin: outcome.begin }
    }

    /// The story as it is printed.
    pub fn print(&self) -> impl Iterator<Item = String> + '_ {
        let omitted = (self.omitted > 0).then(|| format!("{:>11} {} more", "...", self.omitted));
        let line = |line: &&Line| line.print(self.begin);
        self.beginning.iter().map(line).chain(omitted).chain(self.end.iter().map(line))
    }
}

/// What everybody takes for granted: that a write became durable.
fn is_routine(line: &Line) -> bool {
    line.kind == "durable" && line.text.ends_with("Committed")
}

/// What is done to all: faults, failovers, losses, reports and the broken promise itself.
fn is_fate(line: &Line) -> bool {
    match line.place {
        Place::World => line.subject.is_none() || line.kind == "VIOLATION",
        Place::Cluster(_) => line.subject.is_none(),
        Place::Shard(..) => line.kind == "reports" && line.subject.is_none(),
    }
}

/// What happened so shortly before may have to do with it.
const BEFORE: Duration = Duration::from_secs(3);
/// Of a long story so many lines are told from its beginning, and from its end.
const FIRST: usize = 12;
const LAST: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        checkers::{Finding, Violation},
        coverage::Coverage,
    };

    #[test]
    fn it_tells_of_the_workflow_and_of_fate_and_leaves_the_middle_out() {
        let line = |at: i64, place, kind, subject: &str, text: &str| Line {
            at: Timestamp(at * 1_000_000_000),
            place,
            kind,
            subject: (!subject.is_empty()).then(|| subject.into()),
            text: text.into(),
        };
        let shard = Place::Shard(0, 1);
        let mut lines = vec![
            line(1, Place::World, "fate", "", "long ago"),
            line(8, Place::World, "fate", "", "a pauses"),
            line(10, shard, "writes", "order-1", "1"),
            line(10, shard, "durable", "order-1", "1 Committed"),
            line(10, shard, "writes", "order-2", "of no interest"),
            line(11, shard, "durable", "order-1", "2 ShardOwnershipLost"),
        ];
        let violation = Violation {
            at: Duration::from_secs(11),
            promise: "p",
            finding: Finding { subject: Some("order-1".into()), text: String::new() },
        };
        let outcome = |lines| Outcome {
            violation: Some(violation.clone()),
            coverage: Coverage::default(),
            elapsed: Duration::from_secs(11),
            begin: Timestamp::ZERO,
            happenings: 6,
            hash: 0,
            lines,
            endings: Vec::new(),
        };
        let of = outcome(lines.clone());
        let told: Vec<&str> = Story::of(&of).beginning.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(told, ["a pauses", "1", "2 ShardOwnershipLost"]);

        lines.extend((0..100).map(|at| line(12 + at, shard, "writes", "order-1", "more")));
        let of = outcome(lines);
        let story = Story::of(&of);
        assert_eq!((story.beginning.len(), story.omitted, story.end.len()), (FIRST, 103 - FIRST - LAST, LAST));
        assert_eq!(story.print().count(), FIRST + 1 + LAST);
    }
}
