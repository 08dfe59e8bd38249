//! Whom this process trusts when it speaks TLS itself: to nodes by https, wake URLs, notifications, cloud providers.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

/// Whom this process trusts beside the system's authorities. One for the whole process, as the authorities are.
static ROOTS: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();

/// Also trusts these, from the next client on. Counts once, before any client is made.
pub fn also_trust(roots: &[CertificateDer<'static>]) {
    if !roots.is_empty() {
        // A second call finds the same settings read again.
        let _ = ROOTS.set(roots.to_vec());
    }
}

fn given() -> &'static [CertificateDer<'static>] {
    ROOTS.get().map_or(&[], Vec::as_slice)
}

/// TLS on sockets of our own: 1.2 and 1.3, HTTP/1.1, certified by the system's authorities or the given ones. Made once.
///
/// # Errors
/// This machine's authorities cannot be loaded.
pub fn tls() -> io::Result<Arc<ClientConfig>> {
    static MADE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made.clone());
    }
    let verifier = Verifier::new_with_extra_roots(given().iter().cloned(), provider()).map_err(io::Error::other)?;
    let config = client_config(Arc::new(verifier)).map_err(io::Error::other)?;
    Ok(MADE.get_or_init(|| config).clone())
}

fn client_config(verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

pub use own::tls_to_ourselves;

mod own {
    //! Asking the proxy on this machine, whose certificate names the machine and not its loopback address.

    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

    /// As [`super::tls`], for an address of this machine only: any certificate will do. Who could listen here in the
    /// proxy's place could as well read its key.
    ///
    /// # Errors
    /// None that is known.
    pub fn tls_to_ourselves() -> std::io::Result<Arc<ClientConfig>> {
        super::client_config(Arc::new(Any(super::provider()))).map_err(std::io::Error::other)
    }

    #[derive(Debug)]
    struct Any(Arc<CryptoProvider>);

    impl ServerCertVerifier for Any {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
