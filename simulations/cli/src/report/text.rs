//! The result for people.

use std::io::{self, Write};

use simulations::{checkers::Violation, report::story::Story, world::Outcome};

use super::command;
use crate::tally::Tally;

/// What was exercised, how fast it went, and what never happened.
pub(crate) fn summary(tally: &Tally, out: &mut impl Write) -> io::Result<()> {
    let (count, broken) = (tally.worlds.len() as u64, tally.broken().count() as u64);
    let kept = match broken {
        0 => "every promise kept".to_owned(),
        broken => format!("{} broke a promise", number(broken)),
    };
    writeln!(out, "{} worlds in {:.1} s, {kept}", number(count), tally.took.as_secs_f64())?;
    let (median, pace) = (tally.median(), tally.pace());
    writeln!(
        out,
        "{} seeds/min; {} simulated s, {} a second of each core",
        number(pace.seeds_per_minute as u64),
        number(tally.simulated().as_secs()),
        number(pace.simulated_per_core_second as u64),
    )?;
    writeln!(
        out,
        "median world: {} happenings, {} failovers, {} kinds of fault; trace {:016x}",
        number(median.happenings),
        median.failovers,
        median.faults,
        tally.hash(),
    )?;
    writeln!(out, "\nexercised")?;
    for (what, count) in tally.coverage.table().filter(|(_, count)| *count > 0) {
        writeln!(out, "  {what:<40} {:>12}", number(count))?;
    }
    let never = tally.never();
    if !never.is_empty() {
        writeln!(out, "\nnever happened, and must")?;
        never.iter().try_for_each(|what| writeln!(out, "  {what}"))?;
    }
    writeln!(out)
}

/// A broken promise: the name of the world is the first word, and the last.
pub(crate) fn broken(name: &str, violation: &Violation, outcome: &Outcome, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{name} broke a promise after {:.6} s", violation.at.as_secs_f64())?;
    writeln!(out, "  promise: {}", violation.promise)?;
    writeln!(out, "  found:   {}", violation.finding.text)?;
    if let Some(subject) = &violation.finding.subject {
        writeln!(out, "  about:   {subject}")?;
    }
    let story = Story::of(outcome);
    let told = story.beginning.len() + story.end.len();
    writeln!(out, "\n{told} of {} happenings tell the story:", number(outcome.happenings))?;
    for line in story.print() {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\nReplay it: {}", command(name))
}

/// A number as people read it.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn digits_come_in_threes() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(number), ["7", "999", "1,000", "1,234,567"]);
    }
}
