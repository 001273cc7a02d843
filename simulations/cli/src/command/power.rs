//! `simulate power`: known defects, planted one at a time. One that is not found is a hole in the checkers, or in the worlds.

use std::io::Write;

use simulations::defects::{self, Defect};

use crate::{
    Verdict,
    args::Power,
    case::Case,
    farm::{self, Done, Enough},
    progress::{Goal, Progress},
};

/// How a defect was found.
struct Found {
    seeds: u64,
    promise: &'static str,
}

/// Plant each, look for it, and say how long that took.
pub(crate) fn power(args: &Power, out: &mut impl Write) -> anyhow::Result<Verdict> {
    if let Some(Found { seeds, promise }) = look(args, None)? {
        writeln!(out, "seed {}: without any defect a promise is broken: {promise}", args.from + seeds - 1)?;
        return Ok(Verdict::Broken);
    }
    let wanted = |defect: &&Defect| args.defect.as_ref().is_none_or(|name| *name == format!("{defect:?}"));
    let defects: Vec<Defect> = Defect::ALL.iter().filter(wanted).copied().collect();
    anyhow::ensure!(!defects.is_empty(), "there is no such defect");
    writeln!(out, "| Defect | Found after | By |\n| --- | ---: | --- |")?;
    let (mut counts, mut survivors) = (Vec::new(), Vec::new());
    for defect in defects {
        let sentence = defect.sentence();
        match look(args, Some(defect))? {
            Some(Found { seeds, promise }) => {
                writeln!(out, "| `{defect:?}`: {sentence} | {seeds} | {promise} |")?;
                counts.push(seeds);
            }
            None => {
                writeln!(out, "| `{defect:?}`: {sentence} | not in {} | |", args.most)?;
                survivors.push(format!("{defect:?}"));
            }
        }
        out.flush()?;
    }
    counts.sort_unstable();
    let median = counts.get(counts.len() / 2).copied().unwrap_or(0);
    writeln!(
        out,
        "\n{} defects, {} found, the median after {median} seeds",
        counts.len() + survivors.len(),
        counts.len()
    )?;
    if survivors.is_empty() {
        return Ok(Verdict::Kept);
    }
    writeln!(out, "survived: {}", survivors.join(", "))?;
    Ok(Verdict::Broken)
}

/// Run seeds with a defect until a promise breaks. Nothing runs when the next one is planted.
fn look(args: &Power, defect: Option<Defect>) -> anyhow::Result<Option<Found>> {
    defects::plant(defect);
    let most = if defect.is_some() { args.most } else { args.sound };
    let cases = (0..most).map(|number| Case::Seed(args.from + number));
    let mut first: Option<(usize, &'static str)> = None;
    let mut progress = Progress::new(Goal::Worlds(most));
    farm::run(args.jobs.unwrap_or_else(farm::cores), cases, |Done { place, violation, .. }| {
        progress.advance();
        let Some(violation) = violation else { return Ok(Enough::No) };
        if first.is_none_or(|(earlier, _)| place < earlier) {
            first = Some((place, violation.promise));
        }
        Ok(Enough::Yes)
    })?;
    progress.clear();
    defects::plant(None);
    Ok(first.map(|(place, promise)| Found { seeds: place as u64 + 1, promise }))
}
