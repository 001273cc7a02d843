//! Settings that change while a server runs, in a file of their own, which is laid out as Temporal's dynamic configuration: under
//! each key a list of values, each with the namespace for which it is meant, or for all.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    file,
    report::{Notice, Problem, Report},
    section::Section,
    yaml,
};

/// `dynamicConfigClient`: where the file is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DynamicFile {
    /// It.
    pub path: PathBuf,
    /// Between two looks at it.
    pub poll: Duration,
}

impl DynamicFile {
    pub(crate) fn read(mut section: Section<'_>, report: &mut Report) -> Option<Option<Self>> {
        let path = section.text("filepath", report);
        let poll = section.duration("pollInterval", report);
        let (asks, at) = (section.is_set("pollInterval"), [section.path("filepath"), section.path("pollInterval")]);
        section.finish(report);
        let (path, poll) = (path?, poll?);
        if path.is_empty() {
            if asks {
                let [at, _] = at;
                report.problem(at, "is missing; the file that is to be looked at is required");
                return None;
            }
            return Some(None);
        }
        if asks && poll < SOONEST {
            let [_, at] = at;
            report.problem(at, "is less than 100ms");
            return None;
        }
        Some(Some(Self { path: path.into(), poll: if asks { poll } else { USUAL } }))
    }
}

/// A setting that can change.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Setting {
    /// Calls a second that a host answers.
    Rps,
    /// Calls a second that a host answers for a namespace.
    NamespaceRps,
    /// Lists and counts a second of a namespace; where nothing is said they are calls like others.
    VisibilityRps,
    /// Calls of one kind that wait for a namespace.
    NamespaceCount,
    /// Bytes of ids and names.
    IdLength,
    /// Bytes of payloads of one call that are refused.
    BlobSize,
    /// Bytes of payloads of one call that are logged.
    BlobWarning,
    /// Bytes of a memo that are refused.
    MemoSize,
    /// Bytes of a memo that are logged.
    MemoWarning,
    /// Bytes of workflows that a host keeps in memory.
    HistoryCacheBytes,
    /// Bytes of history beyond which a run is terminated.
    HistorySize,
    /// Bytes of history beyond which operators are told.
    HistorySizeWarning,
    /// Bytes of history from which on workers are told to continue as new.
    HistorySizeSuggestion,
    /// Events of history beyond which a run is terminated.
    HistoryCount,
    /// Events of history beyond which operators are told.
    HistoryCountWarning,
    /// Events of history from which on workers are told to continue as new.
    HistoryCountSuggestion,
    /// Activities that a run may have pending; 0: any number.
    PendingActivities,
    /// Calls a second that the task queues of a host answer.
    MatchingRps,
    /// Partitions of a task queue at which pollers wait.
    ReadPartitions,
    /// Partitions of a task queue to which tasks are offered.
    WritePartitions,
}

impl Setting {
    /// Whether it may be said for single namespaces.
    fn is_by_namespace(self) -> bool {
        match self {
            Self::Rps | Self::MatchingRps | Self::IdLength | Self::HistoryCacheBytes => false,
            Self::NamespaceRps | Self::VisibilityRps | Self::NamespaceCount => true,
            Self::ReadPartitions | Self::WritePartitions => true,
            Self::BlobSize | Self::BlobWarning | Self::MemoSize | Self::MemoWarning => true,
            Self::HistorySize | Self::HistorySizeWarning | Self::HistorySizeSuggestion => true,
            Self::HistoryCount | Self::HistoryCountWarning | Self::HistoryCountSuggestion => true,
            Self::PendingActivities => true,
        }
    }

    fn range(self) -> RangeInclusive<i64> {
        match self {
            Self::HistoryCacheBytes => 0..=1 << 40,
            Self::PendingActivities => 0..=1_000_000_000,
            Self::ReadPartitions | Self::WritePartitions => 1..=100,
            _ => 1..=1_000_000_000,
        }
    }

    fn key(self) -> &'static str {
        SETTINGS.iter().find(|(_, setting)| *setting == self).map_or("", |(key, _)| key)
    }
}

/// What the file says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dynamic {
    /// By setting, and by namespace if the value is not meant for all.
    values: BTreeMap<(Setting, Option<String>), u64>,
}

