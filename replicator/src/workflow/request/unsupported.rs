//! Fields that callers may fill in and that are not built. They are refused by name, never ignored.

use alloc::format;

use proto::temporal::api::workflowservice::v1::{
    SignalWithStartWorkflowExecutionRequest, StartWorkflowExecutionRequest,
};

use crate::shard::io::Failure;

/// What becomes of a field of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handling {
    /// It does what the API says.
    Built,
    /// Whoever fills it in is refused.
    Refused,
    /// It may be filled in and has no effect, for this reason.
    Ignored(&'static str),
}

use Handling::{Built, Ignored, Refused};

/// Every field of `StartWorkflowExecutionRequest`.
pub const START_FIELDS: [(&str, Handling); 29] = [
    ("namespace", Built),
    ("workflow_id", Built),
    ("workflow_type", Built),
    ("task_queue", Built),
    ("input", Built),
    ("workflow_execution_timeout", Built),
    ("workflow_run_timeout", Built),
    ("workflow_task_timeout", Built),
    ("identity", Built),
    ("request_id", Built),
    ("workflow_id_reuse_policy", Built),
    ("workflow_id_conflict_policy", Built),
    ("retry_policy", Built),
    ("cron_schedule", Refused),
    ("memo", Built),
    ("search_attributes", Refused),
    ("header", Built),
    ("request_eager_execution", Ignored("the server may decline, and always does")),
    ("continued_failure", Built),
    ("last_completion_result", Built),
    ("workflow_start_delay", Built),
    ("completion_callbacks", Refused),
    ("user_metadata", Built),
    ("links", Built),
    ("versioning_override", Refused),
    ("on_conflict_options", Refused),
    ("priority", Built),
    ("eager_worker_deployment_options", Ignored("it speaks of an eager first task, and there is none")),
    ("time_skipping_config", Refused),
];

/// Every field of `SignalWithStartWorkflowExecutionRequest`.
pub const SIGNAL_WITH_START_FIELDS: [(&str, Handling); 26] = [
    ("namespace", Built),
    ("workflow_id", Built),
    ("workflow_type", Built),
    ("task_queue", Built),
    ("input", Built),
    ("workflow_execution_timeout", Built),
    ("workflow_run_timeout", Built),
    ("workflow_task_timeout", Built),
    ("identity", Built),
    ("request_id", Built),
    ("workflow_id_reuse_policy", Built),
    ("workflow_id_conflict_policy", Built),
    ("signal_name", Built),
    ("signal_input", Built),
    ("control", Ignored("deprecated, and Temporal's server ignores it too")),
    ("retry_policy", Built),
    ("cron_schedule", Refused),
    ("memo", Built),
    ("search_attributes", Refused),
    ("header", Built),
    ("workflow_start_delay", Built),
    ("user_metadata", Built),
    ("links", Built),
    ("versioning_override", Refused),
    ("priority", Built),
    ("time_skipping_config", Refused),
];

/// Refuse a start that fills in what is not built.
///
/// # Errors
///
/// [`Failure::Unimplemented`], naming the first such field.
pub fn check_start_fields(request: &StartWorkflowExecutionRequest) -> Result<(), Failure> {
    let conflict = request.on_conflict_options.as_ref();
    let attaches = conflict.is_some_and(|o| o.attach_request_id || o.attach_completion_callbacks || o.attach_links);
    refuse_filled(&[
        ("cron_schedule", !request.cron_schedule.is_empty()),
        (
            "search_attributes",
            request.search_attributes.as_ref().is_some_and(|fields| !fields.indexed_fields.is_empty()),
        ),
        ("completion_callbacks", !request.completion_callbacks.is_empty()),
        ("versioning_override", request.versioning_override.is_some()),
        ("on_conflict_options", attaches),
        ("time_skipping_config", request.time_skipping_config.is_some()),
    ])
}

