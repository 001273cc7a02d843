//! What each host of a cluster wrote, in the words of the database.
//!
//! Each host of an [`Apart`] has a user of the database for itself. Triggers note for every row that is written who did, and
//! which shard was taken by whom under which range. Writes of one shard follow each other, because each holds the row of the
//! shard until it is committed, so the order of the notes is theirs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use proto::temporal::{
    api::common::v1::WorkflowExecution,
    server::api::adminservice::v1::{DescribeMutableStateRequest, admin_service_client::AdminServiceClient},
};
use tonic::transport::Channel;

use crate::apart::Apart;

/// What the database noted.
#[derive(Clone, Debug, Default)]
pub struct Written {
    notes: Vec<Note>,
}

/// Something that was written.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Note {
    /// The user of the host.
    host: String,
    shard: u32,
    what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum What {
    /// The shard is this host's, under this range.
    Taken(u64),
    /// A row of this table.
    Row(String),
}

/// A row that a host wrote in a shard that was another one's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Foreign {
    host: String,
    shard: u32,
    table: String,
    /// Whose the shard was, and under which range.
    owner: Option<(String, u64)>,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, shard, table, owner } = self;
        write!(f, "{host} wrote to {table} in shard {shard}, which ")?;
        match owner {
            Some((owner, range)) => write!(f, "{owner} had under range {range}"),
            None => write!(f, "nobody had"),
        }
    }
}

/// Have the database note what is written from now on. No shard was taken yet.
///
/// # Panics
///
/// When the database refuses.
pub fn note(server: &scratch_postgres::Server, database: &str) {
    server.query(database, NOTES);
    for table in ["run", "item", "start", "name", "node", "task", "visibility"] {
        let each = "FOR EACH ROW EXECUTE FUNCTION note_row()";
        server.query(database, &format!("CREATE TRIGGER noted AFTER INSERT OR UPDATE OR DELETE ON {table} {each}"));
    }
}

/// Rows know their shard, or the workflow that they are about.
const NOTES: &str = "
CREATE TABLE noted (
    id BIGSERIAL PRIMARY KEY, host TEXT NOT NULL DEFAULT session_user, what TEXT NOT NULL,
    shard BIGINT, range BIGINT, row BIGINT, workflow BYTEA);
CREATE FUNCTION note_shard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR OLD.range <> NEW.range THEN
        INSERT INTO noted (what, shard, range) VALUES ('taken', NEW.id, NEW.range);
    ELSE
        INSERT INTO noted (what, shard) VALUES ('shard', NEW.id);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION note_row() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written JSONB := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
BEGIN
    INSERT INTO noted (what, shard, row, workflow) VALUES (
        TG_TABLE_NAME, (written->>'shard')::BIGINT, COALESCE(written->>'row', written->>'tree')::BIGINT,
        decode(substr(written->>'workflow', 3), 'hex'));
    RETURN NULL;
END $$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON shard FOR EACH ROW EXECUTE FUNCTION note_shard();
";

/// The shards that a host was the last to take.
#[must_use]
pub fn owned(cluster: &Apart, server: &scratch_postgres::Server, host: &str) -> BTreeSet<u32> {
    let last = "SELECT DISTINCT ON (shard) shard, host FROM noted WHERE what = 'taken' ORDER BY shard, id DESC";
    let owned = server.ask(cluster.database(), &format!("SELECT shard FROM ({last}) AS t WHERE host = '{host}'"));
    owned.lines().filter_map(|shard| shard.parse().ok()).collect()
}

