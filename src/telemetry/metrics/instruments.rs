//! What counts: handles on shared atomics. Counting takes no lock and may happen anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::page::{Kind, Series};

/// A counter, gauge or histogram; clones count into the same cell.
pub trait Instrument: Clone + Send + Sync + 'static {
    /// What is needed to make one.
    type Make: Copy + Send + Sync + 'static;
    /// How the page names it.
    const KIND: Kind;
    /// A new one that has counted nothing.
    fn make(make: Self::Make) -> Self;
    /// Writes its lines.
    fn print(&self, labels: &[(&str, &str)], lines: &mut Series<'_>);
}

/// Only ever grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Counts one.
    pub fn one(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it has counted.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Instrument for Counter {
    type Make = ();
    const KIND: Kind = Kind::Counter;

    fn make((): ()) -> Self {
        Self::default()
    }

    fn print(&self, labels: &[(&str, &str)], lines: &mut Series<'_>) {
        lines.whole("", labels, self.get());
    }
}

/// A value that goes up and down. What can be read off the state when a page is printed needs none.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// It is now so much.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// How much it is.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Instrument for Gauge {
    type Make = ();
    const KIND: Kind = Kind::Gauge;

    fn make((): ()) -> Self {
        Self::default()
    }

    fn print(&self, labels: &[(&str, &str)], lines: &mut Series<'_>) {
        lines.value("", labels, self.get());
    }
}

/// How many observations lay at or below each bound, and their sum.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    bounds: &'static [f64],
    /// One per bound and one beyond the last; each counts its own range only, so that an observation is one addition.
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Histogram {
    /// Takes note of a time, in seconds.
    pub fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Takes note of a value. What is no number is refused: it would poison the sum for good.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let cells = &*self.0;
        let range = cells.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = cells.counts.get(range) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // Never fails: `add` always gives a next value.
        let _ = cells.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Instrument for Histogram {
    type Make = &'static [f64];
    const KIND: Kind = Kind::Histogram;

    fn make(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Cells { bounds, counts, sum: AtomicU64::new(0.0_f64.to_bits()) }))
    }

    /// The count is the sum of the ranges as they were read, so that it always equals the last bucket.
    fn print(&self, labels: &[(&str, &str)], lines: &mut Series<'_>) {
        let cells = &*self.0;
        let mut so_far = 0;
        for (at, count) in cells.counts.iter().enumerate() {
            so_far += count.load(Ordering::Relaxed);
            lines.bucket(labels, cells.bounds.get(at).copied().unwrap_or(f64::INFINITY), so_far);
        }
        lines.value("_sum", labels, f64::from_bits(cells.sum.load(Ordering::Relaxed)));
        lines.whole("_count", labels, so_far);
    }
}
