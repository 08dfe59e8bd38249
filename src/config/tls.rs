//! Certificates: the pair that clients are shown, and the roots that are trusted beside the system's. Read whole and
//! checked here, so that a wrong file is told with all other faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::layers::Layers;
use crate::config::merge::{Faults, listen_port};
use crate::config::settings;

mod expiry;

pub use expiry::{Expiry, ExpiryStage};

/// Certificates have a few KiB; larger files are something else.
const LARGEST: u64 = 1024 * 1024;

/// Which pair is shown, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first, as PEM.
    pub cert: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
    /// The ports that speak TLS beside the plain ones; empty: all ports do, and none is plain.
    pub ports: Vec<u16>,
}

/// Certificates that are trusted beside those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots(pub Vec<CertificateDer<'static>>);

/// A pair that can be shown.
#[derive(Clone, Debug)]
pub struct TlsPair {
    /// What a listener needs: TLS 1.2 and 1.3, HTTP/1.1 only.
    pub server: Arc<ServerConfig>,
    /// When the server's own certificate ends, if that can be read.
    pub expiry: Option<Expiry>,
}

impl TlsFiles {
    /// # Errors
    /// What is wrong with each of the files, or that they do not belong together.
    pub fn read(&self) -> Result<TlsPair, Faults> {
        let (chain, key) = match (certificates(&self.cert), private_key(&self.key)) {
            (Ok(chain), Ok(key)) => (chain, key),
            (chain, key) => {
                let chain = chain.err().map(|why| format!("--tls-cert: {why}"));
                return Err(Faults(chain.into_iter().chain(key.err().map(|why| format!("--tls-key: {why}"))).collect()));
            }
        };
        let expiry = chain.first().and_then(|own| Expiry::of(own));
        let server = self.server(chain, key).map_err(|why| Faults(vec![format!("--tls-cert and --tls-key: {why}")]))?;
        Ok(TlsPair { server: Arc::new(server), expiry })
    }

    fn server(&self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, String> {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| why.to_string())?;
        let mut config = config.with_no_client_auth().with_single_cert(chain, key).map_err(|why| match why {
            rustls::Error::InconsistentKeys(_) => format!("{} is not the key of {}", self.key.display(), self.cert.display()),
            other => format!("{} and {} cannot be used: {other}", self.cert.display(), self.key.display()),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The pair of the settings; one without the other is a fault. The files themselves are looked at by [`check`].
pub(super) fn files(layers: &mut Layers<'_>, working_dir: &Path) -> Option<TlsFiles> {
    let path = |text: &str| Ok(working_dir.join(text));
    let cert = layers.read_optional(&settings::TLS_CERT, path);
    let key = layers.read_optional(&settings::TLS_KEY, path);
    let ports = layers.read_list(&settings::TLS_PORT, listen_port);
    match (cert, key) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key, ports }),
        (None, None) if ports.is_empty() => None,
        (None, None) => {
            layers.faults.push("--tls-port: needs a certificate: set --tls-cert and --tls-key, too".to_owned());
            None
        }
        (Some(_), None) => {
            layers.faults.push("--tls-cert: needs its private key: set --tls-key, too".to_owned());
            None
        }
        (None, Some(_)) => {
            layers.faults.push("--tls-key: needs its certificate: set --tls-cert, too".to_owned());
            None
        }
    }
}

/// Whether the pair can be used; what is wrong is a fault, and a key that others may read is told.
pub(super) fn check(layers: &mut Layers<'_>, files: &TlsFiles) {
    if let Err(mut faults) = files.read() {
        layers.faults.append(&mut faults.0);
    } else if readable_by_all(&files.key) {
        layers.notes.push(format!("--tls-key: every user of this machine can read {}; `chmod o-r` it", files.key.display()));
    }
}

/// The roots of `--ca-cert`.
pub(super) fn roots(layers: &mut Layers<'_>, working_dir: &Path) -> Roots {
    let read = |text: &str| {
        let roots = certificates(&working_dir.join(text)).map_err(|why| format!("cannot be used: {why}"))?;
        let mut store = rustls::RootCertStore::empty();
        let usable = roots.iter().all(|root| store.add(root.clone()).is_ok());
        if usable { Ok(Roots(roots)) } else { Err("holds a certificate that is none".to_owned()) }
    };
    layers.read_optional(&settings::CA_CERT, read).unwrap_or_default()
}

/// All certificates of a PEM file, at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = small_file(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|why| format!("{} is no PEM file: {why}", path.display()))?;
    if found.is_empty() { Err(format!("{} holds no certificate in PEM", path.display())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(&small_file(path)?)
        .map_err(|_| format!("{} holds no private key in PEM that we can read (without a password)", path.display()))
}

fn small_file(path: &Path) -> Result<Vec<u8>, String> {
    let unread = |why: std::io::Error| format!("{} cannot be read: {why}", path.display());
    if fs::metadata(path).map_err(unread)?.len() > LARGEST {
        return Err(format!("{} is far too large for a certificate or key", path.display()));
    }
    fs::read(path).map_err(unread)
}

#[cfg(unix)]
fn readable_by_all(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn readable_by_all(_: &Path) -> bool {
    false
}
