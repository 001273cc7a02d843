//! `simulate replay`: one world again, told.

use std::io::Write;

use crate::{Verdict, args::Replay, case::Case, report::text};

/// Run it again, and tell all of it or the story of the broken promise.
pub(crate) fn replay(args: &Replay, out: &mut impl Write) -> anyhow::Result<Verdict> {
    let case = Case::Seed(args.seed);
    let outcome = simulations::run::run(&case.plan(), true, args.until);
    if args.log {
        for line in &outcome.lines {
            writeln!(out, "{}", line.print(outcome.begin))?;
        }
        writeln!(out)?;
    }
    let Some(violation) = &outcome.violation else {
        writeln!(
            out,
            "{} kept every promise for {:.6} s; {} happenings, trace {:016x}",
            case.name(),
            outcome.elapsed.as_secs_f64(),
            text::number(outcome.happenings),
            outcome.hash,
        )?;
        return Ok(Verdict::Kept);
    };
    text::broken(&case.name(), violation, &outcome, out)?;
    Ok(Verdict::Broken)
}
