use proptest::prelude::*;

use super::*;

#[test]
fn binding_is_as_in_sql() {
    for (query, same) in [
        (
            "WorkflowId='a' OR WorkflowId='b' AND WorkflowId='c'",
            "WorkflowId='a' OR (WorkflowId='b' AND WorkflowId='c')",
        ),
        (
            "WorkflowId='a' AND WorkflowId='b' OR WorkflowId='c'",
            "(WorkflowId='a' AND WorkflowId='b') OR WorkflowId='c'",
        ),
        ("NOT WorkflowId='a' AND WorkflowId='b'", "(NOT WorkflowId='a') AND WorkflowId='b'"),
        ("not not WorkflowId='a'", "NOT (NOT (WorkflowId='a'))"),
        ("WorkflowId BETWEEN 'a' AND 'b' AND RunId='c'", "(WorkflowId BETWEEN 'a' AND 'b') AND RunId='c'"),
        ("WorkflowId <> 'a'", "WorkflowId != 'a'"),
        ("((WorkflowId='a'))", "WorkflowId='a'"),
    ] {
        assert_eq!(parse(query), parse(same), "{query}");
        assert!(parse(query).is_ok(), "{query}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (query, text) in [
        ("Foo = 'a'", "invalid expression: column name 'Foo' is not a valid search attribute"),
        ("workflowid = 'a'", "invalid expression: column name 'workflowid' is not a valid search attribute"),
        ("WorkflowId", "malformed SQL query: syntax error at position 11 near the end"),
        ("WorkflowId = ", "malformed SQL query: syntax error at position 14 near the end"),
        ("WorkflowId = 'a' x", "malformed SQL query: syntax error at position 18 near 'x'"),
        ("WorkflowId = 'a", "malformed SQL query: syntax error at position 14: the ' is never closed"),
        ("WorkflowId = 'a' AND", "malformed SQL query: syntax error at position 21 near the end"),
        ("(WorkflowId = 'a'", "malformed SQL query: syntax error at position 18 near the end"),
        ("WorkflowId = 'a')", "malformed SQL query: syntax error at position 17 near ')'"),
        ("WorkflowId ; 'a'", "malformed SQL query: syntax error at position 12 near ';'"),
        ("WorkflowId IN ()", "malformed SQL query: syntax error at position 16 near ')'"),
        ("WorkflowId IN 'a'", "malformed SQL query: syntax error at position 15 near \"a\""),
        ("WorkflowId NOT = 'a'", "malformed SQL query: syntax error at position 16 near '='"),
        ("WorkflowId = a", "invalid expression: 'a' stands where a value of WorkflowId should: text goes in quotes"),
        ("'a' = WorkflowId", "invalid expression: \"a\" stands where a search attribute should"),
        (
            "WorkflowId = 5",
            "invalid expression: invalid value for search attribute WorkflowId: it takes text in quotes, not '5'",
        ),
        (
            "HistoryLength = 'a'",
            "invalid expression: invalid value for search attribute HistoryLength: it takes an integer, not \"a\"",
        ),
        (
            "HistoryLength = 1.5",
            "invalid expression: invalid value for search attribute HistoryLength: it takes an integer, not '1.5'",
        ),
        (
            "StartTime > 'yesterday'",
            "invalid expression: invalid value for search attribute StartTime: it takes a time in RFC 3339, as \"2006-01-02T15:04:05Z\", not \"yesterday\"",
        ),
        ("ExecutionStatus = 'running'", "invalid expression: invalid ExecutionStatus value 'running'"),
        ("ExecutionStatus = 77", "invalid expression: invalid ExecutionStatus value 77"),
        (
            "ExecutionStatus = true",
            "invalid expression: invalid value for search attribute ExecutionStatus: it takes the name of a status in quotes, as \"Running\", not 'true'",
        ),
        ("WorkflowId LIKE 'a%'", "operation is not supported: operator 'like'"),
        ("WorkflowId REGEXP 'a'", "operation is not supported: operator 'regexp'"),
        ("WorkflowId + 'a'", "operation is not supported: operator '+'"),
        ("lower(WorkflowId) = 'a'", "operation is not supported: function 'lower'"),
        ("WorkflowId = lower('A')", "operation is not supported: function 'lower'"),
        (
            "StartTime STARTS_WITH '2'",
            "operation is not supported: operator 'STARTS_WITH' not supported for Datetime type search attribute 'StartTime'",
        ),
        ("CloseTime IS 5", "operation is not supported: 'IS' with '5'"),
        ("WorkflowId = 'a' LIMIT 5", "operation is not supported: 'LIMIT' clause"),
        (
            "GROUP BY TaskQueue",
            "operation is not supported: 'GROUP BY' clause is only supported for ExecutionStatus, not TaskQueue",
        ),
        (
            "GROUP BY ExecutionStatus, TaskQueue",
            "operation is not supported: 'GROUP BY' clause supports only a single field",
        ),
        ("ORDER BY", "malformed SQL query: syntax error at position 9 near the end"),
        ("SELECT * FROM x", "invalid expression: column name 'SELECT' is not a valid search attribute"),
    ] {
        assert_eq!(parse(query), Err(format!("invalid query: {text}")), "{query}");
    }
}

#[test]
fn size_is_bounded() {
    let deep = |depth: usize| format!("{}WorkflowId='a'{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&deep(40)).is_ok());
    assert!(parse(&deep(10_000)).is_err());
    assert!(parse(&"NOT ".repeat(10_000)).is_err());
    let wide = |count: usize| vec!["WorkflowId='a'"; count].join(" OR ");
    assert!(parse(&wide(200)).is_ok());
    assert!(parse(&wide(201)).is_err());
    assert!(parse(&" ".repeat(65_537)).is_err());
}

proptest! {
    #[test]
    fn nonsense_is_refused_and_never_panics(query in ".{0,200}") {
        let _ = parse(&query);
    }

    #[test]
    fn words_in_any_order_never_panic(words in prop::collection::vec(prop::sample::select(WORDS), 0..30)) {
        let _ = parse(&words.join(" "));
    }
}

const WORDS: &[&str] = &[
    "WorkflowId",
    "StartTime",
    "ExecutionStatus",
    "HistoryLength",
    "`CloseTime`",
    "ExecutionDuration",
    "Nothing",
    "=",
    "!=",
    "<",
    ">=",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "IS",
    "NULL",
    "STARTS_WITH",
    "(",
    ")",
    ",",
    "'a'",
    "\"é'\"",
    "5",
    "-1",
    "1.5e+3",
    "'1h'",
    "'2006-01-02T15:04:05Z'",
    "'Running'",
    "true",
    "GROUP",
    "ORDER",
    "BY",
    "DESC",
    "LIMIT",
    "'",
    "\\",
    "é",
    "-",
    ".",
];
