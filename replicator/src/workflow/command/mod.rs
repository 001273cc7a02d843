//! What a workflow decided, as its worker tells it with a completion (api 4): a file per command.
//!
//! Commands are carried out in order. The first that is refused fails the workflow task, and nothing of the completion
//! remains; the caller sees to that.

mod cancel_activity;
mod cancel_timer;
mod cancel_workflow;
mod complete_workflow;
mod continue_as_new;
mod fail_workflow;
mod modify_properties;
mod record_marker;
mod schedule_activity;
mod start_timer;
mod upsert_search_attributes;

use alloc::{format, string::String, vec::Vec};

use prost::Message;
use proto::temporal::api::{
    command::v1::{Command, command::Attributes},
    enums::v1::{CommandType, WorkflowTaskFailedCause as Cause},
};

use super::{EventMeta, draft::Transition, succession::Successor};
use crate::{ids::EventId, shard::io::Failure};

/// The commands of one completion at work.
pub(super) struct Completion<'s, 'd> {
    /// The run that decided.
    pub(super) transition: &'s mut Transition<'d>,
    /// The event of the completion.
    pub(super) event: EventId,
    /// The worker.
    pub(super) identity: &'s str,
    /// Buffered events that commands of this completion caused.
    pub(super) caused: usize,
    /// The run that is to follow, if a command closed this one so.
    pub(super) successor: Option<Successor>,
}

/// A command that cannot be carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    /// Why, for machines.
    pub(super) cause: Cause,
    /// Why, for people; empty when the cause says it all.
    pub(super) detail: String,
    /// Whether the run is terminated, because the next attempt could only do the same (api 3.8).
    pub(super) terminates: bool,
}

impl Refusal {
    fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), terminates: false }
    }

    /// What is written and what the worker is told.
    pub(super) fn message(&self) -> String {
        let cause = self.cause;
        if self.detail.is_empty() { format!("{cause:?}") } else { format!("{cause:?}: {}", self.detail) }
    }
}

/// Refuse lists that cannot be meant: a command that nobody knows, or anything after the run was closed.
pub(super) fn check_sequence(commands: &[Command]) -> Result<(), Failure> {
    let mut kinds = Vec::with_capacity(commands.len());
    for command in commands {
        match CommandType::try_from(command.command_type) {
            Ok(CommandType::Unspecified) => {
                return Err(Failure::InvalidArgument("unknown command type: Unspecified".into()));
            }
            Ok(kind) => kinds.push(kind),
            Err(_) => {
                return Err(Failure::InvalidArgument(format!("unknown command type: {}", command.command_type)));
            }
        }
    }
    let last = kinds.len().saturating_sub(1);
    match kinds.iter().take(last).find(|kind| closes(**kind)) {
        Some(kind) => Err(Failure::InvalidArgument(format!(
            "invalid command sequence: {kinds:?}, command {kind:?} must be the last command."
        ))),
        None => Ok(()),
    }
}

impl Completion<'_, '_> {
    /// Carry out a command.
    pub(super) fn execute(&mut self, command: &Command) -> Result<(), Refusal> {
        let before = self.transition.run.changes.events.len();
        self.route(command)?;
        // The batch has been open since the completion was written, so the command's events are the last of it.
        for event in &mut self.transition.run.changes.events[before..] {
            event.event_group_markers.clone_from(&command.event_group_markers);
        }
        Ok(())
    }

