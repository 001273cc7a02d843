//! What a simulated workflow does: a short program in a start's input, replayed from history like any workflow's code.
//!
//! Written as a person would: `act:2 timer:300 signals:1 mark again act end` runs two activities, waits 300 ms, waits for a
//! signal, records a marker, continues as new with the rest, runs an activity and completes.

use std::{fmt, time::Duration};

use prost::Message;
use proto::temporal::api::{
    command::v1::{
        CancelWorkflowExecutionCommandAttributes, Command, CompleteWorkflowExecutionCommandAttributes,
        ContinueAsNewWorkflowExecutionCommandAttributes, FailWorkflowExecutionCommandAttributes,
        RecordMarkerCommandAttributes, ScheduleActivityTaskCommandAttributes, StartTimerCommandAttributes,
        command::Attributes,
    },
    common::v1::{ActivityType, Payload, Payloads, RetryPolicy, WorkflowType},
    enums::v1::CommandType,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    history::v1::{HistoryEvent, history_event::Attributes as Event},
    taskqueue::v1::TaskQueue,
};
use replicator::time::proto_duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The queue that every worker polls.
pub const QUEUE: &str = "errands";

/// A workflow's program.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Program(pub Vec<Do>);

/// One step of a program. The next begins when it is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Do {
    /// Run so many activities, side by side.
    Activities(u32),
    /// Wait.
    Timer(Duration),
    /// Wait until the run has had so many signals.
    Signals(u32),
    /// Record a marker.
    Mark,
    /// Continue as new with what follows.
    Again,
    /// Move so much in the ledger outside: an activity takes it from one account, and then another one puts it into the next.
    Pay(u32),
    /// Signal the workflow of this number, from an activity.
    Pass(u32),
    /// So many timers side by side, at multiples of a tenth of a second, and wait for all.
    Lattice(u32),
    /// Fail.
    Fail,
}

/// What an activity is for: its type and its input.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Errand {
    /// Nothing that anybody would notice.
    Plain,
    /// Take so much from an account.
    Withdraw(u32),
    /// Put so much into an account.
    Deposit(u32),
    /// Signal the workflow of this number.
    Pass(u32),
}

impl Errand {
    /// What an activity is for that was scheduled with this type and input.
    #[must_use]
    pub fn of(activity_type: &str, input: Option<&Payloads>) -> Self {
        let data = input.and_then(|input| input.payloads.first()).map(|payload| payload.data.clone());
        let number = data.and_then(|data| std::str::from_utf8(&data).ok()?.parse().ok()).unwrap_or_default();
        match activity_type {
            "withdraw" => Self::Withdraw(number),
            "deposit" => Self::Deposit(number),
            "pass" => Self::Pass(number),
            _ => Self::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "errand",
            Self::Withdraw(_) => "withdraw",
            Self::Deposit(_) => "deposit",
            Self::Pass(_) => "pass",
        }
    }

    fn input(self) -> Option<Payloads> {
        match self {
            Self::Plain => None,
            Self::Withdraw(number) | Self::Deposit(number) | Self::Pass(number) => {
                Some(payloads(number.to_string().into_bytes()))
            }
        }
    }
}

