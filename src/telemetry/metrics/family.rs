//! One name with a fixed set of labels, and a series for each combination of values that was ever asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Instrument;
use super::page::{Page, Printed};

/// All series of one name. Cheap to clone; all clones are the same family.
///
/// Its memory grows with each new combination of values, and shrinks only when a value is forgotten: only values of a bounded set may be given,
/// never text of a client (see [`super::Vocabulary`]).
pub struct Family<I: Instrument, const N: usize>(Arc<Inner<I>>);

/// Without the number of labels, so that its code is there once for each kind of instrument.
struct Inner<I: Instrument> {
    name: &'static str,
    help: &'static str,
    labels: Vec<&'static str>,
    make: I::Make,
    series: Mutex<BTreeMap<Vec<String>, I>>,
}

impl<I: Instrument, const N: usize> Clone for Family<I, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: Instrument, const N: usize> Family<I, N> {
    pub(super) fn new(name: &'static str, help: &'static str, labels: [&'static str; N], make: I::Make) -> Self {
        Self(Arc::new(Inner { name, help, labels: labels.to_vec(), make, series: Mutex::default() }))
    }

    /// The series of these values, in the order of the labels; made with zero if it is new. Takes a short lock: keep the
    /// handle where it is needed often.
    pub fn with(&self, values: [&str; N]) -> I {
        self.0.with(&values)
    }
}

impl<I: Instrument> Inner<I> {
    fn with(&self, values: &[&str]) -> I {
        let values = values.iter().map(ToString::to_string).collect();
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.entry(values).or_insert_with(|| I::make(self.make)).clone()
    }

    fn print(&self, page: &mut Page) {
        let series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = page.family(self.name, self.help, I::KIND);
        for (values, instrument) in series.iter() {
            let labels: Vec<(&str, &str)> = self.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
            instrument.print(&labels, &mut lines);
        }
    }

    fn forget(&self, label: &str, value: &str) {
        let Some(at) = self.labels.iter().position(|known| *known == label) else { return };
        self.series.lock().unwrap_or_else(PoisonError::into_inner).retain(|values, _| values[at] != value);
    }
}

impl<I: Instrument, const N: usize> Printed for Family<I, N> {
    fn print(&self, page: &mut Page) {
        self.0.print(page);
    }

    fn forget(&self, label: &str, value: &str) {
        self.0.forget(label, value);
    }
}
