//! A connection to a node: plain, or TLS over it.
//!
//! The handshake is part of the first bytes that are read or written. That a node takes connections is evidence by itself,
//! and is not kept waiting for it; a handshake that stalls is silence like any other, and one that fails breaks the call.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{Connect, TlsConnector};

/// See the room of this file.
pub struct Socket(Speech);

enum Speech {
    Plain(TcpStream),
    Shaking(Box<Connect<TcpStream>>),
    Secured(Box<TlsStream<TcpStream>>),
    /// A handshake failed; nothing can come of it.
    Failed,
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        Self(Speech::Plain(stream))
    }
}

impl Socket {
    /// The same, with TLS to a server of this name or address.
    ///
    /// # Errors
    /// It can be no server's name, or TLS is spoken already.
    pub fn secured(self, host: &str, config: Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let Speech::Plain(stream) = self.0 else { return Err(io::Error::other("TLS within TLS")) };
        Ok(Self(Speech::Shaking(Box::new(TlsConnector::from(config).connect(name, stream)))))
    }

    /// The socket while nothing is spoken over it but plain bytes.
    pub(super) fn plain(&self) -> Option<&TcpStream> {
        if let Speech::Plain(stream) = &self.0 { Some(stream) } else { None }
    }

    /// Waits for the end of the handshake.
    pub(super) async fn shaken(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_shaken(cx)).await
    }

    /// Ready when bytes may be read and written.
    fn poll_shaken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Speech::Shaking(shaking) = &mut self.0 {
            match ready!(pin!(shaking).poll(cx)) {
                Ok(stream) => self.0 = Speech::Secured(Box::new(stream)),
                Err(error) => {
                    self.0 = Speech::Failed;
                    return Poll::Ready(Err(io::Error::new(error.kind(), format!("no TLS came about: {error}"))));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self.0, Speech::Plain(_)) { "Socket(plain)" } else { "Socket(TLS)" })
    }
}

fn gone<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_shaken(cx))?;
        match &mut self.0 {
            Speech::Plain(stream) => pin!(stream).poll_read(cx, buf),
            Speech::Secured(stream) => {
                // What the socket would not take yet still lies in TLS, and no answer comes before it has gone.
                if let Poll::Ready(Err(error)) = pin!(&mut *stream).poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
                pin!(stream).poll_read(cx, buf)
            }
            Speech::Shaking(_) | Speech::Failed => gone(),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_shaken(cx))?;
        match &mut self.0 {
            Speech::Plain(stream) => pin!(stream).poll_write(cx, buf),
            Speech::Secured(stream) => pin!(stream).poll_write(cx, buf),
            Speech::Shaking(_) | Speech::Failed => gone(),
        }
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_shaken(cx))?;
        match &mut self.0 {
            Speech::Plain(stream) => pin!(stream).poll_write_vectored(cx, bufs),
            Speech::Secured(stream) => pin!(stream).poll_write_vectored(cx, bufs),
            Speech::Shaking(_) | Speech::Failed => gone(),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Speech::Plain(stream) => pin!(stream).poll_flush(cx),
            Speech::Secured(stream) => pin!(stream).poll_flush(cx),
            // Nothing was written yet.
            Speech::Shaking(_) | Speech::Failed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Speech::Plain(stream) => pin!(stream).poll_shutdown(cx),
            Speech::Secured(stream) => pin!(stream).poll_shutdown(cx),
            Speech::Shaking(_) | Speech::Failed => Poll::Ready(Ok(())),
        }
    }
}
