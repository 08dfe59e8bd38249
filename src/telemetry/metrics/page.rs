//! The page that a Prometheus reads, in its text format 0.0.4 or as OpenMetrics 1.0.0.
//!
//! The two differ in little, and a reader of one refuses the other: OpenMetrics names a counter's family without
//! `_total`, escapes quotes in help texts, and ends with `# EOF`. Bounds of buckets are written alike in both (`1.0`), so
//! that a series stays the same when a scraper changes its mind.

use std::fmt::{Display, Write as _};

use super::Format;

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows; its name ends with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Observations by size.
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Something that can be printed whole.
pub(super) trait Printed: Send + Sync {
    fn print(&self, page: &mut Page);

    /// Drops the series of which this label has this value.
    fn forget(&self, label: &str, value: &str);
}

/// A page that is being written. Each family is written once and in one piece.
#[derive(Debug)]
pub struct Page {
    format: Format,
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new(format: Format) -> Self {
        Self { format, text: String::with_capacity(16 * 1024) }
    }

    /// Begins a family. `help` is one sentence without an end mark.
    pub fn family(&mut self, name: &'static str, help: &str, kind: Kind) -> Series<'_> {
        let open = self.format == Format::OpenMetrics;
        let stem = if open && kind == Kind::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let _ = write!(self.text, "# HELP {stem} ");
        escape(&mut self.text, help, open);
        let _ = writeln!(self.text, "\n# TYPE {stem} {}", kind.word());
        Series { name, text: &mut self.text }
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// The lines of one family.
#[derive(Debug)]
pub struct Series<'a> {
    name: &'static str,
    text: &'a mut String,
}

impl Series<'_> {
    /// A line with a whole number. `suffix` follows the family's name: `_count`, or nothing.
    pub fn whole(&mut self, suffix: &str, labels: &[(&str, &str)], value: u64) {
        self.line(suffix, labels, None, value);
    }

    /// A line with any number.
    pub fn value(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        self.line(suffix, labels, None, number(value));
    }

    /// How many observations lay at or below `bound`.
    pub(super) fn bucket(&mut self, labels: &[(&str, &str)], bound: f64, count: u64) {
        self.line("_bucket", labels, Some(bound), count);
    }

    fn line(&mut self, suffix: &str, labels: &[(&str, &str)], bound: Option<f64>, value: impl Display) {
        let text = &mut *self.text;
        text.push_str(self.name);
        text.push_str(suffix);
        let bound = bound.map(bucket_bound);
        let all = labels.iter().copied().chain(bound.as_deref().map(|bound| ("le", bound)));
        let mut before = '{';
        for (name, value) in all {
            let _ = write!(text, "{before}{name}=\"");
            escape(text, value, true);
            text.push('"');
            before = ',';
        }
        if before == ',' {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

/// A value as both formats read it.
fn number(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}

/// OpenMetrics wants bounds with a point; the text format takes any number.
fn bucket_bound(bound: f64) -> String {
    if bound.is_finite() { format!("{bound:?}") } else { number(bound) }
}

fn escape(into: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '"' if quotes => into.push_str("\\\""),
            c => into.push(c),
        }
    }
}
