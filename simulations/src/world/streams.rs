//! Replication streams: dialled by the target, ordered, and broken at any moment. The two ends notice that at different
//! times, and a new stream may replace an old one at an end that has not noticed yet.

use replicator::{
    ids::{ShardId, TaskId},
    shard::io::{Frame, StreamEvent, StreamKey, StreamRole},
    time::Timestamp,
};

use super::{Event, World, cluster_id, number_of, shards::NodeId};
use crate::{checkers::Seen, network::Verdict, random::Range, trace::Place};

/// The pair of shards that a stream joins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Line {
    /// The cluster that dials, and is told.
    pub(super) target: usize,
    target_shard: u32,
    pub(super) source: usize,
    source_shard: u32,
}

/// Identifies a stream; never given twice.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct ConnectionId(u64);

/// An end of a stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Target,
    Source,
}

/// What travels on a stream.
pub(super) enum Parcel {
    /// The stream is there.
    Opened,
    Frame(Box<Frame>),
}

/// A stream.
pub(super) struct Connection {
    line: Line,
    target: NodeId,
    source: NodeId,
    /// When the last parcel arrives, by the end that it arrives at.
    arrives: [Timestamp; 2],
    /// Whether a parcel was lost on its way to an end: none that follows it arrives.
    lost: [bool; 2],
    /// Ends that will still notice that it is gone.
    unaware: [bool; 2],
    is_broken: bool,
}

impl Connection {
    pub(super) fn node(&self, end: End) -> NodeId {
        match end {
            End::Target => self.target,
            End::Source => self.source,
        }
    }

    fn key(&self, end: End) -> StreamKey {
        let Line { target, target_shard, source, source_shard } = self.line;
        match end {
            End::Target => {
                StreamKey { cluster: cluster_id(source), shard: ShardId(source_shard), role: StreamRole::Target }
            }
            End::Source => {
                StreamKey { cluster: cluster_id(target), shard: ShardId(target_shard), role: StreamRole::Source }
            }
        }
    }
}

impl World {
    /// A shard begins: it dials every shard of every peer that it shares workflows with.
    pub(super) fn dial_from(&mut self, cluster: usize, shard: u32) {
        for peer in (0..self.clusters.len()).filter(|peer| *peer != cluster) {
            for (ours, theirs) in pairs(self.plan.shards[cluster], self.plan.shards[peer]) {
                if ours == shard {
                    let line = Line { target: cluster, target_shard: ours, source: peer, source_shard: theirs };
                    let delay = self.random.streams.duration(Range::micros(100, 5_000));
                    self.after(delay, Event::Dial(line));
                }
            }
        }
    }

    pub(super) fn on_dial(&mut self, line: Line) {
        let Some(node) = self.clusters[line.target].owners[line.target_shard as usize - 1] else { return };
        // A process keeps one stream to a shard, and dials when that is gone.
        let is_there = |connection: &Connection| {
            connection.target == node && connection.line == line && connection.unaware[End::Target as usize]
        };
        if self.dialling.contains(&(node, line)) || self.connections.values().any(is_there) {
            return;
        }
        if self.are_apart(line.target, line.source) {
            return self.dial_again(line);
        }
        match self.network.send(self.now, line.target, line.source) {
            Verdict::Deliver(time) => {
                self.dialling.insert((node, line));
                self.after(time, Event::Dialled(line, node));
            }
            Verdict::Lose => self.dial_again(line),
        }
    }

    fn dial_again(&mut self, line: Line) {
        self.coverage.hit("path: stream reconnected");
        let pause = self.random.streams.duration(Range::millis(50, 600));
        self.after(pause, Event::Dial(line));
    }

    pub(super) fn on_dialled(&mut self, line: Line, target: NodeId) {
        self.dialling.remove(&(target, line));
        if !self.nodes.contains_key(&target) {
            return;
        }
        let Some(source) = self.clusters[line.source].owners[line.source_shard as usize - 1] else {
            return self.dial_again(line);
        };
        let id = ConnectionId(self.fresh());
        let connection = Connection {
            line,
            target,
            source,
            arrives: [self.now; 2],
            lost: [false; 2],
            unaware: [true; 2],
            is_broken: false,
        };
        let key = connection.key(End::Source);
        self.connections.insert(id, connection);
        self.send(id, End::Target, Parcel::Opened);
        self.open(id, End::Source, key);
    }

