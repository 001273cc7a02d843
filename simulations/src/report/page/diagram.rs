//! The lanes: an SVG in which every happening has a row.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use replicator::time::Timestamp;

use super::{
    Escaped,
    rows::{Message, Row, Rows},
};
use crate::trace::{Line, Place, name};

/// Write the lanes.
pub(super) fn write(to: &mut String, clusters: usize, rows: &Rows<'_>, begin: Timestamp) -> fmt::Result {
    let width = x(clusters) + LANE;
    let height = y(rows.rows.len()) + ROW;
    writeln!(to, "<div class=\"scroll\"><div class=\"lanes\" style=\"width:{width}px\">")?;
    writeln!(to, "<span style=\"width:{TIME}px\">seconds</span><span style=\"width:{LANE}px\">the world</span>")?;
    for cluster in 0..clusters {
        let name = name(cluster);
        writeln!(to, "<span class=\"lane c{cluster}\" data-cluster=\"{name}\" style=\"width:{LANE}px\">{name}</span>")?;
    }
    writeln!(to, "</div>\n<svg class=\"diagram\" width=\"{width}\" height=\"{height}\" role=\"img\">")?;
    for cluster in 0..clusters {
        let (left, width) = (x(cluster + 1), LANE - GAP);
        writeln!(to, "<rect class=\"ground c{cluster}\" x=\"{left}\" y=\"0\" width=\"{width}\" height=\"{height}\"/>")?;
    }
    for message in &rows.messages {
        arrow(to, message)?;
    }
    for (number, pair) in rows.rows.windows(2).enumerate() {
        if pair[1].line.at.since(pair[0].line.at) > PAUSE {
            let y = y(number + 1) - 3;
            writeln!(to, "<line class=\"gap\" x1=\"0\" y1=\"{y}\" x2=\"{width}\" y2=\"{y}\"/>")?;
        }
    }
    for (number, row) in rows.rows.iter().enumerate() {
        happening(to, number, row, width, begin)?;
    }
    writeln!(to, "</svg></div>")
}

fn happening(to: &mut String, number: usize, row: &Row<'_>, width: usize, begin: Timestamp) -> fmt::Result {
    let Row { line, omitted } = row;
    let (top, seconds) = (y(number), line.at.since(begin).as_secs_f64());
    let base = top + 15;
    writeln!(to, "<g class=\"row\"><text class=\"time\" x=\"{}\" y=\"{base}\">{seconds:.6}</text>", TIME - 12)?;
    if *omitted > 0 {
        writeln!(to, "<text class=\"omitted\" x=\"{}\" y=\"{}\">{omitted} more</text>", TIME - 12, top + 1)?;
    }
    let full = line.print(begin);
    let shown = shown(line);
    if is_banner(line) {
        let class = if line.kind == "VIOLATION" { "violation" } else { class(line) };
        let most = (width - TIME) / LETTER - 4;
        writeln!(
            to,
            "<rect class=\"banner {class}\" x=\"{TIME}\" y=\"{top}\" width=\"{}\" height=\"20\"/>",
            width - TIME - GAP
        )?;
        let (x, text) = (TIME + 10, cut(&shown, most));
        writeln!(to, "<text class=\"banner {class}\" x=\"{x}\" y=\"{base}\">{}</text>", Escaped(&text))?;
    } else {
        let lane = lane(line.place);
        let (left, class, most) = (x(lane), class(line), (LANE - GAP) / LETTER - 2);
        writeln!(
            to,
            "<rect class=\"card {class}\" x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"20\" rx=\"4\"/>",
            LANE - GAP
        )?;
        writeln!(to, "<text x=\"{}\" y=\"{base}\">{}</text>", left + 8, Escaped(&cut(&shown, most)))?;
    }
    writeln!(to, "<title>{}</title></g>", Escaped(&full))
}

