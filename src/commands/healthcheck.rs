//! `healthcheck`: for containers without curl. Asks the proxy on this machine; never a node.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::HeaderValue;

use super::{runtime, settings, working_dir};
use crate::app::Failure;
use crate::config::{self, Env, ServeArgs};
use crate::upstream::{self, Call};

/// Shorter than the ten seconds a container gives.
const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn run(args: &ServeArgs, env: &Env) -> Result<(), Failure> {
    let (listen, _) = config::load_entrance(args, env, &working_dir()).map_err(|faults| settings(&faults))?;
    let host = listen.host.filter(|host| !host.is_unspecified()).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(host, listen.ports.first().copied().unwrap_or(11434));
    let host = HeaderValue::from_str(&address.to_string()).map_err(|error| Failure::Other(error.into()))?;
    let call = Call { method: Method::GET, path: "/health".to_owned(), host, body: Bytes::new() };
    let answer = runtime()?.block_on(upstream::call(&[address], LIMIT, LIMIT, call));
    match answer {
        Ok(reply) if reply.status.is_success() => {
            println!("{}", String::from_utf8_lossy(&reply.body));
            Ok(())
        }
        Ok(reply) => Err(Failure::Other(anyhow::anyhow!("http://{address}/health answered {}", reply.status))),
        Err(trouble) => Err(Failure::Other(anyhow::anyhow!("http://{address}/health: {trouble}"))),
    }
}
