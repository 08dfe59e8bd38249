//! Metrics: counters, gauges and histograms with fixed labels, and the page that a Prometheus reads.
//!
//! This room knows no name and no meaning. Each room that has something to count registers its families once, keeps the
//! handles of the series it will use, and counts with plain atomics. What can be read off the present state when it is
//! asked for (a gauge of a node) is written straight onto the [`Page`] and never stored. Nothing here is static: whoever
//! builds the program makes the one [`Registry`] and hands it on.

mod family;
mod format;
mod instruments;
mod page;
mod process;
mod vocabulary;

use std::sync::{Arc, Mutex, PoisonError};

use crate::values::sort_by_key;

pub use family::Family;
pub use format::Format;
pub use instruments::{Counter, Gauge, Histogram, Instrument};
pub use page::{Kind, Page, Series};
pub use process::Process;
pub use vocabulary::Vocabulary;

/// Upper bounds in seconds for what language models do: an answer from memory takes milliseconds, a cold load of a large
/// model followed by a long answer twenty minutes.
pub const ANSWER_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1200.0];

/// Upper bounds in seconds for wakes and for those who wait for them: from a light sleep to a cold boot.
pub const WAKE_SECONDS: &[f64] = &[1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0];

/// Upper bounds in seconds for one token: from a small model on a large card to a large one on a processor.
pub const TOKEN_SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// All families of this process. Cheap to clone; all clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Registered>>>);

struct Registered {
    name: &'static str,
    family: Box<dyn page::Printed>,
}

impl Registry {
    /// A family of counters. `name` ends with `_total`, after the unit if there is one.
    pub fn counters<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Family<Counter, N> {
        self.register(name, help, labels, ())
    }

    /// A family of gauges.
    pub fn gauges<const N: usize>(&self, name: &'static str, help: &'static str, labels: [&'static str; N]) -> Family<Gauge, N> {
        self.register(name, help, labels, ())
    }

    /// A family of histograms over these upper bounds, ascending, without infinity.
    pub fn histograms<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        bounds: &'static [f64],
    ) -> Family<Histogram, N> {
        self.register(name, help, labels, bounds)
    }

    /// Two families of one name would make a page that no Prometheus reads: the second counts, and is not printed.
    fn register<I: Instrument, const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
        make: I::Make,
    ) -> Family<I, N> {
        let family = Family::new(name, help, labels, make);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = all.iter().all(|known| known.name != name);
        debug_assert!(is_new, "{name} is registered twice");
        if is_new {
            all.push(Registered { name, family: Box::new(family.clone()) });
        }
        family
    }

    /// Drops every series of which this label has this value: what it stood for is no more. Handles on them count on and
    /// are seen by nobody.
    pub fn forget(&self, label: &str, value: &str) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().for_each(|registered| registered.family.forget(label, value));
    }

    /// Writes all families onto the page, in the order of their names.
    pub fn print(&self, page: &mut Page) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sort_by_key(&mut all, |registered| registered.name);
        for registered in all.iter() {
            registered.family.print(page);
        }
    }
}

#[cfg(test)]
mod tests;
