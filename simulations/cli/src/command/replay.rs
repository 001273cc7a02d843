//! `simulate replay`: one world again, told.

use std::{fs, io::Write, path::Path};

use anyhow::{Context, bail};
use simulations::{report::page, run, scenario, written};

use crate::{
    Verdict,
    args::Replay,
    args::Which,
    case::Case,
    report::{command, text},
};

/// Run it again, and tell all of it or the story of the broken promise.
pub(crate) fn replay(args: &Replay, out: &mut impl Write) -> anyhow::Result<Verdict> {
    let case = which(&args.which)?;
    let (name, plan) = (case.name(), case.plan());
    let outcome = match args.until {
        Some(until) => run::run(&plan, true, Some(until)),
        None => case.run(true),
    };
    if args.log {
        for line in &outcome.lines {
            writeln!(out, "{}", line.print(outcome.begin))?;
        }
        writeln!(out)?;
    }
    if let Some(file) = &args.html {
        write(file, &page::page(&case.title(), &command(&name), &plan, &outcome))?;
    }
    let Some(violation) = &outcome.violation else {
        writeln!(
            out,
            "{name} kept every promise for {:.6} s; {} happenings, trace {:016x}",
            outcome.elapsed.as_secs_f64(),
            text::number(outcome.happenings),
            outcome.hash,
        )?;
        return Ok(Verdict::Kept);
    };
    text::broken(&name, violation, &outcome, out)?;
    Ok(Verdict::Broken)
}

/// The world that was named.
pub(crate) fn which(which: &Which) -> anyhow::Result<Case> {
    if let Some(file) = &which.plan {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        return match written::read(&text) {
            Ok(plan) => Ok(Case::Plan(file.clone(), Box::new(plan))),
            Err(problem) => bail!("{} is no plan: {problem}", file.display()),
        };
    }
    if let Some(name) = &which.scenario {
        return named(name);
    }
    Ok(Case::Seed(which.seed.context("a seed, a plan or a scenario must be named")?))
}

/// The scenario of a name.
pub(crate) fn named(name: &str) -> anyhow::Result<Case> {
    let scenario = scenario::named(name);
    Ok(Case::Scenario(
        scenario.with_context(|| format!("there is no scenario {name}; `simulate scenarios` lists them"))?,
    ))
}

/// Write a file.
pub(crate) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
