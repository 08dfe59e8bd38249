//! Which nodes may hold a model, for the whole fleet: kept up to date by keepers and renewals, read by every request.

use std::sync::{Arc, PoisonError, RwLock};

use super::{Node, Roster};
use crate::catalog::{Holding, Index, Listed};
use crate::values::ModelKey;

/// The index of all nodes that take part. Cheap to clone; clones share it.
///
/// Whoever enters a node does so when its view is published, and takes what he enters from there under the lock: of two
/// who enter the same node the later one never brings the older news.
#[derive(Clone, Default)]
pub(super) struct Holders(Arc<RwLock<Index>>);

impl Holders {
    /// The slots of the nodes that may hold a model.
    pub(super) fn slots(&self, key: &ModelKey) -> Vec<usize> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).slots(key).to_vec()
    }

    /// Whether some node lists a model by this name.
    pub(super) fn listed(&self, name: &str) -> Listed {
        self.0.read().unwrap_or_else(PoisonError::into_inner).listed(name)
    }

    /// A keeper has published a list with other names. That of a retired node has no say: its slot may be another's.
    pub(super) fn relisted(&self, node: &Node, holding: &Holding) {
        self.change(|index| {
            if !node.is_retired() {
                index.list(node.slot(), holding);
            }
        });
    }

    /// Other nodes are about to be in force; those that go are retired already.
    pub(super) fn renew(&self, before: &Roster, after: &Roster) {
        for node in before.enabled().filter(|node| !after.at(node.slot()).is_some_and(|node| node.config().enabled)) {
            self.change(|index| index.remove(node.slot()));
        }
        let stays = |node: &Node| before.at(node.slot()).is_some_and(|old| old.is_entered_as(node));
        // One by one, so that no request waits for a whole fleet to be entered.
        for node in after.enabled().filter(|node| !stays(node)) {
            self.change(|index| index.enter(node.slot(), &node.config().models, &node.view().holding));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}