impl Dynamic {
    /// Read a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn load(path: &Path) -> Result<(Self, Vec<Notice>), Vec<Problem>> {
        let whole = |text: String| vec![Problem { path: path.display().to_string(), text }];
        let bytes = file::read(path).map_err(|error| whole(error.to_string()))?;
        if file::MAX_FILE_BYTES < bytes.len() {
            return Err(whole(format!("is longer than {} bytes", file::MAX_FILE_BYTES)));
        }
        Self::parse(&String::from_utf8(bytes).map_err(|_| whole("is not UTF-8 text".into()))?)
    }

    /// Read the text of a file.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<(Self, Vec<Notice>), Vec<Problem>> {
        let mut report = Report::default();
        let root = yaml::parse(text, &mut report);
        let root = root.as_ref().and_then(|root| Section::root(root, &mut report));
        let dynamic = root.and_then(|root| Self::read(root, &mut report));
        report.into_result(dynamic)
    }

    fn read(mut root: Section<'_>, report: &mut Report) -> Option<Self> {
        let mut values = BTreeMap::new();
        for name in root.names().collect::<Vec<_>>() {
            let entries = root.sections(name, report);
            let Some((_, setting)) = SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
                report.notice(root.path(name), "has no effect here");
                continue;
            };
            for entry in entries? {
                if let Some((namespace, value)) = read_value(entry, *setting, report)? {
                    // Of several that are meant for the same the first counts.
                    values.entry((*setting, namespace)).or_insert(value);
                }
            }
        }
        root.finish(report);
        Some(Self { values })
    }

    /// Namespaces of which the file says something by their name.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<&str> {
        self.values.keys().filter_map(|(_, namespace)| namespace.as_deref()).collect()
    }

    /// What another file says differently.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<Change> {
        let all: BTreeSet<_> = self.values.keys().chain(next.values.keys()).collect();
        let change = all.into_iter().map(|key| {
            let (before, after) = (self.values.get(key).copied(), next.values.get(key).copied());
            Change { key: key.0.key(), namespace: key.1.clone(), before, after }
        });
        change.filter(|change| change.before != change.after).collect()
    }

    /// A setting for a namespace, if the file says it.
    #[must_use]
    pub fn get(&self, setting: Setting, namespace: &str) -> Option<u64> {
        let own = self.values.get(&(setting, Some(namespace.to_owned())));
        own.or_else(|| self.values.get(&(setting, None))).copied()
    }
}

/// A value that is not what it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The key of the setting.
    pub key: &'static str,
    /// The namespace for which it is meant; `None`: for all.
    pub namespace: Option<String>,
    /// What was said before, if anything.
    pub before: Option<u64>,
    /// What is said now, if anything.
    pub after: Option<u64>,
}

/// A value, and the namespace for which it is meant; nothing when it is meant for nothing that is looked up.
fn read_value(mut entry: Section<'_>, setting: Setting, report: &mut Report) -> Option<Option<(Option<String>, u64)>> {
    let value = entry.integer("value", setting.range(), report);
    let constraints = entry.section("constraints", report).and_then(|mut constraints| {
        let namespace = constraints.text("namespace", report);
        let mut is_foreign = false;
        for key in CONSTRAINTS {
            is_foreign |= constraints.is_set(key);
        }
        let path = constraints.path("");
        constraints.finish(report);
        let namespace = namespace.map(|name| Some(name).filter(|name| !name.is_empty()))?;
        if is_foreign || namespace.is_some() && !setting.is_by_namespace() {
            let by = if setting.is_by_namespace() { "by namespace alone" } else { "without constraints" };
            report
                .notice(path.trim_end_matches('.').to_owned(), format!("has no effect: the setting is looked up {by}"));
            return Some(None);
        }
        Some(Some(namespace))
    });
    entry.finish(report);
    let value = u64::try_from(value?).expect("in range");
    Some(constraints?.map(|namespace| (namespace, value)))
}

/// Keys, in any case of letters.
const SETTINGS: [(&str, Setting); 20] = [
    ("frontend.rps", Setting::Rps),
    ("frontend.namespaceRPS", Setting::NamespaceRps),
    ("frontend.namespaceRPS.visibility", Setting::VisibilityRps),
    ("frontend.namespaceCount", Setting::NamespaceCount),
    ("limit.maxIDLength", Setting::IdLength),
    ("limit.blobSize.error", Setting::BlobSize),
    ("limit.blobSize.warn", Setting::BlobWarning),
    ("limit.memoSize.error", Setting::MemoSize),
    ("limit.memoSize.warn", Setting::MemoWarning),
    ("history.hostLevelCacheMaxSizeBytes", Setting::HistoryCacheBytes),
    ("limit.historySize.error", Setting::HistorySize),
    ("limit.historySize.warn", Setting::HistorySizeWarning),
    ("limit.historySize.suggestContinueAsNew", Setting::HistorySizeSuggestion),
    ("limit.historyCount.error", Setting::HistoryCount),
    ("limit.historyCount.warn", Setting::HistoryCountWarning),
    ("limit.historyCount.suggestContinueAsNew", Setting::HistoryCountSuggestion),
    ("limit.numPendingActivities.error", Setting::PendingActivities),
    ("matching.rps", Setting::MatchingRps),
    ("matching.numTaskqueueReadPartitions", Setting::ReadPartitions),
    ("matching.numTaskqueueWritePartitions", Setting::WritePartitions),
];

/// By what else Temporal looks settings up.
const CONSTRAINTS: [&str; 7] =
    ["namespaceId", "taskQueueName", "taskType", "historyTaskType", "shardId", "destination", "chasmTaskType"];

/// If nobody says.
const USUAL: Duration = Duration::from_secs(10);

