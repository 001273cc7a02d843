//! Lists and counts of runs (api 9).

use bytes::Bytes;
use prost::Message;
use proto::temporal::api::{
    common::v1::{Memo, Payload, SearchAttributes, WorkflowExecution, WorkflowType},
    enums::v1::WorkflowExecutionStatus as Status,
    filter::v1::{StartTimeFilter, StatusFilter, WorkflowExecutionFilter, WorkflowTypeFilter},
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::{
        CountWorkflowExecutionsRequest, CountWorkflowExecutionsResponse, ListClosedWorkflowExecutionsRequest,
        ListClosedWorkflowExecutionsResponse, ListOpenWorkflowExecutionsRequest, ListOpenWorkflowExecutionsResponse,
        ListWorkflowExecutionsRequest, ListWorkflowExecutionsResponse, ScanWorkflowExecutionsRequest,
        ScanWorkflowExecutionsResponse, count_workflow_executions_response::AggregationGroup,
        list_closed_workflow_executions_request::Filters as ClosedFilters,
        list_open_workflow_executions_request::Filters as OpenFilters,
    },
};
use replicator::{
    shard::io::{Failure, VisibilityRecord},
    time::{Timestamp, proto_duration},
};
use store::visibility::{Count, Page, VisibilityError};

use super::Call;
use crate::{
    errors::{Error, camel_case},
    frontend::Frontend,
};

pub(super) async fn list(
    frontend: &Frontend,
    call: Call<'_>,
    request: ListWorkflowExecutionsRequest,
) -> Result<ListWorkflowExecutionsResponse, Error> {
    let (executions, next_page_token) =
        page(frontend, call, &request.query, request.page_size, &request.next_page_token).await?;
    Ok(ListWorkflowExecutionsResponse { executions, next_page_token })
}

pub(super) async fn scan(
    frontend: &Frontend,
    call: Call<'_>,
    request: ScanWorkflowExecutionsRequest,
) -> Result<ScanWorkflowExecutionsResponse, Error> {
    let (executions, next_page_token) =
        page(frontend, call, &request.query, request.page_size, &request.next_page_token).await?;
    Ok(ScanWorkflowExecutionsResponse { executions, next_page_token })
}

pub(super) async fn list_open(
    frontend: &Frontend,
    call: Call<'_>,
    request: ListOpenWorkflowExecutionsRequest,
) -> Result<ListOpenWorkflowExecutionsResponse, Error> {
    let query = open_query(&request)?;
    let (executions, next_page_token) =
        page(frontend, call, &query, request.maximum_page_size, &request.next_page_token).await?;
    Ok(ListOpenWorkflowExecutionsResponse { executions, next_page_token })
}

pub(super) async fn list_closed(
    frontend: &Frontend,
    call: Call<'_>,
    request: ListClosedWorkflowExecutionsRequest,
) -> Result<ListClosedWorkflowExecutionsResponse, Error> {
    let query = closed_query(&request)?;
    let (executions, next_page_token) =
        page(frontend, call, &query, request.maximum_page_size, &request.next_page_token).await?;
    Ok(ListClosedWorkflowExecutionsResponse { executions, next_page_token })
}

pub(super) async fn count(
    frontend: &Frontend,
    call: Call<'_>,
    request: CountWorkflowExecutionsRequest,
) -> Result<CountWorkflowExecutionsResponse, Error> {
    let counted = frontend.lists.count(call.id(), &request.query).await.map_err(refused)?;
    Ok(counts(counted))
}

async fn page(
    frontend: &Frontend,
    call: Call<'_>,
    query: &str,
    size: i32,
    token: &[u8],
) -> Result<(Vec<WorkflowExecutionInfo>, Bytes), Error> {
    // The store reads zero as "as many as fit".
    let size = usize::try_from(size).unwrap_or(0);
    let Page { records, next } = frontend.lists.list(call.id(), query, size, token).await.map_err(refused)?;
    Ok((records.into_iter().map(info).collect(), next))
}

fn refused(error: VisibilityError) -> Error {
    match error {
        VisibilityError::InvalidArgument(message) => Error::invalid(message),
        VisibilityError::Unavailable(cause) => Failure::Unavailable(cause.to_string()).into(),
    }
}

