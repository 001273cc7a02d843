//! Filters as SQL. Everything that came from a caller is bound, never written into the text.

use replicator::{ids::NamespaceId, time::Timestamp};

use super::table::{Values, visibility};
use crate::visibility::{
    filter::{Attribute, Comparison, Condition, Query, Value},
    token::After,
};

/// The statement of a list, for one run more than a page has.
pub(crate) fn list(
    namespace: NamespaceId,
    query: &Query,
    page_size: usize,
    after: Option<&After>,
) -> Result<(String, Values), String> {
    if query.group_by.is_some() {
        return Err("invalid query: operation is not supported: 'GROUP BY' clause in a list".into());
    }
    let columns: Vec<_> = visibility::COLUMNS.split(", ").map(|column| format!("v.{column}")).collect();
    let mut select = Select { text: format!("SELECT {} ", columns.join(", ")), values: Values::default() };
    select.source(namespace, query);
    if let Some(after) = after {
        select.text.push_str(" AND ");
        select.after(query, after, 0);
    }
    select.text.push_str(" ORDER BY ");
    for order in &query.order_by {
        select.text.push_str(&sort_key(order.attribute));
        select.text.push_str(if order.descending { " DESC, " } else { ", " });
    }
    select.text.push_str("v.closed DESC, v.started DESC, v.run DESC LIMIT ?");
    select.values.add(i64::try_from(page_size).unwrap_or(i64::MAX).saturating_add(1));
    Ok((select.text, select.values))
}

/// The statement of a count: `status, count`, a row a status; without groups one row, of status 0.
pub(crate) fn count(namespace: NamespaceId, query: &Query) -> Result<(String, Values), String> {
    if !query.order_by.is_empty() {
        return Err("invalid query: operation is not supported: 'ORDER BY' clause in a count".into());
    }
    let status = if query.group_by.is_some() { "v.status" } else { "0" };
    let mut select = Select { text: format!("SELECT {status}, count(*) "), values: Values::default() };
    select.source(namespace, query);
    if query.group_by.is_some() {
        select.text.push_str(" GROUP BY v.status ORDER BY v.status");
    }
    Ok((select.text, select.values))
}

struct Select {
    text: String,
    values: Values,
}

impl Select {
    /// From where, and which.
    fn source(&mut self, namespace: NamespaceId, query: &Query) {
        match query.condition.as_ref().and_then(Condition::workflow_id) {
            // A workflow has few runs, and its name leads to them.
            Some(workflow) => {
                self.text.push_str(
                    "FROM name AS n CROSS JOIN run AS r ON r.row = n.row CROSS JOIN visibility AS v \
                     ON v.namespace = n.namespace AND v.closed = r.closed AND v.started = r.started AND v.run = r.id \
                     WHERE n.namespace = ? AND n.workflow = ? AND n.run <> x''",
                );
                self.values.id(namespace.as_bytes()).add(workflow);
            }
            None => {
                self.text.push_str("FROM visibility AS v WHERE v.namespace = ?");
                self.values.id(namespace.as_bytes());
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
                    Comparison::Equal => " = ?",
                    Comparison::NotEqual => " <> ?",
                    Comparison::Less => " < ?",
                    Comparison::LessOrEqual => " <= ?",
                    Comparison::Greater => " > ?",
                    Comparison::GreaterOrEqual => " >= ?",
                });
                self.value(value);
            }
            Condition::Between(attribute, low, high) => {
                self.attribute(*attribute);
                self.text.push_str(" BETWEEN ? AND ?");
                self.value(low);
                self.value(high);
            }
            Condition::In(attribute, values) => {
                self.attribute(*attribute);
                self.text.push_str(" IN (");
                self.text.push_str(&vec!["?"; values.len()].join(","));
                self.text.push(')');
                values.iter().for_each(|value| self.value(value));
            }
            Condition::StartsWith(attribute, prefix) => {
                self.text.push_str("substr(");
                self.attribute(*attribute);
                self.text.push_str(", 1, length(?)) = ?");
                self.values.add(prefix.as_str()).add(prefix.as_str());
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
        self.text.push_str(column(attribute));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Number(number) => self.values.add(*number),
            Value::Text(text) => self.values.add(text.as_str()),
        };
    }

    /// What comes after a run in the order of the query.
    fn after(&mut self, query: &Query, after: &After, at: usize) {
        let (Some(order), Some(key)) = (query.order_by.get(at), after.keys.get(at)) else {
            self.text.push_str("(v.closed, v.started, v.run) < (?, ?, ?)");
            self.values.add(after.closed).add(after.started).id(after.run.as_bytes());
            return;
        };
        let (sorted, sign) = (sort_key(order.attribute), if order.descending { '<' } else { '>' });
        self.text.push_str(&format!("({sorted} {sign} ? OR ({sorted} = ? AND "));
        self.value(key);
        self.value(key);
        self.after(query, after, at + 1);
        self.text.push_str("))");
    }
}

/// The value of an attribute.
fn column(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::WorkflowId => "v.workflow",
        Attribute::RunId => RUN_ID,
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

/// The text of an id that rests as bytes.
const RUN_ID: &str = "lower(substr(hex(v.run), 1, 8) || '-' || substr(hex(v.run), 9, 4) || '-' || \
                      substr(hex(v.run), 13, 4) || '-' || substr(hex(v.run), 17, 4) || '-' || substr(hex(v.run), 21))";
/// Open runs rest at the end of time.
const CLOSE_TIME: &str = "nullif(v.closed, 9223372036854775807)";
const DURATION: &str = "(nullif(v.closed, 9223372036854775807) - v.execution)";
const _: () = assert!(Timestamp::MAX.0 == 9_223_372_036_854_775_807);

/// What a run is sorted by: as [`crate::visibility::filter::Order::key`].
fn sort_key(attribute: Attribute) -> String {
    match attribute {
        Attribute::CloseTime => "v.closed".into(),
        attribute if attribute.is_text() => format!("ifnull({}, '')", column(attribute)),
        attribute => format!("ifnull({}, {})", column(attribute), "-9223372036854775807 - 1"),
    }
}
