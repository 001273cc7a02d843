//! House rules: what holds everywhere and no compiler checks. Each says why, and what to do about a finding.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Which packages of ours a package may depend on, for whatever purpose. ARCHITECTURE.md says why.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("replicator", &["proto"]),
    ("config", &[]),
    ("tls", &["config"]),
    ("watch", &[]),
    ("matching", &["proto", "replicator"]),
    ("store", &["proto", "replicator", "scratch-mariadb", "scratch-postgres"]),
    ("membership", &["config", "proto", "replicator", "store", "watch"]),
    ("metadata", &["proto", "replicator", "store", "watch"]),
    ("history", &["membership", "metadata", "proto", "replicator", "store", "watch"]),
    ("hosts", &["membership", "proto", "replicator", "watch"]),
    (
        "frontend",
        &["config", "history", "hosts", "matching", "membership", "metadata", "proto", "replicator", "store", "watch"],
    ),
    (
        "cluster",
        &[
            "config",
            "frontend",
            "history",
            "hosts",
            "matching",
            "membership",
            "metadata",
            "proto",
            "replicator",
            "store",
            "tls",
        ],
    ),
    ("simulations", &["proto", "replicator"]),
    // Whole servers in a false world.
    ("servers", &["chance", "cluster", "config", "membership", "proto", "replicator", "simulations", "store"]),
    ("chance", &[]),
    ("simulate", &["servers", "simulations"]),
    // Tests drive real processes, so they need nothing of what they test but the wire.
    ("scratch-postgres", &[]),
    ("scratch-mariadb", &["scratch-postgres"]),
    ("tests", &["proto", "scratch-mariadb", "scratch-postgres"]),
    ("bench", &["proto", "scratch-postgres", "tests"]),
    ("powercut", &[]),
    // Everything that parses what comes from outside.
    ("fuzz-targets", &["config", "frontend", "membership", "proto", "replicator", "store"]),
];

/// Everything that the core links. None of it has a clock, a thread, a socket or a runtime.
const CORE_LINKS: &[&str] = &["bytes", "prost", "prost-types", "proto", "uuid"];

/// Everything that messages link. Of `temporalio-protos` only the build script matters.
const MESSAGES_LINK: &[&str] = &["bytes", "prost", "prost-types", "temporalio-protos"];

/// Lines of a file of Rust. A longer one is several things; find the seam.
const LONGEST_FILE: usize = 900;

#[test]
fn packages_depend_only_on_those_below_them() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    let allowed: BTreeMap<&str, &[&str]> = MAY_DEPEND_ON.iter().copied().collect();
    let mut findings = Vec::new();
    for (name, dependencies) in &packages {
        let Some(allowed) = allowed.get(name.as_str()) else {
            findings
                .push(format!("package {name} is new: say in MAY_DEPEND_ON and in ARCHITECTURE.md where it stands"));
            continue;
        };
        // A package that depends on itself turns on a feature for its own tests.
        let used = dependencies.iter().map(|dependency| dependency.name.as_str()).filter(|used| used != name);
        for used in used.filter(|used| ours.contains(used) && !allowed.contains(used)) {
            findings.push(format!("{name} depends on {used}, which does not stand below it"));
        }
    }
    for gone in allowed.keys().filter(|name| !ours.contains(*name)) {
        findings.push(format!("package {gone} is in MAY_DEPEND_ON and does not exist"));
    }
    none(&findings);
}

#[test]
fn core_and_messages_link_nothing_that_waits() {
    let packages = packages();
    let linked = |package: &str| {
        let always = packages[package].iter().filter(|dependency| !dependency.is_optional && dependency.is_linked);
        always.cloned().collect::<Vec<Dependency>>()
    };
    let mut findings = Vec::new();
    for (package, allowed) in [("replicator", CORE_LINKS), ("proto", MESSAGES_LINK)] {
        for Dependency { name, default_features, .. } in linked(package) {
            if !allowed.contains(&name.as_str()) {
                findings.push(format!(
                    "{package} links {name}: what can wait, or can look at the world, cannot be stepped"
                ));
            }
            if default_features {
                findings.push(format!("{package} takes {name} with its default features, which bring std"));
            }
        }
    }
    none(&findings);
}

#[test]
fn core_and_messages_do_without_std() {
    let mut findings = Vec::new();
    for (file, attribute) in [
        ("replicator/src/lib.rs", "#![no_std]"),
        ("proto/src/lib.rs", r#"#![cfg_attr(not(feature = "grpc"), no_std)]"#),
    ] {
        if !text(&root().join(file)).lines().any(|line| line == attribute) {
            findings
                .push(format!("{file} must say {attribute}: with std a clock, a thread or a seeded hasher compiles"));
        }
    }
    for file in rust().into_iter().filter(|file| file.starts_with("replicator/src")) {
        let text = text(&root().join(&file));
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("extern crate std")) {
            if index == 0 || lines[index - 1] != "#[cfg(test)]" {
                findings.push(format!("{}: `extern crate std` is for tests, behind #[cfg(test)]", file.display()));
            }
        }
    }
    none(&findings);
}

