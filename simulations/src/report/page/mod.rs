//! One run as a page that a browser shows, without anything from elsewhere: for a person who was not there.
//!
//! A lane for each cluster and one for the world around them. Time goes down, a row for each happening that concerns the
//! workflow in question; what fate did to all goes across. Arrows are messages between clusters that told of it. At the
//! end stand the branches that each cluster holds, and what the plan was.

mod diagram;
mod rows;
mod trees;

use std::fmt::{self, Write};

use replicator::ids::WorkflowId;

use crate::{plan::Plan, trace::name, world::Outcome};

/// The page of a run that kept its lines, and the command that replays it.
#[must_use]
pub fn page(title: &str, command: &str, plan: &Plan, outcome: &Outcome) -> String {
    let mut text = String::new();
    write(&mut text, title, command, plan, outcome).expect("a string takes any text");
    text
}

fn write(to: &mut String, title: &str, command: &str, plan: &Plan, outcome: &Outcome) -> fmt::Result {
    let subject = subject(outcome);
    let verdict = if outcome.violation.is_some() { "broke a promise" } else { "kept every promise" };
    writeln!(to, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    writeln!(to, "<title>{} {verdict}</title>\n<style>\n{STYLE}</style></head><body>", Escaped(title))?;
    head(to, title, verdict, plan, outcome, subject.as_ref())?;
    let rows = rows::select(outcome, subject.as_ref());
    diagram::write(to, plan.clusters(), &rows, outcome.begin)?;
    if let Some(subject) = &subject {
        trees::write(to, plan.clusters(), outcome, subject)?;
    }
    writeln!(to, "<details><summary>The plan: {} steps</summary><table class=\"plan\">", plan.steps.len())?;
    for step in &plan.steps {
        let (at, what) = (step.at.as_secs_f64(), step.what.to_string());
        writeln!(to, "<tr><td>{at:.3} s</td><td>{}</td></tr>", Escaped(&what))?;
    }
    writeln!(to, "</table></details>")?;
    writeln!(to, "<footer>Replay it: <code>{}</code></footer></body></html>", Escaped(command))
}

fn head(
    to: &mut String,
    title: &str,
    verdict: &str,
    plan: &Plan,
    outcome: &Outcome,
    subject: Option<&WorkflowId>,
) -> fmt::Result {
    let class = if outcome.violation.is_some() { "broken" } else { "kept" };
    writeln!(to, "<header class=\"{class}\"><h1>{} {verdict}</h1>", Escaped(title))?;
    if let Some(violation) = &outcome.violation {
        writeln!(to, "<div id=\"violation\"><p class=\"promise\">{}</p>", Escaped(violation.promise))?;
        let at = violation.at.as_secs_f64();
        writeln!(to, "<p class=\"found\">{} <span>after {at:.6} s</span></p></div>", Escaped(&violation.finding.text))?;
    }
    let shards: Vec<String> =
        plan.shards.iter().enumerate().map(|(cluster, count)| format!("{} {count}", name(cluster))).collect();
    let about = subject.map_or_else(|| "everything".into(), ToString::to_string);
    writeln!(to, "<dl><div><dt>told here</dt><dd>what happened to <b>{}</b></dd></div>", Escaped(&about))?;
    writeln!(to, "<div><dt>clusters and their shards</dt><dd>{}</dd></div>", shards.join(", "))?;
    writeln!(to, "<div><dt>simulated</dt><dd>{:.1} s</dd></div>", outcome.elapsed.as_secs_f64())?;
    writeln!(to, "<div><dt>happenings</dt><dd>{}</dd></div>", outcome.happenings)?;
    writeln!(to, "<div><dt>trace</dt><dd><code>{:016x}</code></dd></div></dl>", outcome.hash)?;
    writeln!(
        to,
        "<p class=\"legend\">Time goes down, a row for each happening. <i>4–6@2</i> are events 4 to 6 under failover \
        version 2. Arrows are messages that tell another cluster of them; ✕ is one that never arrived. Point at a row for \
        all of it.</p></header>"
    )
}

/// The workflow that the page is about: that of the broken promise, else one that was told of in branches, else the one of
/// which most is told.
fn subject(outcome: &Outcome) -> Option<WorkflowId> {
    if let Some(violation) = &outcome.violation
        && violation.finding.subject.is_some()
    {
        return violation.finding.subject.clone();
    }
    let branched = outcome.endings.iter().find(|ending| ending.branches.len() > 1);
    branched.map(|ending| ending.run.workflow.workflow.clone()).or_else(|| {
        let mut counts = std::collections::BTreeMap::new();
        for subject in outcome.lines.iter().filter_map(|line| line.subject.as_ref()) {
            *counts.entry(subject).or_insert(0_u64) += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(subject, _)| subject.clone())
    })
}

/// Text as it may stand in a page, between quotes too.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{run, swarm};

    #[test]
    fn a_page_stands_alone_and_has_a_lane_for_each_cluster() {
        let plan = swarm::plan(7);
        let page = page("seed 7", "simulate replay 7", &plan, &run::run(&plan, true, None));
        for cluster in 0..plan.clusters() {
            assert!(page.contains(&format!("data-cluster=\"{}\"", name(cluster))));
        }
        assert!(page.contains("class=\"message"), "clusters told each other something");
        assert!(!page.contains("http") && !page.contains("<link") && !page.contains("@import"));
    }

    #[test]
    fn nothing_that_was_said_becomes_a_tag() {
        assert_eq!(Escaped("a <b> & \"c\"").to_string(), "a &lt;b&gt; &amp; &quot;c&quot;");
    }
}
