//! What `meridian` can be told to do; a file for each command.

pub mod dev;
pub mod divergence;
pub mod failover;
pub mod members;
pub mod quarantine;
pub mod replication;
pub mod schema;
pub mod server;
pub mod status;
pub mod validate_config;
pub mod verify;
pub mod workflow_tree;

mod answer;
mod connection;
mod drain;
mod encryption;
mod quarantine_answer;
mod shards;
mod table;
mod tree;

pub use self::answer::{Answer, Output, write_failure};
pub use crate::failed::Failed;

/// Runs durable workflows in several clusters and moves them between clusters.
#[derive(Debug, clap::Parser)]
#[command(name = "meridian", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What is printed to standard output.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Run connected clusters in this process, to develop with.
    Dev(dev::Dev),
    /// Run one cluster, or a part of it, from a configuration file.
    Server(server::Server),
    /// Check a configuration file and start nothing.
    ValidateConfig(validate_config::ValidateConfig),
    /// Prepare a database of PostgreSQL or MariaDB, and say that a store was brought back from a backup.
    #[command(subcommand)]
    Schema(schema::Schema),
    /// Look at the processes of a cluster, or have one give what it has to the others.
    #[command(subcommand)]
    Cluster(members::Processes),
    /// Show clusters, namespaces and how far peers are behind.
    Status(status::Status),
    /// Make another cluster the active one of a namespace.
    Failover(failover::Failover),
    /// Look after replication.
    #[command(subcommand)]
    Replication(replication::Replication),
    /// Look at workflows.
    #[command(subcommand)]
    Workflow(Workflow),
}

/// The commands about workflows.
#[derive(Debug, clap::Subcommand)]
pub enum Workflow {
    /// Show the branches of a run and who wrote them.
    Tree(workflow_tree::WorkflowTree),
    /// Show what became of events of branches that lost.
    Divergence(divergence::WorkflowDivergence),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_the_manual_says_is_understood() {
        for line in [
            "meridian dev",
            "meridian dev --clusters 3 --port 9000 --db-dir data --headless --log-level debug",
            "meridian server --config a.yaml",
            "meridian server --config a.yaml --services frontend,history",
            "meridian server --config a.yaml --service matching --service worker",
            "meridian validate-config a.yaml --output json",
            "meridian validate-config a.yaml --services history",
            "meridian cluster members --address 127.0.0.1:7233 -o json",
            "meridian cluster shards",
            "meridian cluster drain 10.0.0.1:7234",
            "meridian cluster resume host-1 --address 127.0.0.1:7233 -o json",
            "meridian schema setup --store postgres://me@db/m",
            "meridian schema update --store postgres://me@db/m -o json",
            "meridian schema setup --store mysql://me@db/m",
            "meridian schema version --store postgres://me@db/m?sslmode=verify-full",
            "meridian status --address 127.0.0.1:7233",
            "meridian status --tls --tls-ca-path ca.pem --tls-cert-path c.pem --tls-key-path k.pem --tls-server-name a",
            "meridian cluster members --tls-disable-host-verification",
            "meridian failover default --to b --max-pause 500ms --catch-up 2m",
            "meridian failover default --to b --plan -o json",
            "meridian failover default --to b --force --yes -o json",
            "meridian failover default --abort",
            "meridian workflow tree -n default -w order-1",
            "meridian workflow divergence -n default -w order-1",
            "meridian replication report default --won-by 2 -o json",
            "meridian replication verify default --to b --patience 30 -o json",
            "meridian replication quarantine list -n default --cluster b -o json",
            "meridian replication quarantine show 1-16777300",
            "meridian replication quarantine retry --task 1-16777300 --task 2-7",
            "meridian replication quarantine skip --from listing.json --dry-run",
            "meridian replication quarantine skip -n default --workflow order-1 --run r --yes",
            "meridian --output json workflow tree -n default -w order-1 -r 3d3a2c5e-0000-4000-8000-000000000000",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "meridian",
            "meridian dev --clusters 0",
            "meridian dev --clusters 10",
            "meridian server --config a.yaml --services histories",
            "meridian status --tls-cert-path c.pem",
            "meridian cluster drain",
            "meridian failover default",
            "meridian failover default --to b --yes",
            "meridian failover default --to b --plan --force",
            "meridian failover default --to b --max-pause soon",
        ] {
            Cli::try_parse_from(line.split(' ')).expect_err(line);
        }
    }
}
