//! `dcRedirectionPolicy`: which calls a cluster that is not active passes on to the one that is.

use crate::{report::Report, section::Section};

/// Which calls on a namespace that is active elsewhere are forwarded to the cluster where it is active.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Redirection {
    /// None: `noop`, or nothing said.
    Noop,
    /// Those that start, signal, query and end executions: `selected-apis-forwarding`.
    SelectedApis,
    /// Those, and polls, completions and reads too: `all-apis-forwarding`.
    AllApis,
}

impl Redirection {
    pub(crate) fn read(mut redirection: Section<'_>, report: &mut Report) -> Option<Self> {
        let policy = redirection.choice("policy", &POLICIES, report);
        redirection.finish(report);
        policy
    }
}

const POLICIES: [(&str, Redirection); 3] = [
    ("noop", Redirection::Noop),
    ("selected-apis-forwarding", Redirection::SelectedApis),
    ("all-apis-forwarding", Redirection::AllApis),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn policies() {
        let check = |text, expected| {
            assert_eq!(read("dcRedirectionPolicy", text, Redirection::read), (Some(expected), vec![]));
        };
        check("", Redirection::Noop);
        check("policy: ''", Redirection::Noop);
        check("policy: noop", Redirection::Noop);
        check("policy: selected-apis-forwarding", Redirection::SelectedApis);
        check("policy: all-apis-forwarding", Redirection::AllApis);
    }

    #[test]
    fn anything_else_is_a_problem() {
        for policy in ["Noop", "selected-apis-forwarding-v2", "all"] {
            let (redirection, lines) = read("dcRedirectionPolicy", &format!("policy: {policy}"), Redirection::read);
            let allowed = "noop, selected-apis-forwarding, all-apis-forwarding";
            assert_eq!(redirection, None);
            assert_eq!(lines, [format!("! dcRedirectionPolicy.policy: is \"{policy}\"; allowed are: {allowed}")]);
        }
    }
}
