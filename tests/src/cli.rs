//! Command lines: the published `temporal` and our own `meridian`.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{certificates::Environment, provision};

/// What a command left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Whether it exited with 0.
    pub success: bool,
    /// The code it exited with; nothing when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Run the published CLI against `address`.
#[must_use]
pub fn temporal(address: &str, arguments: &[&str]) -> Outcome {
    run(&provision::temporal(), &[arguments, &["--address", address]].concat(), &Environment::default())
}

/// The same with variables of the environment, and an address among the arguments if it wants one.
#[must_use]
pub fn temporal_with(environment: &Environment, arguments: &[&str]) -> Outcome {
    run(&provision::temporal(), arguments, environment)
}

/// Run our own command line.
#[must_use]
pub fn meridian(arguments: &[&str]) -> Outcome {
    run(&provision::meridian(), arguments, &Environment::default())
}

/// The same with variables of the environment.
#[must_use]
pub fn meridian_with(environment: &Environment, arguments: &[&str]) -> Outcome {
    run(&provision::meridian(), arguments, environment)
}

fn run(program: &Path, arguments: &[&str], environment: &Environment) -> Outcome {
    let output = Command::new(program)
        .args(arguments)
        // A configuration file of whoever runs the tests is none of ours.
        .env("TEMPORAL_CONFIG_FILE", "/dev/null")
        .env("NO_COLOR", "1")
        .envs(environment.0.iter().cloned())
        .output()
        .unwrap_or_else(|error| panic!("run {}: {error}", program.display()));
    Outcome {
        success: output.status.success(),
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Outcome {
    /// The output of a command that must succeed.
    ///
    /// # Panics
    ///
    /// When it did not.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> String {
        assert!(self.success, "{}{}", self.out, self.err);
        self.out
    }

    /// [`Outcome::ok`] as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out}"))
    }

    /// What a command that must fail said.
    ///
    /// # Panics
    ///
    /// When it succeeded.
    #[track_caller]
    #[must_use]
    pub fn refused(self) -> String {
        assert!(!self.success, "it worked: {}", self.out);
        self.err
    }
}
