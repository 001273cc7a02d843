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

/// A task that is offered to a partition of its queue.
#[must_use]
pub fn offered(dispatch: &Dispatch, partition: u32) -> wire::Change {
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
        partition,
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
    /// It waits for a worker, in this partition of its queue.
    Offered(Dispatch, u32),
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
            let dispatch = Dispatch {
                run: read_run(task.run)?,
                scheduled: EventId(task.scheduled_event_id),
                attempt: task.attempt,
                queue,
                scheduled_time: task.scheduled_time.map(Timestamp::from).ok_or(Malformed("scheduled_time"))?,
            };
            Ok(Change::Offered(dispatch, task.partition))
        }
        change::Change::Withdrawn(task) => Ok(Change::Withdrawn(read_run(task.run)?, EventId(task.scheduled_event_id))),
    }
}

/// Pollers that are lacking at the part of a queue that a host has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Want {
    /// Namespace of the queue.
    pub namespace: NamespaceId,
    /// Whether activities wait in it, or workflow tasks and queries.
    pub is_activity: bool,
    /// Its name.
    pub queue: String,
    /// So many could have work there at once.
    pub pollers: u32,
}

/// Pollers that are lacking, for the wire.
#[must_use]
pub fn want(want: Want) -> wire::Want {
    let kind = if want.is_activity { Kind::Activity } else { Kind::Workflow };
    wire::Want { namespace_id: want.namespace.to_string(), kind: kind.into(), queue: want.queue, pollers: want.pollers }
}

/// Pollers that are lacking, from the wire.
///
/// # Errors
///
/// [`Malformed`].
pub fn read_want(want: wire::Want) -> Result<Want, Malformed> {
    let namespace = NamespaceId::parse(&want.namespace_id).map_err(|_| Malformed("namespace_id"))?;
    let is_activity = match want.kind() {
        Kind::Workflow => false,
        Kind::Activity => true,
        // The queue of one worker has no parts.
        Kind::Sticky | Kind::Unspecified => return Err(Malformed("kind")),
    };
    if want.queue.is_empty() {
        return Err(Malformed("queue"));
    }
    Ok(Want { namespace, is_activity, queue: want.queue, pollers: want.pollers })
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
            assert_eq!(read_change(offered(&dispatch, 3)), Ok(Change::Offered(dispatch, 3)));
        }
        let change = withdrawn(&example(), EventId(5));
        assert_eq!(read_change(change), Ok(Change::Withdrawn(example(), EventId(5))));
    }

    #[test]
    fn what_is_wanted_is_understood() {
        let namespace = example().workflow.namespace;
        for is_activity in [false, true] {
            let wanted = Want { namespace, is_activity, queue: "q".into(), pollers: 3 };
            assert_eq!(read_want(want(wanted.clone())), Ok(wanted.clone()));
            let sticky = wire::Want { kind: Kind::Sticky.into(), ..want(wanted.clone()) };
            assert_eq!(read_want(sticky), Err(Malformed("kind")));
            let nowhere = wire::Want { namespace_id: "x".into(), ..want(wanted.clone()) };
            assert_eq!(read_want(nowhere), Err(Malformed("namespace_id")));
            assert_eq!(read_want(want(Want { queue: String::new(), ..wanted })), Err(Malformed("queue")));
        }
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
        let Some(change::Change::Offered(mut task)) = offered(&dispatch, 0).change else { panic!("it is offered") };
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
