//! Keeps a provider that repeats our key from telling it to the client, in bytes that otherwise pass untouched.

use bytes::Bytes;
use memchr::memmem::Finder;

/// Shorter keys are no secrets (local servers take any word), and would be found in common text.
const SHORTEST: usize = 16;

/// What stands in the place of each byte of a key.
const MASK: u8 = b'*';

/// The state between two chunks.
#[derive(Clone, Debug, Default)]
pub struct KeyGuard {
    finder: Option<Finder<'static>>,
    /// The end of what came, as long as it may be the beginning of the key.
    held: Vec<u8>,
}

impl KeyGuard {
    pub(super) fn new(key: Option<&str>) -> Self {
        let key = key.filter(|key| key.len() >= SHORTEST);
        Self { finder: key.map(|key| Finder::new(key).into_owned()), held: Vec::new() }
    }

    /// The next bytes that may go out: nearly always those that came, without a copy.
    pub fn feed(&mut self, chunk: Bytes) -> Bytes {
        let Some(finder) = &self.finder else { return chunk };
        let key = finder.needle();
        if self.held.is_empty() && finder.find(&chunk).is_none() && beginning(&chunk, key) == 0 {
            return chunk;
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(&chunk);
        while let Some(at) = finder.find(&bytes) {
            bytes[at..at + key.len()].fill(MASK);
        }
        self.held = bytes.split_off(bytes.len() - beginning(&bytes, key));
        bytes.into()
    }

    /// No more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// How many of the last bytes are the beginning of the key.
fn beginning(bytes: &[u8], key: &[u8]) -> usize {
    let longest = bytes.len().min(key.len() - 1);
    (1..=longest).rev().find(|length| key.starts_with(&bytes[bytes.len() - length..])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-sk-0123456789";

    #[test]
    fn a_key_is_masked_wherever_it_is_cut_and_all_else_passes() {
        let text = format!("s {KEY} sk-sk-0 sk-{KEY}{KEY} end sk-sk");
        let expected = text.replace(KEY, &"*".repeat(KEY.len()));
        for size in 1..text.len() {
            let mut guard = KeyGuard::new(Some(KEY));
            let mut out: Vec<u8> = text.as_bytes().chunks(size).flat_map(|cut| guard.feed(Bytes::copy_from_slice(cut))).collect();
            out.extend(guard.finish());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "cut into {size}");
        }
    }

    #[test]
    fn what_cannot_be_a_key_passes_without_a_copy() {
        let chunk = Bytes::from_static(b"data: {}\n\n");
        let mut guard = KeyGuard::new(Some(KEY));
        assert_eq!(guard.feed(chunk.clone()).as_ptr(), chunk.as_ptr());
        let mut none = KeyGuard::new(Some("ollama"));
        assert_eq!(none.feed(Bytes::from_static(b"ollama")), "ollama");
    }
}
