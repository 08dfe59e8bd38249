//! From a host name to a connected socket, bounded at each step.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::{Socket, Trouble};
use crate::http::outward;
use crate::values::boxed;

/// Slower name resolution than this uses the last good address instead: a sleeping host answers no mDNS.
const RESOLVE: Duration = Duration::from_millis(300);

/// More addresses of one name than this are not tried.
const ADDRESSES: usize = 4;

/// A connected socket and whom it reached.
#[derive(Debug)]
pub struct Link {
    /// The socket, with the limits of a live upstream connection set.
    pub stream: Socket,
    /// The node's address.
    pub peer: SocketAddr,
}

impl Link {
    /// Speaks TLS to the node, which must prove that it is `host`. Nothing is sent yet.
    ///
    /// # Errors
    /// This machine's authorities cannot be loaded, or the name can be nobody's.
    pub fn secured(self, host: &str) -> Result<Self, Trouble> {
        self.secured_by(host, outward::tls())
    }

    /// As [`Self::secured`] to a proxy of ours on this very machine, whose certificate names other addresses.
    ///
    /// # Errors
    /// The name can be nobody's.
    pub fn secured_to_ourselves(self, host: &str) -> Result<Self, Trouble> {
        self.secured_by(host, outward::tls_to_ourselves())
    }

    /// The same when the handshake is over, which is else part of the first bytes.
    pub(super) async fn shaken(mut self) -> Result<Self, Trouble> {
        self.stream.shaken().await.map_err(|error| Trouble::Broken(error.to_string()))?;
        Ok(self)
    }

    /// The same over the Internet, where a line may be down for a while and nobody sleeps.
    pub(super) fn far_away(self) -> Self {
        if let Some(stream) = self.stream.plain() {
            watch(stream, Duration::from_secs(15), Duration::from_secs(15), Duration::from_secs(30));
        }
        self
    }

    fn secured_by(self, host: &str, config: io::Result<Arc<ClientConfig>>) -> Result<Self, Trouble> {
        let stream = config.and_then(|config| self.stream.secured(host, config));
        let stream = stream.map_err(|error| Trouble::Broken(format!("no TLS to {host}: {error}")))?;
        Ok(Self { stream, peer: self.peer })
    }
}

/// The addresses of a host. `last` is its last good address, used when resolution fails or is slow.
///
/// # Errors
/// `NoAddress` when nothing resolves and no last address is known.
pub async fn resolve(host: &str, port: u16, last: Option<IpAddr>) -> Result<Vec<SocketAddr>, Trouble> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let patience = if last.is_some() { RESOLVE } else { RESOLVE * 10 };
    let fallback = last.map(|ip| vec![SocketAddr::new(ip, port)]);
    match timeout(patience, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.take(ADDRESSES).collect();
            if found.is_empty() { fallback.ok_or_else(|| no_address("no address")) } else { Ok(found) }
        }
        Ok(Err(error)) => fallback.ok_or(Trouble::NoAddress(error)),
        Err(_) => fallback.ok_or_else(|| no_address("the name server is slow")),
    }
}

fn no_address(why: &str) -> Trouble {
    Trouble::NoAddress(io::Error::new(io::ErrorKind::NotFound, why.to_owned()))
}

/// Connects to whichever address answers first.
///
/// The limit is ours, never the kernel's: that one takes 3 to 134 s to say that a host sleeps.
///
/// # Errors
/// A refusal is preferred over silence, since it is the more telling fact.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<Link, Trouble> {
    let mut trouble = Trouble::NoAnswer;
    if let [only] = addresses {
        return connect_one(*only, limit).await;
    }
    // Dropping the set ends the connects that lost the race.
    let mut race = JoinSet::new();
    for address in addresses {
        race.spawn(boxed(connect_one(*address, limit)));
    }
    while let Some(ended) = race.join_next().await {
        match ended {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(found)) => {
                if !matches!(trouble, Trouble::Refused(_)) {
                    trouble = found;
                }
            }
            Err(_) => {}
        }
    }
    Err(trouble)
}

async fn connect_one(address: SocketAddr, limit: Duration) -> Result<Link, Trouble> {
    let started = Instant::now();
    match timeout(limit, TcpStream::connect(address)).await {
        Err(_) => Err(Trouble::NoAnswer),
        Ok(Err(error)) => Err(Trouble::of_connect(error, started.elapsed())),
        Ok(Ok(stream)) => {
            guard_against_silence(&stream);
            Ok(Link { stream: stream.into(), peer: address })
        }
    }
}

/// A suspended host sends neither FIN nor RST. Keep-alive finds it while we wait for an answer, `TCP_USER_TIMEOUT`
/// while we send; each alone leaves the other phase hanging for 939 s. A busy host still acknowledges in its kernel,
/// so a slow model load is safe.
fn guard_against_silence(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    watch(stream, Duration::from_secs(5), Duration::from_secs(2), Duration::from_secs(10));
}

fn watch(stream: &TcpStream, quiet: Duration, interval: Duration, unacknowledged: Duration) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(quiet).with_interval(interval).with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
    #[cfg(target_os = "linux")]
    let _ = socket.set_tcp_user_timeout(Some(unacknowledged));
    #[cfg(not(target_os = "linux"))]
    let _ = unacknowledged;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_closed_port_is_refused_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(connect(&[address], LIMIT).await, Err(Trouble::Refused(after)) if after < Duration::from_millis(300)));
    }

    #[tokio::test]
    async fn of_several_addresses_the_one_that_answers_wins() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(connect(&[closed, good], LIMIT).await.unwrap().peer, good);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_falls_back_to_the_last_good_address() {
        let last: IpAddr = "10.1.2.3".parse().unwrap();
        assert_eq!(resolve("gone.invalid", 1, Some(last)).await.unwrap(), [SocketAddr::new(last, 1)]);
        assert!(matches!(resolve("gone.invalid", 1, None).await, Err(Trouble::NoAddress(_))));
    }
}
