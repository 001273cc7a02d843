//! `clusterMetadata`: which cluster this is, and how failover versions are shared out.

use std::collections::BTreeMap;

use crate::{address, report::Report, section::Section};

/// What this cluster says about itself. Other clusters are joined at run time and are not in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cluster {
    /// The name of this cluster.
    pub name: String,
    /// The name of the one cluster where global namespaces are registered and updated.
    pub master: String,
    /// How far a failover version moves in one round; bounds the number of clusters that can ever be joined.
    pub failover_version_increment: i64,
    /// This cluster's versions are this one plus multiples of the increment;
    /// 0 < `initial_failover_version` < `failover_version_increment` ≤ 2³¹ − 1. Also its id on the wire.
    pub initial_failover_version: i64,
    /// Whether namespaces may be replicated.
    pub enable_global_namespace: bool,
    /// Where this cluster says that its frontend is reached: `host:port`, not resolved.
    pub rpc_address: String,
    /// Where this cluster says that its HTTP endpoint is reached, if it says so: `host:port`, not resolved.
    pub http_address: Option<String>,
}

/// One entry of `clusterInformation`.
struct Entry {
    initial_failover_version: i64,
    rpc_address: String,
    http_address: Option<String>,
}

impl Cluster {
    pub(crate) fn read(mut metadata: Section<'_>, report: &mut Report) -> Option<Self> {
        let enable_global_namespace = metadata.boolean("enableGlobalNamespace", report);
        let increment = metadata.integer("failoverVersionIncrement", 2..=i64::from(i32::MAX), report);
        let master = metadata.required_text("masterClusterName", "the name of a cluster in clusterInformation", report);
        let name = metadata.required_text("currentClusterName", "the name of this cluster", report);
        metadata.inert("tags", "clusters have no tags", report);
        let entries = metadata.section("clusterInformation", report);
        let own = match (entries, &name) {
            (Some(entries), Some(name)) => {
                let names: Vec<_> = entries.names().collect();
                for (key, named) in [("currentClusterName", Some(name)), ("masterClusterName", master.as_ref())] {
                    if let Some(named) = named
                        && !names.contains(&named.as_str())
                    {
                        report.problem(metadata.path(key), not_in_the_map(named, &names));
                    }
                }
                read_entries(entries, name, increment, report)
            }
            _ => None,
        };
        metadata.finish(report);
        let own = own?;
        Some(Self {
            name: name?,
            master: master?,
            failover_version_increment: increment?,
            initial_failover_version: own.initial_failover_version,
            enable_global_namespace: enable_global_namespace?,
            rpc_address: own.rpc_address,
            http_address: own.http_address,
        })
    }
}

/// Read every entry, since a file that Temporal refuses must not be accepted here; return that of cluster `own`.
fn read_entries(mut entries: Section<'_>, own: &str, increment: Option<i64>, report: &mut Report) -> Option<Entry> {
    let mut first_with_version = BTreeMap::new();
    let mut found = None;
    for name in entries.names() {
        if name.is_empty() {
            report.problem(entries.path(name), "has an empty name; give the cluster one");
        }
        let Some(section) = entries.section(name, report) else { continue };
        let version_path = section.path("initialFailoverVersion");
        let entry = read_entry(section, name == own, increment, report);
        if let Some(entry) = &entry
            && let Some(other) = first_with_version.insert(entry.initial_failover_version, name)
        {
            let version = entry.initial_failover_version;
            report.problem(version_path, format!("is {version}, as it is for {other}; each cluster needs its own"));
        }
        if name == own {
            found = entry;
        } else {
            entries.inert(name, "other clusters are joined at run time, with temporal operator cluster upsert", report);
        }
    }
    found
}

