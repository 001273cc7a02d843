//! Statements that all databases share, in the words of MySQL and MariaDB.

use crate::table::{Value, Values};

/// A statement and what is bound, mark by mark: values come in the order of the marks, as often as they are named.
pub(crate) fn translate(text: &str, values: Values) -> (String, Vec<Value>) {
    let values: Vec<Value> = values.into_iter().collect();
    let text = rows(text).replace(" AS BIGINT)", " AS SIGNED)").replace(" AS BYTEA)", " AS BINARY)");
    let (mut said, mut bound) = (String::with_capacity(text.len()), Vec::new());
    let mut parts = text.split('$');
    said.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(part.len());
        let number: usize = part[..digits].parse().expect("a mark has a number");
        bound.push(values[number - 1].clone());
        said.push('?');
        said.push_str(&part[digits..]);
    }
    (said, bound)
}

/// Rows that are compared as rows, taken apart: an index is used for `a > x OR (a = x AND b > y)` and not for
/// `(a, b) > (x, y)`.
fn rows(text: &str) -> String {
    let mut text = text.to_owned();
    for sign in ['<', '>'] {
        let between = format!(") {sign} ($");
        while let Some(middle) = text.find(&between) {
            let begin = text[..middle].rfind('(').expect("a row begins");
            let end = middle + text[middle..].find("$").unwrap_or_default();
            let end = end + text[end..].find(')').expect("a row ends");
            let columns: Vec<&str> = text[begin + 1..middle].split(", ").collect();
            let marks: Vec<&str> = text[middle + between.len() - 1..end].split(", ").collect();
            assert_eq!(columns.len(), marks.len(), "rows of one length are compared");
            let apart = apart(&columns, &marks, sign);
            text.replace_range(begin..=end, &apart);
        }
    }
    text
}

fn apart(columns: &[&str], marks: &[&str], sign: char) -> String {
    match (columns, marks) {
        ([column, columns @ ..], [mark, marks @ ..]) if !columns.is_empty() => {
            let rest = apart(columns, marks, sign);
            format!("({column} {sign} {mark} OR ({column} = {mark} AND {rest}))")
        }
        _ => format!("{} {sign} {}", columns[0], marks[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements() {
        let check = |text: &str, expected: &str, bound: &[i64]| {
            let mut values = Values::default();
            values.add(1_i64).add(2_i64).add(3_i64);
            let (said, values) = translate(text, values);
            let numbers = values.iter().map(|value| match value {
                Value::Integer(number) => *number,
                other => panic!("{other:?}"),
            });
            assert_eq!((said.as_str(), numbers.collect::<Vec<_>>().as_slice()), (expected, bound));
        };
        check("SELECT a FROM t", "SELECT a FROM t", &[]);
        check("a = $2 AND b = $1 OR c = $2", "a = ? AND b = ? OR c = ?", &[2, 1, 2]);
        check("CAST(0 AS BIGINT), CAST(NULL AS BYTEA)", "CAST(0 AS SIGNED), CAST(NULL AS BINARY)", &[]);
        check(
            "x = $1 AND (n.a, n.b) > ($2, $3) LIMIT $1",
            "x = ? AND (n.a > ? OR (n.a = ? AND n.b > ?)) LIMIT ?",
            &[1, 2, 2, 3, 1],
        );
        check("(a, b, c) < ($1, $2, $3)", "(a < ? OR (a = ? AND (b < ? OR (b = ? AND c < ?))))", &[1, 1, 2, 2, 3]);
    }
}
