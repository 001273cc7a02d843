//! `meridian replication quarantine`: tasks of peers that could not be applied, and what is to become of them.

use std::{fmt, fs, io::Read as _, path::PathBuf};

use proto::meridian::quarantine::v1::{
    self as wire, Action, ListQuarantinedRequest, RetryQuarantinedRequest, SkipQuarantinedRequest, TaskName,
    quarantine_service_client::QuarantineServiceClient,
};
use serde::Deserialize;
use tonic::transport::Channel;

use super::{
    Answer, Failed, Output,
    connection::Address,
    quarantine_answer::{Done, Listing, Outcome, Task},
};

/// Tasks of peers that could not be applied are kept; everything told of their run waits behind them.
#[derive(Debug, clap::Subcommand)]
pub enum Quarantine {
    /// Show what is kept, why, since when, and how often it was tried.
    List(List),
    /// Show tasks with the events that they bring.
    Show(Act),
    /// Try tasks again now.
    Retry(Act),
    /// Let tasks go without applying them. What they bring is lost unless the peer is asked for it again.
    Skip(Act),
}

/// What is listed.
#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    address: Address,
}

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default, clap::Args)]
struct Filter {
    /// Only tasks of this namespace.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Only tasks of this workflow.
    #[arg(short, long, visible_alias = "workflow", value_name = "ID")]
    workflow_id: Option<String>,
    /// Only tasks of this run.
    #[arg(short, long, visible_alias = "run", value_name = "ID")]
    run_id: Option<String>,
    /// Only tasks that this cluster told.
    #[arg(short, long)]
    cluster: Option<String>,
}

/// Tasks, and what is done to them.
#[derive(Debug, clap::Args)]
pub struct Act {
    /// The tasks, as a listing names them: SHARD-TASK.
    #[arg(long = "task", value_name = "SHARD-TASK", value_parser = parse)]
    named: Vec<TaskName>,
    /// The same.
    #[arg(value_name = "SHARD-TASK", value_parser = parse)]
    tasks: Vec<TaskName>,
    /// The tasks of a listing in JSON; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Act on all that the conditions match now. Without it they only show which tasks those are.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    address: Address,
}

impl Quarantine {
    /// Do it.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        match self {
            Self::List(list) => {
                let mut client = Client::connect(&list.address).await?;
                let tasks = client.list(&list.filter, &[]).await?;
                Listing { tasks, details: false }.write(output);
            }
            Self::Show(act) => {
                let mut client = Client::connect(&act.address).await?;
                let tasks = client.list(&act.filter, &act.names()?).await?;
                Listing { tasks, details: true }.write(output);
            }
            Self::Retry(act) => act.carry_out(Verb::Retry).await?.write(output),
            Self::Skip(act) => act.carry_out(Verb::Skip).await?.write(output),
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verb {
    Retry,
    Skip,
}

impl Act {
    /// The tasks that are named, each once.
    fn names(&self) -> Result<Vec<TaskName>, Failed> {
        let mut names = [self.named.as_slice(), &self.tasks].concat();
        if let Some(file) = &self.from {
            names.extend(read(file)?);
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert((name.shard_id, name.task_id)));
        Ok(names)
    }

    /// Act on the tasks that are named; of conditions only with `--yes`, on exactly those that they match now.
    async fn carry_out(&self, verb: Verb) -> Result<Done, Failed> {
        let named = self.names()?;
        let mut client = Client::connect(&self.address).await?;
        let is_filtered = self.filter.is_some();
        if named.is_empty() && !is_filtered {
            return Err(Failed("name the tasks as `list` shows them, or give a condition".into()));
        }
        let mut names = named.clone();
        if is_filtered {
            let matching = client.list(&self.filter, &named).await?;
            let matching: Vec<TaskName> = matching.iter().filter_map(|task| parse(&task.task).ok()).collect();
            if let Some(other) = named.iter().find(|name| !matching.contains(name)) {
                return Err(Failed(format!("task {} is not among those that match; nothing was done", show(other))));
            }
            names = matching;
        }
        if names.is_empty() {
            return Ok(Done { dry_run: self.dry_run, outcomes: Vec::new() });
        }
        // A set that nobody has seen is only shown.
        let dry_run = self.dry_run || named.is_empty() && !self.yes;
        let outcomes = client.act(verb, names, dry_run).await?;
        Ok(Done { dry_run, outcomes })
    }
}

impl Filter {
    fn is_some(&self) -> bool {
        [&self.namespace, &self.workflow_id, &self.run_id, &self.cluster].into_iter().any(Option::is_some)
    }
}

struct Client<'a> {
    address: &'a Address,
    service: QuarantineServiceClient<Channel>,
}

