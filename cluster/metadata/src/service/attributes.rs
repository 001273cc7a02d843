//! The search attributes that every namespace has (api 9.3).

use std::collections::BTreeMap;

use proto::temporal::api::enums::v1::IndexedValueType::{self, Bool, Datetime, Int, Keyword, KeywordList};

/// Every system and predefined search attribute with its type.
#[must_use]
pub fn system_search_attributes() -> BTreeMap<String, i32> {
    ATTRIBUTES.iter().map(|(name, kind)| ((*name).to_owned(), i32::from(*kind))).collect()
}

const ATTRIBUTES: [(&str, IndexedValueType); 33] = [
    ("WorkflowId", Keyword),
    ("RunId", Keyword),
    ("WorkflowType", Keyword),
    ("StartTime", Datetime),
    ("ExecutionTime", Datetime),
    ("CloseTime", Datetime),
    ("ExecutionStatus", Keyword),
    ("TaskQueue", Keyword),
    ("HistoryLength", Int),
    ("ExecutionDuration", Int),
    ("StateTransitionCount", Int),
    ("HistorySizeBytes", Int),
    ("ParentWorkflowId", Keyword),
    ("ParentRunId", Keyword),
    ("RootWorkflowId", Keyword),
    ("RootRunId", Keyword),
    ("TemporalChangeVersion", KeywordList),
    ("BinaryChecksums", KeywordList),
    ("BuildIds", KeywordList),
    ("BatcherNamespace", Keyword),
    ("BatcherUser", Keyword),
    ("TemporalScheduledStartTime", Datetime),
    ("TemporalScheduledById", Keyword),
    ("TemporalSchedulePaused", Bool),
    ("TemporalNamespaceDivision", Keyword),
    ("TemporalPauseInfo", KeywordList),
    ("TemporalReportedProblems", KeywordList),
    ("TemporalWorkerDeploymentVersion", Keyword),
    ("TemporalWorkerDeployment", Keyword),
    ("TemporalWorkflowVersioningBehavior", Keyword),
    ("TemporalUsedWorkerDeploymentVersions", KeywordList),
    ("TemporalExternalPayloadCount", Int),
    ("TemporalExternalPayloadSizeBytes", Int),
];
