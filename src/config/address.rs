//! Addresses of nodes and wake URLs, and whether one of them is ourselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use crate::config::{HostPort, Listen};

/// Ollama's own port.
pub(super) const OLLAMA_PORT: u16 = 11434;

/// The base URL of a node, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) at: HostPort,
    /// Path in front of every upstream path, without trailing slash.
    pub(super) prefix: String,
    /// Whether the URL names its port.
    pub(super) port_named: bool,
    /// Whether it begins with `https://`.
    pub(super) tls: bool,
    /// Written `dns:NAME`: every address of the name is a server of its own.
    pub(super) discovered: bool,
}

/// Reads `http://host[:port][/prefix]`, or the same with `https://`.
///
/// # Errors
/// What is wrong and what to write instead.
pub(super) fn upstream(text: &str) -> Result<Upstream, String> {
    if let Some(discovered) = by_name(text, OLLAMA_PORT) {
        return discovered;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let lame = ["http:", "https:", "http", "https"].iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix('/'));
        let text = lame.unwrap_or(text).trim_start_matches('/');
        // Without a port `http://` means 80, which is hardly ever Ollama's.
        let port = if text.contains([':', '/']) { "" } else { ":11434" };
        return Err(format!("has no scheme: write http://{text}{port}"));
    };
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err("must begin with http:// or https://".to_owned()),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if rest.contains(['?', '#']) {
        return Err("must end with the path: no `?` and no `#`".to_owned());
    }
    if authority.contains('@') {
        return Err("names a user: Ollama has no passwords; write http://host:port".to_owned());
    }
    if path.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("has a path with spaces or letters that a URL cannot hold".to_owned());
    }
    let (host, port) = host_and_port(authority)?;
    let prefix = path.trim_end_matches('/').to_owned();
    let (usual, port_named) = (if tls { 443 } else { 80 }, port.is_some());
    Ok(Upstream { at: HostPort { host, port: port.unwrap_or(usual) }, prefix, port_named, tls, discovered: false })
}

/// Reads a host of the node file: `host`, `host:port`, an IPv6 address, or a base URL.
///
/// # Errors
/// As [`upstream`].
pub(super) fn node_host(text: &str, default_port: u16) -> Result<Upstream, String> {
    if text.contains("://") {
        return upstream(text);
    }
    if let Some(discovered) = by_name(text, default_port) {
        return discovered;
    }
    let bare_v6 = text.parse::<Ipv6Addr>().is_ok();
    let (host, port) = if bare_v6 { (text.to_owned(), None) } else { host_and_port(text)? };
    Ok(Upstream {
        at: HostPort { host, port: port.unwrap_or(default_port) },
        prefix: String::new(),
        port_named: port.is_some(),
        tls: false,
        discovered: false,
    })
}

/// Reads `dns:name` or `dns:name:port`; `None`: it is something else.
fn by_name(text: &str, default_port: u16) -> Option<Result<Upstream, String>> {
    let rest = text.strip_prefix("dns:").filter(|rest| !rest.starts_with("//"))?;
    let read = host_and_port(rest).and_then(|(host, port)| {
        if host.parse::<IpAddr>().is_ok() || rest.starts_with('[') {
            return Err("names an address behind `dns:`, where a name belongs: leave `dns:` out".to_owned());
        }
        let at = HostPort { host, port: port.unwrap_or(default_port) };
        Ok(Upstream { at, prefix: String::new(), port_named: true, tls: false, discovered: true })
    });
    Some(read)
}

/// Takes `host`, `host:port`, `[v6]` or `[v6]:port` apart.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("lacks the `]` behind its IPv6 address")?;
        host.parse::<Ipv6Addr>().map_err(|_| "holds no IPv6 address between `[` and `]`")?;
        let port =
            if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("has something else than a port behind `]`")?) };
        (host, port)
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if host.is_empty() || !host.chars().all(known) {
        return Err("has no host name or IP address that we can read: write for example http://192.168.1.20:11434".to_owned());
    }
    Ok((
        host.to_ascii_lowercase(),
        port.map(|port| tcp_port(port).map_err(|why| format!("has a wrong port: `{port}` {why}"))).transpose()?,
    ))
}