fn read_entry(mut entry: Section<'_>, is_own: bool, increment: Option<i64>, report: &mut Report) -> Option<Entry> {
    let enabled = entry.boolean("enabled", report);
    let below = increment.unwrap_or(i64::from(i32::MAX));
    let initial_failover_version = entry.integer("initialFailoverVersion", 1..=below - 1, report);
    // This cluster needs an address to tell, enabled or not; of another it is only needed to dial it.
    let rpc_address = if is_own || enabled == Some(true) {
        let text = entry.required_text("rpcAddress", "the address of the frontend as others reach it", report);
        text.and_then(|text| dialled(&entry, "rpcAddress", text, report))
    } else {
        entry.text("rpcAddress", report)
    };
    let http_address = match entry.text("httpAddress", report) {
        Some(text) if text.is_empty() => Some(None),
        text => text.and_then(|text| dialled(&entry, "httpAddress", text, report)).map(Some),
    };
    if is_own {
        entry.inert("rpcName", "the service that answers is always the frontend", report);
        if enabled == Some(false) && entry.names().any(|key| key == "enabled") {
            report.notice(entry.path("enabled"), "has no effect: a cluster is always enabled for itself");
        }
        entry.finish(report);
    }
    Some(Entry {
        initial_failover_version: initial_failover_version?,
        rpc_address: rpc_address?,
        http_address: http_address?,
    })
}

fn dialled(entry: &Section<'_>, key: &str, text: String, report: &mut Report) -> Option<String> {
    if address::can_be_dialled(&text) {
        return Some(text);
    }
    report.problem(entry.path(key), format!("is {text:?}; host:port is required, with a port from 1 to 65535"));
    None
}

