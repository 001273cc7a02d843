//! System attributes (api 9.3).

use replicator::shard::io::VisibilityRecord;

use super::Value;

/// What a run can be found by.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[allow(missing_docs, reason = "the names are the public ones")]
pub enum Attribute {
    WorkflowId = 1,
    RunId = 2,
    WorkflowType = 3,
    StartTime = 4,
    ExecutionTime = 5,
    CloseTime = 6,
    ExecutionStatus = 7,
    TaskQueue = 8,
    HistoryLength = 9,
    ExecutionDuration = 10,
    StateTransitionCount = 11,
    HistorySizeBytes = 12,
    ParentWorkflowId = 13,
    ParentRunId = 14,
    RootWorkflowId = 15,
    RootRunId = 16,
}

/// What the values of an attribute are, and so which literals and operators it takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Text, compared byte by byte.
    Keyword,
    /// A whole number.
    Int,
    /// A time: RFC 3339, or nanoseconds since the epoch.
    Datetime,
    /// A duration: Go's notation, `hh:mm:ss`, or nanoseconds.
    Duration,
    /// A status: its name or number.
    Status,
}

impl Attribute {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::WorkflowId,
        Self::RunId,
        Self::WorkflowType,
        Self::StartTime,
        Self::ExecutionTime,
        Self::CloseTime,
        Self::ExecutionStatus,
        Self::TaskQueue,
        Self::HistoryLength,
        Self::ExecutionDuration,
        Self::StateTransitionCount,
        Self::HistorySizeBytes,
        Self::ParentWorkflowId,
        Self::ParentRunId,
        Self::RootWorkflowId,
        Self::RootRunId,
    ];

    /// What callers write.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WorkflowId => "WorkflowId",
            Self::RunId => "RunId",
            Self::WorkflowType => "WorkflowType",
            Self::StartTime => "StartTime",
            Self::ExecutionTime => "ExecutionTime",
            Self::CloseTime => "CloseTime",
            Self::ExecutionStatus => "ExecutionStatus",
            Self::TaskQueue => "TaskQueue",
            Self::HistoryLength => "HistoryLength",
            Self::ExecutionDuration => "ExecutionDuration",
            Self::StateTransitionCount => "StateTransitionCount",
            Self::HistorySizeBytes => "HistorySizeBytes",
            Self::ParentWorkflowId => "ParentWorkflowId",
            Self::ParentRunId => "ParentRunId",
            Self::RootWorkflowId => "RootWorkflowId",
            Self::RootRunId => "RootRunId",
        }
    }

    /// The attribute of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    /// What its values are.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::WorkflowId
            | Self::RunId
            | Self::WorkflowType
            | Self::TaskQueue
            | Self::ParentWorkflowId
            | Self::ParentRunId
            | Self::RootWorkflowId
            | Self::RootRunId => Kind::Keyword,
            Self::StartTime | Self::ExecutionTime | Self::CloseTime => Kind::Datetime,
            Self::ExecutionStatus => Kind::Status,
            Self::ExecutionDuration => Kind::Duration,
            Self::HistoryLength | Self::StateTransitionCount | Self::HistorySizeBytes => Kind::Int,
        }
    }

    /// Whether its values are text and not numbers.
    #[must_use]
    pub fn is_text(self) -> bool {
        self.kind() == Kind::Keyword
    }

    /// Its value in a record.
    #[must_use]
    pub fn of(self, record: &VisibilityRecord) -> Option<Value> {
        let closed = |value: i64| record.close_time.map(|_| Value::Number(value));
        let text = |value: &str| Some(Value::Text(value.to_owned()));
        match self {
            Self::WorkflowId => text(record.run.workflow.workflow.as_str()),
            Self::RunId => text(&record.run.run.to_string()),
            Self::WorkflowType => text(&record.workflow_type),
            Self::StartTime => Some(Value::Number(record.start_time.0)),
            Self::ExecutionTime => Some(Value::Number(record.execution_time.0)),
            Self::CloseTime => record.close_time.map(|time| Value::Number(time.0)),
            Self::ExecutionStatus => Some(Value::Number(record.status.into())),
            Self::TaskQueue => text(&record.task_queue),
            Self::HistoryLength => closed(record.history_length),
            Self::ExecutionDuration => {
                record.close_time.map(|time| Value::Number(time.0.saturating_sub(record.execution_time.0)))
            }
            Self::StateTransitionCount => closed(record.state_transitions),
            Self::HistorySizeBytes => closed(record.history_size),
            Self::ParentWorkflowId => record.parent.as_ref().and_then(|parent| text(&parent.workflow_id)),
            Self::ParentRunId => record.parent.as_ref().and_then(|parent| text(&parent.run_id)),
            Self::RootWorkflowId => record.root.as_ref().and_then(|root| text(&root.workflow_id)),
            Self::RootRunId => record.root.as_ref().and_then(|root| text(&root.run_id)),
        }
    }
}
