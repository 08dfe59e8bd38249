//! The keys that a request shows, looked up by digest; whatever is one of ours goes no further.

use std::sync::Arc;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::config::{KeyDigest, KeyRules};

/// Where clients put keys: OpenAI's SDKs, Ollama's and most others in the first, Anthropic's in the second.
const PLACES: [HeaderName; 2] = [header::AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// All keys of the settings.
pub(super) struct Keyring {
    /// Each with its number, which no other key ever has.
    keys: Vec<(u32, Arc<KeyRules>)>,
    /// The number of the next new key.
    next: u32,
    /// Whether clients need one; else only the owner's acts do.
    pub(super) of_clients: bool,
    /// Whether the owner has one of his own.
    pub(super) of_owner: bool,
}

/// What a request shows for a key.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Shown {
    /// Nothing.
    None,
    /// Something that is no key of ours.
    Wrong,
    /// The key of this number.
    Key(u32),
}

impl Keyring {
    pub(super) fn new(keys: &[KeyRules]) -> Self {
        Self { keys: Vec::new(), next: 0, of_clients: false, of_owner: false }.renewed(keys)
    }

    /// With these keys in place of its own. A key that stays keeps its number, and so its sessions and what it has left of
    /// its limits. What was closed stays closed: taking the last key back must not let everybody in, nor taking the
    /// owner's make every client one.
    pub(super) fn renewed(&self, keys: &[KeyRules]) -> Self {
        let mut next = self.next;
        let mut number = |key: &KeyRules| {
            let known = self.keys.iter().find(|(_, known)| known.digest.matches(&key.digest));
            let new = next;
            next = next.wrapping_add(u32::from(known.is_none()));
            known.map_or(new, |(number, _)| *number)
        };
        let keys: Vec<_> = keys.iter().map(|key| (number(key), Arc::new(key.clone()))).collect();
        let has = |admin: bool| keys.iter().any(|(_, key)| key.admin == admin);
        let (of_clients, of_owner) = (self.of_clients || has(false), self.of_owner || has(true));
        Self { keys, next, of_clients, of_owner }
    }

    /// Whether anything takes a key.
    pub(super) fn asks(&self) -> bool {
        self.of_clients || self.of_owner
    }

    pub(super) fn get(&self, number: u32) -> Option<&Arc<KeyRules>> {
        self.keys.iter().find(|(known, _)| *known == number).map(|(_, key)| key)
    }

    /// The number of a key. Every key is compared, so that the time tells nothing.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        let digest = KeyDigest::of(key);
        self.keys.iter().fold(None, |found, (number, known)| if known.digest.matches(&digest) { Some(*number) } else { found })
    }

    /// Reads the keys of a request, and takes those of ours out: neither a node nor a provider shall see them. With two
    /// of ours the one in `X-API-Key` counts.
    pub(super) fn take(&self, headers: &mut HeaderMap) -> Shown {
        let mut shown = Shown::None;
        for place in PLACES {
            let found: Vec<Option<u32>> = headers.get_all(&place).iter().filter_map(key_in).map(|key| self.find(key)).collect();
            if let Some(number) = found.iter().copied().flatten().next() {
                headers.remove(&place);
                shown = Shown::Key(number);
            } else if !found.is_empty() && shown == Shown::None {
                shown = Shown::Wrong;
            }
        }
        shown
    }
}

/// The key in a header: behind `Bearer`, or alone.
fn key_in(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes().trim_ascii();
    let bare = match value.split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => key.trim_ascii(),
        None if value.eq_ignore_ascii_case(b"bearer") => &[],
        _ => value,
    };
    (!bare.is_empty()).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, admin: bool) -> KeyRules {
        let digest = KeyDigest::of(format!("key-of-{name}").as_bytes());
        let (models, nodes) = (vec![], vec![]);
        KeyRules { name: name.into(), digest, admin, models, nodes, may_wake: true, rate: None, concurrent: None }
    }

    fn ring() -> Keyring {
        Keyring::new(&[key("alice", false), key("owner", true)])
    }

    fn taken(lines: &[(&'static str, &'static str)]) -> (Shown, Vec<String>) {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let shown = ring().take(&mut headers);
        (shown, headers.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn a_key_is_found_in_either_header_and_taken_out() {
        for lines in [
            [("authorization", "Bearer key-of-alice")],
            [("authorization", "bearer  key-of-alice ")],
            [("authorization", "key-of-alice")],
            [("x-api-key", "key-of-alice")],
            [("x-api-key", "Bearer key-of-alice")],
        ] {
            assert_eq!(taken(&lines), (Shown::Key(0), vec![]), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_key_of_ours_stays_where_it_is() {
        assert_eq!(taken(&[("authorization", "Bearer ollama")]), (Shown::Wrong, vec!["authorization".to_owned()]));
        assert_eq!(taken(&[("authorization", "Bearer ")]).0, Shown::None);
        assert_eq!(taken(&[]).0, Shown::None);
        let both = [("authorization", "Bearer ollama"), ("x-api-key", "key-of-owner")];
        assert_eq!(taken(&both), (Shown::Key(1), vec!["authorization".to_owned()]));
    }

    #[test]
    fn a_beginning_of_a_key_or_more_than_it_is_no_key() {
        for key in ["key-of-alic", "key-of-alicee", "KEY-OF-ALICE", "key-of-"] {
            assert_eq!(ring().find(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn a_key_that_stays_keeps_its_number_and_no_new_one_ever_gets_that_of_a_key_that_went() {
        let before = ring();
        let after = before.renewed(&[key("owner", true), key("bob", false)]);
        assert_eq!((before.find(b"key-of-owner"), after.find(b"key-of-owner")), (Some(1), Some(1)));
        assert_eq!((after.find(b"key-of-alice"), after.get(0).is_none()), (None, true));
        assert_eq!(after.find(b"key-of-bob"), Some(2));
        let back = after.renewed(&[key("alice", false)]);
        assert_eq!(back.find(b"key-of-alice"), Some(3), "what it had before is not its own any more");
    }

    #[test]
    fn taking_the_last_key_back_opens_nothing() {
        let none = ring().renewed(&[]);
        assert!(none.asks() && none.of_clients && none.of_owner);
        let owner_alone = Keyring::new(&[key("owner", true)]);
        assert!(owner_alone.asks() && !owner_alone.of_clients);
        assert!(!Keyring::new(&[]).asks());
    }
}
