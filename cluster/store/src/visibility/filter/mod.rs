//! The language of lists and counts (api 9.2), the same for every store.
//!
//! A query is the body of a `WHERE`, then perhaps `GROUP BY` or `ORDER BY`:
//!
//! ```text
//!   query     = [condition] ["GROUP" "BY" name] ["ORDER" "BY" name ["ASC"|"DESC"] {"," ...}]
//!   condition = condition "OR" condition | condition "AND" condition | "NOT" condition | "(" condition ")"
//!             | name ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//!             | name ["NOT"] "BETWEEN" value "AND" value
//!             | name ["NOT"] "IN" "(" value {"," value} ")"
//!             | name ["NOT"] "STARTS_WITH" text
//!             | name "IS" ["NOT"] "NULL"
//! ```
//!
//! What comes out is typed: a value has the type of its attribute, so that translating a query to SQL, or holding it
//! against a record ([`Condition::matches`]), cannot fail. Words of the language are taken in any case, names are not. An
//! attribute that a run does not have is null, and a comparison with null is neither true nor false, as in SQL.

use replicator::{shard::io::VisibilityRecord, time::Timestamp};

pub mod attribute;
mod lexer;
mod literal;
mod parser;

pub use self::{attribute::Attribute, parser::parse};

/// A list or count, as asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    /// Which runs; `None` is all.
    pub condition: Option<Condition>,
    /// What a count is divided by.
    pub group_by: Option<Attribute>,
    /// In which order, before the order of lists.
    pub order_by: Vec<Order>,
}

/// Part of an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Order {
    /// By what. Runs without it come as if theirs was the lowest; but open runs, as if they closed at the end of time.
    pub attribute: Attribute,
    /// Whether the highest is first.
    pub descending: bool,
}

/// Which runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Those that match all of these.
    All(Vec<Self>),
    /// Those that match one of these.
    Any(Vec<Self>),
    /// Those that do not match it.
    Not(Box<Self>),
    /// Those whose attribute compares so.
    Compare(Attribute, Comparison, Value),
    /// Those whose attribute is within, both ends included.
    Between(Attribute, Value, Value),
    /// Those whose attribute is one of these.
    In(Attribute, Vec<Value>),
    /// Those whose attribute begins so.
    StartsWith(Attribute, String),
    /// Those that do not have the attribute.
    IsNull(Attribute),
}

/// How two values compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value of the type of its attribute. Times are nanoseconds since the epoch, durations nanoseconds, statuses the numbers
/// of the API.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Value {
    /// Of a number, time, duration or status.
    Number(i64),
    /// Of a keyword.
    Text(String),
}

impl Comparison {
    /// Whether it holds between `left` and `right`.
    #[must_use]
    pub fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

impl Condition {
    /// Whether a record matches.
    #[must_use]
    pub fn matches(&self, record: &VisibilityRecord) -> bool {
        self.truth(record) == Some(true)
    }

    /// True, false, or `None`: null decides.
    fn truth(&self, record: &VisibilityRecord) -> Option<bool> {
        match self {
            Self::All(parts) => all(parts.iter().map(|part| part.truth(record))),
            Self::Any(parts) => {
                all(parts.iter().map(|part| part.truth(record).map(|truth| !truth))).map(|truth| !truth)
            }
            Self::Not(part) => part.truth(record).map(|truth| !truth),
            Self::Compare(attribute, comparison, value) => {
                attribute.of(record).map(|found| comparison.holds(&found, value))
            }
            Self::Between(attribute, low, high) => attribute.of(record).map(|found| *low <= found && found <= *high),
            Self::In(attribute, values) => attribute.of(record).map(|found| values.contains(&found)),
            Self::StartsWith(attribute, prefix) => attribute.of(record).map(|found| match found {
                Value::Text(text) => text.starts_with(prefix),
                Value::Number(_) => false,
            }),
            Self::IsNull(attribute) => Some(attribute.of(record).is_none()),
        }
    }

    /// The workflow id that every match has, if the condition says so plainly: a store may look there first.
    #[must_use]
    pub fn workflow_id(&self) -> Option<&str> {
        match self {
            Self::All(parts) => parts.iter().find_map(Self::workflow_id),
            Self::Compare(Attribute::WorkflowId, Comparison::Equal, Value::Text(id)) => Some(id),
            _ => None,
        }
    }
}

/// False wins, then null.
fn all(mut parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    parts
        .try_fold(Some(true), |truth, part| match part {
            Some(false) => Err(()),
            Some(true) => Ok(truth),
            None => Ok(None),
        })
        .unwrap_or(Some(false))
}

impl Order {
    /// What a run is sorted by.
    #[must_use]
    pub fn key(self, record: &VisibilityRecord) -> Value {
        match (self.attribute.of(record), self.attribute) {
            (Some(value), _) => value,
            (None, Attribute::CloseTime) => Value::Number(Timestamp::MAX.0),
            (None, attribute) if attribute.is_text() => Value::Text(String::new()),
            (None, _) => Value::Number(i64::MIN),
        }
    }
}

#[cfg(test)]
mod tests;