/// Refuse a signal-with-start that fills in what is not built.
///
/// # Errors
///
/// [`Failure::Unimplemented`], naming the first such field.
pub fn check_signal_with_start_fields(request: &SignalWithStartWorkflowExecutionRequest) -> Result<(), Failure> {
    refuse_filled(&[
        ("cron_schedule", !request.cron_schedule.is_empty()),
        (
            "search_attributes",
            request.search_attributes.as_ref().is_some_and(|fields| !fields.indexed_fields.is_empty()),
        ),
        ("versioning_override", request.versioning_override.is_some()),
        ("time_skipping_config", request.time_skipping_config.is_some()),
    ])
}

fn refuse_filled(fields: &[(&str, bool)]) -> Result<(), Failure> {
    match fields.iter().find(|(_, is_filled)| *is_filled) {
        Some((field, _)) => Err(Failure::Unimplemented(format!("{field} is not supported"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use proto::temporal::api::{
        common::v1::{Callback, Payload, SearchAttributes, TimeSkippingConfig},
        workflow::v1::{OnConflictOptions, VersioningOverride},
    };
    use std::{
        collections::BTreeSet,
        string::{String, ToString},
        vec,
    };

    #[test]
    fn the_tables_name_every_field() {
        assert_eq!(fields(&StartWorkflowExecutionRequest::default()), names(&START_FIELDS));
        assert_eq!(fields(&SignalWithStartWorkflowExecutionRequest::default()), names(&SIGNAL_WITH_START_FIELDS));
    }

    #[test]
    fn each_refused_field_is_refused_by_its_name() {
        type Fill = fn(&mut StartWorkflowExecutionRequest);
        let fills: [(&str, Fill); 6] = [
            ("cron_schedule", |r| r.cron_schedule = "* * * * *".to_string()),
            ("search_attributes", |r| r.search_attributes = Some(one_search_attribute())),
            ("completion_callbacks", |r| r.completion_callbacks = vec![Callback::default()]),
            ("versioning_override", |r| r.versioning_override = Some(VersioningOverride::default())),
            ("on_conflict_options", |r| {
                r.on_conflict_options = Some(OnConflictOptions { attach_links: true, ..Default::default() });
            }),
            ("time_skipping_config", |r| r.time_skipping_config = Some(TimeSkippingConfig::default())),
        ];
        for (field, fill) in fills {
            let mut request = StartWorkflowExecutionRequest::default();
            fill(&mut request);
            let refusal = Failure::Unimplemented(format!("{field} is not supported"));
            assert_eq!(check_start_fields(&request), Err(refusal));
        }
        let refused: BTreeSet<_> =
            START_FIELDS.iter().filter(|(_, how)| *how == Refused).map(|(name, _)| *name).collect();
        assert_eq!(refused, fills.iter().map(|(name, _)| *name).collect());
    }

    #[test]
    fn an_empty_message_asks_for_nothing_unbuilt() {
        assert_eq!(check_start_fields(&StartWorkflowExecutionRequest::default()), Ok(()));
        assert_eq!(check_signal_with_start_fields(&SignalWithStartWorkflowExecutionRequest::default()), Ok(()));
        let empty = SearchAttributes::decode(&[][..]).unwrap();
        let request = StartWorkflowExecutionRequest { search_attributes: Some(empty), ..Default::default() };
        assert_eq!(check_start_fields(&request), Ok(()));
    }

    #[test]
    fn a_signal_with_start_refuses_what_a_start_refuses() {
        let refuses = |field: &str| START_FIELDS.iter().any(|(name, how)| *name == field && *how == Refused);
        for (field, how) in SIGNAL_WITH_START_FIELDS {
            assert_eq!(how == Refused, refuses(field), "{field}");
        }
    }

    fn names(table: &[(&'static str, Handling)]) -> BTreeSet<String> {
        table.iter().map(|(name, _)| name.to_string()).collect()
    }

    /// The names of a message's fields, as its debug form shows them; an empty message has nothing nested.
    fn fields(message: &impl core::fmt::Debug) -> BTreeSet<String> {
        let text = format!("{message:?}");
        let inner = text.split_once(" { ").unwrap().1.trim_end_matches(" }");
        inner.split(", ").map(|field| field.split_once(": ").unwrap().0.to_string()).collect()
    }

    fn one_search_attribute() -> SearchAttributes {
        SearchAttributes { indexed_fields: [("A".to_string(), Payload::default())].into() }
    }
}
