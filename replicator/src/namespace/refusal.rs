//! Why a namespace is left as it is.

use alloc::string::String;
use core::fmt;

/// A refusal, by what the caller does next. Nothing was changed. Its text is the one that the API gives.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// The request is wrong and stays wrong.
    InvalidArgument(String),
    /// There is no namespace of this name or id.
    NotFound(String),
    /// The name is taken.
    AlreadyExists(String),
    /// The request wants something that is not built; the text names it.
    Unimplemented(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(text) | Self::Unimplemented(text) => f.write_str(text),
            Self::NotFound(namespace) => write!(f, "Namespace {namespace} is not found."),
            Self::AlreadyExists(name) => write!(f, "Namespace {name:?} already exists"),
        }
    }
}

/// Shorthand for the commonest refusal.
pub(super) fn invalid<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::InvalidArgument(text.into()))
}
