//! A client that speaks TLS as it is told to, byte by byte beneath HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::authority::Authority;
use crate::rig::connect;

pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Whom it trusts, and what it speaks.
pub struct Client(Arc<ClientConfig>);

impl Client {
    pub fn of(authority: &Authority) -> Self {
        Self::speaking(authority, BOTH)
    }

    pub fn speaking(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Each connection is to see the certificate that is shown now.
        config.resumption = rustls::client::Resumption::disabled();
        Self(Arc::new(config))
    }

    /// A connection whose handshake is done.
    pub fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Stream> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(self.0.clone(), name).unwrap();
        let mut stream = StreamOwned::new(connection, connect(address));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Asks once on a connection of its own: the answer's text, and the certificate that was shown.
    pub fn ask(&self, address: SocketAddr, request: &str) -> std::io::Result<(String, CertificateDer<'static>)> {
        let mut stream = self.connect(address, "127.0.0.1")?;
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        let shown = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
        Ok((String::from_utf8_lossy(&bytes).into_owned(), shown))
    }

    pub fn get(&self, address: SocketAddr, path: &str) -> std::io::Result<String> {
        self.ask(address, &request("GET", path, "")).map(|(text, _)| text)
    }

    pub fn post(&self, address: SocketAddr, path: &str, body: &str) -> std::io::Result<String> {
        self.ask(address, &request("POST", path, body)).map(|(text, _)| text)
    }
}

pub fn request(method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// A ClientHello that knows no version after this one, as programs from before 2012 send it.
pub fn old_hello(version: [u8; 2]) -> Vec<u8> {
    let mut hello = version.to_vec();
    hello.extend([7; 32]);
    // No session, the cipher TLS_RSA_WITH_AES_128_CBC_SHA, no compression, no extensions.
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let length = |bytes: usize, places: usize| u32::try_from(bytes).unwrap().to_be_bytes()[4 - places..].to_vec();
    let message = [vec![1], length(hello.len(), 3), hello].concat();
    [vec![22, 3, 1], length(message.len(), 2), message].concat()
}
