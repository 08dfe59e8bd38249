//! The figures, row by row, and how they are printed: as a table, as Markdown for the README, and as bars that are met or not.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::contenders::Who;

/// What a row counts in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// What a contender adds to the direct way, whose own time stands in brackets.
    AddedMicros,
    Micros,
    Millis,
    PerSecond,
    KiB,
    MiB,
    MiBPerSecond,
    Streams,
}

impl Unit {
    fn word(self) -> &'static str {
        match self {
            Self::AddedMicros => "+ µs",
            Self::Micros => "µs",
            Self::Millis => "ms",
            Self::PerSecond => "/s",
            Self::KiB => "KiB",
            Self::MiB => "MiB",
            Self::MiBPerSecond => "MiB/s",
            Self::Streams => "streams",
        }
    }
}

struct Row {
    name: String,
    unit: Unit,
    /// By contender, the value of each round.
    values: BTreeMap<Who, BTreeMap<usize, f64>>,
}

struct Bar {
    name: String,
    bound: Bound,
    measured: f64,
}

/// Where a bar lies.
#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// All that was measured.
#[derive(Default)]
pub struct Sheet {
    rows: Vec<Row>,
    bars: Vec<Bar>,
    /// Who could not be had, or failed, and why.
    notes: Vec<String>,
}

impl Sheet {
    /// One value of one round.
    pub fn put(&mut self, name: &str, unit: Unit, who: Who, round: usize, value: f64) {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.to_owned(), unit, values: BTreeMap::new() });
            self.rows.len() - 1
        });
        self.rows[at].values.entry(who).or_default().insert(round, value);
    }

    /// Something that the reader has to know.
    pub fn note(&mut self, text: String) {
        eprintln!("{text}");
        self.notes.push(text);
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The middle one of a contender's rounds.
    pub fn median(&self, name: &str, who: Who) -> Option<f64> {
        middle(self.row(name)?.values.get(&who)?.values().copied().collect())
    }

    /// How one contender compares with another: the middle one of the ratios of the same rounds.
    pub fn ratio(&self, name: &str, who: Who, to: Who) -> Option<f64> {
        let values = &self.row(name)?.values;
        let (ours, theirs) = (values.get(&who)?, values.get(&to)?);
        middle(ours.iter().filter_map(|(round, value)| Some(value / theirs.get(round)?)).collect())
    }

    /// Holds a figure against its bar, if it was measured.
    pub fn bar(&mut self, name: &str, bound: Bound, measured: Option<f64>) {
        if let Some(measured) = measured {
            self.bars.push(Bar { name: name.to_owned(), bound, measured });
        }
    }

    /// Whether every bar is met.
    pub fn passed(&self) -> bool {
        self.bars.iter().all(Bar::is_met)
    }

    /// The table for a terminal.
    pub fn text(&self) -> String {
        let mut lines = vec![header()];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..=Who::ALL.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let cells = line.iter().zip(&widths).enumerate();
            let padded: Vec<String> = cells
                .map(|(column, (cell, width))| if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
                .collect();
            let _ = writeln!(text, "{}", padded.join("  ").trim_end());
        }
        text
    }

    /// The same for the README.
    pub fn markdown(&self) -> String {
        let header = header();
        let mut text = format!("| {} |\n|---|{}\n", header.join(" | "), "--:|".repeat(header.len() - 1));
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.cells().join(" | "));
        }
        text
    }

    /// The bars, one a line, and what is to be known about the figures.
    pub fn verdict(&self) -> String {
        let mut text = String::new();
        for bar in &self.bars {
            let _ = writeln!(text, "{}", bar.text());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }
}

fn header() -> Vec<String> {
    std::iter::once(String::new()).chain(Who::ALL.map(|who| who.name().to_owned())).collect()
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let name = format!("{}, {}", self.name, self.unit.word());
        let cell = |who| {
            let Some(value) = self.values.get(&who).and_then(|rounds| middle(rounds.values().copied().collect())) else {
                return "–".to_owned();
            };
            let text = figure(value);
            if self.unit == Unit::AddedMicros && who == Who::Direct { format!("({text})") } else { text }
        };
        std::iter::once(name).chain(Who::ALL.map(cell)).collect()
    }
}

impl Bar {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.measured >= least,
            Bound::AtMost(most) => self.measured <= most,
        }
    }

    fn text(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(least) => ('≥', least),
            Bound::AtMost(most) => ('≤', most),
        };
        let verdict = if self.is_met() { "ok" } else { "MISSED" };
        format!("bar {}: {sign} {}: {} {verdict}", self.name, figure(bound), figure(self.measured))
    }
}

/// Three digits say enough.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[half]),
        _ => Some(f64::midpoint(values[half - 1], values[half])),
    }
}
