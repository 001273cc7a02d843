//! The program: a table of what it can be told to do.

use std::process::ExitCode;

use clap::Parser;
use cluster::cli::{Cli, Command, Failed, Workflow, write_failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Err(Failed(format!("cannot start: {error}"))),
    };
    match done {
        Ok(code) => code,
        Err(failed) => {
            write_failure(&failed);
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<ExitCode, Failed> {
    match &cli.command {
        Command::Dev(command) => command.run(cli.output).await?,
        Command::Server(command) => command.run().await?,
        Command::ValidateConfig(command) => command.run(cli.output)?,
        Command::Schema(command) => command.run(cli.output).await?,
        Command::Cluster(command) => command.run(cli.output).await?,
        Command::Status(command) => command.run(cli.output).await?,
        Command::Failover(command) => return command.run(cli.output).await,
        Command::Replication(command) => command.run(cli.output).await?,
        Command::Workflow(Workflow::Tree(command)) => command.run(cli.output).await?,
        Command::Workflow(Workflow::Divergence(command)) => command.run(cli.output).await?,
    }
    Ok(ExitCode::SUCCESS)
}
