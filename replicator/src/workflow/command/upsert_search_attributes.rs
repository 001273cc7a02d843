//! Change the run's search attributes.
//!
//! Callers cannot define any yet, so only those that every namespace has may be set by a workflow: workers mark with
//! `TemporalChangeVersion` which versions of its code a workflow took.

use alloc::format;

use proto::temporal::api::{
    command::v1::UpsertWorkflowSearchAttributesCommandAttributes, enums::v1::WorkflowTaskFailedCause as Cause,
    history::v1::UpsertWorkflowSearchAttributesEventAttributes,
};

use super::{Completion, Refusal, check_size};
use crate::{history::event::Attributes, workflow::EventMeta};

const BAD: Cause = Cause::BadSearchAttributes;

impl Completion<'_, '_> {
    pub(super) fn upsert_search_attributes(
        &mut self,
        command: &UpsertWorkflowSearchAttributesCommandAttributes,
        meta: EventMeta,
    ) -> Result<(), Refusal> {
        let Some(upsert) = command.search_attributes.as_ref().filter(|upsert| !upsert.indexed_fields.is_empty()) else {
            return Err(Refusal::new(BAD, "SearchAttributes is not set on UpsertWorkflowSearchAttributesCommand."));
        };
        if let Some(name) = upsert.indexed_fields.keys().find(|name| !PREDEFINED.contains(&name.as_str())) {
            return Err(Refusal::new(BAD, format!("search attribute {name} is not defined")));
        }
        check_size(BAD, "UpsertWorkflowSearchAttributesCommandAttributes.SearchAttributes", Some(upsert))?;
        let attributes = UpsertWorkflowSearchAttributesEventAttributes {
            workflow_task_completed_event_id: self.event.0,
            search_attributes: Some(upsert.clone()),
        };
        self.transition.record_with(Attributes::UpsertWorkflowSearchAttributesEventAttributes(attributes), meta);
        self.transition.run.changes.visibility = true;
        Ok(())
    }
}

/// Search attributes that every namespace has and workflows may set.
const PREDEFINED: [&str; 1] = ["TemporalChangeVersion"];
