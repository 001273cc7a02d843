//! One section of the file while it is being read: typed values out, problems by path, unknown keys by path.
//!
//! Every `Option` that a reader returns is `None` only after a problem was reported, so whoever puts values together
//! may use `?` once all of a section has been read. A key without a value reads as no key.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use crate::{
    duration,
    report::Report,
    yaml::{Node, join},
};

/// Keys and values below one path, and which of the keys somebody asked for.
pub(crate) struct Section<'a> {
    path: String,
    entries: &'a [(String, Node)],
    known: BTreeSet<&'a str>,
}

impl<'a> Section<'a> {
    /// The section that contains all others.
    pub(crate) fn root(node: &'a Node, report: &mut Report) -> Option<Self> {
        Self::new(String::new(), node, report)
    }

    fn new(path: String, node: &'a Node, report: &mut Report) -> Option<Self> {
        let entries: &[_] = match node {
            Node::Null => &[],
            Node::Map(entries) => entries,
            other => {
                report.problem(path, format!("is {}; a section of keys is required", other.kind()));
                return None;
            }
        };
        Some(Self { path, entries, known: BTreeSet::new() })
    }

    /// The path of `key` in this section.
    pub(crate) fn path(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Every key, once: for a section whose keys are names that the operator chose.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let mut seen = BTreeSet::new();
        self.entries.iter().map(|(key, _)| key.as_str()).filter(move |key| seen.insert(*key))
    }

    /// The section at `key`; an empty one when it is not there, so that what it lacks is reported by full path.
    pub(crate) fn section(&mut self, key: &'a str, report: &mut Report) -> Option<Section<'a>> {
        let node = self.get(key).unwrap_or(&Node::Null);
        Section::new(self.path(key), node, report)
    }

    /// Whether `key` has a value other than its zero value.
    pub(crate) fn is_set(&mut self, key: &'a str) -> bool {
        self.get(key).is_some_and(|node| !node.is_zero())
    }

    /// The boolean at `key`; absent means false.
    pub(crate) fn boolean(&mut self, key: &'a str, report: &mut Report) -> Option<bool> {
        let wrong = match self.get(key) {
            None => return Some(false),
            Some(Node::Boolean(value)) => return Some(*value),
            Some(Node::Text(text)) => match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" => return Some(true),
                "no" | "n" | "off" => return Some(false),
                _ => "text",
            },
            Some(other) => other.kind(),
        };
        report.problem(self.path(key), format!("is {wrong}; true or false is required, without quotes"));
        None
    }

    /// The whole number at `key`, which must be there.
    pub(crate) fn integer(&mut self, key: &'a str, allowed: RangeInclusive<i64>, report: &mut Report) -> Option<i64> {
        let required = format!("a whole number from {} to {} is required", allowed.start(), allowed.end());
        let wrong = match self.get(key) {
            None => "is missing".to_owned(),
            Some(Node::Integer(value)) => match i64::try_from(*value) {
                Ok(value) if allowed.contains(&value) => return Some(value),
                _ => format!("is {value}"),
            },
            Some(Node::Text(_)) => "is text".to_owned(),
            Some(other) => format!("is {}", other.kind()),
        };
        report.problem(self.path(key), format!("{wrong}; {required}"));
        None
    }

    /// The port at `key`, which must be there.
    pub(crate) fn required_port(&mut self, key: &'a str, report: &mut Report) -> Option<u16> {
        self.integer(key, 1..=i64::from(u16::MAX), report).map(|port| u16::try_from(port).expect("in range"))
    }

    /// The port at `key`; absent and 0 mean none.
    pub(crate) fn port(&mut self, key: &'a str, report: &mut Report) -> Option<Option<u16>> {
        if self.is_set(key) { self.required_port(key, report).map(Some) } else { Some(None) }
    }

    /// The text at `key`; absent means empty.
    pub(crate) fn text(&mut self, key: &'a str, report: &mut Report) -> Option<String> {
        match self.get(key) {
            None => Some(String::new()),
            Some(Node::Text(text)) => Some(text.clone()),
            // Unquoted names of digits are common, and have only one spelling once leading zeros are out of the way.
            Some(Node::Integer(value)) => Some(value.to_string()),
            Some(Node::Boolean(value)) => Some(value.to_string()),
            Some(Node::Fraction(_)) => {
                report.problem(self.path(key), "is a number with a fraction; text is required: put quotes around it");
                None
            }
            Some(other) => {
                report.problem(self.path(key), format!("is {}; text is required", other.kind()));
                None
            }
        }
    }

