//! Addresses of services that we call ourselves, and the two ways in which text stands in them.

use std::fmt::Write as _;

use hyper::Uri;

/// Reads an `http` or `https` address with a host: scheme and host in small letters, without fragment, what its path and
/// query cannot hold in percent signs. Host names beyond ASCII are refused: only their `xn--` form has an address.
///
/// # Errors
/// What is wrong with it, without a word of it: it may hold a key.
pub fn url(text: &str) -> Result<Uri, &'static str> {
    let text = text.trim();
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme")?;
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https") {
        return Err("it begins with neither http:// nor https://");
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let user = &authority[..authority.len() - host.len()];
    let target = encoded(target, |byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}'));
    let url: Uri =
        format!("{scheme}://{user}{}{target}", host.to_ascii_lowercase()).parse().map_err(|_| "its host cannot be read")?;
    // A port that is no number is none to the parser.
    let named = host.rsplit(']').next().unwrap_or_default().contains(':');
    match url.host() {
        None | Some("") => Err("it has no host"),
        Some(_) if named && url.port_u16().is_none() => Err("its port is none"),
        Some(_) => Ok(url),
    }
}

/// Whether an address asks for TLS, its host as a name is looked up, and its port.
pub fn server_of(url: &Uri) -> (bool, &str, u16) {
    let tls = url.scheme_str() == Some("https");
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    (tls, host, url.port_u16().unwrap_or(if tls { 443 } else { 80 }))
}

/// Text as it stands in an address: all bytes but those that `stays` names in percent signs.
pub fn encoded(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii() && stays(byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Text as one segment of a path or one value of a query: also its slashes, signs and spaces in percent signs.
pub fn encoded_part(text: &str) -> String {
    encoded(text, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// The text behind percent signs; a sign without two digits stands for itself.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_what_stands_in_it_made_fit_to_be_sent() {
        for (text, expected) in [
            (" HTTP://Wol.LAN:9090/Wol?mac=A8-A1&b=c d\n", "http://wol.lan:9090/Wol?mac=A8-A1&b=c%20d"),
            ("https://h", "https://h/"),
            ("http://h?a=1#x", "http://h/?a=1"),
            ("http://[FD00::5]:81/x", "http://[fd00::5]:81/x"),
            ("http://Me:Pass@h/", "http://Me:Pass@h/"),
            ("http://xn--bro-hoa/büro/{a}|%20", "http://xn--bro-hoa/b%C3%BCro/%7Ba%7D|%20"),
        ] {
            assert_eq!(url(text).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for text in [
            "",
            "h:1/x",
            "file:///etc/passwd",
            "http://",
            "http:///x",
            "http://büro/",
            "http://h:99999",
            "http://[::1",
            "http://a b/",
        ] {
            assert!(url(text).is_err(), "{text}: {:?}", url(text));
        }
    }

    #[test]
    fn the_server_of_an_address_has_the_usual_port_of_its_scheme() {
        for (text, expected) in
            [("http://h/x", (false, "h", 80)), ("https://h", (true, "h", 443)), ("https://me@[::1]:8443", (true, "::1", 8443))]
        {
            assert_eq!(server_of(&url(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn text_in_an_address_comes_out_as_it_went_in() {
        for text in ["a/../?b", "a8:a1:59", "50% of büro & more+", "%zz%4"] {
            assert_eq!(decoded(&encoded_part(text)), text);
        }
        assert_eq!(decoded("A8%2dA1%3"), "A8-A1%3");
    }
}
