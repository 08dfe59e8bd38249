//! TLS at the entrance: which certificate is shown now, and a handshake that cannot last.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::linger::Lingering;

/// Four packets on a bad line; whoever takes longer holds a place for nothing.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The first byte of every TLS connection.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What a browser shows to somebody who wrote `http://`.
const SPEAKS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\nconnection: close\r\n\
    content-length: 53\r\n\r\nThis port speaks TLS: write https:// in the address.\n";

/// The certificate that clients are shown, with what is spoken. Clones share it, so a renewal reaches every listener; a
/// connection keeps what it began with.
#[derive(Clone, Debug)]
pub struct Identity(Arc<RwLock<Arc<ServerConfig>>>);

impl Identity {
    /// Shows this until it is renewed.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// New connections are shown this.
    pub fn renew(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Speaks first, or not at all.
    pub(super) async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<Lingering>> {
        let whole = async {
            if !begins_tls(&stream).await? {
                let mut stream = Lingering::new(stream);
                stream.write_all(SPEAKS_TLS).await?;
                stream.shutdown().await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS"));
            }
            TlsAcceptor::from(self.current()).accept(Lingering::new(stream)).await
        };
        timeout(HANDSHAKE, whole).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn begins_tls(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    stream.ready(Interest::READABLE).await?;
    let read = stream.peek(&mut first).await?;
    // One that leaves at once is told nothing, by whichever way.
    Ok(read == 0 || first[0] == HANDSHAKE_RECORD)
}
