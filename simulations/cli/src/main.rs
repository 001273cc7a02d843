//! `simulate`: runs simulated clusters from seeds, and tells what went wrong so that it can be seen again.
//!
//! Threads, clocks and files are here and not in the simulator: one world belongs to one thread, and a seed says
//! everything about it.

mod args;
mod case;
mod command;
mod corpus;
mod farm;
mod progress;
mod report;
mod tally;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use args::{Args, Command};

/// Worlds allocate and free small things all the time: a seventh of their time went there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whether every promise was kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Kept,
    Broken,
}

fn main() -> ExitCode {
    // An assertion of the core that fails is a finding like any other, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let args = Args::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = carry_out(&args, &mut out).and_then(|verdict| Ok(out.flush().map(|()| verdict)?));
    match done {
        Ok(Verdict::Kept) => ExitCode::SUCCESS,
        Ok(Verdict::Broken) => ExitCode::from(1),
        Err(error) if is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing more can be done when not even this can be written.
            let _ = writeln!(io::stderr(), "simulate: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn carry_out(args: &Args, out: &mut impl Write) -> anyhow::Result<Verdict> {
    #[cfg(feature = "defects")]
    let defect = command::power::plant(args.defect.as_deref())?;
    match &args.command {
        Command::Run(run) => command::run::run(run, out),
        Command::Replay(replay) => command::replay::replay(replay, out),
        Command::Shrink(shrink) => command::shrink::shrink(shrink, out),
        #[cfg(feature = "servers")]
        Command::Servers(servers) => command::servers::servers(servers, out),
        Command::Scenarios => Ok(command::scenarios::scenarios(out).map(|()| Verdict::Kept)?),
        #[cfg(feature = "defects")]
        Command::Power(power) => command::power::power(power, defect, out),
    }
}

/// Whoever read what is printed has seen enough.
fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
