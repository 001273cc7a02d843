//! `simulate shrink`: what is left of a failing world when all goes that can go.

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use simulations::{run, shrink, written};

use super::replay::{which, write};
use crate::{
    Verdict,
    args::Shrink,
    case::Case,
    progress::{Goal, Progress},
    report::text,
};

/// Make it small, tell what is left, and write it down.
pub(crate) fn shrink(args: &Shrink, out: &mut impl Write) -> anyhow::Result<Verdict> {
    let case = which(&args.which)?;
    let (name, plan) = (case.name(), case.plan());
    let begin = Instant::now();
    let time = args.time.unwrap_or(TIME);
    let mut progress = Progress::new(Goal::Time(time));
    let shrunk = shrink::shrink(&plan, &mut |_, _| {
        progress.advance();
        begin.elapsed() < time
    });
    progress.clear();
    let Some(shrunk) = shrunk else {
        writeln!(out, "{name} kept every promise: there is nothing to shrink")?;
        return Ok(Verdict::Kept);
    };
    let file = args.out.clone().unwrap_or_else(|| file_of(&case));
    write(&file, &written::write(&shrunk.plan))?;
    writeln!(
        out,
        "{name} breaks the same promise with {} of {} steps, {} of {} clusters and {} of {} s; {} worlds in {:.1} s",
        shrunk.plan.steps.len(),
        plan.steps.len(),
        shrunk.plan.clusters(),
        plan.clusters(),
        shrunk.plan.duration.as_secs(),
        plan.duration.as_secs(),
        shrunk.tries,
        begin.elapsed().as_secs_f64(),
    )?;
    for step in &shrunk.plan.steps {
        writeln!(out, "  {:>9.3} s  {}", step.at.as_secs_f64(), step.what)?;
    }
    writeln!(out)?;
    let outcome = run::run(&shrunk.plan, true, None);
    let name = Case::Plan(file, Box::new(shrunk.plan)).name();
    text::broken(&name, &shrunk.violation, &outcome, out)?;
    Ok(Verdict::Broken)
}

fn file_of(case: &Case) -> PathBuf {
    let name: String = case.name().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("shrunk-{name}.json").into()
}

/// Nobody waits longer for a smaller plan.
const TIME: Duration = Duration::from_secs(120);
