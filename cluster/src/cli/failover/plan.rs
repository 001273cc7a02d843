//! Before somebody pushes the button: what moving a namespace at once would lose, and what stands in the way of losing
//! nothing.

use std::{fmt, time::Duration};

use proto::meridian::failover::v1::{
    self as wire, PlanFailoverRequest, failover_service_client::FailoverServiceClient,
};
use serde::Serialize;
use tonic::{Status, transport::Channel};

use super::{Failover, seconds};
use crate::cli::table::Table;

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Plan {
    namespace: String,
    from: String,
    to: String,
    failover_version: i64,
    /// Whether a graceful failover would lose nothing and begin at once.
    pub(super) safe: bool,
    /// What a forced one would lose if the active cluster never came back.
    pub(super) would_lose: Exposure,
    /// What stands in the way of losing nothing.
    blockers: Vec<String>,
    /// Shards that are behind, or not connected.
    shards: Vec<Shard>,
}

/// What the new side does not have.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Exposure {
    pub(super) events: i64,
    workflows: i64,
    bytes: i64,
    /// Age of the oldest of it.
    seconds: f64,
    /// There is more than was counted.
    at_least: bool,
}

#[derive(Debug, Serialize)]
struct Shard {
    shard: u32,
    connected: bool,
    acknowledged_task_id: i64,
    next_task_id: i64,
    #[serde(flatten)]
    exposure: Exposure,
}

impl Failover {
    /// Ask what would be lost.
    pub(super) async fn ask_plan(&self, channel: Channel, to: &str) -> Result<Plan, Status> {
        let request = PlanFailoverRequest { namespace: self.namespace.clone(), to_cluster: to.to_owned() };
        let plan = FailoverServiceClient::new(channel).plan_failover(request).await?;
        Ok(Plan::of(plan.into_inner()))
    }
}

impl Plan {
    fn of(plan: wire::FailoverPlan) -> Self {
        let shards = plan.shards.into_iter().map(|shard| Shard {
            shard: shard.shard,
            connected: shard.connected,
            acknowledged_task_id: shard.acknowledged_task_id,
            next_task_id: shard.next_task_id,
            exposure: Exposure::of(shard.exposure),
        });
        Self {
            namespace: plan.namespace,
            from: plan.from_cluster,
            to: plan.to_cluster,
            failover_version: plan.failover_version,
            safe: plan.blockers.is_empty(),
            would_lose: Exposure::of(plan.exposure),
            blockers: plan.blockers,
            shards: shards.filter(|shard| !shard.connected || shard.exposure.is_any()).collect(),
        }
    }
}

impl Exposure {
    fn of(exposure: Option<wire::Exposure>) -> Self {
        let exposure = exposure.unwrap_or_default();
        Self {
            events: exposure.events,
            workflows: exposure.workflows,
            bytes: exposure.bytes,
            seconds: replicator::time::duration(exposure.age.as_ref()).as_secs_f64(),
            at_least: exposure.at_least,
        }
    }

    /// Whether there is anything.
    pub(super) fn is_any(&self) -> bool {
        self.events > 0 || self.bytes > 0 || self.at_least
    }
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, workflows, bytes, seconds: age, at_least } = self;
        if !self.is_any() {
            return f.write_str("nothing");
        }
        let more = if *at_least { "at least " } else { "" };
        let age = seconds(Duration::try_from_secs_f64(*age).unwrap_or_default());
        write!(f, "{more}{events} events of {workflows} workflows, {bytes} bytes, the oldest {age} old")
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { namespace, from, to, failover_version, would_lose, blockers, .. } = self;
        writeln!(f, "Namespace {namespace} from {from} to {to}, at failover version {failover_version}.\n")?;
        match blockers.as_slice() {
            [] => writeln!(f, "Graceful: safe. Nothing stands in the way, and nothing would be lost.")?,
            blockers => {
                writeln!(f, "Graceful: not now.")?;
                blockers.iter().try_for_each(|blocker| writeln!(f, "  - {blocker}"))?;
            }
        }
        writeln!(f, "Forced, without {from}: {to} would lack {would_lose}.")?;
        if self.shards.is_empty() {
            return Ok(());
        }
        let header = ["SHARD", "STREAM", "ACKNOWLEDGED", "NEXT", "EVENTS", "WORKFLOWS", "BYTES", "OLDEST"];
        let mut table = Table::new(&header);
        for shard in &self.shards {
            let exposure = &shard.exposure;
            let more = if exposure.at_least { "+" } else { "" };
            table.row([
                shard.shard.to_string(),
                if shard.connected { "up" } else { "down" }.to_owned(),
                shard.acknowledged_task_id.to_string(),
                shard.next_task_id.to_string(),
                format!("{}{more}", exposure.events),
                format!("{}{more}", exposure.workflows),
                format!("{}{more}", exposure.bytes),
                seconds(Duration::try_from_secs_f64(exposure.seconds).unwrap_or_default()),
            ]);
        }
        write!(f, "\n{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Answer, Output};

    fn exposure(events: i64) -> Option<wire::Exposure> {
        let age = Some(prost_types::Duration { seconds: 0, nanos: 250_000_000 * i32::from(events > 0) });
        Some(wire::Exposure { events, workflows: events.min(2), bytes: 100 * events, age, at_least: false })
    }

    fn plan(blockers: &[&str], events: i64) -> Plan {
        let shard = |shard, events| wire::ShardExposure {
            shard,
            connected: blockers.is_empty(),
            acknowledged_task_id: 7,
            next_task_id: 9,
            exposure: exposure(events),
        };
        Plan::of(wire::FailoverPlan {
            namespace: "orders".into(),
            from_cluster: "a".into(),
            to_cluster: "b".into(),
            failover_version: 1,
            exposure: exposure(events),
            shards: vec![shard(1, 0), shard(2, events)],
            blockers: blockers.iter().map(ToString::to_string).collect(),
        })
    }

    #[test]
    fn text() {
        let expected = "\
Namespace orders from a to b, at failover version 1.

Graceful: safe. Nothing stands in the way, and nothing would be lost.
Forced, without a: b would lack nothing.
";
        assert_eq!(plan(&[], 0).render(Output::Text), expected);
        let expected = "\
Namespace orders from a to b, at failover version 1.

Graceful: not now.
  - b is not connected
Forced, without a: b would lack 3 events of 2 workflows, 300 bytes, the oldest 250 ms old.

SHARD  STREAM  ACKNOWLEDGED  NEXT  EVENTS  WORKFLOWS  BYTES  OLDEST
1      down    7             9     0       0          0      0 ms
2      down    7             9     3       2          300    250 ms
";
        assert_eq!(plan(&["b is not connected"], 3).render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&plan(&[], 3).render(Output::Json)).unwrap();
        assert_eq!((&value["safe"], &value["would_lose"]["events"]), (&true.into(), &3.into()));
        assert_eq!(value["shards"][0]["shard"], 2, "only what is behind");
    }
}
