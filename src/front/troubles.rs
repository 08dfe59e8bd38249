//! What the owner should read first on the page: what cannot be used, and what ends soon.

use std::time::SystemTime;

use tokio::sync::watch;

use crate::config::{Expiry, ExpiryStage};

/// What others have found out.
pub struct Troubles {
    /// Why the node file could not be used when it was last read.
    pub node_file: watch::Receiver<Option<String>>,
    /// The same of the key file.
    pub key_file: watch::Receiver<Option<String>>,
    /// When the certificate ends that clients are shown.
    pub certificate: watch::Receiver<Option<Expiry>>,
}

impl Troubles {
    /// What is wrong with the node file.
    pub(super) fn of_node_file(&self) -> Option<String> {
        self.node_file.borrow().clone()
    }

    /// A sentence each.
    pub(super) fn lines(&self, now: SystemTime) -> Vec<String> {
        let node_file =
            self.of_node_file().map(|why| format!("The node file cannot be used, and the nodes stay as they were: {why}"));
        let key_file = self
            .key_file
            .borrow()
            .as_ref()
            .map(|why| format!("The key file cannot be used, and the keys stay as they were: {why}"));
        let near = self.certificate.borrow().filter(|expiry| expiry.stage(now) > ExpiryStage::Far);
        let certificate = near.map(|expiry| format!("Attention: {}.", expiry.words(now)));
        [node_file, key_file, certificate].into_iter().flatten().collect()
    }
}
