//! Which happenings a page shows, in which order, and which of them are the two ends of a message.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use replicator::ids::WorkflowId;

use crate::{
    trace::{Line, Place},
    world::Outcome,
};

/// The rows of a page.
pub(super) struct Rows<'a> {
    pub(super) rows: Vec<Row<'a>>,
    pub(super) messages: Vec<Message>,
}

/// A happening that is shown.
pub(super) struct Row<'a> {
    pub(super) line: &'a Line,
    /// Rows that are left out before this one.
    pub(super) omitted: usize,
}

/// A message from one cluster to another, from row to row. One that was never heard was lost.
pub(super) struct Message {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) sent: usize,
    pub(super) heard: Option<usize>,
}

/// Choose what concerns a workflow, and what fate did meanwhile.
pub(super) fn select<'a>(outcome: &'a Outcome, subject: Option<&WorkflowId>) -> Rows<'a> {
    let mut told = Told::default();
    let mut chosen: Vec<&Line> = Vec::new();
    let mut messages = Vec::new();
    let mut under_way: BTreeMap<(Place, Place, &str), VecDeque<usize>> = BTreeMap::new();
    for line in &outcome.lines {
        let concerns = subject.is_some() && line.subject.as_ref() == subject;
        if concerns && line.kind == "writes" {
            told.note(line.place, &line.text);
        }
        match (line.kind, frame(line)) {
            ("sends", Some((to, said))) if told.is_about(line.place, said) => {
                under_way.entry((line.place, to, said)).or_default().push_back(messages.len());
                let (from, to) = (cluster(line.place), cluster(to));
                messages.push(Message { from, to, sent: chosen.len(), heard: None });
                chosen.push(line);
            }
            ("hears", Some((from, said))) => {
                let sent = under_way.get_mut(&(from, line.place, said)).and_then(VecDeque::pop_front);
                if let Some(message) = sent {
                    messages[message].heard = Some(chosen.len());
                    chosen.push(line);
                }
            }
            ("hears", None) if line.place != Place::World => {}
            // What was ordered and what was done at once need not be said twice.
            ("failover", _) if chosen.last().is_some_and(|last| last.at == line.at && last.kind == "fate") => {
                chosen.pop();
                chosen.push(line);
            }
            ("starts", _) if line.at == outcome.begin => {}
            ("sends" | "opens" | "closes" | "reads" | "loaded" | "decided" | "namespace" | "ready", _) => {}
            ("durable", _) if line.text.ends_with("Committed") => {}
            _ if concerns || line.subject.is_none() => chosen.push(line),
            _ => {}
        }
    }
    trim(chosen, messages)
}

/// Of what is too long the beginning and the end are kept.
fn trim(chosen: Vec<&Line>, messages: Vec<Message>) -> Rows<'_> {
    let gone = chosen.len().saturating_sub(FIRST + LAST);
    let place = |row: usize| match row {
        row if row < FIRST || gone == 0 => Some(row),
        row => row.checked_sub(gone).filter(|row| *row >= FIRST),
    };
    let kept = |message: Message| {
        let heard = match message.heard {
            Some(heard) => Some(place(heard)?),
            None => None,
        };
        Some(Message { sent: place(message.sent)?, heard, ..message })
    };
    let rows = chosen.iter().enumerate().filter(|(row, _)| place(*row).is_some());
    let rows = rows.map(|(row, line)| Row { line, omitted: if row == FIRST + gone { gone } else { 0 } });
    Rows { rows: rows.collect(), messages: messages.into_iter().filter_map(kept).collect() }
}

/// What each shard has told its peers of the workflow: ids of tasks.
#[derive(Default)]
struct Told(BTreeSet<(Place, String)>);

impl Told {
    /// A write says at its end which tasks it leaves for peers.
    fn note(&mut self, place: Place, text: &str) {
        let ids = text.split_once(", tells ").map_or("", |(_, ids)| ids);
        self.0.extend(ids.split(' ').filter(|id| !id.is_empty()).map(|id| (place, id.to_owned())));
    }

    fn is_about(&self, place: Place, said: &str) -> bool {
        said.split(' ').take_while(|word| *word != "below").any(|id| self.0.contains(&(place, id.to_owned())))
    }
}

/// The other end of a frame of tasks, and what it says.
fn frame(line: &Line) -> Option<(Place, &str)> {
    let direction = if line.kind == "sends" { "to " } else { "from " };
    let (peer, said) = line.text.strip_prefix(direction)?.split_once(' ')?;
    let (cluster, shard) = peer.split_once('/')?;
    let cluster = crate::trace::number(cluster)?;
    Some((Place::Shard(cluster, shard.parse().ok()?), said))
}

fn cluster(place: Place) -> usize {
    match place {
        Place::World => 0,
        Place::Cluster(cluster) | Place::Shard(cluster, _) => cluster,
    }
}

/// So many rows are shown of the beginning, and of the end.
const FIRST: usize = 60;
const LAST: usize = 240;
