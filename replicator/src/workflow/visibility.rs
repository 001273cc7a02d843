//! What lists and counts see of a run (api 9.8).

use alloc::{boxed::Box, string::ToString};

use prost::Message;
use proto::temporal::api::common::v1::{Memo, SearchAttributes, WorkflowExecution};

use super::MutableState;
use crate::shard::io::{VisibilityRecord, VisibilityWrite};

impl MutableState {
    /// The run at the top of the tree of children that this one is in; itself, if nobody's child.
    pub(super) fn root_execution(&self) -> WorkflowExecution {
        let root = self.execution.start.attributes.root_workflow_execution.clone();
        root.unwrap_or_else(|| WorkflowExecution {
            workflow_id: self.run.workflow.workflow.to_string(),
            run_id: self.run.run.to_string(),
        })
    }

    /// The run's record, as of now. Sizes are known once the run closed.
    pub(super) fn visibility(&self) -> VisibilityWrite {
        let execution = &self.execution;
        let start = &execution.start;
        let close = execution.close();
        let once_closed = |number: i64| if close.is_some() { number } else { 0 };
        VisibilityWrite::Put(Box::new(VisibilityRecord {
            run: self.run.clone(),
            workflow_type: start.workflow_type().to_string(),
            task_queue: start.task_queue().to_string(),
            status: execution.status().into(),
            start_time: self.began(),
            execution_time: self.execution_time(),
            close_time: close.map(|close| close.time),
            history_length: once_closed(self.next_event_id().previous().0),
            history_size: once_closed(self.local.history_size),
            state_transitions: once_closed(self.local.state_transitions),
            memo: Memo { fields: execution.memo.clone() }.encode_to_vec().into(),
            search_attributes: SearchAttributes { indexed_fields: execution.search_attributes.clone() }
                .encode_to_vec()
                .into(),
            parent: start.attributes.parent_workflow_execution.clone(),
            root: Some(self.root_execution()),
        }))
    }
}
