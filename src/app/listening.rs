//! Opening the ports, and what a port that cannot be opened means.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::{Listen, TlsFiles};
use crate::server::{Door, Identity};

/// Opens the listeners.
///
/// # Errors
/// A port in use, with the way out; a certificate that cannot be used.
pub fn bind(listen: &Listen) -> anyhow::Result<Vec<Door>> {
    let pair = listen.tls.as_ref().map(TlsFiles::read).transpose()?;
    let identity = pair.map(|pair| Identity::new(pair.server));
    let mut doors = Vec::new();
    for (port, secured) in listen.all_ports() {
        let mut open = |listener| doors.push(Door::new(listener, identity.clone().filter(|_| secured)));
        match listen.host {
            Some(host) => open(bind_one(SocketAddr::new(host, port))?),
            None => {
                let v4 = bind_one((Ipv4Addr::UNSPECIFIED, port).into())?;
                let port = v4.local_addr()?.port();
                open(v4);
                // A machine without IPv6 serves IPv4 alone.
                bind_one((Ipv6Addr::UNSPECIFIED, port).into()).map(open).ok();
            }
        }
    }
    Ok(doors)
}

fn bind_one(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let open = || -> std::io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A restart must not wait for the last connections' TIME_WAIT.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {} is in use (an Ollama on this machine?): stop what listens there, or choose another with --port {}",
            address.port(),
            address.port().wrapping_add(1).max(1)
        ),
        std::io::ErrorKind::PermissionDenied => {
            anyhow::anyhow!("port {} may not be opened without privileges: choose one from 1024 with --port", address.port())
        }
        std::io::ErrorKind::AddrNotAvailable => {
            anyhow::anyhow!(
                "{} is no address of this machine: name one of its own with --host, or leave --host out",
                address.ip()
            )
        }
        _ => anyhow::Error::from(error).context(format!("cannot listen on {address}")),
    })
}
