//! `simulate servers`: whole servers, a process for each seed.

mod played;
mod report;

use std::{
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use self::played::Played;
use super::run::seed_of_now;
use crate::{
    Verdict,
    args::Servers,
    farm,
    progress::{Goal, Progress},
};

/// Play what was asked for, and report.
pub(crate) fn servers(args: &Servers, out: &mut impl Write) -> anyhow::Result<Verdict> {
    if let Some(seed) = args.seed {
        return one(args, seed, out);
    }
    let first = args.from.unwrap_or_else(seed_of_now);
    report::announce(first, args.seeds, out)?;
    let begin = Instant::now();
    let mut played = many(args, first)?;
    played.sort_by_key(|played| played.seed);
    report::summary(&played, begin.elapsed(), out)?;
    let broken = played.iter().filter(|played| played.broken.is_some());
    broken.clone().try_for_each(|played| report::broken(played, out))?;
    Ok(verdict(broken.count()))
}

fn one(args: &Servers, seed: u64, out: &mut impl Write) -> anyhow::Result<Verdict> {
    let played = Played::here(seed)?;
    if args.told_as_json {
        serde_json::to_writer(&mut *out, &played)?;
    } else {
        if args.log {
            report::story(&played, out)?;
        }
        report::one(&played, out)?;
        if played.broken.is_some() {
            report::broken(&played, out)?;
        }
    }
    Ok(verdict(usize::from(played.broken.is_some())))
}

fn verdict(broken: usize) -> Verdict {
    if broken == 0 { Verdict::Kept } else { Verdict::Broken }
}

/// Seeds from one on, side by side.
fn many(args: &Servers, first: u64) -> anyhow::Result<Vec<Played>> {
    let mut progress = Progress::new(Goal::Worlds(args.seeds));
    let seeds = Mutex::new((0..args.seeds).map(|number| first.wrapping_add(number)));
    let is_enough = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..args.jobs.unwrap_or_else(farm::cores).get() {
            let (sender, seeds, is_enough) = (sender.clone(), &seeds, &is_enough);
            scope.spawn(move || {
                while !is_enough.load(Ordering::Relaxed) {
                    let Some(seed) = seeds.lock().expect("nobody panics with it").next() else { return };
                    // Nobody listens any more when the other end has failed.
                    if sender.send(Played::apart(seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut all = Vec::new();
        for played in receiver {
            let is_good = played.as_ref().is_ok_and(|played| played.broken.is_none());
            if !is_good && !args.keep_going {
                is_enough.store(true, Ordering::Relaxed);
            }
            all.push(played?);
            progress.advance();
        }
        progress.clear();
        Ok(all)
    })
}
