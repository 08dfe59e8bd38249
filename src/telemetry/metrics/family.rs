//! One name with a fixed set of labels, and a series for each combination of values that was ever asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Instrument;
use super::page::{Page, Printed};

/// All series of one name. Cheap to clone; all clones are the same family.
///
/// Its memory grows with each new combination of values, and shrinks only when a value is forgotten: only values of a bounded set may be given,
/// never text of a client (see [`super::Vocabulary`]).
pub struct Family<I: Instrument, const N: usize>(Arc<Inner<I, N>>);

struct Inner<I: Instrument, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    make: I::Make,
    series: Mutex<BTreeMap<[String; N], I>>,
}

impl<I: Instrument, const N: usize> Clone for Family<I, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: Instrument, const N: usize> Family<I, N> {
    pub(super) fn new(name: &'static str, help: &'static str, labels: [&'static str; N], make: I::Make) -> Self {
        Self(Arc::new(Inner { name, help, labels, make, series: Mutex::default() }))
    }

    /// The series of these values, in the order of the labels; made with zero if it is new. Takes a short lock: keep the
    /// handle where it is needed often.
    pub fn with(&self, values: [&str; N]) -> I {
        let mut series = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.entry(values.map(str::to_owned)).or_insert_with(|| I::make(self.0.make)).clone()
    }
}

impl<I: Instrument, const N: usize> Printed for Family<I, N> {
    fn print(&self, page: &mut Page) {
        let series = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = page.family(self.0.name, self.0.help, I::KIND);
        for (values, instrument) in series.iter() {
            let labels: Vec<(&str, &str)> = self.0.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
            instrument.print(&labels, &mut lines);
        }
    }

    fn forget(&self, label: &str, value: &str) {
        let Some(at) = self.0.labels.iter().position(|known| *known == label) else { return };
        self.0.series.lock().unwrap_or_else(PoisonError::into_inner).retain(|values, _| values[at] != value);
    }
}
