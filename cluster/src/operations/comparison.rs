//! In what two clusters hold a run differently.

use proto::meridian::verification::v1::{Aspect, Kind, RunDigest};

/// Everything in which the two differ; nothing: they are alike. Where events differ is left to be found.
pub(super) fn compare(here: Option<&RunDigest>, there: Option<&RunDigest>) -> Vec<Aspect> {
    let (Some(here), Some(there)) = (here, there) else {
        let tell = |side: Option<&RunDigest>| side.map(status).unwrap_or_default();
        let is_same = here.is_none() && there.is_none();
        return if is_same { Vec::new() } else { vec![aspect(Kind::Missing, tell(here), tell(there))] };
    };
    let mut aspects = Vec::new();
    let mut add = |kind, here: String, there: String| {
        if here != there {
            aspects.push(aspect(kind, here, there));
        }
    };
    add(Kind::CurrentRun, current(here), current(there));
    add(Kind::Status, status(here), status(there));
    let branch = |run: &RunDigest| {
        let current = usize::try_from(run.current_branch).ok().and_then(|index| run.branches.get(index));
        current.map(|branch| branch.versions.clone()).unwrap_or_default()
    };
    add(Kind::CurrentBranch, branch(here), branch(there));
    let all = here.branches.iter().chain(&there.branches).map(|branch| branch.versions.as_str());
    for versions in all.collect::<std::collections::BTreeSet<_>>() {
        let content = |run: &RunDigest| {
            run.branches.iter().find(|branch| branch.versions == versions).map(|branch| branch.content)
        };
        let told = |side: Option<u64>| side.map(|_| versions.to_owned()).unwrap_or_default();
        match (content(here), content(there)) {
            (Some(ours), Some(theirs)) if ours == theirs => {}
            (ours @ Some(_), theirs @ Some(_)) => aspects.push(aspect(Kind::Events, told(ours), told(theirs))),
            (ours, theirs) => aspects.push(aspect(Kind::Branch, told(ours), told(theirs))),
        }
    }
    // Of other events other states are made.
    let is_explained = aspects.iter().any(|aspect| !matches!(aspect.kind(), Kind::CurrentRun | Kind::Status));
    if here.state != there.state && !is_explained {
        aspects.push(aspect(Kind::State, format!("{:016x}", here.state), format!("{:016x}", there.state)));
    }
    aspects
}

fn aspect(kind: Kind, here: String, there: String) -> Aspect {
    Aspect { kind: kind.into(), here, there, first_event_id: 0 }
}

fn current(run: &RunDigest) -> String {
    if run.is_current { "current" } else { "not current" }.to_owned()
}

fn status(run: &RunDigest) -> String {
    use proto::temporal::api::enums::v1::WorkflowExecutionStatus as Status;
    match run.phase {
        1 => "running".to_owned(),
        2 => "zombie".to_owned(),
        _ => {
            let status = Status::try_from(run.status).unwrap_or_default();
            status.as_str_name().trim_start_matches("WORKFLOW_EXECUTION_STATUS_").to_lowercase()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::meridian::verification::v1::BranchDigest;

    /// Branches as `3@1 6@2=9`, `*` before the current one.
    fn run(branches: &str, state: u64, phase: i32, is_current: bool) -> RunDigest {
        let parts: Vec<_> = branches.split(" | ").collect();
        let current = parts.iter().position(|part| part.starts_with('*')).unwrap();
        let branch = |part: &&str| {
            let (versions, content) = part.trim_start_matches('*').split_once('=').unwrap();
            BranchDigest { versions: versions.to_owned(), content: content.parse().unwrap() }
        };
        RunDigest {
            branches: parts.iter().map(branch).collect(),
            current_branch: i32::try_from(current).unwrap(),
            state,
            phase,
            is_current,
            status: if phase == 3 { 2 } else { 1 },
            ..RunDigest::default()
        }
    }

    #[track_caller]
    fn check(here: Option<RunDigest>, there: Option<RunDigest>, expected: &str) {
        let aspects = compare(here.as_ref(), there.as_ref());
        let told = |aspect: &Aspect| format!("{:?}: {:?} {:?}", aspect.kind(), aspect.here, aspect.there);
        assert_eq!(aspects.iter().map(told).collect::<Vec<_>>().join(", "), expected);
    }

    #[test]
    fn every_difference_is_named() {
        let plain = || Some(run("*3@1=9", 5, 1, true));
        check(None, None, "");
        check(plain(), plain(), "");
        check(plain(), None, "Missing: \"running\" \"\"");
        check(plain(), Some(run("*3@1=9", 6, 1, true)), "State: \"0000000000000005\" \"0000000000000006\"");
        check(plain(), Some(run("*3@1=8", 6, 1, true)), "Events: \"3@1\" \"3@1\"");
        check(
            plain(),
            Some(run("*3@1=9", 5, 2, false)),
            "CurrentRun: \"current\" \"not current\", Status: \"running\" \"zombie\"",
        );
        check(
            Some(run("*3@1 4@2=7 | 5@1=9", 1, 3, true)),
            Some(run("*5@1=9", 2, 1, true)),
            "Status: \"completed\" \"running\", CurrentBranch: \"3@1 4@2\" \"5@1\", Branch: \"3@1 4@2\" \"\"",
        );
    }
}
