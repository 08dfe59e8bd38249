//! Keeps labels bounded: the first words that are met are used as they are, all later ones are `other`.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// What stands for every word beyond the bound.
const OTHER: &str = "other";

/// The words a label has had so far.
#[derive(Debug)]
pub struct Vocabulary {
    most: usize,
    known: RwLock<HashSet<String>>,
}

impl Vocabulary {
    /// At most so many words, `other` not counted.
    pub fn new(most: usize) -> Self {
        Self { most, known: RwLock::default() }
    }

    /// The word itself if it is known or there is room for it, else `other`.
    pub fn admit<'a>(&self, word: &'a str) -> &'a str {
        if self.known.read().unwrap_or_else(PoisonError::into_inner).contains(word) {
            return word;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have brought the same word meanwhile.
        if known.len() < self.most || known.contains(word) {
            known.insert(word.to_owned());
            word
        } else {
            OTHER
        }
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
