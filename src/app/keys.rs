//! The key file is read again when it changes, and on SIGHUP: whoever loses a laptop need not stop the house to shut it out.
//!
//! A file that cannot be used changes nothing and is told in the log, in `/metrics` and on the page.

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::file_watch::{FileWatch, changed};
use super::reload::Hangups;
use crate::config::{Config, KeyRules, KeySource, Stamp};
use crate::front::Front;
use crate::telemetry::metrics::{Gauge, Registry};
use crate::values::boxed;

/// Follows the key file, if there is one.
pub(super) fn start(
    config: &Config,
    front: &Front,
    registry: &Registry,
    error: watch::Sender<Option<String>>,
    hangups: Hangups,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    if let Some(source) = KeySource::of(&config.source) {
        tasks.spawn(boxed(KeyFile::new(source, front.clone(), registry, error).keep(hangups)));
    }
}

/// Who reads the key file again, and who is told of it.
struct KeyFile {
    source: KeySource,
    front: Front,
    usable: Gauge,
    error: watch::Sender<Option<String>>,
}

impl KeyFile {
    fn new(source: KeySource, front: Front, registry: &Registry, error: watch::Sender<Option<String>>) -> Self {
        let help = "Whether the key file could be used when it was last read (1), or the keys from before it still hold (0)";
        let usable = registry.gauges("ollama_proxy_key_file_last_reload_successful", help, []).with([]);
        usable.set(1.0);
        Self { source, front, usable, error }
    }

    /// Never ends.
    async fn keep(self, mut hangups: Hangups) -> anyhow::Result<()> {
        let path = self.source.file().to_owned();
        // It may have been written since it was read at the start.
        let (mut known, mut asked) = (None, false);
        let watch = FileWatch::over(path.clone(), Stamp::of(&path));
        let mut watch = watch.map_err(|error| tracing::warn!(%error, "changes of the key file go unseen; SIGHUP reads it")).ok();
        loop {
            let stamp = Stamp::of(&path);
            if known != Some(stamp) || asked {
                self.renew(known.is_some()).await;
                known = Some(stamp);
            }
            asked = tokio::select! {
                () = hangups.next() => true,
                () = changed(&mut watch) => false,
            };
        }
    }

    async fn renew(&self, telling: bool) {
        let source = self.source.clone();
        let read = match tokio::task::spawn_blocking(move || source.read()).await {
            Ok(read) => read.map_err(|faults| faults.0.join("; ")),
            Err(ended) => Err(format!("reading it panicked: {ended}")),
        };
        self.usable.set(f64::from(u8::from(read.is_ok())));
        match read {
            Ok(keys) => {
                self.front.renew_keys(&keys);
                self.error.send_replace(None);
                if telling {
                    tracing::info!(keys = names(&keys), "the key file was read again; whoever shows another key is refused");
                }
            }
            Err(why) => {
                self.error.send_replace(Some(why.clone()));
                tracing::warn!("the key file cannot be used, the keys stay as they were: {why}");
            }
        }
    }
}

fn names(keys: &[KeyRules]) -> String {
    keys.iter().map(|key| &*key.name).collect::<Vec<_>>().join(", ")
}
