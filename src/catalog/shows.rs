//! The plain `/api/show` answers of every listed model, bounded by their bytes.
//!
//! A digest names exactly one content, so an answer never grows stale: it is held until its digest is no longer listed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::holding::{BadAnswer, Holding, check_object};
use crate::values::NodeName;

/// Enough for some hundred models: a plain answer takes 5–100 KiB, most of it licence and template.
const DEFAULT_BYTES: usize = 32 * 1024 * 1024;

/// What one entry takes beside its texts.
const ENTRY_BYTES: usize = 128;

type Key = (NodeName, String);

/// The held answers of all nodes. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Shows(Arc<Mutex<Shelf>>);

#[derive(Debug)]
struct Shelf {
    room: usize,
    taken: usize,
    /// Counts what comes and what is asked for.
    asked: u64,
    held: HashMap<Key, Show>,
}

#[derive(Debug)]
struct Show {
    body: Bytes,
    /// The number of the last question for it.
    asked: u64,
}

impl Shelf {
    fn hold(&mut self, key: Key, body: Bytes) {
        self.forget(&key);
        let bytes = bytes(&key, &body);
        // It would drive all others out, and then go itself.
        if bytes > self.room {
            return;
        }
        self.taken += bytes;
        let asked = self.count();
        self.held.insert(key, Show { body, asked });
        while self.taken > self.room {
            let Some(oldest) = self.held.iter().min_by_key(|(_, show)| show.asked).map(|(key, _)| key.clone()) else { return };
            self.forget(&oldest);
        }
    }

    fn count(&mut self) -> u64 {
        self.asked += 1;
        self.asked
    }

    fn forget(&mut self, key: &Key) {
        if let Some(show) = self.held.remove(key) {
            self.taken -= bytes(key, &show.body);
        }
    }
}

fn bytes(key: &Key, body: &Bytes) -> usize {
    ENTRY_BYTES + key.0.as_str().len() + key.1.len() + body.len()
}

/// A listed model whose show is not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name to ask the node for.
    pub name: String,
    /// The digest to [`Shows::put`] the answer under.
    pub digest: String,
}

impl Default for Shows {
    fn default() -> Self {
        Self::new(DEFAULT_BYTES)
    }
}