    fn route(&mut self, command: &Command) -> Result<(), Refusal> {
        let meta = EventMeta { user_metadata: command.user_metadata.clone(), ..EventMeta::default() };
        let attributes = command.attributes.as_ref();
        match (command.command_type(), attributes) {
            (CommandType::ScheduleActivityTask, Some(Attributes::ScheduleActivityTaskCommandAttributes(activity))) => {
                self.schedule_activity(activity, meta)
            }
            (
                CommandType::RequestCancelActivityTask,
                Some(Attributes::RequestCancelActivityTaskCommandAttributes(cancel)),
            ) => self.cancel_activity(cancel, meta),
            (CommandType::StartTimer, Some(Attributes::StartTimerCommandAttributes(timer))) => {
                self.start_timer(timer, meta)
            }
            (CommandType::CancelTimer, Some(Attributes::CancelTimerCommandAttributes(cancel))) => {
                self.cancel_timer(cancel, meta)
            }
            (CommandType::RecordMarker, Some(Attributes::RecordMarkerCommandAttributes(marker))) => {
                self.record_marker(marker, meta)
            }
            (
                CommandType::ModifyWorkflowProperties,
                Some(Attributes::ModifyWorkflowPropertiesCommandAttributes(properties)),
            ) => self.modify_properties(properties, meta),
            (
                CommandType::UpsertWorkflowSearchAttributes,
                Some(Attributes::UpsertWorkflowSearchAttributesCommandAttributes(upsert)),
            ) => self.upsert_search_attributes(upsert, meta),
            (
                CommandType::CompleteWorkflowExecution,
                Some(Attributes::CompleteWorkflowExecutionCommandAttributes(complete)),
            ) => self.complete_workflow(complete, meta),
            (CommandType::FailWorkflowExecution, Some(Attributes::FailWorkflowExecutionCommandAttributes(fail))) => {
                self.fail_workflow(fail, meta)
            }
            (
                CommandType::CancelWorkflowExecution,
                Some(Attributes::CancelWorkflowExecutionCommandAttributes(cancel)),
            ) => self.cancel_workflow(cancel, meta),
            (
                CommandType::ContinueAsNewWorkflowExecution,
                Some(Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(next)),
            ) => self.continue_as_new(next, meta),
            (kind, _) => Err(match handling(kind) {
                Handling::Built(cause) => {
                    Refusal::new(cause, format!("{kind:?}CommandAttributes is not set on {kind:?}Command."))
                }
                Handling::Refused(cause) => Refusal::new(cause, format!("{kind:?} is not supported")),
            }),
        }
    }

    /// A closing command must know of everything that happened; what waits in the buffer it does not (api 3.6), unless
    /// the commands before it are why it happened.
    fn require_nothing_unseen(&self) -> Result<(), Refusal> {
        if self.transition.run.state.local.buffered.len() == self.caused {
            Ok(())
        } else {
            Err(Refusal::new(Cause::UnhandledCommand, ""))
        }
    }
}

/// What becomes of a kind of command. The cause is that of a workflow task which fails over one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Handling {
    /// It is carried out.
    Built(Cause),
    /// It is not built, and refused by its name.
    Refused(Cause),
}

fn handling(kind: CommandType) -> Handling {
    use Handling::{Built, Refused};
    match kind {
        CommandType::Unspecified => Refused(Cause::Unspecified),
        CommandType::ScheduleActivityTask => Built(Cause::BadScheduleActivityAttributes),
        CommandType::RequestCancelActivityTask => Built(Cause::BadRequestCancelActivityAttributes),
        CommandType::StartTimer => Built(Cause::BadStartTimerAttributes),
        CommandType::CancelTimer => Built(Cause::BadCancelTimerAttributes),
        CommandType::RecordMarker => Built(Cause::BadRecordMarkerAttributes),
        CommandType::ModifyWorkflowProperties => Built(Cause::BadModifyWorkflowPropertiesAttributes),
        CommandType::UpsertWorkflowSearchAttributes => Built(Cause::BadSearchAttributes),
        CommandType::CompleteWorkflowExecution => Built(Cause::BadCompleteWorkflowExecutionAttributes),
        CommandType::FailWorkflowExecution => Built(Cause::BadFailWorkflowExecutionAttributes),
        CommandType::CancelWorkflowExecution => Built(Cause::BadCancelWorkflowExecutionAttributes),
        CommandType::ContinueAsNewWorkflowExecution => Built(Cause::BadContinueAsNewAttributes),
        CommandType::StartChildWorkflowExecution => Refused(Cause::BadStartChildExecutionAttributes),
        CommandType::SignalExternalWorkflowExecution => Refused(Cause::BadSignalWorkflowExecutionAttributes),
        CommandType::RequestCancelExternalWorkflowExecution => {
            Refused(Cause::BadRequestCancelExternalWorkflowExecutionAttributes)
        }
        CommandType::ProtocolMessage => Refused(Cause::BadUpdateWorkflowExecutionMessage),
        CommandType::ScheduleNexusOperation => Refused(Cause::BadScheduleNexusOperationAttributes),
        CommandType::RequestCancelNexusOperation => Refused(Cause::BadRequestCancelNexusOperationAttributes),
    }
}

