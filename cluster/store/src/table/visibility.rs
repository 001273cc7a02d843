//! `visibility`: what lists and counts see.
//!
//! Key: namespace, close time (open runs: the end of time), start time, run id: the order of lists, read backwards. So the
//! table needs no index, and a run that closes moves.

use proto::temporal::api::common::v1::WorkflowExecution;
use replicator::{
    ids::{NamespaceId, RunId, RunKey, WorkflowId, WorkflowKey},
    shard::io::VisibilityRecord,
    time::Timestamp,
};

use super::{Columns, Malformed, Record, Values, bytes, column, run::Listed, sixteen};

/// The key of a record.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Key {
    pub(crate) namespace: NamespaceId,
    pub(crate) listed: Listed,
    pub(crate) run: RunId,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row(pub(crate) Box<VisibilityRecord>);

/// All columns, for `SELECT`.
pub(crate) const COLUMNS: &str = "namespace, closed, started, run, workflow, type, queue, status, execution, length, \
                                  size, transitions, parent_workflow, parent_run, root_workflow, root_run, memo, search";

/// Where a record stands.
pub(crate) fn listed(record: &VisibilityRecord) -> Listed {
    Listed { closed: record.close_time.unwrap_or(Timestamp::MAX).0, started: record.start_time.0 }
}

impl super::Key for Key {
    const TABLE: &'static str = Row::TABLE;
    const KEY: &'static str = "(namespace, closed, started, run)";
    const COLUMNS: usize = 4;

    fn bind(&self, into: &mut Values) {
        into.id(self.namespace.as_bytes()).add(self.listed.closed).add(self.listed.started);
        into.id(self.run.as_bytes());
    }
}

impl Record for Row {
    const TABLE: &'static str = "visibility";
    const COLUMNS: usize = 18;

    fn bind(self, into: &mut Values) {
        let record = *self.0;
        let namespace = record.run.workflow.namespace;
        super::Key::bind(&Key { namespace, listed: listed(&record), run: record.run.run }, into);
        // What is known once a run closed is nothing before, so that a filter does not find it.
        let closed = record.close_time.is_some();
        into.add(record.run.workflow.workflow.0).add(record.workflow_type).add(record.task_queue).add(record.status);
        into.add(record.execution_time.0);
        into.add(closed.then_some(record.history_length));
        into.add(closed.then_some(record.history_size));
        into.add(closed.then_some(record.state_transitions));
        for execution in [record.parent, record.root] {
            let (workflow, run) = execution.map(|named| (named.workflow_id, named.run_id)).unzip();
            into.add(workflow).add(run);
        }
        into.add(record.memo).add(record.search_attributes);
    }
}

impl Row {
    /// Read [`COLUMNS`].
    pub(crate) fn read(row: &impl Columns) -> Result<Self, Malformed> {
        let closed = Timestamp(column(row, 1)?);
        let execution = |at: usize| -> Result<_, Malformed> {
            let workflow = column::<Option<String>>(row, at)?;
            let run = column::<Option<String>>(row, at + 1)?;
            Ok(workflow.zip(run).map(|(workflow_id, run_id)| WorkflowExecution { workflow_id, run_id }))
        };
        let known_later = |at: usize| column::<Option<i64>>(row, at).map(Option::unwrap_or_default);
        let workflow = WorkflowId::from(column::<String>(row, 4)?);
        Ok(Self(Box::new(VisibilityRecord {
            run: RunKey {
                workflow: WorkflowKey { namespace: NamespaceId::from_bytes(sixteen(row, 0)?), workflow },
                run: RunId::from_bytes(sixteen(row, 3)?),
            },
            start_time: Timestamp(column(row, 2)?),
            close_time: (closed != Timestamp::MAX).then_some(closed),
            workflow_type: column(row, 5)?,
            task_queue: column(row, 6)?,
            status: column(row, 7)?,
            execution_time: Timestamp(column(row, 8)?),
            history_length: known_later(9)?,
            history_size: known_later(10)?,
            state_transitions: known_later(11)?,
            parent: execution(12)?,
            root: execution(14)?,
            memo: bytes(row, 16)?,
            search_attributes: bytes(row, 17)?,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::bytes::Bytes;
    use uuid::Uuid;

    #[test]
    fn a_row_is_read_as_written() {
        let workflow = WorkflowKey { namespace: NamespaceId(Uuid::from_u128(1)), workflow: "w".into() };
        let open = VisibilityRecord {
            run: RunKey { workflow, run: RunId(Uuid::from_u128(2)) },
            workflow_type: "type".into(),
            task_queue: "queue".into(),
            status: 1,
            start_time: Timestamp(5),
            execution_time: Timestamp(6),
            close_time: None,
            history_length: 0,
            history_size: 0,
            state_transitions: 0,
            memo: Bytes::new(),
            search_attributes: Bytes::from_static(b"search"),
            parent: None,
            root: Some(WorkflowExecution { workflow_id: "root".into(), run_id: String::new() }),
        };
        let closed = VisibilityRecord {
            close_time: Some(Timestamp(9)),
            status: 2,
            history_length: 11,
            history_size: 1 << 33,
            state_transitions: 7,
            ..open.clone()
        };
        for record in [open, closed] {
            super::super::round_trip::check(Row(Box::new(record)), Row::read);
        }
    }
}
