//! The branches of a workflow's runs, as each cluster holds them at the end.

use std::fmt::{self, Write};

use replicator::ids::WorkflowId;

use super::Escaped;
use crate::{
    trace::name,
    world::{Ending, Outcome},
};

/// Write them.
pub(super) fn write(to: &mut String, clusters: usize, outcome: &Outcome, subject: &WorkflowId) -> fmt::Result {
    writeln!(
        to,
        "<section class=\"trees\"><h2>What each cluster holds of {} at the end</h2>",
        Escaped(subject.as_str())
    )?;
    for cluster in 0..clusters {
        writeln!(to, "<div class=\"cluster c{cluster}\"><h3>{}</h3>", name(cluster))?;
        let held = |ending: &&Ending| ending.cluster == cluster && ending.run.workflow.workflow == *subject;
        let mut runs = outcome.endings.iter().filter(held).peekable();
        if runs.peek().is_none() {
            writeln!(to, "<p>nothing</p>")?;
        }
        for ending in runs {
            let current = if ending.is_current { ", current" } else { "" };
            writeln!(
                to,
                "<p class=\"run\">run {} <span>{}{current}</span></p>",
                ending.run.run,
                Escaped(&ending.phase)
            )?;
            for (number, items) in ending.branches.iter().enumerate() {
                let class = if number == ending.current_branch { "branch wins" } else { "branch" };
                write!(to, "<div class=\"{class}\">")?;
                let mut first = 1;
                for item in items {
                    let owner = (item.version.0 - 1).rem_euclid(10);
                    let (last, version) = (item.event_id.0, item.version.0);
                    let span = if first == last { format!("{last}") } else { format!("{first}–{last}") };
                    write!(to, "<i class=\"c{owner}\">{span}@{version}</i>")?;
                    first = last + 1;
                }
                writeln!(to, "</div>")?;
            }
        }
        writeln!(to, "</div>")?;
    }
    writeln!(to, "</section>")
}
