//! What `meridian replication quarantine` prints.

use std::fmt;

use proto::meridian::quarantine::v1 as wire;
use serde::Serialize;

use super::{quarantine::show, table::Table};

/// Tasks that are kept.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    pub(super) tasks: Vec<Task>,
    /// Whether people want to see what they bring.
    #[serde(skip)]
    pub(super) details: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct Task {
    pub(super) task: String,
    namespace: String,
    workflow_id: String,
    run_id: String,
    from: String,
    source_shard: u32,
    source_task: i64,
    /// Nothing when it waits behind another one.
    cause: Option<String>,
    behind: Option<String>,
    since: String,
    tries: u32,
    kind: String,
    bytes: i64,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Event {
    event: i64,
    version: i64,
    r#type: String,
}

impl From<wire::QuarantinedTask> for Task {
    fn from(task: wire::QuarantinedTask) -> Self {
        let event = |event: wire::ToldEvent| Event {
            event: event.event_id,
            version: event.version,
            r#type: event.event_type.trim_start_matches("EVENT_TYPE_").to_owned(),
        };
        Self {
            task: task.name.as_ref().map(show).unwrap_or_default(),
            namespace: task.namespace,
            workflow_id: task.workflow_id,
            run_id: task.run_id,
            from: task.cluster_name,
            source_shard: task.source_shard_id,
            source_task: task.source_task_id,
            cause: Some(task.cause).filter(|cause| !cause.is_empty()),
            behind: task.behind.as_ref().map(show),
            since: task.since.map(|since| since.to_string()).unwrap_or_default(),
            tries: task.tries,
            kind: task.kind.trim_start_matches("REPLICATION_TASK_TYPE_").to_owned(),
            bytes: task.bytes,
            events: task.events.into_iter().map(event).collect(),
        }
    }
}

impl Task {
    /// Why it is there, in one line.
    fn why(&self) -> String {
        match (&self.cause, &self.behind) {
            (Some(cause), _) => cause.clone(),
            (None, Some(behind)) => format!("waits behind {behind}"),
            (None, None) => "waits".to_owned(),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tasks.is_empty() {
            return f.write_str("Nothing is in quarantine.");
        }
        if self.details {
            return self.tasks.iter().try_for_each(|task| write!(f, "{task}"));
        }
        let mut table = Table::new(&["TASK", "NAMESPACE", "WORKFLOW", "RUN", "FROM", "SINCE", "TRIES", "CAUSE"]);
        for task in &self.tasks {
            table.row([
                task.task.clone(),
                task.namespace.clone(),
                task.workflow_id.clone(),
                task.run_id.clone(),
                task.from.clone(),
                task.since.clone(),
                task.tries.to_string(),
                task.why(),
            ]);
        }
        table.fmt(f)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, namespace, workflow_id, run_id, from, source_shard, source_task, .. } = self;
        writeln!(f, "Task {task}, {} of {} bytes", self.kind, self.bytes)?;
        writeln!(f, "  of     {namespace} {workflow_id} {run_id}")?;
        writeln!(f, "  from   {from}, task {source_task} of shard {source_shard}")?;
        writeln!(f, "  since  {}, tried {} times", self.since, self.tries)?;
        writeln!(f, "  cause  {}", self.why())?;
        for Event { event, version, r#type } in &self.events {
            writeln!(f, "  event  {event}@{version} {type}")?;
        }
        Ok(())
    }
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) dry_run: bool,
    pub(super) outcomes: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) task: String,
    pub(super) action: &'static str,
    pub(super) behind: Option<String>,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcomes.is_empty() {
            return f.write_str("No task matches; nothing is done.");
        }
        if self.dry_run {
            writeln!(f, "Nothing was done. This is what would be; name the tasks, or add --yes:\n")?;
        }
        let mut table = Table::new(&["TASK", "WHAT"]);
        for Outcome { task, action, behind } in &self.outcomes {
            let what = match (*action, behind) {
                ("waits", Some(behind)) => format!("waits behind {behind}, and is tried after it"),
                ("not-there", _) => "is not there: it was applied or skipped, or never was".to_owned(),
                (action, _) => action.to_owned(),
            };
            table.row([task.clone(), what]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Answer, Output};

    fn listing(details: bool) -> Listing {
        let first = wire::QuarantinedTask {
            name: Some(wire::TaskName { shard_id: 1, task_id: 70 }),
            namespace: "shop".into(),
            workflow_id: "order-7".into(),
            run_id: "r".into(),
            cluster_name: "b".into(),
            source_shard_id: 1,
            source_task_id: 42,
            cause: "events are missing".into(),
            since: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            tries: 3,
            kind: "REPLICATION_TASK_TYPE_HISTORY_TASK".into(),
            events: vec![wire::ToldEvent { event_id: 4, version: 2, event_type: "EVENT_TYPE_TIMER_FIRED".into() }],
            bytes: 120,
            ..Default::default()
        };
        let name = Some(wire::TaskName { shard_id: 1, task_id: 71 });
        let second = wire::QuarantinedTask { cause: String::new(), behind: first.name, name, ..first.clone() };
        Listing { tasks: [first, second].map(Task::from).into(), details }
    }

    #[test]
    fn a_listing_says_why() {
        let expected = "\
TASK  NAMESPACE  WORKFLOW  RUN  FROM  SINCE                 TRIES  CAUSE
1-70  shop       order-7   r    b     2023-11-14T22:13:20Z  3      events are missing
1-71  shop       order-7   r    b     2023-11-14T22:13:20Z  3      waits behind 1-70
";
        assert_eq!(listing(false).render(Output::Text), expected);
        let value: serde_json::Value = serde_json::from_str(&listing(false).render(Output::Json)).unwrap();
        assert_eq!(value["tasks"][1]["behind"], "1-70");
        assert_eq!(value["tasks"][1]["cause"], serde_json::Value::Null);
        assert_eq!(value["tasks"][0]["events"][0]["type"], "TIMER_FIRED");
    }

    #[test]
    fn details_show_what_a_task_brings() {
        let text = listing(true).render(Output::Text);
        let first = "\
Task 1-70, HISTORY_TASK of 120 bytes
  of     shop order-7 r
  from   b, task 42 of shard 1
  since  2023-11-14T22:13:20Z, tried 3 times
  cause  events are missing
  event  4@2 TIMER_FIRED
";
        assert!(text.starts_with(first), "{text}");
    }

    #[test]
    fn a_dry_run_says_that_it_is_one() {
        let outcome = |task: &str, action| Outcome { task: task.into(), action, behind: None };
        let outcomes = vec![outcome("1-70", "skipped"), outcome("1-9", "not-there")];
        let text = Done { dry_run: true, outcomes }.render(Output::Text);
        let expected = "\
Nothing was done. This is what would be; name the tasks, or add --yes:

TASK  WHAT
1-70  skipped
1-9   is not there: it was applied or skipped, or never was
";
        assert_eq!(text, expected);
    }
}
