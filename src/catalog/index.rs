//! Which nodes may hold a model: by the model's key the slots of the nodes that list it, or whose owner says so.
//!
//! A choice shall cost what its candidates cost and not what the fleet does, so nobody looks for a model node by node.
//! The index only proposes: it is brought up to date just before a list is published, and whoever reads it looks into the
//! node's own holding before he believes it.

use std::collections::{HashMap, HashSet};

use super::answers::Listed;
use super::holding::{Holding, Model};
use crate::values::ModelKey;

/// What a whole fleet lists.
#[derive(Debug, Default)]
pub struct Index {
    slots: HashMap<ModelKey, Vec<usize>>,
    /// By slot; `None` where no node takes part.
    entries: Vec<Option<Entry>>,
    nodes: usize,
    /// Nodes whose list was never read.
    unread: usize,
}

/// What one node is entered under.
#[derive(Debug)]
struct Entry {
    keys: Vec<ModelKey>,
    /// Those among them that its owner states.
    stated: Vec<ModelKey>,
    is_known: bool,
}

impl Index {
    /// Enters what the node of a slot holds, in place of all that was entered for it before. `stated` is what its owner
    /// says that it holds.
    pub fn enter(&mut self, slot: usize, stated: &[String], holding: &Holding) {
        self.remove(slot);
        self.put(slot, stated.iter().map(|name| ModelKey::of(name)).collect(), holding);
    }

    /// The node of a slot has another list. One that takes no part stays out.
    pub fn list(&mut self, slot: usize, holding: &Holding) {
        let Some(stated) = self.entries.get_mut(slot).and_then(Option::as_mut).map(|entry| std::mem::take(&mut entry.stated))
        else {
            return;
        };
        self.remove(slot);
        self.put(slot, stated, holding);
    }

    fn put(&mut self, slot: usize, stated: Vec<ModelKey>, holding: &Holding) {
        let keys: HashSet<&ModelKey> = holding.models().iter().map(Model::key).chain(&stated).collect();
        let keys: Vec<ModelKey> = keys.into_iter().cloned().collect();
        for key in &keys {
            let slots = self.slots.entry(key.clone()).or_default();
            // In the order of slots, so that equals are always told in the same order.
            let at = slots.partition_point(|other| *other < slot);
            slots.insert(at, slot);
        }
        self.nodes += 1;
        self.unread += usize::from(!holding.is_known());
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        self.entries[slot] = Some(Entry { keys, stated, is_known: holding.is_known() });
    }

    /// Forgets the node of a slot: it takes part no more.
    pub fn remove(&mut self, slot: usize) {
        let Some(entry) = self.entries.get_mut(slot).and_then(Option::take) else { return };
        for key in entry.keys {
            let Some(slots) = self.slots.get_mut(&key) else { continue };
            slots.retain(|other| *other != slot);
            if slots.is_empty() {
                self.slots.remove(&key);
            }
        }
        self.nodes -= 1;
        self.unread -= usize::from(!entry.is_known);
    }

    /// The slots of the nodes that may hold a model, in their order.
    pub fn slots(&self, key: &ModelKey) -> &[usize] {
        self.slots.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether some node lists a model by this name, or is said to hold it.
    pub fn listed(&self, name: &str) -> Listed {
        let all_are_known = self.nodes > 0 && self.unread == 0;
        Listed::of(name, !self.slots(&ModelKey::of(name)).is_empty(), all_are_known)
    }
}

#[cfg(test)]
mod tests;