fn not_in_the_map(name: &str, names: &[&str]) -> String {
    if names.is_empty() {
        format!("is {name:?}, and clusterInformation is empty; add an entry {name} there")
    } else {
        format!("is {name:?}, which is not in clusterInformation; that has: {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn values() {
        let (cluster, lines) = read(
            "clusterMetadata",
            "{enableGlobalNamespace: true, failoverVersionIncrement: 10, masterClusterName: a, currentClusterName: a, \
             clusterInformation: {a: {enabled: true, initialFailoverVersion: 9, rpcAddress: 'a:7233', httpAddress: \
             'a:7243'}}}",
            Cluster::read,
        );
        let expected = Cluster {
            name: "a".into(),
            master: "a".into(),
            failover_version_increment: 10,
            initial_failover_version: 9,
            enable_global_namespace: true,
            rpc_address: "a:7233".into(),
            http_address: Some("a:7243".into()),
        };
        assert_eq!((cluster, lines), (Some(expected), vec![]));
    }

    #[test]
    fn nothing_at_all() {
        check(
            "",
            "! clusterMetadata.failoverVersionIncrement: is missing; a whole number from 2 to 2147483647 is required\n\
             ! clusterMetadata.masterClusterName: is missing; the name of a cluster in clusterInformation is required\n\
             ! clusterMetadata.currentClusterName: is missing; the name of this cluster is required",
        );
    }

    #[test]
    fn names_are_in_the_map() {
        check_with(
            "masterClusterName: b, currentClusterName: a",
            "",
            "! clusterMetadata.currentClusterName: is \"a\", and clusterInformation is empty; add an entry a there\n\
             ! clusterMetadata.masterClusterName: is \"b\", and clusterInformation is empty; add an entry b there",
        );
        check_with(
            "masterClusterName: c, currentClusterName: a",
            "a: {initialFailoverVersion: 1, rpcAddress: 'a:1'}, b: {initialFailoverVersion: 2}",
            "! clusterMetadata.masterClusterName: is \"c\", which is not in clusterInformation; that has: a, b\n\
             ~ clusterMetadata.clusterInformation.b: has no effect: other clusters are joined at run time, with \
             temporal operator cluster upsert",
        );
        // Names are text even when they look like numbers.
        check_with(
            "masterClusterName: 1, currentClusterName: 1",
            "1: {initialFailoverVersion: 1, rpcAddress: 'a:1'}",
            "",
        );
    }

    #[test]
    fn increments() {
        for (increment, wrong) in [("0", "is 0"), ("1", "is 1"), ("-10", "is -10"), ("2147483648", "is 2147483648")] {
            let entry = "a: {initialFailoverVersion: 1, rpcAddress: 'a:1'}";
            check(
                &format!(
                    "{{failoverVersionIncrement: {increment}, masterClusterName: a, currentClusterName: a, \
                     clusterInformation: {{{entry}}}}}"
                ),
                &format!(
                    "! clusterMetadata.failoverVersionIncrement: {wrong}; a whole number from 2 to 2147483647 is \
                     required"
                ),
            );
        }
    }

    #[test]
    fn initial_versions() {
        for (version, wrong) in [("0", "is 0"), ("10", "is 10"), ("-1", "is -1"), ("", "is missing")] {
            check_entry(
                &format!("initialFailoverVersion: {version}, rpcAddress: 'a:1'"),
                &format!(
                    "! clusterMetadata.clusterInformation.a.initialFailoverVersion: {wrong}; a whole number from 1 \
                     to 9 is \
                     required"
                ),
            );
        }
        check_with(
            "masterClusterName: a, currentClusterName: a",
            "a: {initialFailoverVersion: 1, rpcAddress: 'a:1'}, b: {initialFailoverVersion: 1}",
            "! clusterMetadata.clusterInformation.b.initialFailoverVersion: is 1, as it is for a; each cluster needs \
             its own\n\
             ~ clusterMetadata.clusterInformation.b: has no effect: other clusters are joined at run time, with \
             temporal operator cluster upsert",
        );
    }

    #[test]
    fn a_repeated_cluster_is_one_problem() {
        check_with(
            "masterClusterName: a, currentClusterName: a",
            "a: {initialFailoverVersion: 1, rpcAddress: 'a:1'}, a: {initialFailoverVersion: 1, rpcAddress: 'a:1'}",
            "! clusterInformation.a: given more than once; keep one",
        );
    }

    #[test]
    fn addresses() {
        check_entry("initialFailoverVersion: 1, rpcAddress: 'a:1', httpAddress: ''", "");
        check_entry(
            "initialFailoverVersion: 1",
            "! clusterMetadata.clusterInformation.a.rpcAddress: is missing; the address of the frontend as others \
             reach it \
             is required",
        );
        check_entry(
            "initialFailoverVersion: 1, rpcAddress: a, httpAddress: 'a:0'",
            "! clusterMetadata.clusterInformation.a.rpcAddress: is \"a\"; host:port is required, with a port from 1 \
             to 65535\n\
             ! clusterMetadata.clusterInformation.a.httpAddress: is \"a:0\"; host:port is required, with a port from \
             1 to \
             65535",
        );
    }

    #[test]
    fn other_clusters_are_checked_and_have_no_effect() {
        check_with(
            "masterClusterName: a, currentClusterName: a",
            "a: {initialFailoverVersion: 1, rpcAddress: 'a:1'}, b: {enabled: true, initialFailoverVersion: 20}",
            "! clusterMetadata.clusterInformation.b.initialFailoverVersion: is 20; a whole number from 1 to 9 is \
             required\n\
             ! clusterMetadata.clusterInformation.b.rpcAddress: is missing; the address of the frontend as others \
             reach it \
             is required\n\
             ~ clusterMetadata.clusterInformation.b: has no effect: other clusters are joined at run time, with \
             temporal operator cluster upsert",
        );
    }

    #[test]
    fn keys_without_effect() {
        check_entry(
            "enabled: false, rpcName: frontend, initialFailoverVersion: 1, rpcAddress: 'a:1', colour: red",
            "~ clusterMetadata.clusterInformation.a.rpcName: has no effect: the service that answers is always the \
             frontend\n\
             ~ clusterMetadata.clusterInformation.a.enabled: has no effect: a cluster is always enabled for itself\n\
             ~ clusterMetadata.clusterInformation.a.colour: is not a known key and is ignored",
        );
    }

    #[track_caller]
    fn check_entry(entry: &str, expected: &str) {
        check_with("masterClusterName: a, currentClusterName: a", &format!("a: {{{entry}}}"), expected);
    }

    #[track_caller]
    fn check_with(names: &str, entries: &str, expected: &str) {
        check(&format!("{{failoverVersionIncrement: 10, {names}, clusterInformation: {{{entries}}}}}"), expected);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read("clusterMetadata", text, Cluster::read).1.join("\n"), expected, "{text}");
    }
}
