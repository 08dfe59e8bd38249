//! Signed thoughts of answers that called tools, kept until their conversation goes on. Bounded: the oldest go first.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::translate::{Talk, Thoughts};

/// Answers, and bytes of all of them.
const MOST: usize = 512;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Of one provider, the newest last.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    /// With the model that thought them: another cannot read its signatures.
    answers: VecDeque<(String, Thoughts)>,
    bytes: usize,
}

impl Kept {
    pub(super) fn keep(&self, model: &str, thoughts: Thoughts) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += thoughts.size();
        shelf.answers.push_back((model.to_owned(), thoughts));
        while shelf.answers.len() > MOST || shelf.bytes > MOST_BYTES {
            let Some((_, oldest)) = shelf.answers.pop_front() else { break };
            shelf.bytes -= oldest.size();
        }
    }

    pub(super) fn recall(&self, model: &str, talk: &mut Talk) {
        let shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest_first = shelf.answers.iter().rev().filter(|(of, _)| of == model).map(|(_, thoughts)| thoughts);
        talk.recall(&newest_first.collect::<Vec<_>>());
    }
}
