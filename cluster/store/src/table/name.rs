//! `name`: which row a run has, and which run of a workflow is current.
//!
//! Key: namespace, workflow id, run id. The current-run pointer is the entry with an empty run id, so that a start, which
//! writes both, writes one page. An entry may stand for a tree whose run is gone, because another run reads its events.

use bytes::Bytes;
use replicator::ids::{RunId, WorkflowKey};

use super::{Record, Values};

/// The key of an entry; `None` is the pointer.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) workflow: WorkflowKey,
    pub(crate) run: Option<RunId>,
}

/// A row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) row: i64,
}

impl super::Key for Key {
    const TABLE: &'static str = Row::TABLE;
    const KEY: &'static str = "(namespace, workflow, run)";
    const COLUMNS: usize = 3;

    fn bind(&self, into: &mut Values) {
        into.id(self.workflow.namespace.as_bytes());
        into.add(self.workflow.workflow.0.clone());
        into.add(self.run.map_or(Bytes::new(), |run| Bytes::copy_from_slice(run.as_bytes())));
    }
}

impl Record for Row {
    const TABLE: &'static str = "name";
    const COLUMNS: usize = 4;

    fn bind(self, into: &mut Values) {
        super::Key::bind(&self.key, into);
        into.add(self.row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{bytes, column, sixteen};
    use replicator::ids::{NamespaceId, WorkflowId};
    use uuid::Uuid;

    #[test]
    fn a_row_is_read_as_written() {
        let workflow = WorkflowKey { namespace: NamespaceId(Uuid::from_u128(1)), workflow: "a 'workflow'".into() };
        for run in [None, Some(RunId(Uuid::from_u128(2)))] {
            let row = Row { key: Key { workflow: workflow.clone(), run }, row: 1 << 40 };
            super::super::round_trip::check(row, |row| {
                let namespace = NamespaceId::from_bytes(sixteen(row, 0)?);
                let workflow = WorkflowKey { namespace, workflow: WorkflowId::from(column::<String>(row, 1)?) };
                let run = bytes(row, 2)?.as_ref().try_into().ok().map(RunId::from_bytes);
                Ok(Row { key: Key { workflow, run }, row: column(row, 3)? })
            });
        }
    }
}
