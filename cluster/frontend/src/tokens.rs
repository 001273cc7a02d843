//! Tokens: bytes that callers carry and never read (api 3.10).
//!
//! ```text
//!   ┌────────┬──────┬──────────────────────────┬──────────┐
//!   │ format │ kind │ meridian.token.v1 message │ checksum │
//!   └────────┴──────┴──────────────────────────┴──────────┘
//!     1 byte   1 byte                            4 bytes
//! ```
//!
//! A token is valid wherever the run is: in another process, under another owner of the shard, in another cluster. Whoever
//! changes one may only hope for [`Malformed`]; whoever builds one says nothing that he could not say without it.

use bytes::Bytes;
use prost::Message;
use proto::{meridian::token::v1 as wire, temporal::server::api::history::v1::VersionHistoryItem as WireItem};
use replicator::{
    ids::{EventId, NamespaceId, RunId, WorkflowId, WorkflowKey},
    shard::io::{ActivityClaim, TaskClaim},
    version::{FailoverVersion, VersionHistory, VersionHistoryItem},
};

/// What a worker holds while it works on a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskToken {
    /// The workflow.
    pub workflow: WorkflowKey,
    /// Its run.
    pub run: RunId,
    /// The task.
    pub task: TaskOf,
}

/// Which task of the run.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskOf {
    /// A workflow task.
    Workflow(TaskClaim),
    /// An attempt of an activity.
    Activity {
        /// Scheduled event.
        scheduled: EventId,
        /// Attempt.
        attempt: i32,
        /// Version under which the attempt was started.
        version: FailoverVersion,
        /// The caller's name for the activity.
        activity_id: String,
    },
}

/// What a worker holds while it answers a query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueryToken {
    /// Namespace of the workflow that is asked.
    pub namespace: NamespaceId,
    /// Queue through which the query came.
    pub task_queue: String,
    /// Names the query in the process that asks.
    pub query: String,
}

/// Where a reader of history goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryToken {
    /// The run; later pages stay with it whatever becomes of the workflow.
    pub run: RunId,
    /// First event of the next page; in reverse the event before which it ends.
    pub first: EventId,
    /// Where this reading ends: the event after the last one that was there when it began.
    pub end: EventId,
    /// Whether the run was open then.
    pub is_open: bool,
    /// The branch, as the bytes of its token.
    pub branch: Bytes,
    /// Versions of the branch then. The branch may have grown since, but not changed.
    pub versions: VersionHistory,
}

/// Bytes that no part of Meridian gave out, or not for this purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

impl TaskToken {
    /// The bytes a worker gets.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut token = wire::TaskToken {
            namespace_id: self.workflow.namespace.to_string(),
            workflow_id: self.workflow.workflow.to_string(),
            run_id: self.run.to_string(),
            ..Default::default()
        };
        match &self.task {
            TaskOf::Workflow(claim) => {
                token.scheduled_event_id = claim.scheduled.0;
                token.started_event_id = claim.started.0;
                token.started_time = Some(claim.started_time.into());
                token.attempt = claim.attempt;
                token.version = claim.version.0;
            }
            TaskOf::Activity { scheduled, attempt, version, activity_id } => {
                token.scheduled_event_id = scheduled.0;
                token.attempt = *attempt;
                token.start_version = version.0;
                token.activity_id.clone_from(activity_id);
            }
        }
        seal(Kind::Task, &token)
    }

    /// Read what a worker brought back.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let token: wire::TaskToken = open(Kind::Task, bytes)?;
        let namespace = NamespaceId::parse(&token.namespace_id).map_err(|_| Malformed)?;
        let workflow = WorkflowKey { namespace, workflow: WorkflowId::from(token.workflow_id) };
        let run = RunId::parse(&token.run_id).map_err(|_| Malformed)?;
        let scheduled = EventId(token.scheduled_event_id);
        let task = if token.activity_id.is_empty() {
            TaskOf::Workflow(TaskClaim {
                scheduled,
                started: EventId(token.started_event_id),
                started_time: token.started_time.ok_or(Malformed)?.into(),
                attempt: token.attempt,
                version: FailoverVersion(token.version),
            })
        } else {
            TaskOf::Activity {
                scheduled,
                attempt: token.attempt,
                version: FailoverVersion(token.start_version),
                activity_id: token.activity_id,
            }
        };
        Ok(Self { workflow, run, task })
    }

    /// The attempt of an activity that the token stands for, if it stands for one.
    #[must_use]
    pub fn activity(&self) -> Option<ActivityClaim> {
        match self.task {
            TaskOf::Activity { scheduled, attempt, version, .. } => {
                Some(ActivityClaim::Task { scheduled, attempt, version })
            }
            TaskOf::Workflow(_) => None,
        }
    }
}

