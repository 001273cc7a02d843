//! What is made of files that may change: made anew when they have, and kept when that fails.

use std::sync::{Arc, Mutex, PoisonError};

use config::{Pem, Problem};

use crate::material::Texts;

/// Something that is made of text in PEM.
pub(crate) trait Source {
    /// What is made.
    type Made;

    /// All of the text.
    fn pems(&self) -> Vec<&Pem>;

    /// Those of them that are shown to others, whose end is looked out for.
    fn shown(&self) -> Vec<&Pem>;

    /// Make it.
    fn make(&self, texts: &Texts) -> Result<Self::Made, Vec<Problem>>;
}

/// The newest that could be made.
pub(crate) struct Current<S: Source> {
    source: S,
    now: Mutex<Now<S::Made>>,
}

struct Now<M> {
    texts: Texts,
    made: Arc<M>,
    ends: Vec<Expiry>,
}

/// When a certificate ends.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Expiry {
    /// The key of the configuration that led to it.
    pub path: String,
    /// In seconds since 1970.
    pub end: i64,
}

/// What came of a look at the files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refreshed {
    /// They are as they were.
    Same,
    /// What is in them is used from now on.
    New,
    /// They cannot be used, and what was used is used on.
    Kept(Vec<Problem>),
}

/// Something whose files can be looked at again.
pub trait Live: Send + Sync {
    /// Look at the files.
    fn refresh(&self) -> Refreshed;

    /// When the certificates end that are shown to others.
    fn expiries(&self) -> Vec<Expiry>;
}

impl<S: Source> Current<S> {
    pub(crate) fn load(source: S) -> Result<Self, Vec<Problem>> {
        let texts = Texts::read(source.pems())?;
        let made = Arc::new(source.make(&texts)?);
        let ends = texts.expiries(source.shown());
        Ok(Self { source, now: Mutex::new(Now { texts, made, ends }) })
    }

    pub(crate) fn get(&self) -> Arc<S::Made> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).made.clone()
    }
}

impl<S: Source + Send + Sync> Live for Current<S>
where
    S::Made: Send + Sync,
{
    fn refresh(&self) -> Refreshed {
        let texts = match Texts::read(self.source.pems()) {
            Ok(texts) => texts,
            Err(problems) => return Refreshed::Kept(problems),
        };
        if self.now.lock().unwrap_or_else(PoisonError::into_inner).texts == texts {
            return Refreshed::Same;
        }
        match self.source.make(&texts) {
            Ok(made) => {
                let ends = texts.expiries(self.source.shown());
                let now = Now { texts, made: Arc::new(made), ends };
                *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
                Refreshed::New
            }
            Err(problems) => Refreshed::Kept(problems),
        }
    }

    fn expiries(&self) -> Vec<Expiry> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).ends.clone()
    }
}
