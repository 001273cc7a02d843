//! `meridian replication verify`: whether two clusters hold the same, and what not.

use std::fmt;

use proto::meridian::verification::v1::{
    self as wire, Kind, VerifyNamespaceRequest, verification_service_client::VerificationServiceClient,
    verify_namespace_response::Found,
};
use replicator::time::{duration, proto_duration};
use serde::Serialize;

use super::{Answer, Failed, Output, connection::Address};

/// Compare what two clusters hold of a namespace: the content of every run, and not only whether it is there.
///
/// What is still on its way is waited for. Exits with 1 when there is a difference.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The namespace.
    namespace: String,
    /// The cluster to compare with; the only other one of the namespace if none is given.
    #[arg(long, value_name = "CLUSTER")]
    to: Option<String>,
    /// Seconds to wait for what is still on its way.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    patience: u64,
    #[command(flatten)]
    address: Address,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verified {
    /// Whether both hold the same.
    same: bool,
    runs_here: i64,
    runs_there: i64,
    shards: i32,
    different_shards: i32,
    /// Runs that differ, and of those the ones that were still changing.
    different: i64,
    moving: i64,
    /// Whether everything that was written before was acknowledged when it was looked at last.
    caught_up: bool,
    seconds: f64,
    differences: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Difference {
    workflow_id: String,
    run_id: String,
    moving: bool,
    /// Why one side is behind, if that is known.
    cause: Option<String>,
    aspects: Vec<Aspect>,
}

#[derive(Debug, Serialize)]
struct Aspect {
    what: &'static str,
    here: Option<String>,
    there: Option<String>,
    first_event: Option<i64>,
}

impl Verify {
    /// Compare.
    ///
    /// # Errors
    ///
    /// [`Failed`], also when there is a difference that is not on its way to vanish.
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        let mut client = VerificationServiceClient::new(self.address.connect().await?);
        let request = VerifyNamespaceRequest {
            namespace: self.namespace.clone(),
            cluster_name: self.to.clone().unwrap_or_default(),
            patience: Some(proto_duration(std::time::Duration::from_secs(self.patience))),
        };
        let doing = format!("verify namespace {}", self.namespace);
        let failed = |status| self.address.failed(&doing, &status);
        let mut stream = client.verify_namespace(request).await.map_err(failed)?.into_inner();
        let mut verified = Verified::default();
        let mut is_over = false;
        while let Some(answer) = stream.message().await.map_err(failed)? {
            match answer.found {
                Some(Found::Difference(difference)) => verified.differences.push(Difference::from(difference)),
                Some(Found::Summary(summary)) => {
                    verified.sum_up(&summary);
                    is_over = true;
                }
                None => {}
            }
        }
        if !is_over {
            return Err(Failed(format!("cannot {doing}: the server stopped in the middle of it; try again")));
        }
        verified.write(output);
        match verified.different - verified.moving {
            0 if verified.moving == 0 || verified.caught_up => Ok(()),
            0 => Err(Failed(
                "what was written before has not been acknowledged; nobody knows whether they will agree".into(),
            )),
            1 => Err(Failed("1 run differs".into())),
            different => Err(Failed(format!("{different} runs differ"))),
        }
    }
}

impl Verified {
    fn sum_up(&mut self, summary: &wire::Summary) {
        *self = Self {
            same: summary.different == 0,
            runs_here: summary.runs_here,
            runs_there: summary.runs_there,
            shards: summary.shards,
            different_shards: summary.different_shards,
            different: summary.different,
            moving: summary.moving,
            caught_up: summary.caught_up,
            seconds: duration(summary.took.as_ref()).as_secs_f64(),
            differences: std::mem::take(&mut self.differences),
        };
    }
}

impl From<wire::Difference> for Difference {
    fn from(difference: wire::Difference) -> Self {
        Self {
            workflow_id: difference.workflow_id,
            run_id: difference.run_id,
            moving: difference.moving,
            cause: text(difference.cause),
            aspects: difference.aspects.into_iter().map(Aspect::from).collect(),
        }
    }
}

impl From<wire::Aspect> for Aspect {
    fn from(aspect: wire::Aspect) -> Self {
        Self {
            what: match aspect.kind() {
                Kind::Missing => "missing",
                Kind::CurrentRun => "current-run",
                Kind::Status => "status",
                Kind::CurrentBranch => "current-branch",
                Kind::Branch => "branch",
                Kind::Events => "events",
                Kind::State => "state",
                Kind::Unspecified => "unknown",
            },
            here: text(aspect.here),
            there: text(aspect.there),
            first_event: Some(aspect.first_event_id).filter(|event| *event > 0),
        }
    }
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            write!(f, "{difference}")?;
        }
        let Self { runs_here, runs_there, shards, different_shards, different, moving, seconds, .. } = self;
        writeln!(
            f,
            "{runs_here} runs here and {runs_there} there, {shards} shards of which {different_shards} differed at first, \
             in {seconds:.2} s."
        )?;
        if *different == 0 {
            return writeln!(f, "Both hold the same.");
        }
        writeln!(f, "{different} runs differ; {moving} of them were still changing.")?;
        if !self.caught_up {
            writeln!(f, "Not everything that was written before has been acknowledged: try again, or wait longer.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moving = if self.moving { ", still changing" } else { "" };
        writeln!(f, "Workflow {}, run {}{moving}:", self.workflow_id, self.run_id)?;
        for Aspect { what, here, there, first_event } in &self.aspects {
            let tell = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
            match first_event {
                Some(event) => writeln!(f, "  {what} of [{}] from event {event}", tell(here))?,
                None => writeln!(f, "  {what}: {} here, {} there", tell(here), tell(there))?,
            }
        }
        match &self.cause {
            Some(cause) => writeln!(f, "  because {cause}\n"),
            None => writeln!(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_shown() {
        let aspect = |kind: Kind, here: &str, there: &str, first_event_id| wire::Aspect {
            kind: kind.into(),
            here: here.into(),
            there: there.into(),
            first_event_id,
        };
        let difference = wire::Difference {
            workflow_id: "order-7".into(),
            run_id: "r".into(),
            aspects: vec![aspect(Kind::Status, "running", "zombie", 0), aspect(Kind::Events, "3@1", "3@1", 2)],
            moving: false,
            cause: "in quarantine in b: events are missing".into(),
        };
        let mut verified = Verified { differences: vec![difference.into()], ..Verified::default() };
        let summary = wire::Summary { runs_here: 9, runs_there: 8, shards: 4, different: 1, ..Default::default() };
        verified.sum_up(&wire::Summary { different_shards: 1, caught_up: true, ..summary });
        let expected = "\
Workflow order-7, run r:
  status: running here, zombie there
  events of [3@1] from event 2
  because in quarantine in b: events are missing

9 runs here and 8 there, 4 shards of which 1 differed at first, in 0.00 s.
1 runs differ; 0 of them were still changing.
";
        assert_eq!(verified.render(Output::Text), expected);
        let value: serde_json::Value = serde_json::from_str(&verified.render(Output::Json)).unwrap();
        assert_eq!(value["differences"][0]["aspects"][1]["first_event"], 2);
        assert_eq!(value["same"], false);
    }
}