    fn open(&mut self, id: ConnectionId, end: End, key: StreamKey) {
        let node_id = self.connections[&id].node(end);
        let Some(node) = self.nodes.get_mut(&node_id) else { return };
        let place = Place::Shard(node.cluster, node.shard.0);
        let replaced = node.streams.insert(key, id).filter(|replaced| *replaced != id);
        self.note(place, "opens", None, format_args!("{}", Shown(key)));
        // Whoever is at the other end of the one that was replaced will notice.
        if let Some(replaced) = replaced {
            self.break_connection(replaced);
        }
        self.tell(node_id, |core, now| core.handle_stream(now, key, StreamEvent::Opened));
    }

    /// A shard sends a frame.
    pub(super) fn send_frame(&mut self, id: NodeId, key: StreamKey, mut frame: Frame) {
        let Some(node) = self.nodes.get(&id) else { return };
        let (cluster, shard) = (node.cluster, node.shard);
        if let Frame::Ack(state) = &frame {
            let low = TaskId(state.inclusive_low_watermark);
            let (source, source_shard) = (number_of(key.cluster), key.shard);
            self.show(&Seen::Acked { by: cluster, by_shard: shard, source, source_shard, low });
        }
        if self.plan.old_wire[cluster] || self.plan.old_wire[number_of(key.cluster)] {
            self.coverage.hit("path: wire without our newest fields");
            forget_newest(&mut frame);
        }
        let Some(connection) = self.nodes.get(&id).and_then(|node| node.streams.get(&key).copied()) else { return };
        self.note(Place::Shard(cluster, shard.0), "sends", None, format_args!("{} {}", Shown(key), Said(&frame)));
        let end = if key.role == StreamRole::Source { End::Target } else { End::Source };
        self.send(connection, end, Parcel::Frame(Box::new(frame)));
    }

