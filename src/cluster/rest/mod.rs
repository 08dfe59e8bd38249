//! Sleep when idle.

mod clock;
mod decide;
mod system;

pub use clock::{Reading, SleepWatch};
pub use decide::{Facts, Person, Verdict, decide};
pub use system::{Told, ask};
