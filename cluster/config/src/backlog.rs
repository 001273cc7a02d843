//! `persistence.replicationBacklog`: how much is kept for a peer that is away.

use std::time::Duration;

use crate::{report::Report, section::Section};

/// What a shard keeps at most for a peer that is away. Beyond it the oldest tasks go, and the peer is told everything anew
/// when it is back. What is absent is as the server chooses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReplicationBacklog {
    /// So many tasks.
    pub max_tasks: Option<u64>,
    /// So many megabytes of events.
    pub max_megabytes: Option<u64>,
    /// Tasks that are not older.
    pub max_age: Option<Duration>,
}

impl ReplicationBacklog {
    pub(crate) fn read(mut section: Section<'_>, report: &mut Report) -> Option<Self> {
        let mut number = |key| {
            let is_set = section.is_set(key);
            let number = is_set.then(|| section.integer(key, 1..=i64::from(u32::MAX), report)).flatten();
            number.and_then(|number| u64::try_from(number).ok())
        };
        let (max_tasks, max_megabytes) = (number("maxTasks"), number("maxMegabytes"));
        let max_age = section.is_set("maxAge").then(|| section.duration("maxAge", report)).flatten();
        section.finish(report);
        Some(Self { max_tasks, max_megabytes, max_age })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn what_is_absent_is_not_chosen_here() {
        check("{}", ReplicationBacklog::default(), &[]);
        let all = ReplicationBacklog {
            max_tasks: Some(5000),
            max_megabytes: Some(64),
            max_age: Some(Duration::from_secs(36 * 3600)),
        };
        check("maxTasks: 5000\nmaxMegabytes: 64\nmaxAge: 36h", all, &[]);
        let problem = "! replicationBacklog.maxTasks: is -1; a whole number from 1 to 4294967295 is required";
        check("maxTasks: -1", ReplicationBacklog::default(), &[problem]);
    }

    #[track_caller]
    fn check(text: &str, expected: ReplicationBacklog, problems: &[&str]) {
        let problems = problems.iter().map(ToString::to_string).collect();
        assert_eq!(read("replicationBacklog", text, ReplicationBacklog::read), (Some(expected), problems), "{text}");
    }
}
