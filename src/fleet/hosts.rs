//! Where a node is reached: its hosts in the order of the settings, after the one that worked last.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::header::{HeaderValue, InvalidHeaderValue};

use crate::config::HostPort;
use crate::upstream::{self, Link, Trouble, Way};

/// The hosts of one node.
pub(super) struct Hosts {
    /// Each with its `Host` header.
    all: Vec<(HostPort, HeaderValue)>,
    /// They speak TLS.
    tls: bool,
    /// The place of the one that worked last.
    working: AtomicUsize,
    /// That place has changed, and nobody was told yet.
    moved: AtomicBool,
}

impl Hosts {
    /// `last` is the last good address of the node.
    pub(super) fn new(hosts: &[HostPort], tls: bool, last: Option<IpAddr>) -> Result<Self, InvalidHeaderValue> {
        let named = |host: &HostPort| Ok((host.clone(), HeaderValue::from_str(&host.to_string())?));
        let all = hosts.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { all, tls, working: AtomicUsize::new(working(hosts, last)), moved: AtomicBool::new(false) })
    }

    /// The `host:port` of the one that worked last.
    pub(super) fn header(&self) -> &HeaderValue {
        static NOWHERE: HeaderValue = HeaderValue::from_static("");
        self.all.get(self.working.load(Ordering::Relaxed)).map_or(&NOWHERE, |(_, header)| header)
    }

    /// Connects to the first that answers, and remembers it; says which, when it is another one than before.
    ///
    /// # Errors
    /// The most telling trouble of all of them.
    pub(super) async fn connect(&self, last: Option<IpAddr>, limit: Duration) -> Result<(Link, Option<&HostPort>), Trouble> {
        let first = self.working.load(Ordering::Relaxed);
        let places: Vec<usize> = std::iter::once(first).chain((0..self.all.len()).filter(|place| *place != first)).collect();
        let way = |place: &usize| {
            let (at, _) = self.all.get(*place)?;
            Some(Way { host: at.host.clone(), port: at.port, last: last.filter(|_| *place == first), tls: self.tls })
        };
        let (chosen, link) = upstream::connect_in_order(places.iter().filter_map(way).collect(), limit).await?;
        let Some(place) = places.get(chosen).filter(|place| **place != first) else { return Ok((link, None)) };
        self.working.store(*place, Ordering::Relaxed);
        self.moved.store(true, Ordering::Relaxed);
        Ok((link, self.all.get(*place).map(|(host, _)| host)))
    }

    /// Whether it has moved since this was last asked.
    pub(super) fn have_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed) && self.moved.swap(false, Ordering::Relaxed)
    }
}

/// The host that probably has this last good address: the one that is this address, else the first that is a name.
fn working(hosts: &[HostPort], last: Option<IpAddr>) -> usize {
    let ip = |host: &HostPort| host.host.parse::<IpAddr>().ok();
    let Some(last) = last else { return 0 };
    let at = hosts.iter().position(|host| ip(host) == Some(last));
    at.or_else(|| hosts.iter().position(|host| ip(host).is_none())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_good_address_tells_which_host_to_try_first() {
        let host = |host: &str| HostPort { host: host.to_owned(), port: 11434 };
        let hosts = [host("192.168.1.20"), host("pc.lan"), host("10.0.0.9"), host("pc.vpn")];
        let first = |last: &str| working(&hosts, last.parse().ok());
        assert_eq!([first("192.168.1.20"), first("10.0.0.9"), first("172.16.0.4"), first("")], [0, 2, 1, 0]);
        assert_eq!(working(&hosts[..1], "172.16.0.4".parse().ok()), 0);
    }
}
