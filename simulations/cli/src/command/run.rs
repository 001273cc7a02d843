//! `simulate run`: many worlds, and what they came to.

use std::{
    fs,
    io::{self, Write},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context;

use super::replay::named;
use crate::{
    Verdict,
    args::{Format, Run},
    case::Case,
    corpus,
    farm::{self, Enough},
    progress::{Goal, Progress},
    report::{annotations, json, junit, text},
    tally::Tally,
};

/// Run what was asked for, and report.
pub(crate) fn run(args: &Run, out: &mut impl Write) -> anyhow::Result<Verdict> {
    let order = Order::of(args)?;
    if args.format == Format::Text {
        order.announce(out)?;
        out.flush()?;
    }
    let begin = Instant::now();
    let mut progress = Progress::new(order.goal());
    let mut tally = Tally::default();
    let is_over = |time: Option<Duration>| time.is_some_and(|time| begin.elapsed() >= time);
    farm::run(args.jobs.unwrap_or_else(farm::cores), order.cases(), |done| {
        progress.advance();
        let is_enough = done.violation.is_some() && !args.keep_going || is_over(args.time);
        tally.add(done);
        Ok(if is_enough { Enough::Yes } else { Enough::No })
    })?;
    progress.clear();
    tally.close(begin.elapsed());
    report(args, &tally, out)?;
    let is_covered = !args.all_covered || tally.never().is_empty();
    Ok(if tally.broken().next().is_none() && is_covered { Verdict::Kept } else { Verdict::Broken })
}

fn report(args: &Run, tally: &Tally, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(file) = &args.junit {
        let mut document = Vec::new();
        junit::write(tally, &mut document)?;
        fs::write(file, document).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let document = || serde_json::to_string_pretty(&json::document(tally)).map(|text| text + "\n");
    if let Some(file) = &args.json {
        fs::write(file, document()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.annotations {
        annotations::write(tally, out)?;
    }
    match args.format {
        Format::Json => out.write_all(document()?.as_bytes())?,
        Format::Text => {
            text::summary(tally, out)?;
            first_broken(tally, out)?;
        }
    }
    Ok(())
}

/// The first broken promise, told; the others by name.
fn first_broken(tally: &Tally, out: &mut impl Write) -> io::Result<()> {
    let mut broken = tally.broken();
    let Some((first, violation)) = broken.next() else { return Ok(()) };
    let others: Vec<String> = broken.map(|(world, violation)| world_line(&world.case, violation.promise)).collect();
    if !others.is_empty() {
        writeln!(out, "broken, too:")?;
        others.iter().try_for_each(|line| writeln!(out, "  {line}"))?;
        writeln!(out)?;
    }
    if let Case::Corpus(seed, showed) = &first.case {
        writeln!(out, "{seed} failed before. It showed: {showed}")?;
    }
    let outcome = first.case.run(true);
    text::broken(&first.case.name(), violation, &outcome, out)
}

fn world_line(case: &Case, promise: &str) -> String {
    format!("{} {promise}", case.name())
}

/// What is to be run.
struct Order {
    /// What is run first.
    before: Vec<Case>,
    /// The first of the seeds that follow, and how many.
    first: u64,
    count: u64,
    time: Option<Duration>,
}

impl Order {
    fn of(args: &Run) -> anyhow::Result<Self> {
        if let Some(seed) = args.seed {
            return Ok(Self { before: Vec::new(), first: seed, count: 1, time: None });
        }
        if let Some(name) = &args.scenario {
            return Ok(Self { before: vec![named(name)?], first: 0, count: 0, time: None });
        }
        let corpus = match (&args.corpus, args.from) {
            (Some(file), _) => {
                let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                corpus::parse(&text)?
            }
            (None, Some(_)) => Vec::new(),
            (None, None) => corpus::parse(corpus::BUILT_IN)?,
        };
        let count = if args.time.is_some() { u64::MAX } else { args.seeds };
        let before = corpus.into_iter().map(|entry| Case::Corpus(entry.seed, entry.showed)).collect();
        Ok(Self { before, first: args.from.unwrap_or_else(seed_of_now), count, time: args.time })
    }

    fn announce(&self, out: &mut impl Write) -> io::Result<()> {
        match self.before.as_slice() {
            [] => {}
            [Case::Scenario(scenario)] => writeln!(out, "{}: {}", scenario.name, scenario.title)?,
            failed => writeln!(out, "{} seeds that once failed", failed.len())?,
        }
        match (self.count, self.time) {
            (_, Some(time)) => writeln!(out, "seeds from {} for {time:?}", self.first)?,
            (0, None) => {}
            (1, None) => writeln!(out, "seed {}", self.first)?,
            (count, None) => writeln!(out, "seeds {} to {}", self.first, self.first.wrapping_add(count - 1))?,
        }
        writeln!(out)
    }

    fn goal(&self) -> Goal {
        self.time.map_or(Goal::Worlds((self.before.len() as u64).saturating_add(self.count)), Goal::Time)
    }

    fn cases(&self) -> impl Iterator<Item = Case> + Send + use<> {
        let first = self.first;
        self.before.clone().into_iter().chain((0..self.count).map(move |number| Case::Seed(first.wrapping_add(number))))
    }
}

/// A seed that was not there before.
pub(super) fn seed_of_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}
