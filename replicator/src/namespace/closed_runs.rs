//! What a namespace wants done with inputs of losing branches when the workflow is over.

use alloc::{collections::BTreeMap, format, string::String};

use super::refusal::{Refusal, invalid};

/// The answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ClosedRuns {
    /// The workflow stays over; that inputs found no run is reported.
    #[default]
    Stay,
    /// If there is something to give it, the run is reset to its last completed workflow task, and what it makes is given it.
    Reset,
}

impl ClosedRuns {
    /// Entry of a namespace's data that holds it, so that every tool can set it and every cluster hears of it.
    pub const KEY: &str = "meridian.closed-runs";

    /// As the data of a namespace say. What a later release may put there means what is usual.
    #[must_use]
    pub fn of(data: &BTreeMap<String, String>) -> Self {
        data.get(Self::KEY).and_then(|text| Self::parse(text)).unwrap_or_default()
    }

    /// Refuse data of a namespace that say something else.
    pub(super) fn check(data: &BTreeMap<String, String>) -> Result<(), Refusal> {
        match data.get(Self::KEY) {
            Some(text) if Self::parse(text).is_none() => {
                invalid(format!("data[{:?}] must be \"reset\" or \"stay\", not {text:?}", Self::KEY))
            }
            _ => Ok(()),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "stay" => Some(Self::Stay),
            "reset" => Some(Self::Reset),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn only_what_means_something_is_taken() {
        check(None, ClosedRuns::Stay, true);
        check(Some("stay"), ClosedRuns::Stay, true);
        check(Some("reset"), ClosedRuns::Reset, true);
        check(Some("Reset"), ClosedRuns::Stay, false);
        check(Some(""), ClosedRuns::Stay, false);
    }

    #[track_caller]
    fn check(value: Option<&str>, meaning: ClosedRuns, is_taken: bool) {
        let data = value.map(|value| (ClosedRuns::KEY.to_string(), value.to_string())).into_iter().collect();
        assert_eq!((ClosedRuns::of(&data), ClosedRuns::check(&data).is_ok()), (meaning, is_taken), "{value:?}");
    }
}