impl Program {
    /// What the worker answers to a workflow task with this history.
    #[must_use]
    pub fn decide<'a>(&self, history: impl IntoIterator<Item = &'a HistoryEvent>) -> Vec<Command> {
        let facts = Facts::of(history);
        if facts.cancel_requested {
            let attributes = CancelWorkflowExecutionCommandAttributes::default();
            return vec![command(
                CommandType::CancelWorkflowExecution,
                Attributes::CancelWorkflowExecutionCommandAttributes(attributes),
            )];
        }
        let mut commands = Vec::new();
        for (number, step) in self.0.iter().enumerate() {
            let is_done = match step {
                Do::Activities(count) => {
                    let all = (0..*count).map(|place| errand((number, place), Errand::Plain, &facts, &mut commands));
                    all.fold(true, |all, is_done| all & is_done)
                }
                Do::Pay(amount) => {
                    errand((number, 0), Errand::Withdraw(*amount), &facts, &mut commands)
                        && errand((number, 1), Errand::Deposit(*amount), &facts, &mut commands)
                }
                Do::Pass(to) => errand((number, 0), Errand::Pass(*to), &facts, &mut commands),
                Do::Timer(time) => timer(number.to_string(), *time, &facts, &mut commands),
                Do::Lattice(count) => {
                    let all = (1..=*count)
                        .map(|place| timer(format!("{number}.{place}"), GRID * place, &facts, &mut commands));
                    all.fold(true, |all, is_done| all & is_done)
                }
                Do::Signals(count) => facts.signals >= *count,
                Do::Mark => {
                    if facts.markers <= self.0[..number].iter().filter(|step| **step == Do::Mark).count() {
                        let attributes =
                            RecordMarkerCommandAttributes { marker_name: "mark".into(), ..Default::default() };
                        commands.push(command(
                            CommandType::RecordMarker,
                            Attributes::RecordMarkerCommandAttributes(attributes),
                        ));
                    }
                    true
                }
                Do::Again => {
                    commands.push(again(&Self(self.0[number + 1..].into())));
                    return commands;
                }
                Do::Fail => {
                    let attributes = FailWorkflowExecutionCommandAttributes { failure: Some(failure("it had to")) };
                    commands.push(command(
                        CommandType::FailWorkflowExecution,
                        Attributes::FailWorkflowExecutionCommandAttributes(attributes),
                    ));
                    return commands;
                }
            };
            if !is_done {
                return commands;
            }
        }
        let result = Some(payloads(facts.signals.to_string().into_bytes()));
        let attributes = CompleteWorkflowExecutionCommandAttributes { result };
        commands.push(command(
            CommandType::CompleteWorkflowExecution,
            Attributes::CompleteWorkflowExecutionCommandAttributes(attributes),
        ));
        commands
    }

    /// The program in the input of a start.
    #[must_use]
    pub fn of_input(input: Option<&Payloads>) -> Self {
        let data = input.and_then(|input| input.payloads.first()).map(|payload| payload.data.clone());
        let text = data.map(|data| String::from_utf8_lossy(&data).into_owned()).unwrap_or_default();
        Self::parse(&text).unwrap_or_default()
    }

    /// The input that holds this program.
    #[must_use]
    pub fn to_input(&self) -> Payloads {
        payloads(self.to_string().into_bytes())
    }

    /// A program as it is written; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let words = text.split_whitespace().filter(|word| *word != "end");
        words
            .map(|word| {
                let (name, number) = word.split_once(':').unwrap_or((word, "1"));
                let number: u32 = number.parse().ok()?;
                Some(match name {
                    "act" => Do::Activities(number),
                    "timer" => Do::Timer(Duration::from_millis(u64::from(number))),
                    "signals" => Do::Signals(number),
                    "mark" => Do::Mark,
                    "again" => Do::Again,
                    "pay" => Do::Pay(number),
                    "pass" => Do::Pass(number),
                    "lattice" => Do::Lattice(number),
                    "fail" => Do::Fail,
                    _ => return None,
                })
            })
            .collect::<Option<Vec<Do>>>()
            .map(Self)
    }
}

impl Serialize for Program {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is not a program")))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            match step {
                Do::Activities(count) => write!(f, "act:{count} ")?,
                Do::Timer(time) => write!(f, "timer:{} ", time.as_millis())?,
                Do::Signals(count) => write!(f, "signals:{count} ")?,
                Do::Mark => f.write_str("mark ")?,
                Do::Again => f.write_str("again ")?,
                Do::Pay(amount) => write!(f, "pay:{amount} ")?,
                Do::Pass(to) => write!(f, "pass:{to} ")?,
                Do::Lattice(count) => write!(f, "lattice:{count} ")?,
                Do::Fail => f.write_str("fail ")?,
            }
        }
        f.write_str("end")
    }
}

/// What a program reads in its history.
#[derive(Default)]
struct Facts<'a> {
    signals: u32,
    markers: usize,
    cancel_requested: bool,
    /// Names of activities that were scheduled, by the event that did.
    scheduled: Vec<(i64, &'a str)>,
    /// Scheduled events of activities that ended, and whether well.
    ended: Vec<(i64, bool)>,
    /// Names of timers that were started.
    timers: Vec<&'a str>,
    /// Names of timers that fired.
    fired: Vec<&'a str>,
}

impl<'a> Facts<'a> {
    fn of(history: impl IntoIterator<Item = &'a HistoryEvent>) -> Self {
        let mut facts = Self::default();
        for event in history {
            match event.attributes.as_ref() {
                Some(Event::WorkflowExecutionSignaledEventAttributes(_)) => facts.signals += 1,
                Some(Event::MarkerRecordedEventAttributes(_)) => facts.markers += 1,
                Some(Event::WorkflowExecutionCancelRequestedEventAttributes(_)) => facts.cancel_requested = true,
                Some(Event::ActivityTaskScheduledEventAttributes(a)) => {
                    facts.scheduled.push((event.event_id, &a.activity_id));
                }
                Some(Event::ActivityTaskCompletedEventAttributes(a)) => {
                    facts.ended.push((a.scheduled_event_id, true));
                }
                Some(Event::ActivityTaskFailedEventAttributes(a)) => facts.ended.push((a.scheduled_event_id, false)),
                Some(Event::ActivityTaskTimedOutEventAttributes(a)) => facts.ended.push((a.scheduled_event_id, false)),
                Some(Event::ActivityTaskCanceledEventAttributes(a)) => facts.ended.push((a.scheduled_event_id, false)),
                Some(Event::TimerStartedEventAttributes(a)) => facts.timers.push(&a.timer_id),
                Some(Event::TimerFiredEventAttributes(a)) => facts.fired.push(&a.timer_id),
                _ => {}
            }
        }
        facts
    }
}

