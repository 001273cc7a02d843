//! `meridian workflow tree`: the branches of a run and who wrote them.

use std::fmt;

use proto::temporal::{
    api::{
        common::v1::WorkflowExecution,
        workflowservice::v1::{DescribeWorkflowExecutionRequest, workflow_service_client::WorkflowServiceClient},
    },
    server::api::{
        adminservice::v1::{
            DescribeMutableStateRequest, DescribeMutableStateResponse, admin_service_client::AdminServiceClient,
        },
        history::v1 as wire,
    },
};
use serde::Serialize;

use super::{
    Answer, Failed, Output,
    connection::Address,
    table::Table,
    tree::{Item, Tree, VersionHistory},
};

/// Show the branches of a run and who wrote them, as the cluster that is asked knows them.
#[derive(Debug, clap::Args)]
pub struct WorkflowTree {
    /// Namespace of the workflow.
    #[arg(short, long, env = "TEMPORAL_NAMESPACE", default_value = "default")]
    namespace: String,
    /// Its id.
    #[arg(short, long, value_name = "ID")]
    workflow_id: String,
    /// The run; the current one if none is given.
    #[arg(short, long, value_name = "ID")]
    run_id: Option<String>,
    #[command(flatten)]
    address: Address,
}

/// A run and its branches.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    namespace: String,
    workflow_id: String,
    run_id: String,
    branches: Vec<Branch>,
}

#[derive(Debug, Serialize)]
struct Branch {
    current: bool,
    version_history: VersionHistory,
}

impl WorkflowTree {
    /// Show them.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let doing = format!("show workflow {} of namespace {}", self.workflow_id, self.namespace);
        let channel = self.address.connect().await?;
        let mut execution = WorkflowExecution {
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id.clone().unwrap_or_default(),
        };
        if execution.run_id.is_empty() {
            let request = DescribeWorkflowExecutionRequest {
                namespace: self.namespace.clone(),
                execution: Some(execution.clone()),
            };
            let described = WorkflowServiceClient::new(channel.clone()).describe_workflow_execution(request).await;
            let described = described.map_err(|status| self.address.failed(&doing, &status))?.into_inner();
            let current = described.workflow_execution_info.and_then(|info| info.execution);
            execution.run_id = current.ok_or_else(|| Failed(format!("cannot {doing}: it has no run")))?.run_id;
        }
        let request = DescribeMutableStateRequest {
            namespace: self.namespace.clone(),
            execution: Some(execution.clone()),
            ..Default::default()
        };
        let state = AdminServiceClient::new(channel).describe_mutable_state(request).await;
        let state = state.map_err(|status| self.address.failed(&doing, &status))?.into_inner();
        let run = histories(state).and_then(|histories| self.read(&execution, &histories));
        run.ok_or_else(|| Failed(format!("cannot {doing}: the server does not say which branches it has")))?
            .write(output);
        Ok(())
    }

    /// The run, unless the histories make no sense.
    fn read(&self, execution: &WorkflowExecution, histories: &wire::VersionHistories) -> Option<Run> {
        let current = usize::try_from(histories.current_version_history_index).ok()?;
        histories.histories.get(current)?;
        let branches = histories.histories.iter().enumerate().map(|(index, history)| {
            let items = history.items.iter().map(|item| Item { event_id: item.event_id, version: item.version });
            Branch { current: index == current, version_history: VersionHistory(items.collect()) }
        });
        Some(Run {
            namespace: self.namespace.clone(),
            workflow_id: execution.workflow_id.clone(),
            run_id: execution.run_id.clone(),
            branches: branches.collect(),
        })
    }
}

/// Version histories as the server has them in memory, or else in its store.
fn histories(state: DescribeMutableStateResponse) -> Option<wire::VersionHistories> {
    let states = [state.cache_mutable_state, state.database_mutable_state];
    states.into_iter().flatten().find_map(|state| state.execution_info?.version_histories)
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, workflow_id, run_id, branches } = self;
        let count = if branches.len() == 1 { "1 branch".to_owned() } else { format!("{} branches", branches.len()) };
        writeln!(f, "Workflow {workflow_id} of namespace {namespace}, run {run_id}: {count}\n")?;
        let current = branches.iter().position(|branch| branch.current).unwrap_or_default();
        let histories: Vec<_> = branches.iter().map(|branch| branch.version_history.clone()).collect();
        writeln!(f, "{}", Tree { branches: &histories, current })?;
        let mut table = Table::new(&["BRANCH", "VERSION HISTORY", ""]);
        for (index, branch) in branches.iter().enumerate() {
            let mark = if branch.current { "current" } else { "" };
            table.row([(index + 1).to_string(), branch.version_history.to_string(), mark.to_owned()]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tree::tests::history;

    fn run() -> Run {
        let branch = |text, current| Branch { current, version_history: history(text) };
        Run {
            namespace: "default".into(),
            workflow_id: "order-1".into(),
            run_id: "r".into(),
            branches: vec![branch("[2@1 4@2]", false), branch("[2@1 3@2 4@3]", true)],
        }
    }

    #[test]
    fn text() {
        let expected = "\
Workflow order-1 of namespace default, run r: 2 branches

1@1 ── 2@1 ── 3@2 ─┬─ 4@2
                   └─ 4@3   current

BRANCH  VERSION HISTORY
1       [2@1 4@2]
2       [2@1 3@2 4@3]    current
";
        assert_eq!(run().render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&run().render(Output::Json)).unwrap();
        let items = serde_json::json!([{"event_id": 2, "version": 1}, {"event_id": 4, "version": 2}]);
        assert_eq!(value["branches"][0], serde_json::json!({"current": false, "version_history": items}));
        assert_eq!(value["branches"][1]["current"], true);
    }

    #[test]
    fn a_current_branch_that_is_none_is_not_believed() {
        let command = WorkflowTree {
            namespace: "n".into(),
            workflow_id: "w".into(),
            run_id: None,
            address: Address::from("h:1"),
        };
        for index in [-1, 1] {
            let histories = wire::VersionHistories {
                current_version_history_index: index,
                histories: vec![wire::VersionHistory::default()],
            };
            assert!(command.read(&WorkflowExecution::default(), &histories).is_none());
        }
    }
}
