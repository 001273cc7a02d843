//! `meridian workflow divergence` and `meridian replication report`: what became of events of branches that lost.

use std::fmt;

use proto::meridian::divergence::v1::{
    self as wire, DescribeDivergenceRequest, Fate, ListDivergencesRequest,
    divergence_service_client::DivergenceServiceClient,
};
use serde::Serialize;

use super::{Answer, Failed, Output, connection::Address, table::Table};

/// Show which events of a run were kept, put into the winner again, or discarded, as the cluster that is asked knows it.
#[derive(Debug, clap::Args)]
pub struct WorkflowDivergence {
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

/// Show every run of a namespace of which two clusters wrote different branches, and what became of them.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// The namespace.
    namespace: String,
    /// Only what lost to this failover version.
    #[arg(long, value_name = "VERSION")]
    won_by: Option<i64>,
    #[command(flatten)]
    address: Address,
}

/// Runs that diverged.
#[derive(Debug, Serialize)]
pub(crate) struct Divergences {
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    workflow_id: String,
    run_id: String,
    /// The current branch, as `3@1 7@12`.
    current: String,
    conflicts: Vec<Conflict>,
}

#[derive(Debug, Serialize)]
struct Conflict {
    /// Last event that both sides have.
    kept_up_to: Option<String>,
    winning_version: i64,
    /// The branch that lost.
    lost: String,
    /// The run that won, when it is another one.
    winning_run: Option<String>,
    resolved: Option<String>,
    events: i64,
    bytes: i64,
    reapplied: i64,
    known: i64,
    discarded: i64,
    pending: i64,
    /// The first of them, at most as many as the server lists.
    listed: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Event {
    event: String,
    r#type: String,
    bytes: i64,
    fate: &'static str,
    reason: String,
    into_run: Option<String>,
    origin_run: Option<String>,
    origin: Option<String>,
}

impl WorkflowDivergence {
    /// Show it.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let mut client = DivergenceServiceClient::new(self.address.connect().await?);
        let request = DescribeDivergenceRequest {
            namespace: self.namespace.clone(),
            workflow_id: self.workflow_id.clone(),
            run_id: self.run_id.clone().unwrap_or_default(),
        };
        let answer = client.describe_divergence(request).await;
        let answer = answer.map_err(|status| self.address.failed("show the divergence", &status))?.into_inner();
        Divergences { runs: answer.run.into_iter().map(Run::from).collect() }.write(output);
        Ok(())
    }
}

impl Report {
    /// Show it.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let mut client = DivergenceServiceClient::new(self.address.connect().await?);
        let mut request = ListDivergencesRequest {
            namespace: self.namespace.clone(),
            winning_version: self.won_by.unwrap_or_default(),
            ..Default::default()
        };
        let mut runs = Vec::new();
        loop {
            let page = client.list_divergences(request.clone()).await;
            let page = page.map_err(|status| self.address.failed("report on divergence", &status))?.into_inner();
            runs.extend(page.runs.into_iter().map(Run::from));
            request.next_page_token = page.next_page_token;
            if request.next_page_token.is_empty() {
                break;
            }
        }
        Divergences { runs }.write(output);
        Ok(())
    }
}

impl From<wire::RunDivergence> for Run {
    fn from(run: wire::RunDivergence) -> Self {
        Self {
            workflow_id: run.workflow_id,
            run_id: run.run_id,
            current: branch(&run.current),
            conflicts: run.conflicts.into_iter().map(Conflict::from).collect(),
        }
    }
}

impl From<wire::Conflict> for Conflict {
    fn from(conflict: wire::Conflict) -> Self {
        Self {
            kept_up_to: conflict.kept_up_to.as_ref().map(item),
            winning_version: conflict.winning_version,
            lost: branch(&conflict.lost),
            winning_run: text(conflict.winning_run_id),
            resolved: conflict.resolved.map(|time| time.to_string()),
            events: conflict.event_count,
            bytes: conflict.bytes,
            reapplied: conflict.reapplied,
            known: conflict.known,
            discarded: conflict.discarded,
            pending: conflict.pending,
            listed: conflict.events.into_iter().map(Event::from).collect(),
        }
    }
}

