//! `simulate power`: known defects, planted one at a time. One that is not found is a hole in the checkers, or in the worlds.

use std::{io::Write, sync::OnceLock};

use anyhow::ensure;
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
    /// Seeds that it took.
    seeds: u64,
    promise: &'static str,
}

/// Plant each, look for it, and say how long that took.
pub(crate) fn power(args: &Power, defect: Option<Defect>, out: &mut impl Write) -> anyhow::Result<Verdict> {
    let all: Vec<Defect> = defect.map_or_else(|| Defect::ALL.to_vec(), |defect| vec![defect]);
    writeln!(out, "| Defect | Found after | By |\n| --- | ---: | --- |")?;
    let (mut counts, mut survivors) = (Vec::new(), Vec::new());
    for defect in all {
        let sentence = defect.sentence();
        match look(args, defect)? {
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
    let (all, found) = (counts.len() + survivors.len(), counts.len());
    if let Some(median) = counts.get(counts.len() / 2) {
        writeln!(out, "\n{all} defects, {found} found, the median after {median} seeds")?;
    }
    if survivors.is_empty() {
        return Ok(Verdict::Kept);
    }
    writeln!(out, "\nsurvived: {}", survivors.join(", "))?;
    Ok(Verdict::Broken)
}

/// Plant the defect of a name, and remember it for what is said of replaying.
pub(crate) fn plant(name: Option<&str>) -> anyhow::Result<Option<Defect>> {
    let Some(name) = name else { return Ok(None) };
    let defect = Defect::ALL.iter().find(|defect| format!("{defect:?}") == name).copied();
    ensure!(defect.is_some(), "there is no defect {name}; `simulate power` lists them");
    defects::plant(defect);
    PLANTED.get_or_init(|| format!(" --defect {name}"));
    Ok(defect)
}

/// What a command needs besides, so that the planted defect is there again.
pub(crate) fn planted() -> &'static str {
    PLANTED.get().map_or("", String::as_str)
}

static PLANTED: OnceLock<String> = OnceLock::new();

/// Run seeds with a defect until a promise breaks that the same seed keeps without it.
fn look(args: &Power, defect: Defect) -> anyhow::Result<Option<Found>> {
    let mut next = 0;
    while let Some((place, promise)) = first_broken(args, defect, next)? {
        defects::plant(None);
        let seed = args.from + place;
        if Case::Seed(seed).run(false).violation.is_none() {
            return Ok(Some(Found { seeds: place + 1, promise }));
        }
        next = place + 1;
    }
    Ok(None)
}

/// The first of the seeds from the one at `next` on that breaks a promise. Nothing runs while a defect is planted.
fn first_broken(args: &Power, defect: Defect, next: u64) -> anyhow::Result<Option<(u64, &'static str)>> {
    defects::plant(Some(defect));
    let from = args.from;
    let cases = (next..args.most).map(move |number| Case::Seed(from + number));
    let mut first: Option<(u64, &'static str)> = None;
    let mut progress = Progress::new(Goal::Worlds(args.most));
    farm::run(args.jobs.unwrap_or_else(farm::cores), cases, |Done { place, violation, .. }| {
        progress.advance();
        let Some(violation) = violation else { return Ok(Enough::No) };
        let place = next + place as u64;
        if first.is_none_or(|(earlier, _)| place < earlier) {
            first = Some((place, violation.promise));
        }
        Ok(Enough::Yes)
    })?;
    progress.clear();
    Ok(first)
}
