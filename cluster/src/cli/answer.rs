//! How a command says what it did, and how it says that it could not.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use crate::failed::Failed;

/// What is printed to standard output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one JSON document.
    Json,
}

/// What a command found or did: `Display` for people, `Serialize` for programs.
pub trait Answer: fmt::Display + Serialize {
    /// As it is printed, with its last newline.
    fn render(&self, output: Output) -> String {
        match output {
            Output::Text => {
                let text = self.to_string();
                if text.ends_with('\n') { text } else { text + "\n" }
            }
            Output::Json => {
                let mut text = serde_json::to_string_pretty(self).expect("answers are plain data");
                text.push('\n');
                text
            }
        }
    }

    /// Print it. Whoever reads may have gone; that is not a failure of the command.
    fn write(&self, output: Output) {
        let _gone = io::stdout().lock().write_all(self.render(output).as_bytes());
    }
}

impl<T: fmt::Display + Serialize> Answer for T {}

/// Tell a person why nothing was done.
pub fn write_failure(failed: &Failed) {
    write_note(&format!("meridian: {failed}"));
}

/// Tell a person something that is not the answer.
pub(crate) fn write_note(line: &str) {
    let _gone = writeln!(io::stderr().lock(), "{line}");
}
