//! `simulate scenarios`: the stories that can be played.

use std::io::{self, Write};

use simulations::scenario;

/// List them.
pub(crate) fn scenarios(out: &mut impl Write) -> io::Result<()> {
    for scenario in scenario::all() {
        writeln!(out, "{:<20} {}\n{:<20} {}\n", scenario.name, scenario.title, "", scenario.about)?;
    }
    writeln!(out, "simulate run --scenario NAME, simulate replay --scenario NAME")
}