    /// The sections in the list at `key`; absent means none.
    pub(crate) fn sections(&mut self, key: &'a str, report: &mut Report) -> Option<Vec<Section<'a>>> {
        let items = match self.get(key) {
            None => return Some(Vec::new()),
            Some(Node::List(items)) => items,
            Some(other) => {
                report.problem(self.path(key), format!("is {}; a list of sections is required", other.kind()));
                return None;
            }
        };
        let path = self.path(key);
        let all = items.iter().enumerate().map(|(at, item)| Section::new(format!("{path}[{at}]"), item, report));
        all.collect()
    }

    /// The texts in the list at `key`, with their places in it; absent means none, and empty ones are left out.
    pub(crate) fn texts(&mut self, key: &'a str, report: &mut Report) -> Option<Vec<(usize, String)>> {
        let items = match self.get(key) {
            None => return Some(Vec::new()),
            Some(Node::List(items)) => items,
            Some(node) if node.is_zero() => return Some(Vec::new()),
            Some(other) => {
                report.problem(self.path(key), format!("is {}; a list of texts is required", other.kind()));
                return None;
            }
        };
        let mut texts = Some(Vec::new());
        for (at, item) in items.iter().enumerate().filter(|(_, item)| !item.is_zero()) {
            match (item, &mut texts) {
                (Node::Text(text), Some(texts)) => texts.push((at, text.clone())),
                (Node::Text(_), None) => {}
                (other, _) => {
                    report
                        .problem(format!("{}[{at}]", self.path(key)), format!("is {}; text is required", other.kind()));
                    texts = None;
                }
            }
        }
        texts
    }

    /// The text at `key`, which must be there and say `what`.
    pub(crate) fn required_text(&mut self, key: &'a str, what: &str, report: &mut Report) -> Option<String> {
        let text = self.text(key, report)?;
        if text.is_empty() {
            report.problem(self.path(key), format!("is missing; {what} is required"));
            return None;
        }
        Some(text)
    }

    /// What the text at `key` stands for, exactly as spelled in `choices`; absent means the first of them.
    pub(crate) fn choice<T: Copy>(&mut self, key: &'a str, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
        self.chosen(key, choices, str::eq, report)
    }

    /// As [`Self::choice`], in capitals too.
    pub(crate) fn choice_in_any_case<T: Copy>(
        &mut self,
        key: &'a str,
        choices: &[(&str, T)],
        report: &mut Report,
    ) -> Option<T> {
        self.chosen(key, choices, str::eq_ignore_ascii_case, report)
    }

    fn chosen<T: Copy>(
        &mut self,
        key: &'a str,
        choices: &[(&str, T)],
        same: fn(&str, &str) -> bool,
        report: &mut Report,
    ) -> Option<T> {
        let text = self.text(key, report)?;
        if text.is_empty() {
            return Some(choices[0].1);
        }
        let chosen = choices.iter().find(|(name, _)| same(name, &text)).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            report.problem(self.path(key), format!("is {text:?}; allowed are: {}", names.join(", ")));
        }
        chosen
    }

    /// The duration at `key`; absent means none at all.
    pub(crate) fn duration(&mut self, key: &'a str, report: &mut Report) -> Option<Duration> {
        if !self.is_set(key) {
            return Some(Duration::ZERO);
        }
        let duration = self.text(key, report).and_then(|text| duration::parse(&text));
        if duration.is_none() {
            report.problem(self.path(key), "is not a duration; write one as 10s, 500ms or 1h30m");
        }
        duration
    }

    /// `key` is known and changes nothing here, because of `why`.
    pub(crate) fn inert(&mut self, key: &'a str, why: &str, report: &mut Report) {
        if self.is_set(key) {
            report.notice(self.path(key), format!("has no effect: {why}"));
        }
    }

    /// `key` asks for something whose silent absence would hurt, so anything there is a problem.
    pub(crate) fn refused(&mut self, key: &'a str, why: &str, report: &mut Report) {
        if self.is_set(key) {
            report.problem(self.path(key), why);
        }
    }