/// A port that one can connect to.
///
/// # Errors
/// For anything but 1 to 65535.
pub(super) fn tcp_port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or_else(|| "is no port from 1 to 65535".to_owned())
}

/// Checks a wake URL with its placeholders and says which server it calls.
///
/// # Errors
/// What is wrong and what to write instead.
pub(super) fn wake_target(template: &str) -> Result<HostPort, String> {
    const KNOWN: [&str; 5] = ["{mac}", "{ip}", "{node}", "{time}", "{token}"];
    // An address that is nobody's, so that `{ip}` as host is a URL and is taken for no listener.
    let filled =
        KNOWN.iter().fold(template.to_owned(), |text, name| text.replace(name, if *name == "{ip}" { "192.0.2.1" } else { "0" }));
    if filled.contains(['{', '}']) {
        return Err(format!("has an unknown placeholder; known are {}", KNOWN.join(" ")));
    }
    let url = Url::parse(&filled).map_err(|why| {
        let more = if filled.is_ascii() { "" } else { ", and a host name beyond ASCII in its xn-- form" };
        format!("is no URL ({why}): write http://host:port/path{more}")
    })?;
    match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("http" | "https", Some(host), Some(port)) => {
            Ok(HostPort { host: host.trim_matches(['[', ']']).to_ascii_lowercase(), port })
        }
        _ => Err("must begin with http:// or https://".to_owned()),
    }
}

/// Whether a host is this machine by name or loopback address.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a connection to this address would reach our own listener.
pub(super) fn is_own(listen: &Listen, at: &HostPort) -> bool {
    if !listen.all_ports().any(|(port, _)| port == at.port) {
        return false;
    }
    let ip = at.host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    // Connecting to the unspecified address reaches this machine.
    let this_machine = is_loopback(&at.host) || ip.is_some_and(|ip| ip.is_unspecified());
    match listen.host {
        Some(host) if !host.is_unspecified() && !host.is_loopback() => ip == Some(host.to_canonical()),
        _ => this_machine,
    }
}

