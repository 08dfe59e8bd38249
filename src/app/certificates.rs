//! The certificate that clients are shown is read again when its files change, and on SIGHUP: it must be renewed every few
//! weeks, and no stream may be cut for that.
//!
//! A pair that cannot be used changes nothing and is told in the log.

use crate::config::{Stamp, TlsFiles};
use crate::server::Identity;

use super::file_watch::FileWatch;
use super::reload::Hangups;

/// Renews what is shown; never ends.
pub(super) async fn keep(files: TlsFiles, identity: Identity, mut hangups: Hangups) -> anyhow::Result<()> {
    // One of the files may have been written since it was read at the start.
    let mut known = None;
    let mut watches = [&files.cert, &files.key].map(|path| {
        let watch = FileWatch::over(path.clone(), Stamp::of(path));
        watch.map_err(|error| tracing::warn!(%error, "a new certificate goes unseen; SIGHUP reads it")).ok()
    });
    loop {
        let stamps = [Stamp::of(&files.cert), Stamp::of(&files.key)];
        // Both files change one after the other: the second look finds nothing new.
        if known != Some(stamps) {
            renew(&files, &identity, known.is_some()).await;
            known = Some(stamps);
        }
        let [cert, key] = &mut watches;
        tokio::select! {
            () = hangups.next() => known = known.map(|_| Default::default()),
            () = changed(cert) => {}
            () = changed(key) => {}
        }
    }
}

async fn renew(files: &TlsFiles, identity: &Identity, telling: bool) {
    let read = files.clone();
    match tokio::task::spawn_blocking(move || read.read()).await {
        Ok(Ok(config)) => {
            identity.renew(config);
            if telling {
                tracing::info!(cert = %files.cert.display(), "the certificate was read again and is shown to new connections");
            }
        }
        Ok(Err(why)) => tracing::warn!("the new certificate cannot be used, the one before is still shown: {why}"),
        Err(ended) => tracing::error!(%ended, "reading the certificate panicked"),
    }
}

async fn changed(watched: &mut Option<FileWatch>) {
    match watched {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
