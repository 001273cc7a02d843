//! `meridian failover`: make another cluster the active one of a namespace, or say what that would cost.

mod graceful;
mod plan;

use std::{
    fmt,
    io::{self, BufRead, Write},
    process::ExitCode,
    time::Duration,
};

use proto::temporal::api::{
    replication::v1::NamespaceReplicationConfig,
    workflowservice::v1::{
        DescribeNamespaceRequest, DescribeNamespaceResponse, UpdateNamespaceRequest,
        workflow_service_client::WorkflowServiceClient,
    },
};
use serde::Serialize;
use tonic::transport::Channel;

use self::plan::Exposure;
use super::{Answer, Failed, Output, answer::write_note, connection::Address};

/// Make another cluster the active one of a namespace, losing nothing: writes wait a moment until the new side has
/// everything. Any of its clusters can be asked. Ctrl-C leaves the namespace where it is.
#[derive(Debug, clap::Args)]
pub struct Failover {
    /// The namespace to move.
    namespace: String,
    /// The cluster that is to be active.
    #[arg(long, value_name = "CLUSTER", required_unless_present = "abort")]
    to: Option<String>,
    /// Only say whether it is safe, and what a forced failover would lose. Exit code 3: not safe now.
    #[arg(long, conflicts_with_all = ["force", "abort"])]
    plan: bool,
    /// Move at once, without asking the cluster that is active. Says before what would be lost, and asks.
    #[arg(long, conflicts_with = "abort")]
    force: bool,
    /// Do not ask.
    #[arg(long, requires = "force")]
    yes: bool,
    /// Leave a namespace that is being handed over where it is.
    #[arg(long, conflicts_with = "to")]
    abort: bool,
    /// How long writes may wait at most. If that is not enough, the namespace stays where it is.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    max_pause: Duration,
    /// How long the new side may take to come near, while everything is served.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    catch_up: Duration,
    /// A third cluster that is gone: the new side need not have heard out what it wrote. May be repeated.
    #[arg(long, value_name = "CLUSTER", conflicts_with_all = ["force", "abort", "plan"])]
    without: Vec<String>,
    #[command(flatten)]
    address: Address,
}

/// What became of the namespace.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Moved {
    namespace: String,
    from: String,
    to: String,
    old_version: i64,
    new_version: i64,
    forced: bool,
    /// How long writes waited; nothing when it was forced.
    #[serde(skip_serializing_if = "Option::is_none")]
    writes_paused_seconds: Option<f64>,
    /// What the new side did not have when it was forced, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<Exposure>,
}

impl Failover {
    /// Do what was asked.
    ///
    /// # Errors
    ///
    /// [`Failed`]; the namespace is where it was, or the text says where it is.
    pub async fn run(&self, output: Output) -> Result<ExitCode, Failed> {
        let channel = self.address.connect().await?;
        let Some(to) = self.to.as_deref() else {
            self.call_off(channel).await?;
            write_note(&format!("meridian: namespace {} stays where it is", self.namespace));
            return Ok(ExitCode::SUCCESS);
        };
        let doing = format!("move namespace {} to {to}", self.namespace);
        let mut client = WorkflowServiceClient::new(channel.clone());
        let request = DescribeNamespaceRequest { namespace: self.namespace.clone(), ..Default::default() };
        let before = client.describe_namespace(request).await;
        let before = before.map_err(|status| self.address.failed(&doing, &status))?.into_inner();
        let from = self.check(to, &before)?.to_owned();
        let moved = if from == to {
            self.unmoved(from, &before)
        } else if self.plan {
            let plan = self.ask_plan(channel, to).await.map_err(|status| self.address.failed(&doing, &status))?;
            plan.write(output);
            return Ok(if plan.safe { ExitCode::SUCCESS } else { ExitCode::from(UNSAFE) });
        } else if self.force {
            let lost = self.ask_person(channel, &from, to, output).await?;
            let answer = client.update_namespace(self.request(to)).await;
            let after = answer.map_err(|status| self.address.failed(&doing, &status))?.into_inner();
            let (to, new_version) = (to.to_owned(), after.failover_version);
            Moved { from, to, new_version, forced: true, lost, ..self.unmoved(String::new(), &before) }
        } else {
            self.hand_over(channel, from, to).await?
        };
        moved.write(output);
        Ok(ExitCode::SUCCESS)
    }

