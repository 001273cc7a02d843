//! Filters as SQL. Everything that came from a caller is bound, never written into the text.

use replicator::{ids::NamespaceId, time::Timestamp};

use crate::{
    table::{Values, visibility},
    visibility::{
        filter::{Attribute, Comparison, Condition, Query, Value},
        token::After,
    },
};

/// What databases say differently.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// Whether the marks of values are numbered: `$1`, else `?`.
    pub(crate) numbered: bool,
    /// A join that keeps the order of its tables.
    pub(crate) join: &'static str,
    /// The text of a run's id, which rests as bytes.
    pub(crate) run_id: &'static str,
}

/// A question to a database.
#[derive(Debug)]
pub(crate) struct Statement {
    /// Its text.
    pub(crate) text: String,
    /// What is bound.
    pub(crate) values: Values,
}

/// The statement of a list, for one run more than a page has.
pub(crate) fn list(
    dialect: &'static Dialect,
    namespace: NamespaceId,
    query: &Query,
    page_size: usize,
    after: Option<&After>,
) -> Result<Statement, String> {
    if query.group_by.is_some() {
        return Err("invalid query: operation is not supported: 'GROUP BY' clause in a list".into());
    }
    let columns: Vec<_> = visibility::COLUMNS.split(", ").map(|column| format!("v.{column}")).collect();
    let mut select = Select::new(dialect, format!("SELECT {} ", columns.join(", ")));
    select.source(namespace, query);
    if let Some(after) = after {
        select.text.push_str(" AND ");
        select.after(query, after, 0);
    }
    select.text.push_str(" ORDER BY ");
    for order in &query.order_by {
        let key = select.sort_key(order.attribute);
        select.text.push_str(&key);
        select.text.push_str(if order.descending { " DESC, " } else { ", " });
    }
    select.text.push_str("v.closed DESC, v.started DESC, v.run DESC LIMIT ");
    select.bind(i64::try_from(page_size).unwrap_or(i64::MAX).saturating_add(1));
    Ok(Statement { text: select.text, values: select.values })
}

/// The statement of a count: `status, count`, a row a status; without groups one row, of status 0.
pub(crate) fn count(dialect: &'static Dialect, namespace: NamespaceId, query: &Query) -> Result<Statement, String> {
    if !query.order_by.is_empty() {
        return Err("invalid query: operation is not supported: 'ORDER BY' clause in a count".into());
    }
    let status = if query.group_by.is_some() { "v.status" } else { "CAST(0 AS BIGINT)" };
    let mut select = Select::new(dialect, format!("SELECT {status}, count(*) "));
    select.source(namespace, query);
    if query.group_by.is_some() {
        select.text.push_str(" GROUP BY v.status ORDER BY v.status");
    }
    Ok(Statement { text: select.text, values: select.values })
}

struct Select {
    dialect: &'static Dialect,
    text: String,
    values: Values,
}

impl Select {
    fn new(dialect: &'static Dialect, text: String) -> Self {
        Self { dialect, text, values: Values::default() }
    }

    /// Bind a value here.
    fn bind(&mut self, value: impl Into<crate::table::Value>) {
        self.values.add(value);
        match self.dialect.numbered {
            true => self.text.push_str(&format!("${}", self.values.len())),
            false => self.text.push('?'),
        }
    }

    fn bind_id(&mut self, id: &[u8; 16]) {
        self.bind(bytes::Bytes::copy_from_slice(id));
    }

    /// From where, and which.
    fn source(&mut self, namespace: NamespaceId, query: &Query) {
        match query.condition.as_ref().and_then(Condition::workflow_id) {
            // A workflow has few runs, and its name leads to them.
            Some(workflow) => {
                let join = self.dialect.join;
                self.text.push_str(&format!(
                    "FROM name AS n {join} run AS r ON r.row = n.row {join} visibility AS v \
                     ON v.namespace = n.namespace AND v.closed = r.closed AND v.started = r.started AND v.run = r.id \
                     WHERE length(n.run) > 0 AND n.namespace = "
                ));
                self.bind_id(namespace.as_bytes());
                self.text.push_str(" AND n.workflow = ");
                self.bind(workflow);
            }
            None => {
                self.text.push_str("FROM visibility AS v WHERE v.namespace = ");
                self.bind_id(namespace.as_bytes());
            }
        }
        if let Some(condition) = &query.condition {
            self.text.push_str(" AND ");
            self.condition(condition);
        }
    }

