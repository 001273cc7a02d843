//! Replaces what may differ between two servers, and between two runs of one.
//!
//! Identifiers are replaced by their order of appearance, so that which ones are equal is still compared.

use serde_json::{Map, Value};
use tests::raw::{self, Refusal};

use crate::side::Step;

/// Fields whose presence is compared and whose value is the server's own business.
const OPAQUE: &[&str] = &[
    "activeCluster",
    "activeClusterName",
    "currentCluster",
    "clusterName",
    "currentRetryInterval",
    "executionDuration",
    "historySizeBytes",
    "nextPageToken",
    "taskId",
    "taskToken",
];

/// Fields that are not compared at all: hints, and versions, which are zero only where nothing is global. Also what is
/// said for the sake of features that Meridian refuses by name, and so does not claim: points to reset to, versions of
/// the workers of a queue, and limits of its rate.
const IGNORED: &[&str] = &[
    "autoResetPoints",
    "backlogCountHint",
    "clusters",
    "effectiveRateLimit",
    "failoverHistory",
    "failoverVersion",
    "forkEventVersion",
    "isGlobalNamespace",
    "pollerGroupId",
    "pollerGroupInfos",
    "pollerGroupsInfo",
    "pollerScalingDecision",
    "prevAutoResetPoints",
    "version",
    "versioningInfo",
];

/// The steps of one side with everything replaced.
pub(crate) fn steps(steps: Vec<Step>) -> Vec<Step> {
    let mut ids = Vec::new();
    let replace = |step: Step| Step {
        name: step.name,
        outcome: match step.outcome {
            Ok(answer) => Ok(value(answer, &mut ids)),
            Err(refusal) => Err(Refusal {
                details: refusal.details.into_iter().map(|detail| value(detail, &mut ids)).collect(),
                message: text(&refusal.message, &mut ids),
                code: refusal.code,
            }),
        },
    };
    steps.into_iter().map(replace).collect()
}

fn value(seen: Value, ids: &mut Vec<String>) -> Value {
    match seen {
        Value::Object(fields) => Value::Object(object(fields, ids)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| value(item, ids)).collect()),
        Value::String(seen) => Value::String(text(&seen, ids)),
        other => other,
    }
}

fn object(fields: Map<String, Value>, ids: &mut Vec<String>) -> Map<String, Value> {
    // The real server notes what versions of workers a run has seen, as a search attribute that may be the only one.
    let is_ignored = |key: &str, seen: &Value| match (key, seen) {
        ("BuildIds", seen) => seen.is_object(),
        ("indexedFields", Value::Object(fields)) => fields.keys().all(|field| field == "BuildIds"),
        _ => IGNORED.contains(&key),
    };
    let fields = fields.into_iter().filter(|(key, seen)| !is_ignored(key, seen));
    let replaced = fields.map(|(key, seen)| {
        let seen = match (key.as_str(), seen) {
            (opaque, _) if OPAQUE.contains(&opaque) => format!("<{key}>").into(),
            // A payload's bytes, which may name a run.
            ("data", Value::String(data)) => text(&raw::text(&data).unwrap_or(data), ids).into(),
            (_, seen) => value(seen, ids),
        };
        (text(&key, ids), seen)
    });
    replaced.collect()
}

/// Times become `<time>`, identifiers `<id 1>`, `<id 2>` and so on, measured durations whole seconds.
fn text(seen: &str, ids: &mut Vec<String>) -> String {
    if is_time(seen) {
        return "<time>".to_owned();
    }
    if let Some(seconds) = measured(seen) {
        return format!("<about {seconds:.0}s>");
    }
    let mut replaced = String::new();
    let mut rest = seen;
    while let Some(start) = find_uuid(rest) {
        let id = &rest[start..start + UUID.len()];
        let number = ids.iter().position(|known| known == id).unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        replaced += &format!("{}<id {}>", &rest[..start], number + 1);
        rest = &rest[start + UUID.len()..];
    }
    without_version(replaced + rest)
}

/// Texts that name the version of an event: it is zero only where nothing is global.
fn without_version(text: String) -> String {
    let Some((before, rest)) = text.split_once(", version: ") else { return text };
    format!("{before}, version: <version>{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

const TIME: &[u8] = b"0000-00-00T00:00:00";
const UUID: &[u8] = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

fn is_time(text: &str) -> bool {
    text.ends_with('Z') && matches(text.as_bytes(), TIME)
}

/// The seconds of a duration that is finer than a millisecond, which no script asks for.
fn measured(text: &str) -> Option<f64> {
    let seconds = text.strip_suffix('s')?;
    let (_, fraction) = seconds.split_once('.')?;
    if fraction.len() <= 3 { None } else { seconds.parse().ok() }
}

fn find_uuid(text: &str) -> Option<usize> {
    (0..text.len().saturating_sub(UUID.len() - 1)).find(|&start| matches(&text.as_bytes()[start..], UUID))
}

/// Whether the text starts like the pattern, where `0` is a digit and `x` a hexadecimal one.
fn matches(text: &[u8], pattern: &[u8]) -> bool {
    pattern.len() <= text.len()
        && text.iter().zip(pattern).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            _ => byte == pattern,
        })
}

#[test]
fn what_differs_is_replaced() {
    let check = |seen: &str, expected: &str| assert_eq!(text(seen, &mut Vec::new()), expected);
    let (one, two) = ("01a20b5d-e9c0-728d-80ab-f78cc4aa06b0", "11a20b5d-e9c0-728d-80ab-f78cc4aa06b0");
    check(one, "<id 1>");
    check(&format!("{two} is not {one} but {two}."), "<id 1> is not <id 2> but <id 1>.");
    check("2026-11-24T02:27:11.342337Z", "<time>");
    check("no identifier", "no identifier");
    check("0.960299568s", "<about 1s>");
    check("0.100s", "0.100s");
    check("event ID: 3, version: 12, at", "event ID: 3, version: <version>, at");
}