/// What a list tells of a run.
fn info(record: VisibilityRecord) -> WorkflowExecutionInfo {
    let close_time = record.close_time;
    WorkflowExecutionInfo {
        execution: Some(WorkflowExecution {
            workflow_id: record.run.workflow.workflow.to_string(),
            run_id: record.run.run.to_string(),
        }),
        r#type: Some(WorkflowType { name: record.workflow_type }),
        start_time: Some(record.start_time.into()),
        close_time: close_time.map(Into::into),
        status: record.status,
        history_length: record.history_length,
        parent_execution: record.parent,
        execution_time: Some(record.execution_time.into()),
        // Both were encoded by this cluster; unreadable ones are not worth failing a list for.
        memo: Some(Memo::decode(record.memo).unwrap_or_default()),
        search_attributes: Some(SearchAttributes::decode(record.search_attributes).unwrap_or_default()),
        task_queue: record.task_queue,
        state_transition_count: record.state_transitions,
        history_size_bytes: record.history_size,
        execution_duration: close_time.map(|close| proto_duration(close.since(record.execution_time))),
        root_execution: record.root,
        ..Default::default()
    }
}

/// Counts, with the name of each group's status as a search attribute (api 9.6).
fn counts(count: Count) -> CountWorkflowExecutionsResponse {
    let groups = count.groups.unwrap_or_default().into_iter().map(|(status, count)| {
        let name = Status::try_from(status).unwrap_or_default();
        let name = camel_case(name.as_str_name(), "WORKFLOW_EXECUTION_STATUS_");
        let metadata = [("encoding", "json/plain"), ("type", "Keyword")];
        let value = Payload {
            metadata: metadata.map(|(key, value)| (key.to_owned(), Bytes::from_static(value.as_bytes()))).into(),
            data: format!("\"{name}\"").into(),
            ..Default::default()
        };
        AggregationGroup { group_values: vec![value], count }
    });
    CountWorkflowExecutionsResponse { count: count.total, groups: groups.collect() }
}

/// Open runs, in the words of a list query.
fn open_query(request: &ListOpenWorkflowExecutionsRequest) -> Result<String, Error> {
    let mut terms = vec!["ExecutionStatus = 'Running'".to_owned()];
    terms.extend(range("StartTime", request.start_time_filter.as_ref())?);
    match &request.filters {
        Some(OpenFilters::ExecutionFilter(filter)) => terms.extend(of_execution(filter)?),
        Some(OpenFilters::TypeFilter(filter)) => terms.extend(of_type(filter)?),
        None => {}
    }
    Ok(terms.join(" AND "))
}

/// Closed runs, in the words of a list query. What the API calls a filter by start time is one by close time.
fn closed_query(request: &ListClosedWorkflowExecutionsRequest) -> Result<String, Error> {
    let mut terms = vec!["ExecutionStatus != 'Running'".to_owned()];
    terms.extend(range("CloseTime", request.start_time_filter.as_ref())?);
    match &request.filters {
        Some(ClosedFilters::ExecutionFilter(filter)) => terms.extend(of_execution(filter)?),
        Some(ClosedFilters::TypeFilter(filter)) => terms.extend(of_type(filter)?),
        Some(ClosedFilters::StatusFilter(filter)) => terms.push(of_status(filter)?),
        None => {}
    }
    Ok(terms.join(" AND "))
}

fn range(attribute: &str, filter: Option<&StartTimeFilter>) -> Result<Option<String>, Error> {
    let Some(filter) = filter else { return Ok(None) };
    let earliest = filter.earliest_time.as_ref().map_or(Timestamp::ZERO, Timestamp::from);
    let latest = filter.latest_time.as_ref().map_or(Timestamp::MAX, Timestamp::from);
    if latest < earliest {
        return Err(Error::invalid("EarliestTime in StartTimeFilter should not be larger than LatestTime."));
    }
    Ok(Some(format!("{attribute} BETWEEN {} AND {}", earliest.0.max(0), latest.0.max(0))))
}

fn of_execution(filter: &WorkflowExecutionFilter) -> Result<Vec<String>, Error> {
    let mut terms = Vec::new();
    for (attribute, value) in [("WorkflowId", &filter.workflow_id), ("RunId", &filter.run_id)] {
        if !value.is_empty() {
            terms.push(format!("{attribute} = {}", literal(value)?));
        }
    }
    Ok(terms)
}

fn of_type(filter: &WorkflowTypeFilter) -> Result<Option<String>, Error> {
    if filter.name.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!("WorkflowType = {}", literal(&filter.name)?)))
}

