//! Names of things. A type for every kind of number, so that none stands in for another.

use alloc::{string::String, sync::Arc};
use core::fmt;

use uuid::Uuid;

/// Declares a UUID id: sixteen bytes inside, lower-case hyphenated text outside.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Parse the text form.
            ///
            /// # Errors
            ///
            /// [`MalformedId`] when `text` is not a UUID.
            pub fn parse(text: &str) -> Result<Self, MalformedId> {
                Uuid::try_parse(text).map(Self).map_err(|_| MalformedId)
            }

            /// The bytes as stores keep them; they order as the ids do.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id with these bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id! {
    /// Identifies a namespace in every cluster that has it; names may change, ids do not.
    NamespaceId
}

uuid_id! {
    /// One execution of a workflow. Runs of one workflow id follow one another.
    RunId
}

uuid_id! {
    /// One line of events in the tree of a run (BR-1).
    BranchId
}

uuid_id! {
    /// One life of a store. A store that is brought back from a backup lives another one.
    Life
}

/// An id that should be a UUID and is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MalformedId;

/// The caller's name for a workflow, unique among open runs of its namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkflowId(pub Arc<str>);

impl WorkflowId {
    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for WorkflowId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for WorkflowId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a shard keeps in one slot: all runs of one workflow id.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkflowKey {
    /// Namespace of the workflow.
    pub namespace: NamespaceId,
    /// Its id there.
    pub workflow: WorkflowId,
}

/// One run, named in full.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RunKey {
    /// The workflow.
    pub workflow: WorkflowKey,
    /// Which of its runs.
    pub run: RunId,
}

/// Declares an integer id that counts upwards.
macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id! {
    /// Position of an event in its branch. The first event is 1; 0 stands for "none".
    EventId(i64)
}

number_id! {
    /// Fixed partition of workflows. The first shard is 1 (ST-4).
    ShardId(u32)
}

number_id! {
    /// Generation of a shard's ownership; every write is conditional on it.
    RangeId(i64)
}

number_id! {
    /// Number from a shard's own sequence; orders the tasks that the shard writes.
    TaskId(i64)
}

number_id! {
    /// How often a stored run was written; the next write names the one it builds on.
    RecordVersion(i64)
}

number_id! {
    /// A cluster on the wire: its initial failover version (CM-4).
    ClusterId(i32)
}

impl RangeId {
    /// The range after this one; one that `leaps` is above any that was ever given, though those were forgotten.
    #[must_use]
    pub fn next(self, leaps: bool) -> Self {
        Self(self.0 + if leaps { LEAP } else { 1 })
    }
}

impl Life {
    /// The first one: the store was never brought back.
    pub const FIRST: Self = Self(Uuid::from_u128(1));

    /// The life of that number, of one store.
    #[must_use]
    pub fn counted(number: i64) -> Self {
        Self(Uuid::from_u128(u128::from(number.unsigned_abs())))
    }
}

/// More ranges than a shard gets between a backup and the moment in which it is needed: one a second for twelve days.
const LEAP: i64 = 1 << 20;

impl TaskId {
    /// The id that follows. Peers name ids too, and the last one there is has itself after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl EventId {
    /// The id before the first event.
    pub const NONE: Self = Self(0);
    /// The first event of every run.
    pub const FIRST: Self = Self(1);

    /// The id that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The id before.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0 - 1)
    }
}

/// Shard of a workflow among `count`: FarmHash Fingerprint32 of `namespace_workflow`, modulo `count`, plus 1 (ST-4).
#[must_use]
pub fn shard_of(namespace: NamespaceId, workflow: &WorkflowId, count: u32) -> ShardId {
    use alloc::string::ToString;
    let mut key = namespace.to_string();
    key.push('_');
    key.push_str(workflow.as_str());
    ShardId(crate::fingerprint::fingerprint32(key.as_bytes()) % count + 1)
}
