//! What is fuzzed, as plain functions: the fuzzer calls them with bytes of its own, and `tests/fuzz` with those that are kept in
//! `corpus/`. None may panic, and each asserts what must hold for all bytes.

mod answers;
mod files;
mod requests;
mod streams;
mod workers;

/// A target.
pub type Target = fn(&[u8]);

/// All, by the names of their directories in `corpus/`.
pub const TARGETS: [(&str, Target); 12] = [
    ("requests", requests::requests),
    ("forms", requests::forms),
    ("names", requests::names),
    ("nodes", files::nodes),
    ("state", files::state),
    ("wake", files::wake),
    ("events", streams::events),
    ("lines", streams::lines),
    ("translation", streams::translation),
    ("answers", answers::answers),
    ("workers", workers::workers),
    ("kept", workers::kept),
];

/// The next byte, as a small number; 0 when there is none.
fn number(data: &mut &[u8]) -> usize {
    let Some((first, rest)) = data.split_first() else { return 0 };
    *data = rest;
    usize::from(*first)
}