    fn condition(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) => self.joined(parts, " AND "),
            Condition::Any(parts) => self.joined(parts, " OR "),
            Condition::Not(part) => {
                self.text.push_str("NOT ");
                self.joined(std::slice::from_ref(part), "");
            }
            Condition::Compare(attribute, comparison, value) => {
                self.attribute(*attribute);
                self.text.push_str(match comparison {
                    Comparison::Equal => " = ",
                    Comparison::NotEqual => " <> ",
                    Comparison::Less => " < ",
                    Comparison::LessOrEqual => " <= ",
                    Comparison::Greater => " > ",
                    Comparison::GreaterOrEqual => " >= ",
                });
                self.value(value);
            }
            Condition::Between(attribute, low, high) => {
                self.attribute(*attribute);
                self.text.push_str(" BETWEEN ");
                self.value(low);
                self.text.push_str(" AND ");
                self.value(high);
            }
            Condition::In(attribute, values) => {
                self.attribute(*attribute);
                self.text.push_str(" IN (");
                for (at, value) in values.iter().enumerate() {
                    self.text.push_str(if at > 0 { "," } else { "" });
                    self.value(value);
                }
                self.text.push(')');
            }
            Condition::StartsWith(attribute, prefix) => {
                self.text.push_str("substr(");
                self.attribute(*attribute);
                self.text.push_str(", 1, length(");
                self.bind(prefix.as_str());
                self.text.push_str(")) = ");
                self.bind(prefix.as_str());
            }
            Condition::IsNull(attribute) => {
                self.attribute(*attribute);
                self.text.push_str(" IS NULL");
            }
        }
    }

    fn joined(&mut self, parts: &[impl std::borrow::Borrow<Condition>], by: &str) {
        self.text.push('(');
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                self.text.push_str(by);
            }
            self.condition(part.borrow());
        }
        self.text.push(')');
    }

    fn attribute(&mut self, attribute: Attribute) {
        self.text.push_str(self.column(attribute));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.bind(*number),
            Value::Text(text) => self.bind(text.as_str()),
        }
    }

    /// What comes after a run in the order of the query.
    fn after(&mut self, query: &Query, after: &After, at: usize) {
        let (Some(order), Some(key)) = (query.order_by.get(at), after.keys.get(at)) else {
            self.text.push_str("(v.closed, v.started, v.run) < (");
            self.bind(after.closed);
            self.text.push_str(", ");
            self.bind(after.started);
            self.text.push_str(", ");
            self.bind_id(after.run.as_bytes());
            self.text.push(')');
            return;
        };
        let (sorted, sign) = (self.sort_key(order.attribute), if order.descending { '<' } else { '>' });
        self.text.push_str(&format!("({sorted} {sign} "));
        self.value(key);
        self.text.push_str(&format!(" OR ({sorted} = "));
        self.value(key);
        self.text.push_str(" AND ");
        self.after(query, after, at + 1);
        self.text.push_str("))");
    }

    /// The value of an attribute.
    fn column(&self, attribute: Attribute) -> &'static str {
        match attribute {
            Attribute::WorkflowId => "v.workflow",
            Attribute::RunId => self.dialect.run_id,
            Attribute::WorkflowType => "v.type",
            Attribute::StartTime => "v.started",
            Attribute::ExecutionTime => "v.execution",
            Attribute::CloseTime => CLOSE_TIME,
            Attribute::ExecutionStatus => "v.status",
            Attribute::TaskQueue => "v.queue",
            Attribute::HistoryLength => "v.length",
            Attribute::ExecutionDuration => DURATION,
            Attribute::StateTransitionCount => "v.transitions",
            Attribute::HistorySizeBytes => "v.size",
            Attribute::ParentWorkflowId => "v.parent_workflow",
            Attribute::ParentRunId => "v.parent_run",
            Attribute::RootWorkflowId => "v.root_workflow",
            Attribute::RootRunId => "v.root_run",
        }
    }

    /// What a run is sorted by: as [`crate::visibility::filter::Order::key`].
    fn sort_key(&self, attribute: Attribute) -> String {
        match attribute {
            Attribute::CloseTime => "v.closed".into(),
            attribute if attribute.is_text() => format!("coalesce({}, '')", self.column(attribute)),
            attribute => format!("coalesce({}, {})", self.column(attribute), "-9223372036854775807 - 1"),
        }
    }
}

/// Open runs rest at the end of time.
const CLOSE_TIME: &str = "nullif(v.closed, 9223372036854775807)";
const DURATION: &str = "(nullif(v.closed, 9223372036854775807) - v.execution)";
const _: () = assert!(Timestamp::MAX.0 == 9_223_372_036_854_775_807);
