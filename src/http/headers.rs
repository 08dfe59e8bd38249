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

/// Whether a proxy in between has left its mark: then the address of the connection is not its client's.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    const MARKS: [HeaderName; 3] =
        [HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip"), header::FORWARDED];
    MARKS.iter().any(|name| headers.contains_key(name))
}

/// Headers that concern one connection only (RFC 9110 §7.6.1), beside those that `Connection` names.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
    )
}

/// What a node must not see: it would refuse foreign origins, and cookies are ours. Its own `Host` stands in the place of ours,
/// the id that we go by in the place of the client's, and whoever writes the body tells its length: the caller adds both.
fn is_ours(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "origin"
            | "referer"
            | "cookie"
            | "proxy-authorization"
            | "sec-fetch-site"
            | "sec-fetch-mode"
            | "sec-fetch-dest"
            | "sec-fetch-user"
            | "x-ollama-proxy-node"
            | "x-ollama-proxy-wake"
            | "host"
            | "content-length"
            | "x-request-id"
    )
}

/// What a node has no say in: CORS is ours, and its own answer to it would double the headers; and so are cookies, and whatever
/// a browser would keep of one answer for all that we are.
fn is_not_a_nodes(name: &HeaderName) -> bool {
    let is_cors = |rest| {
        matches!(
            rest,
            "allow-origin"
                | "allow-credentials"
                | "allow-methods"
                | "allow-headers"
                | "allow-private-network"
                | "expose-headers"
                | "max-age"
        )
    };
    let is_of_all = matches!(
        name.as_str(),
        "set-cookie"
            | "strict-transport-security"
            | "clear-site-data"
            | "alt-svc"
            | "service-worker-allowed"
            | "nel"
            | "report-to"
            | "reporting-endpoints"
    );
    is_of_all || name.as_str().strip_prefix("access-control-").is_some_and(is_cors)
}

/// All that *every* `Connection` header names.
fn named(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
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

/// Whether a header ends here. `named` is what `Connection` names; none must make us drop the framing or the target of its own
/// message.
fn ends_here(name: &HeaderName, named: &[&str]) -> bool {
    let is_named = || named.iter().any(|other| other.eq_ignore_ascii_case(name.as_str()));
    is_hop_by_hop(name) || (is_named() && *name != header::CONTENT_LENGTH && *name != header::HOST)
}

/// The headers of a client's request as a node shall see them, without those that frame its body.
///
/// `host` is the node's own `host:port`; `via` is our pseudonym.
pub fn toward_node<'a>(
    headers: &'a HeaderMap,
    host: &'a HeaderValue,
    via: &'a HeaderValue,
) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
    let named = named(headers);
    let passing = headers.iter().filter(move |(name, _)| !is_ours(name) && !ends_here(name, &named));
    std::iter::once((&header::HOST, host)).chain(passing).chain(std::iter::once((&header::VIA, via)))
}

/// The headers of a node's answer as the client shall see them.
pub fn toward_client(headers: &mut HeaderMap) {
    // Beside a transfer coding a length is a lie or a trap (RFC 9112 §6.3), and alone it would be believed.
    if headers.contains_key(header::TRANSFER_ENCODING) {
        headers.remove(header::CONTENT_LENGTH);
    }
    let named = named(headers);
    let going: Vec<HeaderName> = headers.keys().filter(|name| is_not_a_nodes(name) || ends_here(name, &named)).cloned().collect();
    for name in going {
        headers.remove(name);
    }
}

/// Shows a browser no page of somebody else as one of ours: with the cookie of whoever has logged in, its scripts could do what he
/// may. What is data stays as it is.
pub fn confine(headers: &mut HeaderMap) {
    const DATA: [&str; 4] = ["application/json", "application/x-ndjson", "text/event-stream", "text/plain"];
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let kind =
        kinds.next().and_then(|kind| kind.to_str().ok()).and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if kinds.next().is_some() || !DATA.iter().any(|data| kind.eq_ignore_ascii_case(data)) {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.remove(header::REFRESH);
    }
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

/// Whether a value is a UUID, with or without its hyphens.
pub fn is_uuid(value: &HeaderValue) -> bool {
    let digits = || value.as_bytes().iter().filter(|b| **b != b'-');
    digits().count() == 32 && digits().all(u8::is_ascii_hexdigit)
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
        toward_client(&mut headers);
        assert_eq!(headers, map(&[("x-three", "3")]));
    }

    #[test]
    fn what_is_no_data_is_shown_without_rights() {
        for kind in
            ["text/html", "Text/HTML; charset=utf-8", "image/svg+xml", "application/xhtml+xml", "", "application/jsonx", "*/*"]
        {
            let mut headers = map(&[("content-security-policy", "script-src *")]);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
            confine(&mut headers);
            assert_eq!(headers["content-security-policy"], "sandbox", "{kind}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{kind}");
        }
        let mut two = map(&[("content-type", "application/json"), ("content-type", "text/html")]);
        confine(&mut two);
        assert!(two.contains_key("content-security-policy"));
        let data = map(&[("content-type", "application/json; charset=utf-8")]);
        let mut same = data.clone();
        confine(&mut same);
        assert_eq!(same, data);
    }

    #[test]
    fn nobody_can_strip_the_framing_of_his_own_message() {
        let mut headers = map(&[("connection", "content-length, host"), ("content-length", "3"), ("host", "pi")]);
        toward_client(&mut headers);
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
            ("x-request-id", "not harmless"),
        ]);
        let (host, via) = (value("gpu:11434"), value("1.1 me"));
        let sent: HeaderMap = toward_node(&given, &host, &via).map(|(name, value)| (name.clone(), value.clone())).collect();
        assert_eq!(sent["host"], "gpu:11434");
        assert!(!sent.contains_key("origin") && !sent.contains_key("cookie"));
        assert_eq!(sent["authorization"], "Bearer ollama");
        assert!(!sent.contains_key("x-request-id"));
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