    /// The active cluster, if the namespace can be moved as told.
    fn check<'a>(&self, to: &str, namespace: &'a DescribeNamespaceResponse) -> Result<&'a str, Failed> {
        let name = &self.namespace;
        if !namespace.is_global_namespace {
            return Err(Failed(format!("namespace {name} is local to its cluster and cannot be moved")));
        }
        let Some(replication) = &namespace.replication_config else {
            return Err(Failed(format!("the server does not say in which clusters namespace {name} is")));
        };
        let clusters: Vec<_> = replication.clusters.iter().map(|cluster| cluster.cluster_name.as_str()).collect();
        if !clusters.contains(&to) {
            let clusters = clusters.join(", ");
            return Err(Failed(format!("namespace {name} is not in cluster {to}; it is in: {clusters}")));
        }
        Ok(&replication.active_cluster_name)
    }

    /// Say what would be lost, and go on only if that is wanted. Answers what would be lost, if that is known.
    async fn ask_person(
        &self,
        channel: Channel,
        from: &str,
        to: &str,
        output: Output,
    ) -> Result<Option<Exposure>, Failed> {
        let name = &self.namespace;
        let plan = self.ask_plan(channel, to).await;
        write_note(&match &plan {
            Ok(plan) => format!("meridian: if {from} never came back, {to} would lack {}", plan.would_lose),
            Err(status) => {
                let why = status.message();
                format!("meridian: what {to} would lack if {from} never came back is not known: {why}")
            }
        });
        if !self.yes {
            if output == Output::Json {
                return Err(Failed(format!("nobody is asked with --output json: say --yes to move namespace {name}")));
            }
            let _gone = write!(io::stderr(), "Move namespace {name} to {to} all the same? [y/N] ");
            let mut answer = String::new();
            let _unread = io::stdin().lock().read_line(&mut answer);
            if !matches!(answer.trim(), "y" | "Y" | "yes") {
                return Err(Failed(format!("namespace {name} stays in {from} (--yes does not ask)")));
            }
        }
        Ok(plan.ok().map(|plan| plan.would_lose))
    }

    fn request(&self, to: &str) -> UpdateNamespaceRequest {
        let replication_config =
            NamespaceReplicationConfig { active_cluster_name: to.to_owned(), ..Default::default() };
        UpdateNamespaceRequest {
            namespace: self.namespace.clone(),
            replication_config: Some(replication_config),
            ..Default::default()
        }
    }

    fn unmoved(&self, from: String, before: &DescribeNamespaceResponse) -> Moved {
        Moved {
            namespace: self.namespace.clone(),
            to: from.clone(),
            from,
            old_version: before.failover_version,
            new_version: before.failover_version,
            forced: false,
            writes_paused_seconds: None,
            lost: None,
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, from, to, old_version, new_version, forced, writes_paused_seconds, .. } = self;
        if from == to {
            return write!(f, "Namespace {namespace} is active in {to} already, at failover version {new_version}.");
        }
        let how = if *forced { ", forced" } else { "" };
        write!(
            f,
            "Namespace {namespace} moved from {from} to {to}: failover version {old_version} -> {new_version}{how}."
        )?;
        match writes_paused_seconds.and_then(|paused| Duration::try_from_secs_f64(paused).ok()) {
            Some(paused) => write!(f, " Writes paused for {}.", seconds(paused)),
            None => Ok(()),
        }
    }
}

/// A time as people read it.
pub(super) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if time < Duration::from_secs(120) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min", time.as_secs() / 60)
    }
}

/// A time as people write it: `250ms`, `10s`, `2m`.
fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err("a time is written like 250ms, 10s or 2m".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time begins with a number".to_owned())?;
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

/// Exit code of a plan that says that it is not safe now.
const UNSAFE: u8 = 3;

#[cfg(test)]
mod tests {
    use proto::temporal::api::replication::v1::ClusterReplicationConfig;

    use super::*;

    fn command(to: &str) -> Failover {
        Failover {
            namespace: "orders".into(),
            to: Some(to.into()),
            plan: false,
            force: true,
            yes: true,
            abort: false,
            max_pause: Duration::from_secs(10),
            catch_up: Duration::from_secs(60),
            without: Vec::new(),
            address: Address::from("h:1"),
        }
    }

    fn namespace(is_global: bool) -> DescribeNamespaceResponse {
        let clusters =
            ["a", "b"].map(|name| ClusterReplicationConfig { cluster_name: name.into(), ..Default::default() });
        DescribeNamespaceResponse {
            is_global_namespace: is_global,
            failover_version: 1,
            replication_config: Some(NamespaceReplicationConfig {
                active_cluster_name: "a".into(),
                clusters: clusters.into(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn what_cannot_be_moved_is_refused_before_anything_is_asked_for() {
        assert_eq!(command("b").check("b", &namespace(true)), Ok("a"));
        let refusal = command("c").check("c", &namespace(true)).unwrap_err().to_string();
        assert_eq!(refusal, "namespace orders is not in cluster c; it is in: a, b");
        let refusal = command("b").check("b", &namespace(false)).unwrap_err().to_string();
        assert_eq!(refusal, "namespace orders is local to its cluster and cannot be moved");
    }

    #[test]
    fn only_the_active_cluster_is_changed() {
        let request = command("b").request("b");
        let expected = UpdateNamespaceRequest {
            namespace: "orders".into(),
            replication_config: Some(NamespaceReplicationConfig {
                active_cluster_name: "b".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn text_and_json() {
        let unmoved = command("a").unmoved("a".into(), &namespace(true));
        let text = "Namespace orders is active in a already, at failover version 1.\n";
        assert_eq!(unmoved.render(Output::Text), text);
        let moved = Moved { to: "b".into(), new_version: 2, writes_paused_seconds: Some(0.0434), ..unmoved };
        let text = "Namespace orders moved from a to b: failover version 1 -> 2. Writes paused for 43 ms.\n";
        assert_eq!(moved.render(Output::Text), text);
        let forced = Moved { forced: true, writes_paused_seconds: None, ..moved };
        let text = "Namespace orders moved from a to b: failover version 1 -> 2, forced.\n";
        assert_eq!(forced.render(Output::Text), text);
        let value: serde_json::Value = serde_json::from_str(&forced.render(Output::Json)).unwrap();
        let expected = serde_json::json!({
            "namespace": "orders", "from": "a", "to": "b", "old_version": 1, "new_version": 2, "forced": true,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn times_are_read_and_written() {
        let cases = [("250ms", Ok(250)), ("10s", Ok(10_000)), ("2m", Ok(120_000)), ("10", Err(())), ("s", Err(()))];
        for (text, expected) in cases {
            assert_eq!(time(text).map_err(drop), expected.map(Duration::from_millis), "{text}");
        }
        for (millis, expected) in
            [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (119_000, "119.0 s"), (600_000, "10 min")]
        {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }
}
