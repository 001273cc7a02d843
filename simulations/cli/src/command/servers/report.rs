//! What worlds of whole servers came to, for people.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use super::played::Played;
use crate::report::{planted, text::number};

/// What will be played.
pub(super) fn announce(first: u64, count: u64, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "whole servers, seeds {first} to {}\n", first.wrapping_add(count.saturating_sub(1)))?;
    out.flush()
}

/// How fast it went, and what was exercised.
pub(super) fn summary(played: &[Played], took: Duration, out: &mut impl Write) -> io::Result<()> {
    let broken = played.iter().filter(|played| played.broken.is_some()).count() as u64;
    let kept = match broken {
        0 => "every promise kept".to_owned(),
        broken => format!("{} broke a promise", number(broken)),
    };
    let (count, seconds) = (played.len() as u64, took.as_secs_f64().max(0.001));
    writeln!(out, "{} worlds in {seconds:.1} s, {kept}", number(count))?;
    let simulated: Duration = played.iter().map(|played| played.elapsed).sum();
    writeln!(
        out,
        "{} seeds/min; {} simulated s, {} a second; {} bytes on the wire, trace {:016x}",
        number((count as f64 / seconds * 60.0) as u64),
        number(simulated.as_secs()),
        number((simulated.as_secs_f64() / seconds) as u64),
        number(played.iter().map(|played| played.bytes).sum()),
        trace(played),
    )?;
    writeln!(out, "\nexercised{:>44}{:>12}", "times", "in worlds")?;
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (what, count) in played.iter().flat_map(|played| &played.counts) {
        let (times, worlds) = counts.entry(what).or_default();
        *times += count;
        *worlds += 1;
    }
    for (what, (times, worlds)) in counts {
        writeln!(out, "  {what:<40} {:>10} {:>11}", number(times), number(worlds))?;
    }
    writeln!(out)
}

/// One world in a line.
pub(super) fn one(played: &Played, out: &mut impl Write) -> io::Result<()> {
    let kept = if played.broken.is_none() { "kept every promise" } else { "broke a promise" };
    let Played { seed, trace, bytes, elapsed, .. } = played;
    let (seconds, bytes) = (elapsed.as_secs_f64(), number(*bytes));
    writeln!(out, "{seed} {kept}: {seconds:.3} simulated s, {bytes} bytes on the wire, trace {trace:016x}")
}

/// A broken promise. The seed is the first word, and the last.
pub(super) fn broken(played: &Played, out: &mut impl Write) -> io::Result<()> {
    let Some(broken) = &played.broken else { return Ok(()) };
    writeln!(out, "{} broke a promise after {:.3} s", played.seed, broken.at.as_secs_f64())?;
    writeln!(out, "  promise: {}", broken.promise)?;
    writeln!(out, "  found:   {}", broken.text)?;
    if let Some(subject) = &broken.subject {
        writeln!(out, "  about:   {subject}")?;
    }
    writeln!(out, "\nReplay it: simulate servers{} --log --seed {}\n", planted(), played.seed)
}

/// What happened.
pub(super) fn story(played: &Played, out: &mut impl Write) -> io::Result<()> {
    for (at, what) in &played.story {
        writeln!(out, "{:>11.6} {what}", at.as_secs_f64())?;
    }
    for (what, count) in &played.counts {
        writeln!(out, "{what:<40} {count:>10}")?;
    }
    Ok(())
}

/// Stands for all of them.
fn trace(played: &[Played]) -> u64 {
    played.iter().fold(0, |all, played| (all ^ played.trace).rotate_left(7).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::{super::played::Broken, *};

    #[test]
    fn a_broken_promise_is_told_so_that_it_can_be_seen_again() {
        let broken = Broken {
            at: Duration::from_millis(12_500),
            promise: "histories are the same everywhere".into(),
            text: "they differ".into(),
            subject: Some("order-3".into()),
        };
        let (elapsed, story) = (Duration::from_secs(20), Vec::new());
        let counts = [("fault: crash".to_owned(), 2)].into();
        let played = Played { seed: 7, broken: Some(broken), trace: 1, bytes: 2_000, elapsed, counts, story };
        let mut told = Vec::new();
        super::broken(&played, &mut told).unwrap();
        summary(&[played], Duration::from_secs(1), &mut told).unwrap();
        let told = String::from_utf8(told).unwrap();
        for part in [
            "7 broke a promise after 12.500 s\n",
            "promise: histories are the same everywhere\n",
            "about:   order-3\n",
            " --log --seed 7\n",
            "1 worlds in 1.0 s, 1 broke a promise\n60 seeds/min; 20 simulated s, 20 a second; 2,000 bytes on the wire",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
}