impl QueryToken {
    /// The bytes a worker gets.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let token = wire::QueryToken {
            namespace_id: self.namespace.to_string(),
            task_queue: self.task_queue.clone(),
            query_id: self.query.clone(),
            ..Default::default()
        };
        seal(Kind::Query, &token)
    }

    /// Read what a worker brought back.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let token: wire::QueryToken = open(Kind::Query, bytes)?;
        let namespace = NamespaceId::parse(&token.namespace_id).map_err(|_| Malformed)?;
        Ok(Self { namespace, task_queue: token.task_queue, query: token.query_id })
    }
}

impl HistoryToken {
    /// The bytes a reader gets, for reading on in this direction.
    #[must_use]
    pub fn encode(&self, direction: Direction) -> Bytes {
        let items = self.versions.items().iter();
        let token = wire::HistoryToken {
            run_id: self.run.to_string(),
            first_event_id: self.first.0,
            next_event_id: self.end.0,
            running: self.is_open,
            branch_token: self.branch.clone(),
            node_id: 0,
            version_history: items
                .map(|item| WireItem { event_id: item.event_id.0, version: item.version.0 })
                .collect(),
        };
        seal(direction.kind(), &token)
    }

    /// Read what a reader brought back.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also when the token was for the other direction.
    pub fn decode(direction: Direction, bytes: &[u8]) -> Result<Self, Malformed> {
        let token: wire::HistoryToken = open(direction.kind(), bytes)?;
        let item = |item: &WireItem| VersionHistoryItem {
            event_id: EventId(item.event_id),
            version: FailoverVersion(item.version),
        };
        let token = Self {
            run: RunId::parse(&token.run_id).map_err(|_| Malformed)?,
            first: EventId(token.first_event_id),
            end: EventId(token.next_event_id),
            is_open: token.running,
            branch: token.branch_token,
            versions: VersionHistory::from_items(token.version_history.iter().map(item).collect())
                .map_err(|_| Malformed)?,
        };
        let in_order = EventId::FIRST <= token.first && token.first <= token.end;
        if in_order { Ok(token) } else { Err(Malformed) }
    }
}

/// In which direction history is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Oldest event first.
    Forward,
    /// Newest event first.
    Reverse,
}

impl Direction {
    fn kind(self) -> Kind {
        match self {
            Self::Forward => Kind::History,
            Self::Reverse => Kind::HistoryReverse,
        }
    }
}

/// Namespace of the task or query that a token stands for.
///
/// # Errors
///
/// [`Malformed`].
pub fn namespace_of(bytes: &[u8]) -> Result<NamespaceId, Malformed> {
    match bytes {
        [_, kind, ..] if *kind == Kind::Query as u8 => QueryToken::decode(bytes).map(|token| token.namespace),
        _ => TaskToken::decode(bytes).map(|token| token.workflow.namespace),
    }
}

/// What a token is for. The values are in callers' hands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
enum Kind {
    Task = b'T',
    Query = b'Q',
    History = b'H',
    HistoryReverse = b'R',
}

fn seal(kind: Kind, message: &impl Message) -> Bytes {
    let mut bytes = Vec::with_capacity(message.encoded_len() + FRAME);
    bytes.extend([FORMAT, kind as u8]);
    message.encode(&mut bytes).expect("a vector grows");
    let checksum = checksum(&bytes);
    bytes.extend(checksum);
    bytes.into()
}

fn open<M: Message + Default>(kind: Kind, bytes: &[u8]) -> Result<M, Malformed> {
    let (sealed, claimed) = bytes.split_last_chunk().ok_or(Malformed)?;
    match sealed {
        [FORMAT, found, message @ ..] if *found == kind as u8 && *claimed == checksum(sealed) => {
            M::decode(message).map_err(|_| Malformed)
        }
        _ => Err(Malformed),
    }
}

/// FNV-1a: finds what was damaged or cut off on its way. It is no signature.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)).to_be_bytes()
}

/// First byte of every token: how the rest is laid out.
const FORMAT: u8 = 1;

