//! What is wrong with a file, and what in it changes nothing.

use std::fmt;

/// Something that must be changed before a server can start with this file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Problem {
    /// Dotted path of the key, such as `persistence.numHistoryShards`; empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong and what is allowed.
    pub text: String,
}

/// Something the server will not act on: a key that is unknown, or one that has no effect here.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Notice {
    /// Dotted path of the key.
    pub path: String,
    /// Why nothing follows from the key.
    pub text: String,
}

/// Collects problems and notices while a file is read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
    notices: Vec<Notice>,
}

impl Report {
    pub(crate) fn problem(&mut self, path: String, text: impl Into<String>) {
        self.problems.push(Problem { path, text: text.into() });
    }

    pub(crate) fn notice(&mut self, path: String, text: impl Into<String>) {
        self.notices.push(Notice { path, text: text.into() });
    }

    /// `value`, unless a problem was reported. Whoever reads a part and has no value for it reports why, so a missing
    /// value without a problem is a bug here and not a bad file.
    pub(crate) fn into_result<T>(self, value: Option<T>) -> Result<(T, Vec<Notice>), Vec<Problem>> {
        if self.problems.is_empty() {
            Ok((value.expect("what could not be read was reported"), self.notices))
        } else {
            Err(self.problems)
        }
    }

    /// One line for each problem, marked `!`, then one for each notice, marked `~`.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<String> {
        let problems = self.problems.iter().map(|problem| format!("! {problem}"));
        let notices = self.notices.iter().map(|notice| format!("~ {notice}"));
        problems.chain(notices).collect()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, &self.path, &self.text)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, &self.path, &self.text)
    }
}

fn line(f: &mut fmt::Formatter<'_>, path: &str, text: &str) -> fmt::Result {
    if path.is_empty() { write!(f, "{text}") } else { write!(f, "{path}: {text}") }
}
