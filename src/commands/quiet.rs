//! Keepers without a proxy: they know what the settings and the state file say, and send nothing that is not asked for.

use std::time::SystemTime;

use tokio::task::JoinSet;

use crate::catalog::{self, Snapshot};
use crate::config::{Config, KeepAwake, NodeConfig, WakeRules};
use crate::fleet::{Fleet, Metrics, Rules};
use crate::http::outward;
use crate::telemetry::journal::Journal;
use crate::telemetry::metrics::Registry;

/// A fleet of these nodes, and what is wrong with the state file, if anything. That file is only read: a proxy that uses the same file may run at another address.
///
/// # Errors
/// When no TLS roots can be loaded for wake URLs.
pub(super) fn fleet(
    config: &Config,
    nodes: &[NodeConfig],
    keepers: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<(Fleet, Option<String>)> {
    outward::also_trust(&config.roots.0);
    let rules = Rules {
        timeouts: config.timeouts.clone(),
        wake: WakeRules { interval: None, keep_awake: KeepAwake::Off, ..config.wake.clone() },
        health_interval: None,
        cache_ttl: config.cache_ttl,
        // Of what a person looks at, nobody keeps a record.
        journal: Journal::default(),
    };
    let (snapshot, note) = match &config.data_dir {
        Some(dir) => catalog::load(dir, SystemTime::now()),
        None => (Snapshot::default(), None),
    };
    // Counted, and read by nobody.
    let metrics = Metrics::register(&Registry::default());
    Ok((Fleet::start(nodes, &rules, &snapshot, &metrics, keepers)?, note.map(|note| note.to_string())))
}
