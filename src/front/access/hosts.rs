//! The names by which we may be called. A page whose name was turned to our address (DNS rebinding) counts as our own page
//! to its browser; but it cannot choose its name: that is its own, and no home network has it. Pure.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap};

/// Names that nobody can register: they mean something in a home network, or on a tailnet, alone.
const AT_HOME: [&str; 9] =
    [".localhost", ".local", ".lan", ".home", ".internal", ".localdomain", ".home.arpa", ".fritz.box", ".ts.net"];

/// Names of ours beyond those.
#[derive(Clone, Debug, Default)]
pub(in crate::front) struct Hosts(Vec<String>);

impl Hosts {
    pub(in crate::front) fn new(own: &[String]) -> Self {
        Self(own.to_vec())
    }

    /// Whether the name that a request called us by can be ours. Whoever names none is no browser.
    pub(in crate::front) fn know(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        host.to_str().is_ok_and(|host| self.know_name(host))
    }

    fn know_name(&self, host: &str) -> bool {
        if let Some(v6) = host.strip_prefix('[') {
            let is_end = |rest: &str| rest.is_empty() || rest.starts_with(':');
            return v6.split_once(']').is_some_and(|(address, rest)| address.parse::<IpAddr>().is_ok() && is_end(rest));
        }
        let name = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
        let is_own = |own: &String| match own.strip_prefix('*') {
            Some(below) => name.ends_with(below),
            None => name == *own,
        };
        !name.contains('.')
            || name.parse::<IpAddr>().is_ok()
            || AT_HOME.iter().any(|suffix| name.ends_with(suffix))
            || self.0.iter().any(is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_a_home_network_has_pass_and_public_ones_do_not() {
        let hosts = Hosts::new(&["ollama.example.org".to_owned(), "*.home.example".to_owned()]);
        for host in [
            "192.168.1.5:11434",
            "127.0.0.1",
            "[::1]:11434",
            "[fe80::1]",
            "localhost:11434",
            "pi",
            "pi:80",
            "PI.local",
            "pi.lan:11434",
            "pi.fritz.box",
            "pi.tail1234.ts.net",
            "ollama.example.org:8443",
            "Ollama.Example.Org.",
            "pi.home.example",
            "",
        ] {
            assert!(hosts.know_name(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:11434",
            "192.168.1.5.evil.example",
            "local.evil.example",
            "xollama.example.org",
            "[evil.example]",
            "[::1].evil.example",
        ] {
            assert!(!hosts.know_name(host), "{host}");
        }
    }
}