/// Bytes around the message.
const FRAME: usize = 6;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use replicator::time::Timestamp;

    use super::*;

    #[test]
    fn tokens_survive_the_journey() {
        for task in [workflow_task(), activity_task()] {
            let token = TaskToken { task, ..task_token() };
            assert_eq!(TaskToken::decode(&token.encode()), Ok(token.clone()));
            assert_eq!(namespace_of(&token.encode()), Ok(token.workflow.namespace));
        }
        let query = query_token();
        assert_eq!(QueryToken::decode(&query.encode()), Ok(query.clone()));
        assert_eq!(namespace_of(&query.encode()), Ok(query.namespace));
        let history = history_token();
        for direction in [Direction::Forward, Direction::Reverse] {
            assert_eq!(HistoryToken::decode(direction, &history.encode(direction)), Ok(history.clone()));
        }
    }

    #[test]
    fn a_token_is_for_one_purpose() {
        let (task, query) = (task_token().encode(), query_token().encode());
        let (forward, reverse) =
            (history_token().encode(Direction::Forward), history_token().encode(Direction::Reverse));
        assert_eq!(QueryToken::decode(&task), Err(Malformed));
        assert_eq!(TaskToken::decode(&query), Err(Malformed));
        assert_eq!(HistoryToken::decode(Direction::Forward, &reverse), Err(Malformed));
        assert_eq!(HistoryToken::decode(Direction::Reverse, &forward), Err(Malformed));
        assert_eq!(namespace_of(&forward), Err(Malformed));
    }

    #[test]
    fn a_damaged_token_is_malformed() {
        let token = task_token().encode();
        for at in 0..token.len() {
            let mut damaged = token.to_vec();
            damaged[at] ^= 1;
            assert_eq!(TaskToken::decode(&damaged), Err(Malformed), "byte {at}");
            assert_eq!(TaskToken::decode(&token[..at]), Err(Malformed), "first {at} bytes");
        }
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_malformed() {
        let check = |first, end| {
            let token = HistoryToken { first: EventId(first), end: EventId(end), ..history_token() };
            assert_eq!(HistoryToken::decode(Direction::Forward, &token.encode(Direction::Forward)), Err(Malformed));
        };
        check(0, 5);
        check(-1, 5);
        check(6, 5);
        check(i64::MIN, i64::MAX);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(message in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..4) {
            let mut bytes = vec![FORMAT, b"TQHR"[kind]];
            bytes.extend(&message);
            bytes.extend(checksum(&bytes));
            for bytes in [&message, &bytes] {
                let _ = TaskToken::decode(bytes);
                let _ = QueryToken::decode(bytes);
                let _ = HistoryToken::decode(Direction::Forward, bytes);
                let _ = HistoryToken::decode(Direction::Reverse, bytes);
                let _ = namespace_of(bytes);
            }
        }

        #[test]
        fn no_message_makes_it_panic(
            ids in prop::array::uniform3("[0-9a-f-]{0,36}"),
            numbers in prop::array::uniform6(any::<i64>()),
            items in prop::collection::vec(any::<(i64, i64)>(), 0..4),
        ) {
            let run = "00000000-0000-4000-8000-000000000001".to_owned();
            let task = wire::TaskToken {
                namespace_id: run.clone(),
                workflow_id: ids[0].clone(),
                run_id: run.clone(),
                scheduled_event_id: numbers[0],
                started_event_id: numbers[1],
                started_time: Some(prost_types::Timestamp { seconds: numbers[2], nanos: numbers[3] as i32 }),
                attempt: numbers[4] as i32,
                version: numbers[5],
                ..Default::default()
            };
            prop_assert!(TaskToken::decode(&seal(Kind::Task, &task)).is_ok());
            let history = wire::HistoryToken {
                run_id: run,
                first_event_id: numbers[0],
                next_event_id: numbers[1],
                version_history: items.iter().map(|(event_id, version)| WireItem { event_id: *event_id, version: *version }).collect(),
                ..Default::default()
            };
            let _ = HistoryToken::decode(Direction::Forward, &seal(Kind::History, &history));
        }
    }

    fn task_token() -> TaskToken {
        let workflow = WorkflowKey { namespace: id(NamespaceId::parse), workflow: "order-1".into() };
        TaskToken { workflow, run: id(RunId::parse), task: workflow_task() }
    }

    fn workflow_task() -> TaskOf {
        TaskOf::Workflow(TaskClaim {
            scheduled: EventId(2),
            started: EventId(3),
            started_time: Timestamp(1_700_000_000_123_456_789),
            attempt: 1,
            version: FailoverVersion(11),
        })
    }

    fn activity_task() -> TaskOf {
        TaskOf::Activity { scheduled: EventId(5), attempt: 2, version: FailoverVersion(11), activity_id: "a".into() }
    }

    fn query_token() -> QueryToken {
        QueryToken { namespace: id(NamespaceId::parse), task_queue: "q".into(), query: "7".into() }
    }

    fn history_token() -> HistoryToken {
        HistoryToken {
            run: id(RunId::parse),
            first: EventId(4),
            end: EventId(9),
            is_open: true,
            branch: Bytes::from_static(b"branch"),
            versions: VersionHistory::new(VersionHistoryItem { event_id: EventId(8), version: FailoverVersion(1) }),
        }
    }

    fn id<I>(parse: fn(&str) -> Result<I, replicator::ids::MalformedId>) -> I {
        parse("00000000-0000-4000-8000-000000000001").unwrap_or_else(|_| panic!("an id"))
    }
}