impl<'a> Client<'a> {
    async fn connect(address: &'a Address) -> Result<Self, Failed> {
        Ok(Self { address, service: QuarantineServiceClient::new(address.connect().await?) })
    }

    async fn list(&mut self, filter: &Filter, tasks: &[TaskName]) -> Result<Vec<Task>, Failed> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let mut request = ListQuarantinedRequest {
            namespace: text(&filter.namespace),
            workflow_id: text(&filter.workflow_id),
            run_id: text(&filter.run_id),
            cluster_name: text(&filter.cluster),
            tasks: tasks.to_vec(),
            ..Default::default()
        };
        let mut found = Vec::new();
        loop {
            let page = self.service.list_quarantined(request.clone()).await;
            let page = page.map_err(|status| self.address.failed("list what is in quarantine", &status))?.into_inner();
            found.extend(page.tasks.into_iter().map(Task::from));
            request.next_page_token = page.next_page_token;
            if request.next_page_token.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn act(&mut self, verb: Verb, tasks: Vec<TaskName>, dry_run: bool) -> Result<Vec<Outcome>, Failed> {
        let failed = |doing, status| self.address.failed(doing, &status);
        let outcomes = match verb {
            Verb::Retry => {
                let answer = self.service.retry_quarantined(RetryQuarantinedRequest { tasks, dry_run }).await;
                answer.map_err(|status| failed("try tasks again", status))?.into_inner().outcomes
            }
            Verb::Skip => {
                let answer = self.service.skip_quarantined(SkipQuarantinedRequest { tasks, dry_run }).await;
                answer.map_err(|status| failed("let tasks go", status))?.into_inner().outcomes
            }
        };
        Ok(outcomes.into_iter().map(Outcome::from).collect())
    }
}

/// A task as it is named on the command line.
pub(super) fn show(name: &TaskName) -> String {
    format!("{}-{}", name.shard_id, name.task_id)
}

fn parse(text: &str) -> Result<TaskName, String> {
    let parts = text.split_once('-').and_then(|(shard, task)| Some((shard.parse().ok()?, task.parse().ok()?)));
    let (shard_id, task_id) = parts.ok_or_else(|| format!("{text:?} is no task: a listing names them SHARD-TASK"))?;
    Ok(TaskName { shard_id, task_id })
}

/// What of a listing is read back.
#[derive(Deserialize)]
struct Named {
    tasks: Vec<NamedTask>,
}

#[derive(Deserialize)]
struct NamedTask {
    task: String,
}

fn read(file: &PathBuf) -> Result<Vec<TaskName>, Failed> {
    let named = file.display();
    let unreadable = |error: &dyn fmt::Display| Failed(format!("cannot read {named}: {error}"));
    let text = match file.to_str() {
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map_err(|error| unreadable(&error))?;
            text
        }
        _ => fs::read_to_string(file).map_err(|error| unreadable(&error))?,
    };
    let listing: Named = serde_json::from_str(&text).map_err(|error| unreadable(&error))?;
    listing.tasks.iter().map(|task| parse(&task.task).map_err(Failed)).collect()
}

impl From<wire::Outcome> for Outcome {
    fn from(outcome: wire::Outcome) -> Self {
        let action = match outcome.action() {
            Action::Tried => "tried",
            Action::Waits => "waits",
            Action::Skipped => "skipped",
            Action::NotThere => "not-there",
            Action::Unspecified => "unknown",
        };
        Self {
            task: outcome.name.as_ref().map(show).unwrap_or_default(),
            action,
            behind: outcome.behind.as_ref().map(show),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_named_by_its_shard_and_number() {
        let name = TaskName { shard_id: 4, task_id: 16_777_300 };
        assert_eq!(parse("4-16777300"), Ok(name));
        assert_eq!(show(&name), "4-16777300");
        for text in ["", "4", "4-", "-1", "x-1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listing_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("listing.json");
        fs::write(&file, r#"{"tasks": [{"task": "1-5", "cause": "x"}, {"task": "2-7"}]}"#).unwrap();
        let act = Act {
            named: vec![TaskName { shard_id: 2, task_id: 7 }],
            tasks: Vec::new(),
            from: Some(file.clone()),
            filter: Filter::default(),
            dry_run: false,
            yes: false,
            address: Address::from("h:1"),
        };
        let names: Vec<_> = act.names().unwrap().iter().map(show).collect();
        assert_eq!(names, ["2-7", "1-5"], "each once");
        fs::write(&file, "{}").unwrap();
        assert!(act.names().unwrap_err().to_string().starts_with("cannot read "));
    }
}
