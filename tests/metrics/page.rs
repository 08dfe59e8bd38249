//! Reads a page of metrics as strictly as the two formats are written down, and panics at the first liberty taken.

use std::collections::{BTreeMap, HashSet};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

type Labels = BTreeMap<String, String>;

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Labels,
    value: f64,
}

/// A page that broke no rule.
#[derive(Debug, Default)]
pub struct Page {
    samples: Vec<Sample>,
    pub families: BTreeMap<String, String>,
}

impl Page {
    pub fn parse(text: &str, format: Format) -> Self {
        let text = match format {
            Format::Text => text.strip_suffix('\n').expect("the last line has an end"),
            Format::OpenMetrics => text.strip_suffix("\n# EOF\n").expect("ends with # EOF and nothing behind it"),
        };
        let mut page = Self::default();
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
            assert!(!help.is_empty() && is_name(name), "{line}");
            unescape(help, format == Format::OpenMetrics);
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
            let kind = kind.unwrap_or_else(|| panic!("{name} has no type right behind its help"));
            let mut samples = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                samples.push(sample(line));
            }
            check(name, kind, format, &samples);
            assert!(page.families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} comes twice");
            page.samples.extend(samples);
        }
        page.no_series_twice();
        page
    }

    fn no_series_twice(&self) {
        let mut seen = HashSet::new();
        for sample in &self.samples {
            assert!(seen.insert((&sample.name, &sample.labels)), "{} {:?} comes twice", sample.name, sample.labels);
        }
    }

    /// The sum over the series with these labels among others; `None` without any.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
        };
        let values: Vec<f64> = self.samples.iter().filter(fits).map(|sample| sample.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Every series by its name and labels, without its value.
    pub fn series(&self) -> Vec<String> {
        self.samples.iter().map(|sample| format!("{} {:?}", sample.name, sample.labels)).collect()
    }

    /// All values that labels have.
    pub fn label_values(&self) -> HashSet<&str> {
        self.samples.iter().flat_map(|sample| sample.labels.values()).map(String::as_str).collect()
    }
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let value = match value {
        "+Inf" | "-Inf" | "NaN" => panic!("nothing here is endless: {line}"),
        number => number.parse().expect(line),
    };
    let (name, labels) = match series.split_once('{') {
        None => (series, Labels::new()),
        Some((name, rest)) => (name, labels(rest.strip_suffix('}').expect(line), line)),
    };
    assert!(is_name(name), "{line}");
    Sample { name: name.to_owned(), labels, value }
}

fn labels(mut rest: &str, line: &str) -> Labels {
    let mut labels = Labels::new();
    loop {
        let (name, value) = rest.split_once("=\"").expect(line);
        assert!(is_name(name), "{line}");
        let end = closing_quote(value).expect(line);
        assert!(labels.insert(name.to_owned(), unescape(&value[..end], true)).is_none(), "{line}");
        match &value[end + 1..] {
            "" => return labels,
            more => rest = more.strip_prefix(',').expect(line),
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(text: &str, quotes: bool) -> String {
    let (mut plain, mut chars) = (String::new(), text.chars());
    while let Some(c) = chars.next() {
        plain.push(match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => '\n',
                Some('\\') => '\\',
                Some('"') if quotes => '"',
                other => panic!("no such escape: {other:?} in {text:?}"),
            },
            ('"', _) if quotes => panic!("a bare quote in {text:?}"),
            (c, _) => c,
        });
    }
    plain
}

fn check(family: &str, kind: &str, format: Format, samples: &[Sample]) {
    match kind {
        "counter" => {
            let stem = family.strip_suffix("_total");
            let name = match format {
                Format::Text => stem.map(|_| family.to_owned()).expect("a counter ends with _total"),
                Format::OpenMetrics => {
                    assert!(stem.is_none(), "{family}: the family of a counter is named without _total");
                    format!("{family}_total")
                }
            };
            assert!(samples.iter().all(|s| s.name == name && s.value >= 0.0), "{samples:?}");
        }
        "gauge" => {
            let reserved = ["_total", "_count", "_sum", "_bucket"];
            assert!(!reserved.iter().any(|suffix| family.ends_with(suffix)), "{family}");
            assert!(samples.iter().all(|s| s.name == family), "{samples:?}");
        }
        "histogram" => check_histogram(family, samples),
        other => panic!("{family} is a {other}"),
    }
}

fn check_histogram(family: &str, samples: &[Sample]) {
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let mut own = first.labels.clone();
        assert!(own.remove("le").is_some(), "{family} begins with {first:?}");
        let (mut bound, mut count) = (f64::NEG_INFINITY, 0.0);
        while let Some((bucket, after)) = rest.split_first().filter(|(sample, _)| sample.name == format!("{family}_bucket")) {
            let mut labels = bucket.labels.clone();
            let le = labels.remove("le").expect("a bucket has a bound");
            if labels != own {
                break;
            }
            assert!(le == "+Inf" || le.contains('.'), "{le} is not how OpenMetrics writes a bound");
            let le: f64 = le.parse().expect("a bound is a number");
            assert!(le > bound && bucket.value >= count, "{family}: {bucket:?}");
            (bound, count, rest) = (le, bucket.value, after);
        }
        assert!(bound.is_infinite() && bound > 0.0, "{family} has no bucket for all");
        let [sum, total, after @ ..] = rest else { panic!("{family} has no sum and count") };
        assert!(sum.name == format!("{family}_sum") && sum.labels == own, "{sum:?}");
        assert!(total.name == format!("{family}_count") && total.labels == own, "{total:?}");
        assert!((total.value - count).abs() < 0.5, "{total:?} is not {count}");
        rest = after;
    }
}