fn arrow(to: &mut String, message: &Message) -> fmt::Result {
    let Message { from, to: target, sent, heard } = *message;
    let is_right = target > from;
    let edge = |cluster: usize, right: bool| x(cluster + 1) + if right { LANE - GAP } else { 0 };
    let (x1, y1) = (edge(from, is_right), y(sent) + 10);
    match heard {
        Some(heard) => {
            let (x2, y2) = (edge(target, !is_right), y(heard) + 10);
            let (tip, back) = if is_right { (x2, x2.saturating_sub(7)) } else { (x2, x2 + 7) };
            writeln!(to, "<line class=\"message c{from}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{tip}\" y2=\"{y2}\"/>")?;
            writeln!(to, "<path class=\"tip c{from}\" d=\"M{tip} {y2} L{back} {} L{back} {} Z\"/>", y2 - 4, y2 + 4)
        }
        None => {
            let (x2, y2) = (if is_right { x1 + GAP } else { x1 - GAP }, y1);
            writeln!(to, "<line class=\"message lost\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>")?;
            writeln!(to, "<text class=\"lost\" x=\"{x2}\" y=\"{}\">✕</text>", y2 + 4)
        }
    }
}

/// What goes across all lanes.
fn is_banner(line: &Line) -> bool {
    line.kind == "VIOLATION"
        || line.kind == "failover"
        || line.place == Place::World && matches!(line.kind, "fate" | "heals" | "rests")
}

/// What it looks like.
fn class(line: &Line) -> &'static str {
    match line.kind {
        "failover" => "failover",
        "fate" if line.text.contains("fails over") || line.text.contains("is registered") => "order",
        "fate" => "fault",
        "heals" | "rests" => "rest",
        "asks" => "asks",
        "writes" => "writes",
        "sends" | "hears" if line.place != Place::World => "tells",
        "durable" | "reports" | "loses" | "vanishes" | "ends" => "trouble",
        _ => "plain",
    }
}

/// A happening in few words.
fn shown(line: &Line) -> String {
    let text = &line.text;
    match line.kind {
        "writes" => {
            let told = text.split_once(", tells ").map_or(text.as_str(), |(told, _)| told);
            let told = told.split_once(", ").map_or(told, |(_, told)| told);
            let mut short = told.replace("workflow_execution_", "").replace("workflow_task_", "task ");
            for (long, brief) in [("activity_task_", "activity "), ("_", " ")] {
                short = short.replace(long, brief);
            }
            let mut parts = short.split(", ").filter(|part| !part.ends_with(" tasks")).map(events).peekable();
            if parts.peek().is_none() { "changes its state alone".into() } else { parts.collect::<Vec<_>>().join(", ") }
        }
        "sends" | "hears" if line.place != Place::World => {
            let mut words = text.split(' ');
            let (direction, peer) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let tasks = words.take_while(|word| *word != "below").filter(|word| *word != "settled").count();
            let verb = if direction == "to" { "tells" } else { "hears from" };
            format!("{verb} {peer}: {tasks} task{}", if tasks == 1 { "" } else { "s" })
        }
        "VIOLATION" => format!("✕ {text}"),
        "failover" => format!("⇄ failover {text}"),
        "fate" => text.clone(),
        "asks" => {
            // Whoever asks is near the cluster that is asked first; what is asked is of interest.
            let (asked, what) = text.split_once(": client of ").unwrap_or(("", text));
            format!("a client asks {asked}: {}", what.split_once(' ').map_or(what, |(_, what)| what))
        }
        "hears" => format!("hears {}", without_fields(text)),
        "reports" => format!("reports: {}", without_fields(text)),
        kind => format!("{kind} {text}"),
    }
}

/// A value without its fields: they are in what is shown when somebody points at it.
fn without_fields(text: &str) -> &str {
    text.split_once(" {").map_or(text, |(what, _)| what)
}

/// `4..6@2 signaled` as `4–6@2 signaled`, and `4..4@2` as `4@2`.
fn events(part: &str) -> String {
    let Some((first, rest)) = part.split_once("..") else { return part.into() };
    let last = rest.split('@').next().unwrap_or_default();
    if first == last { rest.into() } else { format!("{first}–{rest}") }
}

fn lane(place: Place) -> usize {
    match place {
        Place::World => 0,
        Place::Cluster(cluster) | Place::Shard(cluster, _) => cluster + 1,
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.into();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn x(lane: usize) -> usize {
    TIME + lane * LANE
}

fn y(row: usize) -> usize {
    8 + row * ROW
}

/// A longer pause shows.
const PAUSE: Duration = Duration::from_millis(200);
/// Pixels.
const TIME: usize = 96;
const LANE: usize = 372;
const GAP: usize = 32;
const ROW: usize = 25;
const LETTER: usize = 7;
