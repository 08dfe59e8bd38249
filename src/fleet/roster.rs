//! Which nodes there are at one moment, in the order of the settings.

use std::ops::Deref;

use super::Node;

/// The nodes of one reading of the settings. Never changes; a reload makes another one.
///
/// A node is known by its slot: a number that belongs to its name for the life of the process, so that what is
/// remembered by it (places, turns, attempts) means the same node before and after a reload.
#[derive(Default)]
pub struct Roster {
    nodes: Vec<Node>,
    /// Where the node of each slot stands in `nodes`.
    places: Vec<Option<usize>>,
}

impl Roster {
    pub(super) fn new(nodes: Vec<Node>) -> Self {
        let slots = nodes.iter().map(|node| node.slot() + 1).max().unwrap_or_default();
        let mut places = vec![None; slots];
        for (place, node) in nodes.iter().enumerate() {
            places[node.slot()] = Some(place);
        }
        Self { nodes, places }
    }

    /// The node of that slot; `None` when it is not in the settings any more.
    pub fn at(&self, slot: usize) -> Option<&Node> {
        self.nodes.get((*self.places.get(slot)?)?)
    }

    /// The nodes of these slots, in the order of the settings. Slots that no node has are left out.
    pub fn among(&self, slots: &[usize]) -> Vec<&Node> {
        let mut places: Vec<usize> = slots.iter().filter_map(|slot| *self.places.get(*slot)?).collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.nodes.get(place)).collect()
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name().as_str() == name)
    }

    /// The nodes that take part; only these are ever contacted.
    pub fn enabled(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.config().enabled)
    }
}

impl Deref for Roster {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.nodes
    }
}

impl<'a> IntoIterator for &'a Roster {
    type Item = &'a Node;
    type IntoIter = std::slice::Iter<'a, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.nodes.iter()
    }
}
