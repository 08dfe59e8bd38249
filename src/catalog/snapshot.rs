//! What is known about the nodes, carried over a restart so that a sleeping node's models are listed at once and it can
//! be woken: the content of `state.json`. [`mod@file`] reads and writes it.

mod energy;
mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::holding::{Answer, BadAnswer, Holding, Stamp};
use super::shows::Shows;
use super::times;
use crate::values::{NodeName, sort_by};

pub use energy::{KeptLedger, Seconds};
pub use file::{load, save};

/// With a checksum; without it the file was cut.
const FORMAT: u32 = 2;

/// What earlier versions wrote, without a checksum.
const UNSEALED: u32 = 1;

/// All that is kept, by the names of nodes. Unknown fields are ignored and absent ones are empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    /// The format of the file; one that tells none is of the first.
    #[serde(default = "unsealed")]
    pub version: u32,
    /// What is kept of each node.
    pub nodes: BTreeMap<String, NodeSnapshot>,
    /// What is kept of each registered worker; only whoever takes workers in knows how to read it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub workers: BTreeMap<String, RawJson>,
}

fn unsealed() -> u32 {
    UNSEALED
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { version: FORMAT, nodes: BTreeMap::new(), workers: BTreeMap::new() }
    }
}

/// What is kept of one node. The catalog fills and reads `tags`, `version`, `status` and `shows`; the rest belongs to
/// whoever wakes the node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSnapshot {
    /// The hardware address.
    pub mac: Option<String>,
    /// Where the hardware address came from.
    pub mac_source: Option<String>,
    /// The last good network address.
    pub address: Option<String>,
    /// How long the last wakes took, in seconds, the oldest first.
    pub wake_seconds: Vec<f64>,
    /// When the node last answered, in seconds since 1970.
    pub last_seen: Option<u64>,
    /// How long it was awake and asleep.
    pub energy: KeptLedger,
    /// The answer of `/api/tags`.
    pub tags: Option<Kept>,
    /// The answer of `/api/version`.
    pub version: Option<Kept>,
    /// The answer of `/api/status`.
    pub status: Option<Kept>,
    /// The answers of `/api/show` by digest.
    pub shows: BTreeMap<String, RawJson>,
}

/// One kept answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// When it was read, in seconds since 1970.
    pub read_unix: u64,
    /// The body.
    pub body: RawJson,
}

/// JSON text that is kept byte for byte.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawJson(Box<RawValue>);

impl Default for RawJson {
    fn default() -> Self {
        Self(RawValue::NULL.to_owned())
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get())
    }
}

impl RawJson {
    /// `None` if the bytes are no JSON value in UTF-8. Blanks around the value are lost.
    pub fn new(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().map(Self)
    }

    /// The text as bytes.
    pub fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(self.0.get().as_bytes())
    }
}

impl Snapshot {
    /// Whether both know the same, whatever the times at which it was read and the order of the lists, which nodes
    /// shuffle. Saves worth their wear are those where this is false; equality also compares times.
    pub fn same_knowledge(&self, other: &Self) -> bool {
        let pairs = || self.nodes.iter().zip(&other.nodes);
        self.nodes.len() == other.nodes.len()
            && self.workers == other.workers
            && pairs().all(|(mine, theirs)| mine.0 == theirs.0 && mine.1.same_knowledge(theirs.1))
    }
}

impl NodeSnapshot {
    /// With what the catalog knows now; every field that is not the catalog's stays.
    pub fn with_catalog(self, node: &NodeName, holding: &Holding, shows: &Shows) -> Self {
        let kept = |answer: Option<&Answer>| {
            let Answer { body, read } = answer?;
            Some(Kept { read_unix: times::unix(read.wall), body: RawJson::new(body)? })
        };
        let show = |digest: &str| Some((digest.to_owned(), RawJson::new(&shows.get(node, digest)?)?));
        Self {
            tags: kept(holding.list_answer()),
            version: kept(holding.version_answer()),
            status: kept(holding.status_answer()),
            shows: holding.digests().into_iter().filter_map(show).collect(),
            ..self
        }
    }

    /// Gives back what was kept: shows into `shows`, the rest as a holding. What is not readable is left out.
    pub fn restore(&self, node: &NodeName, shows: &Shows, now: Stamp) -> Holding {
        let holding = Holding::empty();
        let holding = restored(holding, self.tags.as_ref(), now, Holding::with_list);
        let holding = restored(holding, self.version.as_ref(), now, Holding::with_version);
        let holding = restored(holding, self.status.as_ref(), now, Holding::with_status);
        for digest in holding.digests() {
            if let Some(show) = self.shows.get(digest) {
                // A show that is no object is fetched anew, as if it had never been kept.
                shows.put(node, digest, show.bytes()).ok();
            }
        }
        holding
    }

    fn same_knowledge(&self, other: &Self) -> bool {
        // Named one by one, so that a field added later must be decided on here.
        let Self { mac, mac_source, address, wake_seconds, last_seen: _, energy, tags, version, status, shows } = other;
        let same = |mine: &Option<Kept>, theirs: &Option<Kept>| match (mine, theirs) {
            (Some(mine), Some(theirs)) => mine.body == theirs.body || same_entries(&mine.body, &theirs.body),
            (mine, theirs) => mine.is_none() && theirs.is_none(),
        };
        (&self.mac, &self.mac_source, &self.address) == (mac, mac_source, address)
            && self.wake_seconds == *wake_seconds
            && self.energy.turns == energy.turns
            && same(&self.tags, tags)
            && same(&self.version, version)
            && same(&self.status, status)
            && self.shows == *shows
    }

    fn clamp(&mut self, now: u64) {
        self.last_seen = self.last_seen.map(|seen| seen.min(now));
        for kept in [&mut self.tags, &mut self.version, &mut self.status].into_iter().flatten() {
            kept.read_unix = kept.read_unix.min(now);
        }
        self.wake_seconds.retain(|seconds| seconds.is_finite() && *seconds >= 0.0);
    }
}

/// Whether two bodies are lists of the same models in some order.
fn same_entries(a: &RawJson, b: &RawJson) -> bool {
    #[derive(Deserialize)]
    struct Entries<'a> {
        #[serde(borrow)]
        models: Vec<&'a RawValue>,
    }
    let sorted = |body: &RawJson| -> Option<Vec<String>> {
        let mut entries: Vec<String> =
            serde_json::from_str::<Entries<'_>>(body.0.get()).ok()?.models.into_iter().map(ToString::to_string).collect();
        sort_by(&mut entries, Ord::cmp);
        Some(entries)
    };
    sorted(a).is_some_and(|a| Some(a) == sorted(b))
}

type With = fn(&Holding, Bytes, Stamp) -> Result<Holding, BadAnswer>;

fn restored(holding: Holding, kept: Option<&Kept>, now: Stamp, with: With) -> Holding {
    let Some(kept) = kept else { return holding };
    let read = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(kept.read_unix)).unwrap_or(now.wall);
    with(&holding, kept.body.bytes(), now.back_to(read)).unwrap_or(holding)
}

#[cfg(test)]
mod tests;