    /// All keys that are known have been asked for: give notice of the others.
    pub(crate) fn finish(self, report: &mut Report) {
        for name in self.names().filter(|name| !self.known.contains(name)) {
            let text = match self.known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
                Some(known) => format!("is not a known key and is ignored; is {known} meant?"),
                None => "is not a known key and is ignored".to_owned(),
            };
            report.notice(self.path(name), text);
        }
    }

    fn get(&mut self, key: &'a str) -> Option<&'a Node> {
        self.known.insert(key);
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node).filter(|node| **node != Node::Null)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::yaml;

    /// Read `text` as the section `part` of a file: the value, and the report as [`Report::lines`] writes it.
    #[track_caller]
    pub(crate) fn read<T>(
        part: &str,
        text: &str,
        read: fn(Section<'_>, &mut Report) -> Option<T>,
    ) -> (Option<T>, Vec<String>) {
        let mut report = Report::default();
        let node = yaml::parse(text, &mut report).expect(text);
        let section = Section::new(part.to_owned(), &node, &mut report);
        let value = section.and_then(|section| read(section, &mut report));
        assert!(value.is_some() || !report.lines().is_empty(), "nothing came of it and nothing was said: {text}");
        (value, report.lines())
    }

    #[test]
    fn booleans() {
        for (text, expected) in [("", false), ("a:", false), ("a: true", true), ("a: yes", true), ("a: off", false)] {
            check(text, |section, report| section.boolean("a", report), Ok(expected));
        }
        let problem = "! part.a: is text; true or false is required, without quotes";
        check("a: 'true'", |section, report| section.boolean("a", report), Err(problem));
        let problem = "! part.a: is a whole number; true or false is required, without quotes";
        check("a: 1", |section, report| section.boolean("a", report), Err(problem));
    }

    #[test]
    fn integers() {
        check("a: 1", |section, report| section.integer("a", 1..=4, report), Ok(1));
        check("a: 4", |section, report| section.integer("a", 1..=4, report), Ok(4));
        for (text, wrong) in [
            ("", "is missing"),
            ("a:", "is missing"),
            ("a: 0", "is 0"),
            ("a: 5", "is 5"),
            ("a: -1", "is -1"),
            ("a: 18446744073709551615", "is 18446744073709551615"),
            ("a: '3'", "is text"),
            ("a: 03", "is text"),
            ("a: 1.5", "is a number with a fraction"),
            ("a: [1]", "is a list"),
        ] {
            let problem = format!("! part.a: {wrong}; a whole number from 1 to 4 is required");
            check(text, |section, report| section.integer("a", 1..=4, report), Err(&problem));
        }
    }

    #[test]
    fn ports() {
        check("", |section, report| section.port("a", report), Ok(None));
        check("a: 0", |section, report| section.port("a", report), Ok(None));
        check("a: 65535", |section, report| section.port("a", report), Ok(Some(65535)));
        let problem = "! part.a: is 65536; a whole number from 1 to 65535 is required";
        check("a: 65536", |section, report| section.port("a", report), Err(problem));
        let problem = "! part.a: is 0; a whole number from 1 to 65535 is required";
        check("a: 0", |section, report| section.required_port("a", report), Err(problem));
    }

    #[test]
    fn texts() {
        for (text, expected) in [("", ""), ("a:", ""), ("a: x", "x"), ("a: 7", "7"), ("a: 007", "007"), ("a: no", "no")]
        {
            check(text, |section, report| section.text("a", report), Ok(expected.to_owned()));
        }
        check(
            "a: {}",
            |section, report| section.text("a", report),
            Err("! part.a: is a section of keys; text is required"),
        );
        let problem = "! part.a: is a number with a fraction; text is required: put quotes around it";
        check("a: 1.10", |section, report| section.text("a", report), Err(problem));
        let problem = "! part.a: is missing; a name is required";
        check("a: ''", |section, report| section.required_text("a", "a name", report), Err(problem));
    }

    #[test]
    fn choices() {
        const CHOICES: [(&str, u8); 2] = [("one", 1), ("two", 2)];
        check("", |section, report| section.choice("a", &CHOICES, report), Ok(1));
        check("a: two", |section, report| section.choice("a", &CHOICES, report), Ok(2));
        check("a: Two", |section, report| section.choice_in_any_case("a", &CHOICES, report), Ok(2));
        let problem = "! part.a: is \"Two\"; allowed are: one, two";
        check("a: Two", |section, report| section.choice("a", &CHOICES, report), Err(problem));
    }

    #[test]
    fn durations() {
        check("a: 0", |section, report| section.duration("a", report), Ok(Duration::ZERO));
        check("a: 1m", |section, report| section.duration("a", report), Ok(Duration::from_secs(60)));
        let problem = "! part.a: is not a duration; write one as 10s, 500ms or 1h30m";
        check("a: 30", |section, report| section.duration("a", report), Err(problem));
    }

    #[test]
    fn unknown_keys() {
        let check = |text, expected: &[&str]| {
            let read = |mut section: Section<'_>, report: &mut Report| {
                section.inert("grpcPort", "of a reason", report);
                section.finish(report);
                Some(())
            };
            assert_eq!(tests::read("part", text, read).1, expected);
        };
        check("", &[]);
        check("grpcPort: 1", &["~ part.grpcPort: has no effect: of a reason"]);
        check("grpcPort:", &[]);
        check("grpcPort: 0", &[]);
        check("grpcport:", &["~ part.grpcport: is not a known key and is ignored; is grpcPort meant?"]);
        check("a.b: {c: 1}", &["~ part.a.b: is not a known key and is ignored"]);
    }

    #[test]
    fn sections() {
        let check = |text, expected: &[&str]| {
            let read = |mut section: Section<'_>, report: &mut Report| {
                section.section("a", report)?.required_port("b", report)
            };
            assert_eq!(tests::read("part", text, read).1, expected);
        };
        check("a: {b: 1}", &[]);
        check("", &["! part.a.b: is missing; a whole number from 1 to 65535 is required"]);
        check("a: 1", &["! part.a: is a whole number; a section of keys is required"]);
        check("[]", &["! part: is a list; a section of keys is required"]);
    }

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(
        text: &str,
        reader: fn(&mut Section<'_>, &mut Report) -> Option<T>,
        expected: Result<T, &str>,
    ) {
        let mut report = Report::default();
        let node = yaml::parse(text, &mut report).unwrap();
        let mut section = Section::new("part".to_owned(), &node, &mut report).unwrap();
        let value = reader(&mut section, &mut report);
        let lines = report.lines().join("\n");
        assert_eq!(value.ok_or(lines.as_str()), expected, "{text}");
    }
}