impl Shows {
    /// Room for this many bytes; what nobody has asked for longest goes first.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Mutex::new(Shelf { room: bytes, taken: 0, asked: 0, held: HashMap::new() })))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds a node's plain answer (no `verbose`, `system`, `options`, and not asked as Copilot) for a digest.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn put(&self, node: &NodeName, digest: &str, body: Bytes) -> Result<(), BadAnswer> {
        check_object(&body)?;
        self.shelf().hold((node.clone(), digest.to_owned()), body);
        Ok(())
    }

    /// The held answer.
    pub fn get(&self, node: &NodeName, digest: &str) -> Option<Bytes> {
        let mut shelf = self.shelf();
        let asked = shelf.count();
        let show = shelf.held.get_mut(&(node.clone(), digest.to_owned()))?;
        show.asked = asked;
        Some(show.body.clone())
    }

    /// What to fetch from a node, one name for each digest. Models without a digest are left out: a change of theirs
    /// would go unseen.
    pub fn missing(&self, node: &NodeName, holding: &Holding) -> Vec<Wanted> {
        let (mut seen, shelf) = (HashSet::new(), self.shelf());
        let models = holding.models().iter().filter(|model| !model.digest.is_empty() && seen.insert(&model.digest));
        let wanted = models.filter(|model| !shelf.held.contains_key(&(node.clone(), model.digest.clone())));
        wanted.map(|model| Wanted { name: model.name.clone(), digest: model.digest.clone() }).collect()
    }

    /// Forgets what a node no longer lists; of a node whose list is not known, everything.
    pub fn forget_unlisted(&self, node: &NodeName, holding: &Holding) {
        let listed = holding.digests();
        let mut shelf = self.shelf();
        let gone = |key: &&Key| key.0 == *node && !listed.contains(key.1.as_str());
        let gone: Vec<Key> = shelf.held.keys().filter(gone).cloned().collect();
        for key in &gone {
            shelf.forget(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::time::Instant;

    use super::super::holding::Stamp;
    use super::*;

    fn listing(digests: &[&str]) -> Holding {
        let entry = |(at, digest): (usize, &&str)| format!(r#"{{"name":"m{at}:latest","digest":"{digest}"}}"#);
        let models: Vec<String> = digests.iter().enumerate().map(entry).collect();
        let body = format!(r#"{{"models":[{}]}}"#, models.join(","));
        Holding::empty().with_list(body.into(), Stamp { at: Instant::now(), wall: SystemTime::now() }).unwrap()
    }

    fn body(bytes: usize) -> Bytes {
        format!(r#"{{"license":"{}"}}"#, "x".repeat(bytes)).into()
    }

    #[test]
    fn each_digest_is_wanted_once_until_it_is_held() {
        let (shows, node) = (Shows::default(), NodeName::new("a"));
        let holding = listing(&["d0", "d1", "d0", ""]);
        let wanted = |name: &str, digest: &str| Wanted { name: name.into(), digest: digest.into() };
        assert_eq!(shows.missing(&node, &holding), [wanted("m0:latest", "d0"), wanted("m1:latest", "d1")]);
        shows.put(&node, "d0", body(1)).unwrap();
        assert_eq!(shows.missing(&node, &holding), [wanted("m1:latest", "d1")]);
        assert_eq!(shows.missing(&node, &Holding::empty()), []);
    }

    #[test]
    fn a_show_belongs_to_one_node_and_one_digest() {
        let (shows, node) = (Shows::default(), NodeName::new("a"));
        shows.put(&node, "d0", body(1)).unwrap();
        assert_eq!(shows.get(&node, "d0"), Some(body(1)));
        assert_eq!(shows.get(&node, "d1"), None);
        assert_eq!(shows.get(&NodeName::new("b"), "d0"), None);
    }

    #[test]
    fn what_is_no_longer_listed_is_forgotten_on_that_node_only() {
        let (shows, a, b) = (Shows::default(), NodeName::new("a"), NodeName::new("b"));
        for node in [&a, &b] {
            shows.put(node, "old", body(1)).unwrap();
            shows.put(node, "new", body(1)).unwrap();
        }
        shows.forget_unlisted(&a, &listing(&["new"]));
        assert_eq!((shows.get(&a, "old"), shows.get(&a, "new")), (None, Some(body(1))));
        assert_eq!(shows.get(&b, "old"), Some(body(1)));
        shows.forget_unlisted(&a, &Holding::empty());
        assert_eq!(shows.get(&a, "new"), None);
    }

    #[test]
    fn the_held_bytes_stay_within_the_bound_and_what_nobody_asks_for_goes_first() {
        let (shows, node) = (Shows::new(10_000), NodeName::new("a"));
        for at in 0..100 {
            shows.put(&node, &format!("d{at}"), body(1000)).unwrap();
            assert!(shows.get(&node, "d0").is_some(), "it is asked for all the time");
        }
        shows.put(&node, "larger than all room", body(20_000)).unwrap();
        let held = |at: &usize| shows.get(&node, &format!("d{at}")).is_some();
        assert_eq!((0..100).filter(held).collect::<Vec<_>>(), [0, 93, 94, 95, 96, 97, 98, 99]);
        assert_eq!(shows.get(&node, "larger than all room"), None);
        assert!(shows.shelf().taken <= 10_000);
        shows.forget_unlisted(&node, &Holding::empty());
        assert_eq!(shows.shelf().taken, 0);
    }

    #[test]
    fn what_is_held_anew_takes_its_room_once() {
        let (shows, node) = (Shows::new(10_000), NodeName::new("a"));
        for _ in 0..100 {
            shows.put(&node, "d0", body(1000)).unwrap();
        }
        assert!(shows.shelf().taken < 2000, "{}", shows.shelf().taken);
    }

    #[test]
    fn what_is_no_json_object_is_not_held() {
        let (shows, node) = (Shows::default(), NodeName::new("a"));
        for bad in ["", "[]", "<html>", "{", r#"{"a":1} x"#] {
            assert!(shows.put(&node, "d0", bad.into()).is_err(), "{bad}");
        }
        assert!(shows.put(&node, "d0", Bytes::from_static(b"{\"a\":\"\xff\"}")).is_err());
        assert_eq!(shows.get(&node, "d0"), None);
    }
}
