//! What the store keeps of runs, tasks and namespaces, and gives back after a release, a crash or a bad disk.

use bytes::Bytes;
use replicator::{
    history::Branch,
    ids::{EventId, RecordVersion, TaskId},
    namespace::stored,
    shard::io::{ItemKey, ItemKind, StoredRun},
    task::{HistoryTask, TaskKey},
    time::Timestamp,
    workflow::{MutableState, describe::describe},
};

use crate::{chunks::Chunks, world};

/// The kinds of a run's items; a chunk's tag counts them from 0.
pub const KINDS: [ItemKind; 6] = [
    ItemKind::Start,
    ItemKind::Activity,
    ItemKind::Timer,
    ItemKind::SignalRequest,
    ItemKind::Reapplied,
    ItemKind::Fate,
];

/// A run: its record, then items, tagged with their kind, the length of their key before key and value.
pub fn run_row(data: &[u8]) {
    let mut chunks = Chunks(data);
    let Some((_, state)) = chunks.next() else { return };
    let mut items = Vec::new();
    for (kind, item) in chunks {
        let kind = KINDS[usize::from(kind) % KINDS.len()];
        let Some((length, rest)) = item.split_first() else { continue };
        let length = usize::from(*length).min(rest.len());
        let (key, value) = (item.slice(1..=length), item.slice(1 + length..));
        items.push((ItemKey { kind, key }, value));
    }
    let stored = StoredRun { run: world::run(), record: RecordVersion(1), state, items };
    let Ok(run) = MutableState::decode(stored.clone()) else { return };
    let _ = describe(&run, &world::namespace(), world::NOW);
    let again = MutableState::decode(StoredRun { state: run.encode_record(), ..stored });
    assert_eq!(again.map(|again| again.digest()), Ok(run.digest()), "a record is read as it is written");
}

/// A task.
pub fn task_row(data: &[u8]) {
    let key = TaskKey { fire_time: Timestamp(7), id: TaskId(9) };
    let Ok(task) = HistoryTask::decode(key, Bytes::copy_from_slice(data)) else { return };
    assert_eq!(HistoryTask::decode(key, task.encode()), Ok(task), "a task is read as it is written");
}

/// A namespace.
pub fn namespace_row(data: &[u8]) {
    let Ok(namespace) = stored::decode(data) else { return };
    assert_eq!(stored::decode(&stored::encode(&namespace)), Ok(namespace), "a namespace is read as it is written");
}

/// A branch token, which peers send too.
pub fn branch(data: &[u8]) {
    let Ok(branch) = Branch::from_token(data) else { return };
    let _ = branch.ranges(EventId::FIRST, EventId(i64::MAX)).count();
    for range in &branch.ancestors {
        let _ = branch.ranges(range.begin.next(), range.end).count();
    }
    assert_eq!(Branch::from_token(&branch.token()), Ok(branch), "a branch token is read as it is written");
}
