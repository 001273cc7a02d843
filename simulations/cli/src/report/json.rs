//! The whole result as one JSON document.

use serde_json::{Value, json};

use super::replays;
use crate::tally::Tally;

/// The document.
pub(crate) fn document(tally: &Tally) -> Value {
    let (median, pace) = (tally.median(), tally.pace());
    let broken = tally.broken().map(|(world, violation)| {
        json!({
            "group": world.case.group(),
            "name": world.case.name(),
            "at_seconds": violation.at.as_secs_f64(),
            "promise": violation.promise,
            "found": violation.finding.text,
            "about": violation.finding.subject.as_ref().map(|subject| subject.as_str()),
            "replay": replays(world),
        })
    });
    let ends = |group: &str| {
        let mut of_group = tally.worlds.iter().filter(|world| world.case.group() == group);
        let first = of_group.next().map(|world| world.case.name());
        let last = of_group.next_back().map(|world| world.case.name()).or_else(|| first.clone());
        json!({"first": first, "last": last})
    };
    json!({
        "worlds": tally.worlds.len(),
        "fresh": ends("fresh"),
        "broken": broken.collect::<Vec<Value>>(),
        "took_seconds": tally.took.as_secs_f64(),
        "simulated_seconds": tally.simulated().as_secs_f64(),
        "seeds_per_minute": pace.seeds_per_minute,
        "simulated_seconds_per_core_second": pace.simulated_per_core_second,
        "median": {
            "happenings": median.happenings,
            "failovers": median.failovers,
            "kinds_of_fault": median.faults,
        },
        "exercised": tally.coverage.table().map(|(what, count)| (what.to_owned(), count.into())).collect::<serde_json::Map<String, Value>>(),
        "never": tally.never(),
        "trace": format!("{:016x}", tally.hash()),
    })
}
