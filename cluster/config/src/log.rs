//! `log`: where the log goes, and how much of it.

use crate::{report::Report, section::Section};

/// How the server logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: Level,
    /// How one entry is written.
    pub format: Format,
    /// To standard output; otherwise to standard error.
    pub stdout: bool,
}

/// How severe an entry is, the most severe first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// `error`
    Error,
    /// `warn`
    Warn,
    /// `info`, when the file says nothing.
    Info,
    /// `debug`
    Debug,
}

/// How an entry of the log is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One JSON object for each line: `json`, when the file says nothing.
    Json,
    /// For people: `text`, which Temporal calls `console`.
    Text,
}

impl Log {
    pub(crate) fn read(mut log: Section<'_>, report: &mut Report) -> Option<Self> {
        let level = log.choice_in_any_case("level", &LEVELS, report);
        let format = log.choice("format", &FORMATS, report);
        let stdout = log.boolean("stdout", report);
        for key in ["outputFile", "enableRotation", "maxSize", "maxAge", "maxBackups"] {
            log.inert(
                key,
                "the log goes to standard output or standard error; redirect it to keep it in a file",
                report,
            );
        }
        log.inert("development", "there is no development mode", report);
        log.finish(report);
        Some(Self { level: level?, format: format?, stdout: stdout? })
    }
}

const LEVELS: [(&str, Level); 4] =
    [("info", Level::Info), ("debug", Level::Debug), ("warn", Level::Warn), ("error", Level::Error)];

const FORMATS: [(&str, Format); 3] = [("json", Format::Json), ("text", Format::Text), ("console", Format::Text)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::section::tests::read;

    #[test]
    fn values() {
        let check = |text, level, format, stdout| {
            assert_eq!(read("log", text, Log::read), (Some(Log { level, format, stdout }), vec![]));
        };
        check("", Level::Info, Format::Json, false);
        check("{level: , format: , stdout: }", Level::Info, Format::Json, false);
        check("{level: debug, format: text, stdout: true}", Level::Debug, Format::Text, true);
        check("{level: ERROR, format: console}", Level::Error, Format::Text, false);
    }

    #[test]
    fn problems_all_at_once() {
        let expected = [
            "! log.level: is \"loud\"; allowed are: info, debug, warn, error",
            "! log.format: is \"xml\"; allowed are: json, text, console",
            "! log.stdout: is a whole number; true or false is required, without quotes",
        ];
        assert_eq!(
            read("log", "{level: loud, format: xml, stdout: 1}", Log::read),
            (None, expected.map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn notices() {
        let (log, lines) = read("log", "{outputFile: a.log, maxSize: 0, colour: red}", Log::read);
        assert!(log.is_some());
        let expected = [
            "~ log.outputFile: has no effect: the log goes to standard output or standard error; redirect it to keep \
             it in a file",
            "~ log.colour: is not a known key and is ignored",
        ];
        assert_eq!(lines, expected);
    }
}