    /// Something is sent to an end.
    fn send(&mut self, id: ConnectionId, end: End, parcel: Parcel) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.lost[end as usize] || connection.is_broken {
            return;
        }
        let Line { target, source, .. } = connection.line;
        let (from, to) = if end == End::Target { (source, target) } else { (target, source) };
        match self.network.send(self.now, from, to) {
            Verdict::Deliver(time) => {
                let at = (self.now + time).max(connection.arrives[end as usize]);
                connection.arrives[end as usize] = at;
                self.agenda.put(at, Event::Arrives(id, end, parcel));
            }
            Verdict::Lose => self.lose(id, end),
        }
    }

    /// A parcel is lost: the stream stands still in that direction, and after a while both ends give up on it.
    fn lose(&mut self, id: ConnectionId, end: End) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !std::mem::replace(&mut connection.lost[end as usize], true) {
            self.coverage.hit("path: frame lost");
            for end in [End::Target, End::Source] {
                let time = self.random.streams.duration(Range::millis(300, 2_000));
                self.after(time, Event::Noticed(id, end));
            }
        }
    }

    pub(super) fn on_arrival(&mut self, id: ConnectionId, end: End, parcel: Parcel) {
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.lost[end as usize] || connection.is_broken {
            return;
        }
        let Line { target, source, .. } = connection.line;
        let (from, to) = if end == End::Target { (source, target) } else { (target, source) };
        if self.network.is_cut(self.now, from, to) {
            return self.lose(id, end);
        }
        let (node_id, key) = (self.connections[&id].node(end), self.connections[&id].key(end));
        match parcel {
            Parcel::Opened => self.open(id, end, key),
            Parcel::Frame(frame) => {
                // What comes on a stream that was replaced is not heard.
                let Some(node) = self.nodes.get(&node_id).filter(|node| node.streams.get(&key) == Some(&id)) else {
                    return;
                };
                let place = Place::Shard(node.cluster, node.shard.0);
                self.note(place, "hears", None, format_args!("{} {}", Shown(key), Said(&frame)));
                self.tell(node_id, |core, now| core.handle_stream(now, key, StreamEvent::Frame(frame)));
            }
        }
    }

    pub(super) fn on_noticed(&mut self, id: ConnectionId, end: End) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !std::mem::replace(&mut connection.unaware[end as usize], false) {
            return;
        }
        let (node_id, key, line) = (connection.node(end), connection.key(end), connection.line);
        if connection.unaware == [false; 2] {
            self.connections.remove(&id);
        }
        if let Some(node) = self.nodes.get_mut(&node_id) {
            if node.streams.get(&key) == Some(&id) {
                node.streams.remove(&key);
                let place = Place::Shard(node.cluster, node.shard.0);
                self.note(place, "closes", None, format_args!("{}", Shown(key)));
                self.tell(node_id, |core, now| core.handle_stream(now, key, StreamEvent::Closed));
            }
            if end == End::Target {
                self.dial_again(line);
            }
        }
    }

    /// A stream breaks at once. Its ends notice soon, one before the other.
    fn break_connection(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.is_broken = true;
        for end in [End::Target, End::Source] {
            let time = self.random.streams.duration(Range::micros(100, 80_000));
            self.after(time, Event::Noticed(id, end));
        }
    }

    /// The process of a shard ended: its streams break.
    pub(super) fn hang_up(&mut self, node: NodeId) {
        let its = |connection: &Connection| connection.target == node || connection.source == node;
        let ids: Vec<ConnectionId> =
            self.connections.iter().filter(|(_, connection)| its(connection)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.break_connection(id));
    }

    /// All streams between two clusters break.
    pub(super) fn break_streams(&mut self, one: usize, other: usize) {
        let between = |line: &Line| [(one, other), (other, one)].contains(&(line.target, line.source));
        let ids: Vec<ConnectionId> = self
            .connections
            .iter()
            .filter(|(_, connection)| between(&connection.line) && !connection.is_broken)
            .map(|(id, _)| *id)
            .collect();
        ids.into_iter().for_each(|id| self.break_connection(id));
    }
}

/// What is left of a frame where one end does not know our newest fields.
fn forget_newest(frame: &mut Frame) {
    if let Frame::Tasks(messages) = frame {
        messages.meridian = None;
        messages.replication_tasks.iter_mut().for_each(|task| task.meridian = None);
    }
}

/// Shards that share a stream: those that are congruent modulo the smaller count.
fn pairs(ours: u32, theirs: u32) -> Vec<(u32, u32)> {
    let fewer = ours.min(theirs);
    let all = (1..=ours).flat_map(|one| (1..=theirs).map(move |other| (one, other)));
    all.filter(|(one, other)| (one - 1) % fewer == (other - 1) % fewer).collect()
}

/// The other end of a stream.
struct Shown(StreamKey);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arrow = if self.0.role == StreamRole::Source { "to" } else { "from" };
        write!(f, "{arrow} {}", Place::Shard(number_of(self.0.cluster), self.0.shard.0))
    }
}

/// What a frame says.
struct Said<'a>(&'a Frame);

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Frame::Ack(state) => write!(f, "all below {} is durable", state.inclusive_low_watermark),
            Frame::Tasks(messages) => {
                for task in &messages.replication_tasks {
                    write!(f, "{} ", task.source_task_id)?;
                }
                if messages.meridian.is_some() {
                    f.write_str("settled ")?;
                }
                write!(f, "below {}", messages.exclusive_high_watermark)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn shards_share_a_stream_when_they_share_workflows() {
        assert_eq!(pairs(2, 2), [(1, 1), (2, 2)]);
        assert_eq!(pairs(2, 4), [(1, 1), (1, 3), (2, 2), (2, 4)]);
        assert_eq!(pairs(4, 2), [(1, 1), (2, 2), (3, 1), (4, 2)]);
    }
}
