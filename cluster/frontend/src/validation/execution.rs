//! Which workflow, and which run of it.

use proto::temporal::api::common::v1::WorkflowExecution;
use replicator::ids::{NamespaceId, RunId, WorkflowKey};

use crate::errors::Error;

/// The workflow and, if one is named, the run.
pub(crate) fn execution(
    namespace: NamespaceId,
    execution: Option<&WorkflowExecution>,
) -> Result<(WorkflowKey, Option<RunId>), Error> {
    let execution = execution.ok_or_else(|| Error::invalid("Execution is not set on request."))?;
    if execution.workflow_id.is_empty() {
        return Err(Error::invalid("WorkflowId is not set on request."));
    }
    let run = match execution.run_id.as_str() {
        "" => None,
        text => Some(RunId::parse(text).map_err(|_| Error::invalid("Invalid RunId."))?),
    };
    Ok((WorkflowKey { namespace, workflow: execution.workflow_id.as_str().into() }, run))
}

/// The same for a caller who may name the first run of a chain instead, which makes the run itself of no account (api 1.2).
/// A first run that is no run id is the first run of nothing.
pub(crate) fn chain(
    namespace: NamespaceId,
    named: Option<&WorkflowExecution>,
    first_run: &str,
) -> Result<(WorkflowKey, Option<RunId>), Error> {
    let (workflow, run) = execution(namespace, named)?;
    match first_run {
        "" => Ok((workflow, run)),
        text if RunId::parse(text).is_err() => Err(Error::not_found("workflow execution not found")),
        _ => Ok((workflow, None)),
    }
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};

    use super::*;

    const RUN: &str = "00000000-0000-4000-8000-000000000001";

    #[test]
    fn executions() {
        let check = |workflow: Option<&str>, run: &str, expected: Result<Option<&str>, &str>| {
            let named =
                workflow.map(|workflow_id| WorkflowExecution { workflow_id: workflow_id.into(), run_id: run.into() });
            let namespace = NamespaceId::from_bytes([7; 16]);
            let found = execution(namespace, named.as_ref()).map(|(_, run)| run.map(|run| run.to_string()));
            let found = found.map_err(|error| Status::from(error).message().to_owned());
            assert_eq!(found, expected.map(|run| run.map(str::to_owned)).map_err(str::to_owned));
        };
        check(None, "", Err("Execution is not set on request."));
        check(Some(""), RUN, Err("WorkflowId is not set on request."));
        check(Some("w"), "not-a-uuid", Err("Invalid RunId."));
        check(Some("w"), "", Ok(None));
        check(Some("w"), RUN, Ok(Some(RUN)));
        check(Some(" "), "", Ok(None));
    }

    #[test]
    fn chains() {
        let check = |run: &str, first: &str, expected: Result<bool, Code>| {
            let named = WorkflowExecution { workflow_id: "w".into(), run_id: run.into() };
            let found = chain(NamespaceId::from_bytes([7; 16]), Some(&named), first);
            assert_eq!(found.map(|(_, run)| run.is_some()).map_err(|error| Status::from(error).code()), expected);
        };
        check("", "", Ok(false));
        check(RUN, "", Ok(true));
        check(RUN, RUN, Ok(false));
        check(RUN, "not-a-uuid", Err(Code::NotFound));
        check("not-a-uuid", RUN, Err(Code::InvalidArgument));
    }
}