impl From<wire::DivergedEvent> for Event {
    fn from(event: wire::DivergedEvent) -> Self {
        Self {
            fate: match event.fate() {
                Fate::Reapplied => "reapplied",
                Fate::Known => "known",
                Fate::Discarded => "discarded",
                Fate::Pending => "pending",
                Fate::Unspecified => "unknown",
            },
            event: format!("{}@{}", event.event_id, event.version),
            r#type: event.event_type.trim_start_matches("EVENT_TYPE_").to_owned(),
            bytes: event.bytes,
            reason: event.reason,
            into_run: text(event.into_run_id),
            origin_run: text(event.origin_run_id),
            origin: event.origin.as_ref().map(item),
        }
    }
}

fn item(item: &wire::VersionItem) -> String {
    format!("{}@{}", item.event_id, item.version)
}

fn branch(items: &[wire::VersionItem]) -> String {
    items.iter().map(item).collect::<Vec<_>>().join(" ")
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl fmt::Display for Divergences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs.iter().all(|run| run.conflicts.is_empty()) {
            return f.write_str("Nothing diverged.");
        }
        for (index, run) in self.runs.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "Workflow {}, run {}: [{}] is current.", run.workflow_id, run.run_id, run.current)?;
            run.conflicts.iter().try_for_each(|conflict| write!(f, "\n{conflict}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, winning_version, events, bytes, reapplied, known, discarded, pending, .. } = self;
        write!(f, "[{lost}] lost to version {winning_version}")?;
        if let Some(run) = &self.winning_run {
            write!(f, " in run {run}")?;
        }
        match &self.kept_up_to {
            Some(kept) => writeln!(f, "; up to {kept} both are the same.")?,
            None => writeln!(f, ".")?,
        }
        writeln!(
            f,
            "{events} events of {bytes} bytes: {reapplied} reapplied, {known} known to the winner, {discarded} discarded, \
             {pending} pending.\n"
        )?;
        let mut table = Table::new(&["EVENT", "TYPE", "FATE", "WHY"]);
        for event in &self.listed {
            table.row([event.event.clone(), event.r#type.clone(), event.fate.to_owned(), event.why()]);
        }
        table.fmt(f)
    }
}

impl Event {
    fn why(&self) -> String {
        let mut why = self.reason.clone();
        if let Some(run) = &self.into_run {
            why += &format!(" (run {run})");
        }
        if let (Some(run), Some(origin)) = (&self.origin_run, &self.origin) {
            why += &format!("; first written as {origin} of run {run}");
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divergences() -> Divergences {
        let item = |event_id, version| wire::VersionItem { event_id, version };
        let event = |event_id, event_type: &str, fate: Fate, reason: &str| wire::DivergedEvent {
            event_id,
            version: 1,
            event_type: event_type.into(),
            fate: fate.into(),
            reason: reason.into(),
            into_run_id: if fate == Fate::Reapplied { "r".into() } else { String::new() },
            ..Default::default()
        };
        let conflict = wire::Conflict {
            kept_up_to: Some(item(3, 1)),
            winning_version: 2,
            lost: vec![item(5, 1)],
            events: vec![
                event(4, "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED", Fate::Reapplied, "it was put into the winner"),
                event(5, "EVENT_TYPE_TIMER_FIRED", Fate::Discarded, "the winner keeps timers of its own"),
            ],
            event_count: 2,
            bytes: 210,
            reapplied: 1,
            discarded: 1,
            ..Default::default()
        };
        let run = wire::RunDivergence {
            workflow_id: "order-7".into(),
            run_id: "r".into(),
            current: vec![item(3, 1), item(6, 2)],
            conflicts: vec![conflict],
        };
        Divergences { runs: vec![Run::from(run)] }
    }

    #[test]
    fn every_event_that_lost_has_its_fate() {
        let expected = "\
Workflow order-7, run r: [3@1 6@2] is current.

[5@1] lost to version 2; up to 3@1 both are the same.
2 events of 210 bytes: 1 reapplied, 0 known to the winner, 1 discarded, 0 pending.

EVENT  TYPE                         FATE       WHY
4@1    WORKFLOW_EXECUTION_SIGNALED  reapplied  it was put into the winner (run r)
5@1    TIMER_FIRED                  discarded  the winner keeps timers of its own
";
        assert_eq!(divergences().render(Output::Text), expected);
        let value: serde_json::Value = serde_json::from_str(&divergences().render(Output::Json)).unwrap();
        assert_eq!(value["runs"][0]["conflicts"][0]["listed"][1]["fate"], "discarded");
        assert_eq!(Divergences { runs: Vec::new() }.render(Output::Text), "Nothing diverged.\n");
    }
}