impl Written {
    /// What was noted so far. A frontend at `address` is asked in which shard each workflow of `default` is.
    ///
    /// # Panics
    ///
    /// When the database or the frontend does not say.
    pub async fn read(cluster: &Apart, server: &scratch_postgres::Server, address: &str) -> Self {
        let ask = |query: &str| server.ask(cluster.database(), query);
        // First, for workflows are begun all the time.
        let notes = ask(
            "SELECT host, what, n.shard, range, convert_from(COALESCE(n.workflow, w.workflow), 'UTF8') FROM noted AS n \
             LEFT JOIN (SELECT DISTINCT row, workflow FROM name) AS w ON w.row = n.row ORDER BY n.id",
        );
        let mut shards = BTreeMap::new();
        let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address");
        let mut admin = AdminServiceClient::new(endpoint.connect().await.expect("connect"));
        for workflow in ask("SELECT DISTINCT convert_from(workflow, 'UTF8') FROM name").lines() {
            let request = DescribeMutableStateRequest {
                namespace: "default".into(),
                execution: Some(WorkflowExecution { workflow_id: workflow.into(), run_id: String::new() }),
                ..Default::default()
            };
            let described = admin.describe_mutable_state(request).await.expect("the workflow is there");
            shards.insert(workflow.to_owned(), described.into_inner().shard_id.parse().expect("a shard has a number"));
        }
        let notes = notes.lines().map(|line| {
            let fields: Vec<_> = line.splitn(5, '|').collect();
            let [host, what, shard, range, workflow] = fields[..] else { panic!("{line} is no note") };
            let shard = shard.parse().ok().or_else(|| shards.get(workflow).copied());
            Note {
                host: host.to_owned(),
                shard: shard.unwrap_or_else(|| panic!("{line} is of no shard")),
                what: match what {
                    "taken" => What::Taken(range.parse().expect("a range is a number")),
                    table => What::Row(table.to_owned()),
                },
            }
        });
        Self { notes: notes.collect() }
    }

    /// Rows that hosts wrote in shards that were not theirs. There must be none.
    #[must_use]
    pub fn foreign(&self) -> Vec<Foreign> {
        let mut owners = BTreeMap::new();
        let mut foreign = Vec::new();
        for Note { host, shard, what } in &self.notes {
            match what {
                What::Taken(range) => _ = owners.insert(*shard, (host.clone(), *range)),
                What::Row(table) => {
                    let owner = owners.get(shard).cloned();
                    if owner.as_ref().is_none_or(|(owner, _)| owner != host) {
                        foreign.push(Foreign { host: host.clone(), shard: *shard, table: table.clone(), owner });
                    }
                }
            }
        }
        foreign
    }

    /// How many rows a host wrote.
    #[must_use]
    pub fn rows(&self, host: &str) -> usize {
        let rows = self.notes.iter().filter(|note| note.host == host && matches!(note.what, What::Row(_)));
        rows.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes as `host shard table`, or `host shard range`.
    fn written(notes: &str) -> Written {
        let read = |note: &str| {
            let words: Vec<_> = note.split(' ').collect();
            let what = words[2].parse().map_or_else(|_| What::Row(words[2].to_owned()), What::Taken);
            Note { host: words[0].to_owned(), shard: words[1].parse().expect("a shard"), what }
        };
        Written { notes: notes.split(", ").map(read).collect() }
    }

    #[track_caller]
    fn check(notes: &str, expected: &str) {
        let foreign: Vec<_> = written(notes).foreign().iter().map(Foreign::to_string).collect();
        assert_eq!(foreign.join("; "), expected, "{notes}");
    }

    #[test]
    fn whoever_has_a_shard_writes_there() {
        check("a 1 1, a 1 task, b 2 1, b 2 run, b 1 2, b 1 task, a 1 3, a 1 task", "");
    }

    #[test]
    fn whoever_has_lost_it_does_not() {
        check("a 1 1, a 1 task, b 1 2, a 1 node", "a wrote to node in shard 1, which b had under range 2");
        check("a 1 task", "a wrote to task in shard 1, which nobody had");
    }

    #[test]
    fn rows_are_counted_by_host() {
        let written = written("a 1 1, a 1 task, a 1 node, b 1 2");
        assert_eq!((written.rows("a"), written.rows("b")), (2, 0));
    }
}