#[test]
fn files_are_short_enough_to_read() {
    let lines = |file: &PathBuf| text(&root().join(file)).lines().count();
    let long = rust().into_iter().map(|file| (lines(&file), file)).filter(|(lines, _)| *lines > LONGEST_FILE);
    let findings = long.map(|(lines, file)| {
        format!("{} has {lines} lines, more than {LONGEST_FILE}: let a part that owns its state escape", file.display())
    });
    none(&findings.collect::<Vec<String>>());
}

/// Tests beside the code they test are told by their names.
#[test]
fn files_begin_with_what_they_are() {
    let of_tests = |file: &PathBuf| file.to_string_lossy().ends_with("tests.rs");
    let silent = rust().into_iter().filter(|file| !of_tests(file) && !text(&root().join(file)).starts_with("//! "));
    let findings = silent.map(|file| format!("{} begins with no `//! ` line: say what it is", file.display()));
    none(&findings.collect::<Vec<String>>());
}

#[test]
fn nothing_points_outside_the_repository() {
    let foreign = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("../sha", "red")];
    let mut findings = Vec::new();
    for file in files().into_iter().filter(|file| file.extension().is_none_or(|extension| extension != "bin")) {
        for (number, line) in text(&root().join(&file)).lines().enumerate() {
            for path in foreign.iter().filter(|path| line.contains(*path)) {
                findings.push(format!("{}:{}: {path} is on nobody else's machine", file.display(), number + 1));
            }
        }
    }
    none(&findings);
}

#[test]
fn documents_name_files_that_exist() {
    // `/a/b.rs` and `/a/`, so that a path and its end are told from a part of a name.
    let files: Vec<String> = files().iter().map(|file| format!("/{}", file.display())).collect();
    let exists = |named: &str| {
        let named = format!("/{named}");
        files.iter().any(|file| if named.ends_with('/') { file.contains(&named) } else { file.ends_with(&named) })
    };
    let mut findings = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = text(&root().join(document));
        // Between two backticks: a path from the root of the repository, or the end of one.
        let named = text.split('`').skip(1).step_by(2).filter(|quoted| {
            let ends = ["/", ".rs", ".proto", ".sh", ".toml", ".yaml"];
            let is_path = ends.iter().any(|end| quoted.ends_with(end) && quoted != end);
            is_path && !quoted.contains(char::is_whitespace)
        });
        for path in named.filter(|path| !exists(path)) {
            findings.push(format!("{document} names {path}, which does not exist"));
        }
    }
    none(&findings);
}

/// Known defects are planted for `simulate power` alone: no ordinary build has them.
#[test]
fn no_ordinary_build_has_planted_defects() {
    const FEATURE: &str = "defects";
    const FORWARD: &[(&str, &[&str])] =
        &[("replicator", &[]), ("simulations", &["replicator/defects"]), ("simulate", &["simulations/defects"])];
    let mut findings = Vec::new();
    for package in metadata()["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let expected = FORWARD.iter().find(|(forwards, _)| *forwards == name).map(|(_, turns_on)| *turns_on);
        for (feature, turns_on) in package["features"].as_object().expect("features") {
            let turns_on: Vec<&str> = turns_on.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
            let is_known = feature == FEATURE && Some(turns_on.as_slice()) == expected;
            if !is_known && turns_on.iter().any(|on| on.split('/').next_back() == Some(FEATURE)) {
                findings.push(format!("feature {feature} of {name} plants defects"));
            }
        }
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let features = dependency["features"].as_array().expect("features");
            if features.iter().any(|feature| feature == FEATURE) {
                findings.push(format!("{name} takes {} with planted defects", dependency["name"]));
            }
        }
    }
    none(&findings);
}

/// A line under `[dependencies]` or one of its kin.
#[derive(Clone)]
struct Dependency {
    name: String,
    /// Part of the program, and not only of its tests or of its build.
    is_linked: bool,
    is_optional: bool,
    default_features: bool,
}

/// Our packages, by name.
fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let metadata = metadata();
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let dependency = |value: &Value| Dependency {
        name: name(value),
        is_linked: value["kind"].is_null(),
        is_optional: value["optional"] == true,
        default_features: value["uses_default_features"] == true,
    };
    let dependencies = |package: &Value| {
        package["dependencies"].as_array().expect("dependencies").iter().map(dependency).collect::<Vec<Dependency>>()
    };
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(|package| (name(package), dependencies(package))).collect()
}

/// What cargo says of the workspace.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let output = cargo.output().expect("run cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON from cargo metadata")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository")
}

/// The repository's files of Rust, by their paths from its root.
fn rust() -> Vec<PathBuf> {
    files().into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The repository's files, by their paths from its root. What is built, provisioned or hidden is none of them.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("read {}: {error}", folder.display())) {
            let entry = entry.expect("an entry of a folder");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let is_made = ["target", "node_modules", "__pycache__"].contains(&name.as_str())
                || name.starts_with('.') && name != ".ci"
                || [".db", ".db-wal", ".db-shm", ".db.lock"].iter().any(|end| name.ends_with(end));
            if is_made {
                continue;
            }
            if entry.file_type().expect("a type of a file").is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(root()).expect("below the root").to_owned());
            }
        }
    }
    files.sort();
    assert!(files.len() > 100, "the repository was not found at {}", root().display());
    files
}

fn text(file: &Path) -> String {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[track_caller]
fn none(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}
