//! `meridian validate-config`: whether a server would start with a file.

use std::{fmt, path::PathBuf};

use config::LoadError;
use serde::Serialize;

use super::{Answer, Failed, Output, server::Chosen};
use crate::{dynamic::DynamicConfig, security::Security};

/// Check a configuration file and start nothing.
#[derive(Debug, clap::Args)]
pub struct ValidateConfig {
    /// The file.
    file: PathBuf,
    #[command(flatten)]
    services: Chosen,
}

/// What was found in a file.
#[derive(Debug, Serialize)]
pub(crate) struct Findings {
    file: String,
    valid: bool,
    /// What must be changed.
    problems: Vec<Finding>,
    /// What has no effect.
    notices: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    path: String,
    text: String,
}

impl ValidateConfig {
    /// Check it.
    ///
    /// # Errors
    ///
    /// [`Failed`] when a server would not start with the file.
    pub fn run(&self, output: Output) -> Result<(), Failed> {
        let findings = self.check()?;
        findings.write(output);
        match findings.problems.len() {
            0 => Ok(()),
            1 => Err(Failed(format!("{} has a problem that must be changed", findings.file))),
            count => Err(Failed(format!("{} has {count} problems that must be changed", findings.file))),
        }
    }

    fn check(&self) -> Result<Findings, Failed> {
        let (problems, notices) = match config::load(&self.file, self.services.get()) {
            Ok((config, notices)) => {
                let mut problems = Security::load(&config).err().unwrap_or_default();
                problems.extend(DynamicConfig::load(&config).err().unwrap_or_default());
                (problems, notices)
            }
            Err(LoadError::Refused { problems, .. }) => (problems, Vec::new()),
            Err(error @ LoadError::Unreadable { .. }) => return Err(Failed(error.to_string())),
        };
        Ok(Findings {
            file: self.file.display().to_string(),
            valid: problems.is_empty(),
            problems: problems.into_iter().map(|found| Finding { path: found.path, text: found.text }).collect(),
            notices: notices.into_iter().map(|found| Finding { path: found.path, text: found.text }).collect(),
        })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.file, if self.valid { "a server can start with it" } else { "refused" })?;
        self.problems.iter().try_for_each(|found| writeln!(f, "  problem  {found}"))?;
        self.notices.iter().try_for_each(|found| writeln!(f, "  notice   {found}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, text } = self;
        if path.is_empty() { f.write_str(text) } else { write!(f, "{path}: {text}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let finding = |path: &str, text: &str| Finding { path: path.into(), text: text.into() };
        Findings {
            file: "a.yaml".into(),
            valid: false,
            problems: vec![finding("", "is not UTF-8 text"), finding("log.level", "is \"loud\"")],
            notices: vec![finding("otel", "has no effect")],
        }
    }

    #[test]
    fn text() {
        let expected = "a.yaml: refused\n  problem  is not UTF-8 text\n  problem  log.level: is \"loud\"\n  \
                        notice   otel: has no effect\n";
        assert_eq!(findings().render(Output::Text), expected);
    }

    #[test]
    fn json() {
        let value: serde_json::Value = serde_json::from_str(&findings().render(Output::Json)).unwrap();
        assert_eq!(value["valid"], false);
        assert_eq!(value["problems"][1], serde_json::json!({"path": "log.level", "text": "is \"loud\""}));
    }

    #[test]
    fn files() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        let command = ValidateConfig { file: file.clone(), services: Chosen::default() };
        let failed = command.check().unwrap_err().to_string();
        assert!(failed.starts_with(&format!("{}: ", file.display())), "{failed}");
        std::fs::write(&file, "log: {level: loud}").unwrap();
        let findings = command.check().unwrap();
        assert!(!findings.valid && findings.problems.iter().any(|found| found.path == "log.level"), "{findings}");
    }
}
