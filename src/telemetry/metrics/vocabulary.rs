//! Keeps labels bounded: the first words that are met are used as they are, all later ones are `other`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// What stands for every word beyond the bound.
const OTHER: &str = "other";

/// The words a label has had so far.
#[derive(Debug)]
pub struct Vocabulary {
    most: usize,
    known: Mutex<HashSet<String>>,
}

impl Vocabulary {
    /// At most so many words, `other` not counted.
    pub fn new(most: usize) -> Self {
        Self { most, known: Mutex::default() }
    }

    /// The word itself if it is known or there is room for it, else `other`.
    pub fn admit<'a>(&self, word: &'a str) -> &'a str {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(word) {
            return word;
        }
        if known.len() >= self.most {
            return OTHER;
        }
        known.insert(word.to_owned());
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_beyond_the_bound_are_other_and_known_ones_stay() {
        let words = Vocabulary::new(2);
        assert_eq!((words.admit("a"), words.admit("b"), words.admit("a")), ("a", "b", "a"));
        assert_eq!((words.admit("c"), words.admit("b")), ("other", "b"));
    }
}
