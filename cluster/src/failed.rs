//! How the program says that it could not.

use std::fmt;

/// Why something was not done: one line that a person can act on.
#[derive(Debug, Eq, PartialEq)]
pub struct Failed(pub String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failed {}