fn closes(kind: CommandType) -> bool {
    matches!(
        kind,
        CommandType::CompleteWorkflowExecution
            | CommandType::FailWorkflowExecution
            | CommandType::CancelWorkflowExecution
            | CommandType::ContinueAsNewWorkflowExecution
    )
}

/// Refuse a name that is longer than names may be: this field of that command.
fn check_length(cause: Cause, (command, field): (&str, &str), name: &str) -> Result<(), Refusal> {
    if name.len() <= LONGEST_NAME {
        return Ok(());
    }
    let detail =
        format!("{field} on {command} exceeds length limit. {field}={name} Length={} Limit={LONGEST_NAME}", name.len());
    Err(Refusal::new(cause, detail))
}

/// What is wrong with the name of a task queue, which may be empty.
fn check_queue(name: &str) -> Result<(), &'static str> {
    if name.len() > LONGEST_NAME {
        Err("taskQueue length exceeds limit")
    } else if name.starts_with("/_sys/") {
        Err("task queue name cannot start with reserved prefix /_sys/")
    } else {
        Ok(())
    }
}

/// Terminate over a message that is larger than messages may be.
fn check_size(cause: Cause, what: &str, message: Option<&impl Message>) -> Result<(), Refusal> {
    check_bytes(cause, what, message.map_or(0, Message::encoded_len))
}

/// The same, when the size is known.
fn check_bytes(cause: Cause, what: &str, bytes: usize) -> Result<(), Refusal> {
    if bytes <= LARGEST_BLOB {
        return Ok(());
    }
    Err(Refusal { terminates: true, ..Refusal::new(cause, format!("{what} exceeds size limit.")) })
}

/// Bytes of an id, type or name (api 11.6).
const LONGEST_NAME: usize = 1000;
/// Bytes of payloads in one command (api 11.6).
const LARGEST_BLOB: usize = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString, vec};

    #[test]
    fn nothing_may_follow_a_closing_command() {
        check("StartTimer CompleteWorkflowExecution", Ok(()));
        check("", Ok(()));
        check(
            "CompleteWorkflowExecution StartTimer",
            Err(
                "invalid command sequence: [CompleteWorkflowExecution, StartTimer], command CompleteWorkflowExecution \
                 must be the last command.",
            ),
        );
        check("CancelTimer Unspecified", Err("unknown command type: Unspecified"));
        let unknown = Command { command_type: 77, ..Command::default() };
        let refusal = Failure::InvalidArgument("unknown command type: 77".to_string());
        assert_eq!(check_sequence(&[unknown]), Err(refusal));
    }

    #[test]
    fn every_kind_of_command_is_carried_out_or_refused_by_name() {
        let refused: vec::Vec<_> = kinds()
            .filter(|kind| matches!(handling(*kind), Handling::Refused(_)))
            .map(|kind| format!("{kind:?}"))
            .collect();
        let expected = "Unspecified RequestCancelExternalWorkflowExecution StartChildWorkflowExecution \
                        SignalExternalWorkflowExecution ProtocolMessage ScheduleNexusOperation \
                        RequestCancelNexusOperation";
        assert_eq!(refused.join(" "), expected);
    }

    #[track_caller]
    fn check(list: &str, expected: Result<(), &str>) {
        let command = |name: &str| {
            let kind = kinds().find(|kind| format!("{kind:?}") == name).unwrap();
            Command { command_type: kind.into(), ..Command::default() }
        };
        let commands: vec::Vec<_> = list.split_whitespace().map(command).collect();
        assert_eq!(check_sequence(&commands), expected.map_err(|text| Failure::InvalidArgument(text.to_string())));
    }

    fn kinds() -> impl Iterator<Item = CommandType> {
        (0..100).filter_map(|number| CommandType::try_from(number).ok())
    }
}
