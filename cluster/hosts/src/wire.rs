//! What hosts say to each other about single tasks. Everything else goes as the bytes it came as.

use proto::meridian::internal::v1::{self as wire, Kind, change};
use replicator::{
    ids::{EventId, NamespaceId, RunId, RunKey, WorkflowKey},
    shard::io::{Dispatch, DispatchQueue},
    time::Timestamp,
};

/// A field of another host's message that says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed(
    /// Its name.
    pub &'static str,
);

/// A run, for the wire.
#[must_use]
pub fn run(run: &RunKey) -> wire::Run {
    wire::Run {
        namespace_id: run.workflow.namespace.to_string(),
        workflow_id: run.workflow.workflow.to_string(),
        run_id: run.run.to_string(),
    }
}

/// A run, from the wire.
///
/// # Errors
///
/// [`Malformed`].
pub fn read_run(run: Option<wire::Run>) -> Result<RunKey, Malformed> {
    let run = run.ok_or(Malformed("run"))?;
    let namespace = NamespaceId::parse(&run.namespace_id).map_err(|_| Malformed("run.namespace_id"))?;
    if run.workflow_id.is_empty() {
        return Err(Malformed("run.workflow_id"));
    }
    let workflow = WorkflowKey { namespace, workflow: run.workflow_id.as_str().into() };
    Ok(RunKey { workflow, run: RunId::parse(&run.run_id).map_err(|_| Malformed("run.run_id"))? })
}

/// A task that is offered.
#[must_use]
pub fn offered(dispatch: &Dispatch) -> wire::Change {
    let (kind, queue, normal) = match &dispatch.queue {
        DispatchQueue::Workflow(name) => (Kind::Workflow, name.clone(), String::new()),
        DispatchQueue::Sticky(name, normal) => (Kind::Sticky, name.clone(), normal.clone()),
        DispatchQueue::Activity(name) => (Kind::Activity, name.clone(), String::new()),
    };
    let task = wire::Task {
        run: Some(run(&dispatch.run)),
        scheduled_event_id: dispatch.scheduled.0,
        attempt: dispatch.attempt,
        kind: kind.into(),
        queue,
        normal_queue: normal,
        scheduled_time: Some(dispatch.scheduled_time.into()),
    };
    wire::Change { change: Some(change::Change::Offered(task)) }
}

/// A task that is not wanted any more.
#[must_use]
pub fn withdrawn(of: &RunKey, scheduled: EventId) -> wire::Change {
    let task = wire::Task { run: Some(run(of)), scheduled_event_id: scheduled.0, ..wire::Task::default() };
    wire::Change { change: Some(change::Change::Withdrawn(task)) }
}

/// What became of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// It waits for a worker.
    Offered(Dispatch),
    /// It is not wanted any more.
    Withdrawn(RunKey, EventId),
}

/// What became of a task, from the wire.
///
/// # Errors
///
/// [`Malformed`].
pub fn read_change(change: wire::Change) -> Result<Change, Malformed> {
    match change.change.ok_or(Malformed("change"))? {
        change::Change::Offered(task) => {
            let queue = match task.kind() {
                Kind::Workflow => DispatchQueue::Workflow(task.queue),
                Kind::Sticky => DispatchQueue::Sticky(task.queue, task.normal_queue),
                Kind::Activity => DispatchQueue::Activity(task.queue),
                Kind::Unspecified => return Err(Malformed("kind")),
            };
            Ok(Change::Offered(Dispatch {
                run: read_run(task.run)?,
                scheduled: EventId(task.scheduled_event_id),
                attempt: task.attempt,
                queue,
                scheduled_time: task.scheduled_time.map(Timestamp::from).ok_or(Malformed("scheduled_time"))?,
            }))
        }
        change::Change::Withdrawn(task) => Ok(Change::Withdrawn(read_run(task.run)?, EventId(task.scheduled_event_id))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        for queue in [
            DispatchQueue::Workflow("q".into()),
            DispatchQueue::Sticky("one".into(), "q".into()),
            DispatchQueue::Activity("q".into()),
        ] {
            let dispatch = Dispatch {
                run: example(),
                scheduled: EventId(5),
                attempt: 2,
                queue,
                scheduled_time: Timestamp::from_millis(1_700_000_000_000),
            };
            assert_eq!(read_change(offered(&dispatch)), Ok(Change::Offered(dispatch)));
        }
        let change = withdrawn(&example(), EventId(5));
        assert_eq!(read_change(change), Ok(Change::Withdrawn(example(), EventId(5))));
    }

    #[test]
    fn what_says_nothing_is_named() {
        check(|_| {}, None);
        check(|task| task.run = None, Some("run"));
        check(|task| task.run.as_mut().unwrap().run_id.clear(), Some("run.run_id"));
        check(|task| task.run.as_mut().unwrap().workflow_id.clear(), Some("run.workflow_id"));
        check(|task| task.run.as_mut().unwrap().namespace_id = "x".into(), Some("run.namespace_id"));
        check(|task| task.kind = 99, Some("kind"));
        check(|task| task.scheduled_time = None, Some("scheduled_time"));
        assert_eq!(read_change(wire::Change { change: None }), Err(Malformed("change")));
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut wire::Task), expected: Option<&'static str>) {
        let dispatch = Dispatch {
            run: example(),
            scheduled: EventId(5),
            attempt: 1,
            queue: DispatchQueue::Workflow("q".into()),
            scheduled_time: Timestamp::ZERO,
        };
        let Some(change::Change::Offered(mut task)) = offered(&dispatch).change else { panic!("it is offered") };
        damage(&mut task);
        let change = wire::Change { change: Some(change::Change::Offered(task)) };
        assert_eq!(read_change(change).err().map(|Malformed(field)| field), expected);
    }

    fn example() -> RunKey {
        let id = "00000000-0000-0000-0000-000000000007";
        let workflow = WorkflowKey { namespace: NamespaceId::parse(id).unwrap(), workflow: "w".into() };
        RunKey { workflow, run: RunId::parse(id).unwrap() }
    }
}