/// The file is not looked at more often.
const SOONEST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let lines: Vec<_> = match Dynamic::parse(text) {
            Ok((_, notices)) => notices.iter().map(|notice| format!("~ {notice}")).collect(),
            Err(problems) => problems.iter().map(|problem| format!("! {problem}")).collect(),
        };
        assert_eq!(lines.join("\n"), expected, "{text}");
    }

    #[test]
    fn values_by_namespace() {
        let text = "
frontend.rps: [{value: 100}]
Frontend.NamespaceRps:
  - value: 5
    constraints: {namespace: slow}
  - value: 50
    constraints: {}
  - value: 70
frontend.namespacecount:
  - {value: 3, constraints: {namespace: slow}}
limit.blobSize.error: [{value: 9, constraints: {namespace: slow}}]
limit.maxIDLength: [{value: 255}]
history.hostLevelCacheMaxSizeBytes: [{value: 8589934592}]
matching.numTaskqueueReadPartitions: [{value: 8, constraints: {namespace: slow}}]
";
        let (dynamic, notices) = Dynamic::parse(text).expect("it reads");
        assert_eq!(notices, []);
        let get = |setting, namespace| dynamic.get(setting, namespace);
        assert_eq!((get(Setting::Rps, ""), get(Setting::Rps, "slow")), (Some(100), Some(100)));
        assert_eq!(get(Setting::HistoryCacheBytes, ""), Some(8 << 30));
        assert_eq!((get(Setting::ReadPartitions, "slow"), get(Setting::WritePartitions, "slow")), (Some(8), None));
        assert_eq!((get(Setting::NamespaceRps, "slow"), get(Setting::NamespaceRps, "other")), (Some(5), Some(50)));
        assert_eq!((get(Setting::NamespaceCount, "slow"), get(Setting::NamespaceCount, "other")), (Some(3), None));
        assert_eq!((get(Setting::BlobSize, "slow"), get(Setting::BlobSize, "other")), (Some(9), None));
        assert_eq!((get(Setting::IdLength, "slow"), get(Setting::BlobWarning, "slow")), (Some(255), None));
    }

    #[test]
    fn every_setting_has_one_key() {
        let settings: BTreeSet<_> = SETTINGS.iter().map(|(_, setting)| *setting).collect();
        let keys: BTreeSet<_> = SETTINGS.iter().map(|(key, _)| key.to_ascii_lowercase()).collect();
        assert_eq!((settings.len(), keys.len()), (SETTINGS.len(), SETTINGS.len()));
    }

    #[test]
    fn what_changed() {
        let parse = |text| Dynamic::parse(text).expect("it reads").0;
        let before = parse("frontend.rps: [{value: 5}]\nlimit.historyCount.error: [{value: 9}]");
        let after = parse(
            "frontend.rps: [{value: 6}]
limit.historyCount.error: [{value: 9}, {value: 7, constraints: {namespace: small}}]",
        );
        let change = |key, namespace: Option<&str>, before, after| {
            let namespace = namespace.map(str::to_owned);
            Change { key, namespace, before, after }
        };
        let count = "limit.historyCount.error";
        let new = change(count, Some("small"), None, Some(7));
        assert_eq!(before.changes(&after), [change("frontend.rps", None, Some(5), Some(6)), new]);
        assert_eq!(after.changes(&before)[1], change(count, Some("small"), Some(7), None));
        assert_eq!(before.changes(&before), []);
        assert_eq!(after.namespaces(), BTreeSet::from(["small"]));
    }

    #[test]
    fn what_is_wrong() {
        for text in ["", "# nothing", "{}"] {
            assert_eq!(Dynamic::parse(text), Ok((Dynamic::default(), vec![])), "{text}");
        }
        check("frontend.rps: 5", "! frontend.rps: is a whole number; a list of sections is required");
        check(
            "frontend.rps: [{value: many}]",
            "! frontend.rps[0].value: is text; a whole number from 1 to 1000000000 is required",
        );
        check(
            "frontend.rps: [{}]",
            "! frontend.rps[0].value: is missing; a whole number from 1 to 1000000000 is required",
        );
        check(
            "history.hostLevelCacheMaxSizeBytes: [{value: -1}]",
            "! history.hostLevelCacheMaxSizeBytes[0].value: is -1; a whole number from 0 to 1099511627776 is required",
        );
        check("history.rps: [{value: 5}]", "~ history.rps: has no effect here");
        check(
            "frontend.rps: [{value: 5, constraints: {namespace: a}}]",
            "~ frontend.rps[0].constraints: has no effect: the setting is looked up without constraints",
        );
        check(
            "limit.maxIDLength: [{value: 5, constraints: {namespace: a}}]",
            "~ limit.maxIDLength[0].constraints: has no effect: the setting is looked up without constraints",
        );
        check(
            "frontend.namespaceRPS: [{value: 5, constraints: {namespace: a, taskQueueName: q}}]",
            "~ frontend.namespaceRPS[0].constraints: has no effect: the setting is looked up by namespace alone",
        );
    }
}
