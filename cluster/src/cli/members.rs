//! `meridian cluster`: the processes of one cluster.

use std::fmt;

use proto::meridian::membership::v1::{
    ListMembersRequest, MemberInfo, membership_service_client::MembershipServiceClient,
};
use replicator::time::Timestamp;
use serde::Serialize;

use super::{Answer, Failed, Output, connection::Address, table::Table};
use crate::ports::wall_clock;

/// The commands about the processes of one cluster.
#[derive(Debug, clap::Subcommand)]
pub enum Processes {
    /// Show which processes there are, as the one that is asked sees it.
    Members(Asked),
    /// Show whose each shard is, as the one that is asked sees it.
    Shards(Asked),
    /// Have a process give what it has to the others, before it is stopped. It lives on, and passes on what it is asked.
    Drain(Named),
    /// Have a process that drains take its part again.
    Resume(Named),
}

/// Who is asked.
#[derive(Debug, clap::Args)]
pub struct Asked {
    #[command(flatten)]
    address: Address,
}

/// Who is asked about whom.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The process: its address as `cluster members` shows it, the name of its host where that is the only one, or its id.
    process: String,
    #[command(flatten)]
    address: Address,
}

/// What was answered.
#[derive(Debug, Serialize)]
struct Listed {
    members: Vec<Shown>,
}

/// A process.
#[derive(Debug, Serialize)]
struct Shown {
    host: String,
    address: String,
    services: Vec<String>,
    id: String,
    /// Seconds that it runs.
    age: u64,
    draining: bool,
    /// It was asked.
    asked: bool,
}

impl Processes {
    /// Do it.
    ///
    /// # Errors
    ///
    /// [`Failed`].
    pub async fn run(&self, output: Output) -> Result<(), Failed> {
        match self {
            Self::Members(asked) => asked.members(output).await,
            Self::Shards(asked) => super::shards::show(&asked.address, output).await,
            Self::Drain(Named { process, address }) => super::drain::set(address, process, true, output).await,
            Self::Resume(Named { process, address }) => super::drain::set(address, process, false, output).await,
        }
    }
}

impl Asked {
    async fn members(&self, output: Output) -> Result<(), Failed> {
        let Self { address } = self;
        let mut client = MembershipServiceClient::new(address.connect().await?);
        let answer = client.list_members(ListMembersRequest {}).await;
        let members = answer.map_err(|status| address.failed("list the members", &status))?.into_inner().members;
        let now = wall_clock();
        Listed { members: members.into_iter().map(|member| Shown::new(member, now)).collect() }.write(output);
        Ok(())
    }
}

impl Shown {
    fn new(member: MemberInfo, now: Timestamp) -> Self {
        let started = member.started.map_or(now, Timestamp::from);
        Self {
            host: member.host,
            address: member.address,
            services: member.services,
            id: member.id,
            age: now.since(started).as_secs(),
            draining: member.is_draining,
            asked: member.is_me,
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["ADDRESS", "HOST", "SERVICES", "AGE", "STATE", ""]);
        for member in &self.members {
            table.row([
                member.address.clone(),
                member.host.clone(),
                member.services.join(","),
                format!("{} s", member.age),
                if member.draining { "draining" } else { "serving" }.to_owned(),
                if member.asked { "asked" } else { "" }.to_owned(),
            ]);
        }
        table.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Listed {
        let member = |host: &str, services: &str, started: i64, is_draining, is_me| MemberInfo {
            id: "3d3a2c5e-0000-4000-8000-000000000000".into(),
            host: host.into(),
            address: format!("{host}:7234"),
            services: services.split(',').map(str::to_owned).collect(),
            started: Some(Timestamp::from_millis(started).into()),
            is_draining,
            is_me,
        };
        let now = Timestamp::from_millis(90_000);
        let members =
            [member("h1", "frontend,history", 500, false, true), member("h2", "matching", 80_000, true, false)];
        Listed { members: members.map(|member| Shown::new(member, now)).into() }
    }

    #[test]
    fn text() {
        let expected = "\
ADDRESS  HOST  SERVICES          AGE   STATE
h1:7234  h1    frontend,history  89 s  serving   asked
h2:7234  h2    matching          10 s  draining
";
        assert_eq!(listed().render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&listed().render(Output::Json)).unwrap();
        let expected = serde_json::json!({
            "host": "h2", "address": "h2:7234", "services": ["matching"],
            "id": "3d3a2c5e-0000-4000-8000-000000000000", "age": 10, "draining": true, "asked": false,
        });
        assert_eq!(value["members"][1], expected);
    }
}
