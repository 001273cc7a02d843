//! The table of both sides and their ratios.

use std::fmt;

use serde::Serialize;

use crate::side::{Figures, Level, Side};

/// The figures of the sides that were measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    temporal: Option<Figures>,
    meridian: Option<Figures>,
}

/// A row of the table: where the figure is and which way is better.
struct Row {
    name: &'static str,
    figure: fn(&Level) -> f64,
    better: Better,
}

#[derive(Clone, Copy, PartialEq)]
enum Better {
    Less,
    More,
}

const ROWS: [Row; 5] = [
    Row { name: "CPU-s per 1,000 workflows", figure: |level| level.cpu_seconds_per_1000, better: Better::Less },
    Row { name: "KB written per workflow", figure: |level| level.kilobytes_written_per_workflow, better: Better::Less },
    Row { name: "workflows/s", figure: |level| level.workflows_per_second, better: Better::More },
    Row { name: "start to close p50, ms", figure: |level| level.p50_ms, better: Better::Less },
    Row { name: "start to close p99, ms", figure: |level| level.p99_ms, better: Better::Less },
];

/// What must be reached: row, concurrency it is read at, how many times better.
const GOALS: [(usize, usize, f64); 3] = [(0, 50, 6.0), (2, 50, 8.0), (1, 50, 20.0)];

impl Report {
    pub(crate) fn add(&mut self, side: Side, figures: Figures) {
        match side {
            Side::Temporal => self.temporal = Some(figures),
            Side::Meridian => self.meridian = Some(figures),
        }
    }

    /// Whether both sides were measured and every goal was reached.
    pub(crate) fn goals_met(&self) -> bool {
        GOALS
            .iter()
            .all(|&(row, concurrency, times)| self.gain(&ROWS[row], concurrency).is_some_and(|gain| times <= gain))
    }

    /// How many times better Meridian is.
    fn gain(&self, row: &Row, concurrency: usize) -> Option<f64> {
        let [theirs, ours] = [&self.temporal, &self.meridian]
            .map(|side| side.as_ref()?.levels.iter().find(|level| level.concurrency == concurrency).map(row.figure));
        Some(times_better(row.better, theirs?, ours?))
    }
}

fn times_better(better: Better, theirs: f64, ours: f64) -> f64 {
    if better == Better::Less { theirs / ours } else { ours / theirs }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides = [&self.temporal, &self.meridian];
        let Some(any) = sides.into_iter().flatten().next() else { return Ok(()) };
        writeln!(f, "{:<28}{:>12}{:>12}{:>12}{:>10}", "", "concurrency", "Temporal", "Meridian", "better")?;
        for row in &ROWS {
            for level in &any.levels {
                let figures = sides.map(|side| {
                    let level = side.as_ref()?.levels.iter().find(|it| it.concurrency == level.concurrency)?;
                    Some((row.figure)(level))
                });
                line(f, row.name, &level.concurrency.to_string(), row.better, figures)?;
            }
        }
        let peaks = sides.map(|side| side.as_ref().map(|figures| figures.peak_megabytes));
        line(f, "peak memory, MB", "", Better::Less, peaks)?;
        let answers = sides.map(|side| side.as_ref().map(|figures| figures.first_answer_ms));
        line(f, "start to first answer, ms", "", Better::Less, answers)?;
        for (row, concurrency, times) in GOALS {
            let row = &ROWS[row];
            let Some(gain) = self.gain(row, concurrency) else { continue };
            let verdict = if times <= gain { "reached" } else { "MISSED" };
            writeln!(f, "goal: {} at {concurrency}: {times} times better; {verdict} with {gain:.1}", row.name)?;
        }
        Ok(())
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    concurrency: &str,
    better: Better,
    [theirs, ours]: [Option<f64>; 2],
) -> fmt::Result {
    let show = |figure: Option<f64>| figure.map_or_else(String::new, |figure| format!("{figure:.2}"));
    let gain = theirs
        .zip(ours)
        .map_or_else(String::new, |(theirs, ours)| format!("{:.1} x", times_better(better, theirs, ours)));
    writeln!(f, "{name:<28}{concurrency:>12}{:>12}{:>12}{gain:>10}", show(theirs), show(ours))
}
