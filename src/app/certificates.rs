//! The certificate that clients are shown is read again when its files change, and on SIGHUP: it must be renewed every few
//! weeks, and no stream may be cut for that. Its end is told in good time.
//!
//! A pair that cannot be used changes nothing and is told in the log.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::file_watch::{FileWatch, changed};
use super::reload::Hangups;
use crate::config::{Config, Expiry, ExpiryStage, Stamp, TlsFiles};
use crate::server::{Door, Identity};
use crate::telemetry::metrics::{Family, Gauge, Registry};
use crate::values::boxed;

/// Between two looks at the calendar.
const LOOK: Duration = Duration::from_secs(3600);

/// Follows the files of the certificate, if one is shown; tells when it ends.
pub(super) fn start(
    config: &Config,
    doors: &[Door],
    registry: &Registry,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<watch::Receiver<Option<Expiry>>> {
    let (tell, expiry) = watch::channel(None);
    if let (Some(files), Some(identity)) = (config.listen.tls.clone(), doors.iter().find_map(Door::identity)) {
        tasks.spawn(boxed(Certificate::new(files, identity.clone(), registry, tell).keep(Hangups::heard()?)));
    }
    Ok(expiry)
}

/// What is shown, and who is told of its end.
struct Certificate {
    files: TlsFiles,
    identity: Identity,
    ends_at: Family<Gauge, 0>,
    expiry: watch::Sender<Option<Expiry>>,
    /// What was told of the end that is next.
    told: ExpiryStage,
}

impl Certificate {
    fn new(files: TlsFiles, identity: Identity, registry: &Registry, expiry: watch::Sender<Option<Expiry>>) -> Self {
        let help = "When the certificate that clients are shown ends, in seconds since 1970";
        let ends_at = registry.gauges("ollama_proxy_tls_certificate_not_after_timestamp_seconds", help, []);
        Self { files, identity, ends_at, expiry, told: ExpiryStage::Far }
    }

    /// Renews what is shown; never ends.
    async fn keep(mut self, mut hangups: Hangups) -> anyhow::Result<()> {
        // One of the files may have been written since it was read at the start.
        let mut known = None;
        let mut watches = [&self.files.cert, &self.files.key].map(|path| {
            let watch = FileWatch::over(path.clone(), Stamp::of(path));
            watch.map_err(|error| tracing::warn!(%error, "a new certificate goes unseen; SIGHUP reads it")).ok()
        });
        loop {
            let stamps = [Stamp::of(&self.files.cert), Stamp::of(&self.files.key)];
            // Both files change one after the other: the second look finds nothing new.
            if known != Some(stamps) {
                self.renew(known.is_some()).await;
                known = Some(stamps);
            }
            self.tell(SystemTime::now());
            let [cert, key] = &mut watches;
            tokio::select! {
                () = hangups.next() => known = known.map(|_| Default::default()),
                () = changed(cert) => {}
                () = changed(key) => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn renew(&mut self, telling: bool) {
        let read = self.files.clone();
        match tokio::task::spawn_blocking(move || read.read()).await {
            Ok(Ok(pair)) => {
                self.identity.renew(pair.server);
                self.ends(pair.expiry);
                if telling {
                    let cert = self.files.cert.display();
                    tracing::info!(%cert, "the certificate was read again and is shown to new connections");
                }
            }
            Ok(Err(faults)) => {
                tracing::warn!("the new certificate cannot be used, the one before is still shown: {}", faults.0.join("; "));
            }
            Err(ended) => tracing::error!(%ended, "reading the certificate panicked"),
        }
    }

    fn ends(&mut self, expiry: Option<Expiry>) {
        let seconds = expiry.and_then(|Expiry(at)| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(seconds) = seconds {
            self.ends_at.with([]).set(seconds.as_secs_f64());
        }
        if self.expiry.send_replace(expiry) != expiry {
            self.told = ExpiryStage::Far;
        }
    }

    /// Once when the end comes near, and once when it has come.
    fn tell(&mut self, now: SystemTime) {
        let Some(expiry) = *self.expiry.borrow() else { return };
        let stage = expiry.stage(now);
        if stage > self.told {
            tracing::warn!("{}", expiry.words(now));
            self.told = stage;
        }
    }
}
