//! Plans as text: JSON with a step a line, so that a person can read and change what shrinking left.

use std::time::Duration;

use serde_json::Value;

use crate::plan::{Plan, What};

/// The plan as it is written down.
#[must_use]
pub fn write(plan: &Plan) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(plan) else { unreachable!("a plan has fields") };
    let steps = match fields.remove("steps") {
        Some(Value::Array(steps)) => steps,
        _ => unreachable!("a plan has steps"),
    };
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("  \"{name}\": {value},\n")).collect();
    let steps: Vec<String> = steps.iter().map(|step| format!("    {step}")).collect();
    format!("{{\n{}  \"steps\": [\n{}\n  ]\n}}\n", fields.concat(), steps.join(",\n"))
}

/// The plan that was written down.
///
/// # Errors
///
/// Says what is wrong with the text, or what it names that is not there.
pub fn read(text: &str) -> Result<Plan, String> {
    let plan: Plan = serde_json::from_str(text).map_err(|error| error.to_string())?;
    check(&plan)?;
    Ok(plan)
}

/// Whether everything that a plan names is there.
fn check(plan: &Plan) -> Result<(), String> {
    let clusters = plan.shards.len();
    if !(1..=MOST_CLUSTERS).contains(&clusters) {
        return Err(format!("shards: {clusters} clusters, and there must be 1 to {MOST_CLUSTERS}"));
    }
    if let Some(shards) = plan.shards.iter().find(|shards| !(1..=MOST_SHARDS).contains(*shards)) {
        return Err(format!("shards: a cluster with {shards}, and there must be 1 to {MOST_SHARDS}"));
    }
    if let Some(late) = plan.late.iter().find(|late| **late >= clusters || plan.namespaces.contains(late)) {
        return Err(format!("late: there is no cluster {late}, or a namespace begins there"));
    }
    if let Some(home) = plan.namespaces.iter().find(|home| **home >= clusters) {
        return Err(format!("namespaces: there is no cluster {home}"));
    }
    if plan.old_wire.len() != clusters {
        return Err(format!("old_wire: {} clusters, and there are {clusters}", plan.old_wire.len()));
    }
    if plan.store.page == 0 {
        return Err("store.page: nothing would ever be read".into());
    }
    if !(1..=MOST_NAMESPACES).contains(&plan.namespaces.len()) {
        return Err(format!("namespaces: there must be 1 to {MOST_NAMESPACES}"));
    }
    if plan.steps.windows(2).any(|pair| pair[0].at > pair[1].at) {
        return Err("steps: they must be in order".into());
    }
    for (number, step) in plan.steps.iter().enumerate() {
        let (named, namespace) = names(&step.what);
        if let Some(cluster) = named.iter().find(|cluster| **cluster >= clusters) {
            return Err(format!("step {number}: there is no cluster {cluster}"));
        }
        if namespace.is_some_and(|namespace| namespace >= plan.namespaces.len()) {
            return Err(format!("step {number}: there is no such namespace"));
        }
        if let What::Move(cluster, shard, _) = step.what
            && !(1..=plan.shards[cluster]).contains(&shard)
        {
            return Err(format!("step {number}: there is no shard {shard}"));
        }
    }
    Ok(())
}

/// The clusters and the namespace that a step names.
pub(crate) fn names(what: &What) -> (Vec<usize>, Option<usize>) {
    match what {
        What::Register(namespace) => (Vec::new(), Some(*namespace)),
        What::Client(wish) => (vec![wish.from], Some(wish.namespace)),
        What::FailOver { namespace, to, by } => (vec![*to, *by], Some(*namespace)),
        What::HandOver { namespace, to } => (vec![*to], Some(*namespace)),
        What::AbortHandover(namespace) | What::CutAtSwitch { namespace, .. } => (Vec::new(), Some(*namespace)),
        What::Edit { namespace, by } => (vec![*by], Some(*namespace)),
        What::Join(cluster)
        | What::Crash(cluster, _)
        | What::BackUp(cluster)
        | What::Restore(cluster, _)
        | What::Pause(cluster, _)
        | What::Move(cluster, ..)
        | What::Skew(cluster, _)
        | What::Drift(cluster, ..)
        | What::Stall(cluster, _)
        | What::Full(cluster, _) => (vec![*cluster], None),
        What::Cut(from, to, _)
        | What::Clog(from, to, _)
        | What::Slow(from, to, ..)
        | What::Break(from, to)
        | What::Disconnect(from, to, _) => (vec![*from, *to], None),
    }
}

/// A length of time as a person writes it: `1.5ms`, `90s`, `10m`. What `Duration` prints is read exactly.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit: u128 = match unit {
        "ns" => 1,
        "µs" | "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let scale = 10_u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = part.parse::<u128>().ok()?.checked_mul(unit)? / scale;
    let nanos = whole.parse::<u128>().ok()?.checked_mul(unit)?.checked_add(part)?;
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// For fields of a plan.
pub(crate) mod time {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:?}"))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::duration(&text).ok_or_else(|| D::Error::custom(format!("{text:?} is not a length of time")))
    }
}

/// Clusters have names of one letter, and there are no more of them.
const MOST_CLUSTERS: usize = 5;
/// More shards than any plan needs.
const MOST_SHARDS: u32 = 64;
/// More namespaces than any plan needs.
const MOST_NAMESPACES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm;

    #[test]
    fn a_plan_is_read_as_it_was_written() {
        for seed in 0..50 {
            let plan = swarm::plan(seed);
            assert_eq!(read(&write(&plan)), Ok(plan), "seed {seed}");
        }
    }

    #[test]
    fn a_step_is_a_line() {
        let plan = swarm::plan(7);
        let text = write(&plan);
        assert_eq!(text.lines().filter(|line| line.contains(r#""at":"#)).count(), plan.steps.len());
    }

    #[test]
    fn what_is_not_there_is_named() {
        let refused = |change: fn(&mut Plan)| {
            let mut plan = swarm::plan(7);
            change(&mut plan);
            read(&write(&plan)).unwrap_err()
        };
        assert!(refused(|plan| plan.shards = vec![]).starts_with("shards:"));
        assert!(refused(|plan| plan.shards = vec![1, 0]).starts_with("shards:"));
        assert!(refused(|plan| plan.namespaces = vec![9]).starts_with("namespaces:"));
        assert!(refused(|plan| plan.late = plan.namespaces.clone()).starts_with("late:"));
        assert!(refused(|plan| plan.steps.reverse()).starts_with("steps:"));
        assert!(refused(|plan| plan.steps[0].what = What::Break(0, 9)).starts_with("step 0:"));
        assert!(refused(|plan| plan.steps[0].what = What::Register(99)).starts_with("step 0:"));
        assert!(refused(|plan| plan.steps[0].what = What::Move(0, 99, Duration::ZERO)).starts_with("step 0:"));
        assert!(read("{}").unwrap_err().contains("missing field"));
    }

    #[test]
    fn times_are_read_as_people_and_programs_write_them() {
        for nanos in [0, 1, 999, 1_500, 1_000_001, 60_000_000_000, u64::MAX] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(duration(&format!("{time:?}")), Some(time));
        }
        assert_eq!(duration("1.5m"), Some(Duration::from_secs(90)));
        for bad in ["", "90", "s", "-1s", "1.2.3s", "1d", "99999999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
