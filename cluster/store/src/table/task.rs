//! `task`: what is to be done.
//!
//! Key: shard, category, fire time, task id: a queue is a stretch, in its order, and grows at its end.

use bytes::Bytes;
use replicator::{
    ids::{ShardId, TaskId},
    task::{Category, TaskKey},
    time::Timestamp,
};

use super::{Columns, Malformed, Record, Values, bytes, column};

/// The key of a task.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) shard: ShardId,
    pub(crate) category: Category,
    pub(crate) key: TaskKey,
}

/// A row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) body: Bytes,
}

/// The stored number of a category. They are on disk.
pub(crate) fn number(category: Category) -> i64 {
    match category {
        Category::Transfer => 1,
        Category::Timer => 2,
        Category::Replication => 3,
        Category::Visibility => 4,
        Category::Quarantine => 16,
        Category::Divergence => 17,
        Category::Tombstone => 18,
    }
}

impl super::Key for Key {
    const TABLE: &'static str = Row::TABLE;
    const KEY: &'static str = "(shard, category, fire_time, id)";
    const COLUMNS: usize = 4;

    fn bind(&self, into: &mut Values) {
        into.add(i64::from(self.shard.0)).add(number(self.category)).add(self.key.fire_time.0).add(self.key.id.0);
    }
}

impl Record for Row {
    const TABLE: &'static str = "task";
    const COLUMNS: usize = 5;

    fn bind(self, into: &mut Values) {
        super::Key::bind(&self.key, into);
        into.add(self.body);
    }
}

/// Read `fire_time, id, body`.
pub(crate) fn read(row: &impl Columns) -> Result<(TaskKey, Bytes), Malformed> {
    Ok((TaskKey { fire_time: Timestamp(column(row, 0)?), id: TaskId(column(row, 1)?) }, bytes(row, 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::malformed;

    #[test]
    fn a_row_is_read_as_written() {
        let all = [
            Category::Transfer,
            Category::Timer,
            Category::Replication,
            Category::Visibility,
            Category::Quarantine,
            Category::Divergence,
            Category::Tombstone,
        ];
        for category in all {
            assert_eq!(number(category), category as i64, "the number of the core is the stored number");
            let key = TaskKey { fire_time: Timestamp(i64::MAX), id: TaskId(8) };
            let key = Key { shard: ShardId(2), category, key };
            super::super::round_trip::check(Row { key, body: Bytes::from_static(b"body") }, |row| {
                let stored = column::<i64>(row, 1)?;
                let category = all.into_iter().find(|category| number(*category) == stored);
                Ok(Row {
                    key: Key {
                        shard: ShardId(column(row, 0)?),
                        category: category.ok_or_else(|| malformed(1, "category"))?,
                        key: TaskKey { fire_time: Timestamp(column(row, 2)?), id: TaskId(column(row, 3)?) },
                    },
                    body: bytes(row, 4)?,
                })
            });
        }
    }
}
