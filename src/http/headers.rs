//! Which headers pass a proxy, and which end at it.

use hyper::HeaderMap;
use hyper::header::{self, HeaderName, HeaderValue};

/// The request id: taken from the client or made, sent upstream, returned and logged.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `fresh` or `stale`, on answers from the catalog.
pub const CACHE: HeaderName = HeaderName::from_static("x-ollama-proxy-cache");

/// Who served, on answers of a node; as a request header: only this node may serve.
pub const NODE: HeaderName = HeaderName::from_static("x-ollama-proxy-node");

/// `never`: answer 503 at once instead of waking.
pub const WAKE: HeaderName = HeaderName::from_static("x-ollama-proxy-wake");

/// `false` keeps the OpenAI and Anthropic SDKs from repeating a whole wake.
pub const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Headers that concern one connection only (RFC 9110 §7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
];

/// What a node must not see: it would refuse foreign origins, and cookies are ours.
const OURS: [HeaderName; 10] = [
    header::ORIGIN,
    header::REFERER,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-user"),
    NODE,
    WAKE,
];

/// CORS is ours: a node's own answer to it would double the headers.
const CORS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Removes what concerns one connection only, including all that *every* `Connection` header names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A client must not make us drop the framing or the target of its own request.
        .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST)
        .collect();
    // Beside a transfer coding a length is a lie or a trap (RFC 9112 §6.3), and alone it would be believed.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    remove(headers, &named);
    remove(headers, &HOP_BY_HOP);
}

/// Most of them are not there, and a look at the few that are costs less than a search for each.
fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        if headers.keys().any(|held| held == name) {
            headers.remove(name);
        }
    }
}

/// Why we could not say what a request's body means, if so: a coding besides chunks would be passed on unsaid, and two
/// servers in a row may read "chunked" in two lines, or before another coding, differently (RFC 9112 §6.1, §6.3). A length
/// beside chunks never gets here: hyper drops it, and ends the connection after the answer.
pub fn ambiguous_framing(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    let chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    let only = codings.next().is_none();
    (!chunked || !only).then_some("the only Transfer-Encoding taken is \"chunked\", once")
}

/// The headers of a client's request as a node shall see them.
///
/// `host` is the node's own `host:port`; `via` is our pseudonym; framing is left to hyper, which writes it anew.
pub fn toward_node(mut headers: HeaderMap, host: &HeaderValue, via: &HeaderValue) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    remove(&mut headers, &OURS);
    headers.insert(header::HOST, host.clone());
    headers.append(header::VIA, via.clone());
    headers
}

/// The headers of a node's answer as the client shall see them.
pub fn toward_client(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    remove(headers, &CORS);
}

/// Whether one of the `Via` headers names this instance: then the request came back to us.
pub fn passed_here_before(headers: &HeaderMap, instance: &str) -> bool {
    headers
        .get_all(header::VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|hop| hop.split_whitespace().nth(1) == Some(instance))
}

/// The client's request id if it is short and harmless, else `None`.
pub fn given_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let harmless = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(b);
    let text = value.as_bytes();
    (!text.is_empty() && text.len() <= 128 && text.iter().all(harmless)).then(|| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn every_connection_header_is_read_not_only_the_first() {
        let mut headers =
            map(&[("connection", "x-one"), ("connection", "close, X-Two"), ("x-one", "1"), ("x-two", "2"), ("x-three", "3")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-three", "3")]));
    }

    #[test]
    fn a_client_cannot_strip_its_own_framing() {
        let mut headers = map(&[("connection", "content-length, host"), ("content-length", "3"), ("host", "pi")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn a_body_is_framed_in_one_way_only() {
        assert_eq!(ambiguous_framing(&map(&[("content-length", "3")])), None);
        assert_eq!(ambiguous_framing(&map(&[("transfer-encoding", " Chunked")])), None);
        assert!(ambiguous_framing(&map(&[("transfer-encoding", "gzip, chunked")])).is_some());
        assert!(ambiguous_framing(&map(&[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")])).is_some());
    }

    #[test]
    fn a_node_sees_its_own_host_and_neither_origin_nor_cookies() {
        let value = HeaderValue::from_static;
        let given = map(&[
            ("host", "pi:11434"),
            ("origin", "http://x"),
            ("cookie", "a=b"),
            ("authorization", "Bearer ollama"),
            ("via", "1.1 other"),
        ]);
        let sent = toward_node(given, &value("gpu:11434"), &value("1.1 me"));
        assert_eq!(sent["host"], "gpu:11434");
        assert!(!sent.contains_key("origin") && !sent.contains_key("cookie"));
        assert_eq!(sent["authorization"], "Bearer ollama");
        assert_eq!(sent.get_all("via").iter().collect::<Vec<_>>(), ["1.1 other", "1.1 me"]);
    }

    #[test]
    fn a_loop_is_seen_in_any_via_header() {
        assert!(passed_here_before(&map(&[("via", "1.1 a"), ("via", "1.1 b, 1.1 me")]), "me"));
        assert!(!passed_here_before(&map(&[("via", "1.1 metoo")]), "me"));
    }

    #[test]
    fn a_request_id_with_strange_characters_is_not_taken() {
        assert!(given_request_id(&map(&[("x-request-id", "abc-1")])).is_some());
        assert!(given_request_id(&map(&[("x-request-id", "a b\"c")])).is_none());
    }
}
