//! Whose request it is, by addresses: the peer, or the client that a proxy in front of us tells of. Pure.

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderName};

use crate::config::Cidr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The client of a request that came from `peer`.
///
/// Each proxy writes down whom it got the request from, so only what stands behind the last address that is not a trusted
/// proxy's own could be a client's invention. A word that is no address ends the search at the proxy that wrote it.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let mut client = peer.to_canonical();
    if !is_trusted(client) {
        return client;
    }
    for hop in hops(headers).into_iter().rev() {
        let Some(hop) = hop else { return client };
        client = hop;
        if !is_trusted(client) {
            return client;
        }
    }
    client
}

/// The clients that proxies in between have written down, the nearest last. `None`: what stands there is no address.
fn hops(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let by_name = |name: HeaderName| -> Vec<Option<IpAddr>> {
        let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
        lines.flat_map(|line| line.split(',')).map(address).collect()
    };
    let hops = by_name(FORWARDED_FOR);
    if !hops.is_empty() {
        return hops;
    }
    let lines = headers.get_all(hyper::header::FORWARDED).iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(forwarded_for).collect()
}

/// `for=192.0.2.60;proto=http`
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    address(node.trim().trim_matches('"'))
}

/// An address, with or without brackets and a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None if text.matches(':').count() == 1 => text.split(':').next().unwrap_or_default(),
        None => text,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether the request comes from this machine or its network, as far as can be seen: a proxy in front of us that is not
/// declared may speak for anybody, so whoever it names must be at home, too.
pub(super) fn is_at_home(client: IpAddr, headers: &HeaderMap) -> bool {
    let real = headers.get_all(REAL_IP).iter().map(|line| address(line.to_str().unwrap_or_default()));
    is_private(client) && hops(headers).into_iter().chain(real).all(|hop| hop.is_some_and(is_private))
}

/// Whether the first proxy in between was spoken to by TLS, as it says itself.
pub(super) fn is_by_tls(headers: &HeaderMap) -> bool {
    let first = |name: &HeaderName| headers.get(name).and_then(|line| line.to_str().ok()?.split(',').next());
    let is_https = |scheme: &str| scheme.trim().trim_matches('"').eq_ignore_ascii_case("https");
    if let Some(scheme) = first(&FORWARDED_PROTO) {
        return is_https(scheme);
    }
    let mut pairs = first(&hyper::header::FORWARDED).into_iter().flat_map(|element| element.split(';'));
    pairs.any(|pair| {
        pair.split_once('=').is_some_and(|(name, value)| name.trim().eq_ignore_ascii_case("proto") && is_https(value))
    })
}

/// Addresses that nobody on the Internet has.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // Tailscale and carriers: 100.64.0.0/10.
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn found(peer: &str, lines: &[(&'static str, &'static str)]) -> String {
        let trusted = ["10.0.0.2".parse().unwrap(), "172.16.0.0/12".parse().unwrap()];
        client(peer.parse().unwrap(), &headers(lines), &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_tell_of_its_client() {
        let told = [("x-forwarded-for", "198.51.100.7")];
        assert_eq!(found("10.0.0.2", &told), "198.51.100.7");
        assert_eq!(found("::ffff:10.0.0.2", &told), "198.51.100.7");
        assert_eq!(found("10.0.0.3", &told), "10.0.0.3");
        assert_eq!(found("10.0.0.2", &[]), "10.0.0.2");
    }

    #[test]
    fn what_a_client_invents_stands_left_and_is_not_believed() {
        assert_eq!(found("10.0.0.2", &[("x-forwarded-for", "127.0.0.1, 198.51.100.7, 172.16.0.9")]), "198.51.100.7");
        assert_eq!(found("10.0.0.2", &[("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "198.51.100.7")]), "198.51.100.7");
        assert_eq!(found("10.0.0.2", &[("x-forwarded-for", "198.51.100.7, unknown")]), "10.0.0.2");
        assert_eq!(found("10.0.0.2", &[("forwarded", "for=127.0.0.1"), ("x-forwarded-for", "198.51.100.7")]), "198.51.100.7");
    }

    #[test]
    fn addresses_are_read_in_every_form_that_proxies_write() {
        for (name, value, address) in [
            ("x-forwarded-for", "198.51.100.7:4711", "198.51.100.7"),
            ("x-forwarded-for", "2001:db8::7", "2001:db8::7"),
            ("x-forwarded-for", "[2001:db8::7]:4711", "2001:db8::7"),
            ("forwarded", "for=198.51.100.7;proto=https", "198.51.100.7"),
            ("forwarded", "proto=https; For=\"[2001:db8::7]:4711\"", "2001:db8::7"),
        ] {
            assert_eq!(found("10.0.0.2", &[(name, value)]), address, "{value}");
        }
    }

    #[test]
    fn a_proxy_says_by_which_scheme_it_was_asked() {
        for (line, by_tls) in [
            (("x-forwarded-proto", "https"), true),
            (("x-forwarded-proto", "HTTPS, http"), true),
            (("x-forwarded-proto", "http, https"), false),
            (("x-forwarded-proto", "httpsx"), false),
            (("forwarded", "for=192.0.2.7;proto=https, for=10.0.0.2"), true),
            (("forwarded", "for=192.0.2.7; Proto=\"https\""), true),
            (("forwarded", "for=192.0.2.7, for=10.0.0.2;proto=https"), false),
            (("x-forwarded-for", "https"), false),
        ] {
            assert_eq!(is_by_tls(&headers(&[line])), by_tls, "{line:?}");
        }
    }

    #[test]
    fn at_home_is_who_has_a_private_address_and_speaks_for_nobody_else() {
        let home = |peer: &str, lines: &[(&'static str, &'static str)]| is_at_home(peer.parse().unwrap(), &headers(lines));
        for peer in ["127.0.0.1", "::1", "192.168.1.7", "10.1.2.3", "100.100.1.1", "fd00::1", "fe80::1", "::ffff:192.168.1.7"] {
            assert!(home(peer, &[]), "{peer}");
        }
        for peer in ["198.51.100.7", "100.128.0.1", "2001:db8::1", "172.32.0.1"] {
            assert!(!home(peer, &[]), "{peer}");
        }
        assert!(home("127.0.0.1", &[("x-forwarded-for", "192.168.1.7")]));
        for line in [("x-forwarded-for", "198.51.100.7"), ("x-real-ip", "198.51.100.7"), ("forwarded", "for=_hidden")] {
            assert!(!home("127.0.0.1", &[line]), "{line:?}");
        }
    }
}