fn of_status(filter: &StatusFilter) -> Result<String, Error> {
    match filter.status() {
        Status::Unspecified | Status::Running => {
            Err(Error::invalid("StatusFilter must be specified and must be not Running."))
        }
        status => {
            let name = camel_case(status.as_str_name(), "WORKFLOW_EXECUTION_STATUS_");
            Ok(format!("ExecutionStatus = '{name}'"))
        }
    }
}

/// A value between quotes. A quote is doubled, a backslash too.
fn literal(value: &str) -> Result<String, Error> {
    Ok(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use replicator::ids::{NamespaceId, RunId, RunKey, WorkflowKey};

    use super::*;

    #[test]
    fn filters_become_queries() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let filter = |from, to| Some(StartTimeFilter { earliest_time: time(from), latest_time: time(to) });
        let open = |start_time_filter, filters| {
            open_query(&ListOpenWorkflowExecutionsRequest { start_time_filter, filters, ..Default::default() })
        };
        let closed = |start_time_filter, filters| {
            closed_query(&ListClosedWorkflowExecutionsRequest { start_time_filter, filters, ..Default::default() })
        };
        let check = |query: Result<String, Error>, expected: Result<&str, &str>| {
            let query = query.map_err(|error| tonic::Status::from(error).message().to_owned());
            assert_eq!(query.as_deref().map_err(String::as_str), expected);
        };
        check(open(None, None), Ok("ExecutionStatus = 'Running'"));
        check(
            open(filter(1, 2), None),
            Ok("ExecutionStatus = 'Running' AND StartTime BETWEEN 1000000000 AND 2000000000"),
        );
        let reversed = Err("EarliestTime in StartTimeFilter should not be larger than LatestTime.");
        check(open(filter(5, 1), None), reversed);
        check(closed(filter(5, 1), None), reversed);
        let execution = WorkflowExecutionFilter { workflow_id: "it's".into(), run_id: String::new() };
        check(
            open(None, Some(OpenFilters::ExecutionFilter(execution))),
            Ok("ExecutionStatus = 'Running' AND WorkflowId = 'it''s'"),
        );
        let kind = WorkflowTypeFilter { name: "order".into() };
        check(
            closed(None, Some(ClosedFilters::TypeFilter(kind))),
            Ok("ExecutionStatus != 'Running' AND WorkflowType = 'order'"),
        );
        let status = |status: Status| Some(ClosedFilters::StatusFilter(StatusFilter { status: status.into() }));
        check(
            closed(None, status(Status::ContinuedAsNew)),
            Ok("ExecutionStatus != 'Running' AND ExecutionStatus = 'ContinuedAsNew'"),
        );
        let refused = Err("StatusFilter must be specified and must be not Running.");
        check(closed(None, status(Status::Running)), refused);
        check(closed(None, status(Status::Unspecified)), refused);
    }

    #[test]
    fn groups_are_named_as_search_attributes() {
        let counted = counts(Count { total: 3, groups: Some(vec![(1, 2), (6, 1)]) });
        let names: Vec<_> = counted.groups.iter().map(|group| group.group_values[0].data.clone()).collect();
        assert_eq!(names, [&b"\"Running\""[..], b"\"ContinuedAsNew\""]);
        assert_eq!(counted.groups[0].group_values[0].metadata["type"], "Keyword");
        assert_eq!((counted.count, counted.groups[1].count), (3, 1));
        assert!(counts(Count { total: 3, groups: None }).groups.is_empty());
    }

    #[test]
    fn what_a_list_tells_of_a_run() {
        let workflow = WorkflowKey { namespace: NamespaceId::from_bytes([1; 16]), workflow: "w".into() };
        let record = VisibilityRecord {
            run: RunKey { workflow, run: RunId::from_bytes([2; 16]) },
            workflow_type: "order".into(),
            task_queue: "orders".into(),
            status: Status::Completed.into(),
            start_time: Timestamp::from_millis(1000),
            execution_time: Timestamp::from_millis(2000),
            close_time: Some(Timestamp::from_millis(5000)),
            history_length: 11,
            history_size: 700,
            state_transitions: 6,
            memo: Bytes::new(),
            search_attributes: Bytes::from_static(b"\xff"),
            parent: None,
            root: None,
        };
        let told = info(record);
        assert_eq!(told.execution.unwrap().workflow_id, "w");
        assert_eq!(told.execution_duration.unwrap().seconds, 3);
        assert_eq!(told.search_attributes, Some(SearchAttributes::default()));
        assert_eq!((told.history_length, told.task_queue.as_str()), (11, "orders"));
    }
}
