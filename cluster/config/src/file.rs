//! The file that holds a configuration.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{Config, Notice, Problem, Services, parse};

/// Read and check the configuration in the file at `path`, for a process that runs these services of several, or for one
/// that is the whole cluster.
///
/// # Errors
///
/// See [`LoadError`]. Nothing but this file was opened, and nothing was changed.
pub fn load(path: &Path, services: Option<Services>) -> Result<(Config, Vec<Notice>), LoadError> {
    let bytes = read(path).map_err(|error| LoadError::Unreadable { path: path.to_owned(), error })?;
    let parsed = if MAX_FILE_BYTES < bytes.len() {
        Err(vec![whole_file(format!("is longer than {MAX_FILE_BYTES} bytes, the most that a configuration may be"))])
    } else {
        match std::str::from_utf8(&bytes) {
            Ok(text) => parse(text, services),
            Err(error) => {
                Err(vec![whole_file(format!("is not UTF-8 text: byte {} is wrong", error.valid_up_to() + 1))])
            }
        }
    };
    parsed.map_err(|problems| LoadError::Refused { path: path.to_owned(), problems })
}

/// Why a file gave no configuration, by what its operator does next.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Look at the path, and at who may read it.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file that was to be read.
        path: PathBuf,
        /// What the system said. Part of the message, and so not a source of its own.
        error: io::Error,
    },
    /// Edit the file.
    #[error("{}", Refusal { path, problems })]
    Refused {
        /// The file that was read.
        path: PathBuf,
        /// All that must be changed; never none.
        problems: Vec<Problem>,
    },
}

/// A refusal as people read it: one line for each problem.
struct Refusal<'a> {
    path: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the configuration is refused", self.path.display())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// All of the file, or one byte more than is allowed.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn whole_file(text: String) -> Problem {
    Problem { path: String::new(), text }
}

/// The most that is read: far more than a complete configuration needs.
pub const MAX_FILE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file() {
        let path = tempfile::tempdir().unwrap().path().join("none.yaml");
        let error = load(&path, None).unwrap_err();
        assert!(matches!(error, LoadError::Unreadable { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("{}: ", path.display())), "{error}");
    }

    #[test]
    fn refusals_name_the_file_and_every_problem() {
        check(b"log: {level: loud}\nglobal: 1\n", "log.level: is \"loud\"; allowed are: info, debug, warn, error");
        check(b"log: {level: loud}\nglobal: 1\n", "global: is a whole number; a section of keys is required");
        check(b"log: \xff", "is not UTF-8 text: byte 6 is wrong");
        check(&[b'#'; MAX_FILE_BYTES + 1], "is longer than 1048576 bytes, the most that a configuration may be");
        // Long, but not too long: refused for what is not in it.
        check(&[b'#'; MAX_FILE_BYTES], "persistence.numHistoryShards: is missing");
    }

    #[track_caller]
    fn check(bytes: &[u8], line: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        std::fs::write(&path, bytes).unwrap();
        let error = load(&path, None).unwrap_err().to_string();
        let mut lines = error.lines();
        assert_eq!(lines.next(), Some(format!("{}: the configuration is refused", path.display()).as_str()));
        assert!(lines.any(|found| found.trim_start().starts_with(line)), "{error}");
    }
}
