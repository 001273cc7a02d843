//! What a file says: YAML text as a tree, with no opinion about what it means.
//!
//! The only module that knows the YAML library. Text that several implementations of YAML read differently (`off`,
//! `0755`, `1_000`) stays text here; whoever takes a value out of the tree knows which type it should have.

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{
    Options, UserMessageFormatter,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy},
};

use crate::{duration, report::Report};

/// One value of the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Null,
    Boolean(bool),
    Integer(i128),
    /// Kept only to say that it is not what is wanted: no key takes a fraction.
    Fraction(f64),
    Text(String),
    List(Vec<Node>),
    /// Entries in the order of the file. No key occurs twice in a tree that [`parse`] returned without a problem.
    Map(Vec<(String, Node)>),
}

/// The tree of the one document in `text`, or `None` and a problem when there is none.
pub(crate) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    match serde_saphyr::from_str_with_options::<Node>(text, options()) {
        Ok(root) => {
            repeated_keys(&root, "", report);
            Some(root)
        }
        Err(error) => {
            let problem = match error.without_snippet() {
                serde_saphyr::Error::Budget { .. } => TOO_MUCH.to_owned(),
                error => error.render_with_formatter(&UserMessageFormatter),
            };
            report.problem(String::new(), format!("cannot be read as YAML: {problem}"));
            None
        }
    }
}

impl Node {
    /// Whether giving this value is the same as giving none: what Go calls a zero value, all the way down.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(value) => !value,
            Self::Integer(value) => *value == 0,
            Self::Fraction(value) => *value == 0.0,
            Self::Text(text) => text.is_empty() || duration::parse(text).is_some_and(|duration| duration.is_zero()),
            Self::List(items) => items.iter().all(Self::is_zero),
            Self::Map(entries) => entries.iter().all(|(_, value)| value.is_zero()),
        }
    }

    /// What kind of value this is, in a sentence. Does not repeat the value: it might be a secret.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "true or false",
            Self::Integer(_) => "a whole number",
            Self::Fraction(_) => "a number with a fraction",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a section of keys",
        }
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_recorded_anchor_events: MAX_NODES,
            max_merge_keys: MAX_ALIASES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
        },
        // Passed on so that `repeated_keys` can name every one of them by path.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        emit_comments: false,
        // A snippet would print neighbouring lines, passwords included.
        with_snippet: false,
    }
}

/// Report every key that stands more than once in its section.
fn repeated_keys(node: &Node, path: &str, report: &mut Report) {
    match node {
        Node::Map(entries) => {
            let mut count = BTreeMap::new();
            for (key, value) in entries {
                let path = join(path, key);
                let seen = count.entry(key).or_insert(0_u32);
                *seen += 1;
                match seen {
                    1 => repeated_keys(value, &path, report),
                    2 => report.problem(path, "given more than once; keep one"),
                    _ => {}
                }
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter().enumerate() {
                repeated_keys(item, &format!("{path}[{index}]"), report);
            }
        }
        _ => {}
    }
}

/// The dotted path of `key` in the section at `path`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Fraction(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

/// Temporal's deepest keys are about eight sections down; reading descends the stack once for each.
const MAX_DEPTH: usize = 32;

/// A complete configuration has a few hundred values, aliases expanded.
const MAX_NODES: usize = 10_000;

/// More than anyone writes by hand, and too few to be a bomb.
const MAX_ALIASES: usize = 100;

const TOO_MUCH: &str = "it has more values, more aliases or deeper sections than any configuration needs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_keep_what_was_written() {
        check("a: null\nb: ~\nc:", "a=Null b=Null c=Null", &[]);
        check("a: true\nb: on\nc: 'true'", r#"a=Boolean(true) b=Text("on") c=Text("true")"#, &[]);
        check(
            "a: 7233\nb: 07233\nc: 7_233\nd: '7'",
            r#"a=Integer(7233) b=Text("07233") c=Text("7_233") d=Text("7")"#,
            &[],
        );
        check("a: -1\nb: 0x10\nc: 1.5\nd: .inf", r#"a=Integer(-1) b=Integer(16) c=Fraction(1.5) d=Text(".inf")"#, &[]);
        check("a: 127.0.0.1\nb: 10s\n", r#"a=Text("127.0.0.1") b=Text("10s")"#, &[]);
        check("\u{feff}a: x\n1: y", r#"a=Text("x") 1=Text("y")"#, &[]);
    }

    #[test]
    fn aliases_and_merge_keys_are_expanded() {
        check("a: &a {x: 1}\nb: *a", r#"a=Map([("x", Integer(1))]) b=Map([("x", Integer(1))])"#, &[]);
        let merged = r#"a=Map([("x", Integer(1))]) b=Map([("y", Integer(2)), ("x", Integer(1))])"#;
        check("a: &a {x: 1}\nb: {y: 2, <<: *a}", merged, &[]);
    }

    #[test]
    fn repeated_keys_are_named_by_path() {
        let expected = ["! a: given more than once; keep one", "! b.c[1].d: given more than once; keep one"];
        check("a: 1\na: 2\na: 3\nb: {c: [{d: 1}, {d: 1, d: 1}]}", "", &expected);
    }

    #[test]
    fn syntax_errors_name_a_line() {
        check_fails("a: [", "line 1");
        check_fails("a: 1\nb:\n\tc: 2", "line 3");
        check_fails("a: 1\nb: 'x", "line 2");
        check_fails("a: 1\n---\na: 2", "document");
        check_fails("? [a]\n: 1", "line 1");
    }

    #[test]
    fn syntax_errors_repeat_no_values() {
        let mut report = Report::default();
        parse("password: hunter2\nuser: [", &mut report);
        assert!(!report.lines().concat().contains("hunter2"), "{:?}", report.lines());
    }

    #[test]
    fn budgets_hold() {
        check_fails(&"[".repeat(1_000), "");
        check_fails(&(0..1_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>(), "");
        check_fails(&"- 1\n".repeat(20_000), TOO_MUCH);
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let items = vec![format!("*a{}", level - 1); 9].join(", ");
            bomb.push_str(&format!("a{level}: &a{level} [{items}]\n"));
        }
        check_fails(&bomb, "");
    }

    #[test]
    fn comments_of_any_length() {
        check(
            &format!("{0}a: 1\n{0}b:\n{0}- 2\n{0}", "# words\n".repeat(500)),
            "a=Integer(1) b=List([Integer(2)])",
            &[],
        );
    }

    #[test]
    fn zero_values() {
        for text in ["", "{}", "[]", "0", "0s", "''", "false", "{a: {b: , c: [0, '']}, d: 0h0m}"] {
            assert!(parse(text, &mut Report::default()).unwrap().is_zero(), "{text}");
        }
        for text in ["1", "1s", "x", "true", "{a: {b: , c: [0, 'x']}}"] {
            assert!(!parse(text, &mut Report::default()).unwrap().is_zero(), "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str, report_lines: &[&str]) {
        let mut report = Report::default();
        let root = parse(text, &mut report);
        assert_eq!(report.lines(), report_lines);
        if report_lines.is_empty() {
            let Some(Node::Map(entries)) = root else { panic!("{root:?}") };
            let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
            assert_eq!(entries.join(" "), expected);
        }
    }

    #[track_caller]
    fn check_fails(text: &str, part: &str) {
        let mut report = Report::default();
        assert_eq!(parse(text, &mut report), None);
        let [line] = report.lines().try_into().unwrap();
        assert!(line.starts_with("! cannot be read as YAML: ") && line.contains(part), "{line}");
    }
}
