//! Broken promises as the workflow commands that GitHub shows beside a change.

use std::io::{self, Write};

use super::replays;
use crate::tally::Tally;

/// Write a line for each broken promise.
pub(crate) fn write(tally: &Tally, out: &mut impl Write) -> io::Result<()> {
    for (world, violation) in tally.broken() {
        let title = property(&format!("seed {}: {}", world.case.name(), violation.promise));
        let text = format!("{}\nReplay it: {}", violation.finding.text, replays(world));
        writeln!(out, "::error title={title}::{}", data(&text))?;
    }
    Ok(())
}

/// What stands after the colons.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What stands before them: a comma or a colon would end it.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_command_early() {
        assert_eq!(data("50%\nof it: all"), "50%25%0Aof it: all");
        assert_eq!(property("seed 7: a, b"), "seed 7%3A a%2C b");
    }
}