/// Schedule an activity of a step if it is not under way, and again when it failed. Whether it is done.
fn errand(at: (usize, u32), errand: Errand, facts: &Facts<'_>, commands: &mut Vec<Command>) -> bool {
    let (step, place) = at;
    let prefix = format!("{step}.{place}.");
    let tries = facts.scheduled.iter().filter(|(_, name)| name.starts_with(&prefix));
    let ends: Vec<Option<bool>> = tries
        .map(|(event, _)| facts.ended.iter().find(|(scheduled, _)| scheduled == event).map(|(_, well)| *well))
        .collect();
    match ends.last() {
        Some(Some(true)) => return true,
        Some(None) => {}
        Some(Some(false)) | None => commands.push(activity(format!("{prefix}{}", ends.len()), errand)),
    }
    false
}

/// Start a timer. Whether it has fired.
fn timer(id: String, time: Duration, facts: &Facts<'_>, commands: &mut Vec<Command>) -> bool {
    if !facts.timers.contains(&id.as_str()) {
        let attributes =
            StartTimerCommandAttributes { timer_id: id.clone(), start_to_fire_timeout: Some(proto_duration(time)) };
        commands.push(command(CommandType::StartTimer, Attributes::StartTimerCommandAttributes(attributes)));
    }
    facts.fired.contains(&id.as_str())
}

fn activity(id: String, errand: Errand) -> Command {
    let attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: id,
        activity_type: Some(ActivityType { name: errand.name().into() }),
        input: errand.input(),
        task_queue: Some(queue()),
        start_to_close_timeout: Some(proto_duration(ACTIVITY_TIME)),
        heartbeat_timeout: Some(proto_duration(HEARTBEAT_TIME)),
        retry_policy: Some(RetryPolicy {
            initial_interval: Some(proto_duration(FIRST_RETRY)),
            maximum_interval: Some(proto_duration(LAST_RETRY)),
            backoff_coefficient: 2.0,
            ..RetryPolicy::default()
        }),
        ..ScheduleActivityTaskCommandAttributes::default()
    };
    command(CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(attributes))
}

fn again(rest: &Program) -> Command {
    let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
        workflow_type: Some(WorkflowType { name: "errand".into() }),
        task_queue: Some(queue()),
        input: Some(rest.to_input()),
        workflow_task_timeout: Some(proto_duration(WORKFLOW_TASK_TIME)),
        ..ContinueAsNewWorkflowExecutionCommandAttributes::default()
    };
    command(
        CommandType::ContinueAsNewWorkflowExecution,
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(attributes),
    )
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind.into(), attributes: Some(attributes), ..Command::default() }
}

/// The queue, as messages name it.
#[must_use]
pub fn queue() -> TaskQueue {
    TaskQueue { name: QUEUE.into(), ..TaskQueue::default() }
}

/// A failure of the application.
#[must_use]
pub fn failure(message: &str) -> Failure {
    let info = ApplicationFailureInfo { r#type: "simulated".into(), ..ApplicationFailureInfo::default() };
    Failure {
        message: message.into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Failure::default()
    }
}

/// One payload.
#[must_use]
pub fn payloads(data: Vec<u8>) -> Payloads {
    Payloads { payloads: vec![Payload { data: data.into(), ..Payload::default() }] }
}

/// The events of a batch.
#[must_use]
pub fn events(batch: &[u8]) -> Vec<HistoryEvent> {
    proto::temporal::api::history::v1::History::decode(batch).map(|history| history.events).unwrap_or_default()
}

/// How long an attempt of an activity may take.
const ACTIVITY_TIME: Duration = Duration::from_secs(4);
/// Timers of a lattice are multiples of this, so that many are due at the same moment.
const GRID: Duration = Duration::from_millis(100);
/// How long an activity may be silent.
const HEARTBEAT_TIME: Duration = Duration::from_secs(2);
/// When a failed activity is first tried again, and how far apart later attempts are at most.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
/// How long a worker may have a workflow task.
pub const WORKFLOW_TASK_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_as_it_is_written() {
        let text = "act:2 timer:300 signals:1 mark again act:1 pay:7 pass:3 lattice:4 fail end";
        assert_eq!(Program::parse(text).unwrap().to_string(), text);
        assert_eq!(Program::parse("dance"), None);
    }
}
