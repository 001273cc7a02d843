//! All runs of a namespace, in the order of their names.

use bytes::Bytes;
use replicator::ids::{NamespaceId, RecordVersion, RunId, WorkflowId};

use super::read::{self, Readers};
use crate::{
    ScannedRun, Unavailable,
    table::{self, bytes, column, sixteen},
};

/// A name may stand for a tree whose run is gone; the pointer of a workflow is the name with an empty run.
const RUNS: &str = "SELECT n.workflow, n.run, r.record, r.state, ifnull(c.row = n.row, 0) \
    FROM name AS n CROSS JOIN run AS r ON r.row = n.row \
    LEFT JOIN name AS c ON c.namespace = n.namespace AND c.workflow = n.workflow AND c.run = x'' \
    WHERE n.namespace = ? AND (n.workflow, n.run) > (?, ?) AND n.run <> x'' ORDER BY n.workflow, n.run LIMIT ?";

pub(super) async fn runs(
    readers: &Readers,
    namespace: NamespaceId,
    after: Option<(&WorkflowId, RunId)>,
    limit: usize,
) -> Result<Vec<ScannedRun>, Unavailable> {
    let (workflow, run) =
        after.map_or(("", Bytes::new()), |(workflow, run)| (workflow.as_str(), Bytes::copy_from_slice(run.as_bytes())));
    let mut values = table::Values::default();
    values.id(namespace.as_bytes()).add(workflow).add(run);
    values.add(i64::try_from(limit).unwrap_or(i64::MAX));
    read::table(readers, RUNS, values, |row| {
        Ok(ScannedRun {
            workflow: WorkflowId::from(column::<String>(row, 0)?),
            run: RunId::from_bytes(sixteen(row, 1)?),
            record: RecordVersion(column(row, 2)?),
            state: bytes(row, 3)?,
            is_current: column(row, 4)?,
        })
    })
    .await
}
