//! The result as JUnit XML: a case for each world.

use std::io::{self, Write};

use super::replays;
use crate::tally::Tally;

/// Write the document.
pub(crate) fn write(tally: &Tally, out: &mut impl Write) -> io::Result<()> {
    let (tests, failures) = (tally.worlds.len(), tally.broken().count());
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    let time = tally.took.as_secs_f64();
    writeln!(out, r#"<testsuites tests="{tests}" failures="{failures}" time="{time:.3}">"#)?;
    writeln!(out, r#"  <testsuite name="simulate" tests="{tests}" failures="{failures}" time="{time:.3}">"#)?;
    for world in &tally.worlds {
        let (group, name) = (escape(world.case.group()), escape(&world.case.name()));
        let took = world.took.as_secs_f64();
        write!(out, r#"    <testcase classname="simulate.{group}" name="{name}" time="{took:.3}""#)?;
        match &world.violation {
            None => writeln!(out, "/>")?,
            Some(violation) => {
                let text = format!("{}\nReplay it: {}", violation.finding.text, replays(world));
                writeln!(out, ">")?;
                writeln!(out, r#"      <failure message="{}">{}</failure>"#, escape(violation.promise), escape(&text))?;
                writeln!(out, "    </testcase>")?;
            }
        }
    }
    writeln!(out, "  </testsuite>\n</testsuites>")
}

/// Text as it may stand in XML, between quotes too. XML cannot hold other control characters at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_finding_breaks_the_document() {
        assert_eq!(escape("a <b> & \"c\"\u{7}\n"), "a &lt;b&gt; &amp; &quot;c&quot;\u{fffd}\n");
    }
}