/// An address to listen on.
///
/// # Errors
/// For a name other than `localhost`.
pub(super) fn listen_host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    text.trim_matches(['[', ']'])
        .parse()
        .map_err(|_| "is no address of this machine: write an IP address or localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        upstream(text).map_or_else(|why| why, |up| format!("{}{}", up.at, up.prefix))
    }

    #[test]
    fn a_name_behind_dns_is_one_of_many_machines() {
        for (text, expected) in [("dns:ollama.svc:9000", "ollama.svc:9000"), ("dns:ollama", "ollama:11434")] {
            let read = upstream(text).unwrap();
            assert_eq!((read.at.to_string().as_str(), read.discovered), (expected, true));
            assert_eq!(node_host(text, 11434).unwrap(), read);
        }
        for (text, why) in [
            ("dns:10.0.0.7", "leave `dns:` out"),
            ("dns:[fd00::7]:1", "leave `dns:` out"),
            ("dns:", "no host name"),
            ("dns:a:0", "wrong port"),
        ] {
            assert!(at(text).contains(why), "{text}: {}", at(text));
        }
    }

    #[test]
    fn an_upstream_is_an_http_or_https_url_with_an_optional_path() {
        for (text, expected) in [
            ("https://gpu.lan", "gpu.lan:443"),
            ("HTTPS://gpu.lan:8443/ollama/", "gpu.lan:8443/ollama"),
            ("http://gpu:11434", "gpu:11434"),
            ("HTTP://GPU:11434/", "gpu:11434"),
            ("http://192.168.1.5:11434/ollama/", "192.168.1.5:11434/ollama"),
            ("http://[fd00::5]:11434", "[fd00::5]:11434"),
            ("http://gpu", "gpu:80"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wrong_upstream_is_told_how_to_be_right() {
        for (text, hint) in [
            ("gpu:11434", "write http://gpu:11434"),
            ("http:/gpu:11434", "write http://gpu:11434"),
            ("http//gpu:11434", "write http://gpu:11434"),
            ("ftp://gpu", "must begin with http://"),
            ("http://", "no host"),
            ("http://:11434", "no host"),
            ("http://gpu:99999", "port"),
            ("http://gpu:0", "port"),
            ("http://gpu:+80", "port"),
            ("http://gpu:", "port"),
            ("http://me:secret@gpu:11434", "user"),
            ("http://gpu:11434/?a=1", "`?`"),
            ("http://gpu:11434#x", "`?`"),
            ("http://[::1", "`]`"),
            ("http://[gpu]:1", "IPv6"),
            ("http://my pc:11434", "host"),
        ] {
            let why = upstream(text).unwrap_err();
            assert!(why.contains(hint), "{text}: {why}");
        }
    }

    #[test]
    fn only_https_asks_for_tls() {
        assert!(upstream("https://gpu:11434").unwrap().tls && !upstream("http://gpu:443").unwrap().tls);
        assert!(node_host("https://gpu", 1).unwrap().tls && !node_host("gpu", 443).unwrap().tls);
    }

    #[test]
    fn a_bare_host_is_answered_by_a_url_that_works_with_ollama() {
        for (text, proposed) in [
            ("192.168.1.20", "http://192.168.1.20:11434"),
            ("192.168.1.20:8080", "http://192.168.1.20:8080"),
            ("gpu/ollama", "http://gpu/ollama"),
        ] {
            let why = upstream(text).unwrap_err();
            assert!(why.ends_with(proposed), "{text}: {why}");
        }
    }

    #[test]
    fn a_host_of_the_node_file_may_be_bare() {
        for (text, expected) in [
            ("m1.local", "m1.local:1"),
            ("m1:9", "m1:9"),
            ("fd00::5", "[fd00::5]:1"),
            ("[fd00::5]:9", "[fd00::5]:9"),
            ("http://m1:9/x", "m1:9"),
        ] {
            assert_eq!(node_host(text, 1).unwrap().at.to_string(), expected);
        }
    }

    #[test]
    fn a_wake_url_may_hold_known_placeholders() {
        assert_eq!(wake_target("http://wol:9090/wol?mac={mac}&t={time}&k={token}").unwrap().to_string(), "wol:9090");
        assert_eq!(wake_target("https://{ip}/{node}").unwrap().to_string(), "192.0.2.1:443");
        assert!(wake_target("http://wol/{Mac}").unwrap_err().contains("{mac}"));
        for text in ["wol:9090/x", "file:///etc/passwd", "http://", "", "http://wol/}"] {
            assert!(wake_target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wake_url_beyond_ascii_names_its_host_in_ascii() {
        assert!(wake_target("http://büro:9090/wol").unwrap_err().contains("xn--"));
        assert_eq!(wake_target("http://xn--bro-hoa:9090/büro").unwrap().to_string(), "xn--bro-hoa:9090");
    }

    #[test]
    fn our_own_listener_is_known_by_port_and_address() {
        let own = |host: Option<&str>, url: &str| {
            let listen =
                Listen { host: host.map(|h| h.parse().unwrap()), ports: vec![11434, 11435], port_asked: true, tls: None };
            is_own(&listen, &upstream(url).unwrap().at)
        };
        for url in [
            "http://localhost:11434",
            "http://127.0.0.1:11435",
            "http://[::1]:11434",
            "http://0.0.0.0:11434",
            "http://127.9.9.9:11434",
        ] {
            assert!(own(None, url), "{url}");
            assert!(own(Some("0.0.0.0"), url), "{url}");
            assert!(!own(Some("192.168.1.5"), url), "we listen elsewhere: {url}");
        }
        assert!(!own(None, "http://localhost:11436"));
        assert!(!own(None, "http://gpu:11434"));
        assert!(own(Some("192.168.1.5"), "http://192.168.1.5:11434"));
    }
}
