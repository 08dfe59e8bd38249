//! CORS is ours: a node would judge an origin by the wrong host. Rules and list are Ollama's (`gin-contrib/cors`).

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::config::Glob;
use crate::http::{Body, reply};

/// Ollama's built-in origins, always allowed.
const BUILT_IN: [&str; 17] = [
    "http://localhost",
    "https://localhost",
    "http://localhost:*",
    "https://localhost:*",
    "http://127.0.0.1",
    "https://127.0.0.1",
    "http://127.0.0.1:*",
    "https://127.0.0.1:*",
    "http://0.0.0.0",
    "https://0.0.0.0",
    "http://0.0.0.0:*",
    "https://0.0.0.0:*",
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
];

/// Which origins may read our answers.
#[derive(Clone, Debug)]
pub struct Origins(Vec<Glob>);

/// What was decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No origin, or our own page.
    Same,
    /// Another origin that may.
    Allowed(HeaderValue),
    /// Another origin that may not.
    Refused,
}

impl Origins {
    /// The built-in list and these.
    pub fn new(more: &[String]) -> Self {
        Self(BUILT_IN.into_iter().chain(more.iter().map(String::as_str)).map(Glob::new).collect())
    }

    /// Whether the origin of a request may read the answer.
    ///
    /// `ours`: the name that the request called us by can be ours. Else a page of that name may be anybody's.
    pub fn judge(&self, headers: &HeaderMap, ours: impl FnOnce() -> bool) -> Origin {
        let Some(origin) = headers.get(header::ORIGIN) else { return Origin::Same };
        let Ok(text) = origin.to_str() else { return Origin::Refused };
        if is_same_origin(headers) || (is_own(text, headers) && ours()) {
            Origin::Same
        } else if self.0.iter().any(|allowed| allowed.matches(text)) {
            Origin::Allowed(origin.clone())
        } else {
            Origin::Refused
        }
    }
}

impl Origin {
    /// Whether it may not.
    pub fn is_refused(&self) -> bool {
        *self == Self::Refused
    }

    /// Lets the browser hand the answer on. Never with credentials.
    pub fn allow(&self, headers: &mut HeaderMap) {
        if let Self::Allowed(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

fn is_own(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let named = origin.strip_prefix("http://").or(origin.strip_prefix("https://"));
    named.is_some() && named == host
}

/// Whether a browser says that our own page sent this. No script can write this header, and it holds where a proxy before
/// us has rewritten `Host`.
pub(super) fn is_same_origin(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// Whether a browser says that another site sent this.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site")
}

/// Whether another site's form may have sent this: it has a body of a kind that a form may have, and no word of the browser
/// whose it is.
pub(super) fn may_be_a_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default().trim_start());
    let is_json = |kind: &str| kind.get(..16).is_some_and(|start| start.eq_ignore_ascii_case("application/json"));
    kind.is_some_and(|kind| !is_json(kind)) && !headers.contains_key(header::ORIGIN) && !is_same_origin(headers)
}

/// Whether this may be what a page reads of the server that it came from: a browser names no origin then, and says where from
/// only over TLS and on its own machine. Every browser tells its languages, and a script may choose but not hide them; few
/// programs do, and such that speak as a browser would (Node's `fetch`) tell a mode, which no script can.
pub(super) fn may_be_a_silent_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ACCEPT_LANGUAGE)
        && !headers.contains_key(header::ORIGIN)
        && !headers.contains_key("sec-fetch-mode")
}

/// Answered here, never by a node: a browser asks before each request, and nobody may be woken by that.
pub fn preflight(origin: &Origin, asked: &HeaderMap) -> Response<Body> {
    const METHODS: HeaderValue = HeaderValue::from_static("GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
    const ASKED: [HeaderName; 2] = [header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_REQUEST_HEADERS];
    if !asked.contains_key(header::ORIGIN) {
        return reply::whole(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "405 method not allowed");
    }
    let mut response = reply::bare(StatusCode::NO_CONTENT);
    origin.allow(response.headers_mut());
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    // Whoever may talk to us may use any header its SDK likes.
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("43200"));
    for name in ASKED {
        headers.append(header::VARY, HeaderValue::from(name));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(origin: &'static str, more: &[&str]) -> Origin {
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("pi:11434"));
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        Origins::new(&more).judge(&headers, || true)
    }

    #[test]
    fn ollamas_own_list_is_allowed_and_strangers_are_not() {
        assert!(matches!(judged("http://localhost:3000", &[]), Origin::Allowed(_)));
        assert!(matches!(judged("app://obsidian.md", &[]), Origin::Allowed(_)));
        assert_eq!(judged("https://evil.example", &[]), Origin::Refused);
        assert_eq!(judged("http://localhost.evil.example", &[]), Origin::Refused);
        assert_eq!(judged("null", &[]), Origin::Refused);
    }

    #[test]
    fn the_page_of_the_proxy_itself_is_the_same_origin() {
        assert_eq!(judged("http://pi:11434", &[]), Origin::Same);
    }

    #[test]
    fn the_page_is_the_same_origin_behind_a_proxy_that_rewrites_host_when_the_browser_says_so() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("10.0.0.2:11434"));
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://home.example"));
        for (site, same) in [("cross-site", false), ("same-site", false), ("same-origin", true)] {
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            assert_eq!(Origins::new(&[]).judge(&headers, || true) == Origin::Same, same, "{site}");
        }
    }

    #[test]
    fn a_page_of_a_name_that_cannot_be_ours_is_a_stranger_though_it_called_us_by_it() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("evil.example:11434"));
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://evil.example:11434"));
        assert_eq!(Origins::new(&[]).judge(&headers, || false), Origin::Refused);
    }

    #[test]
    fn a_form_is_known_by_its_body_and_by_the_silence_of_its_browser() {
        let judged = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            may_be_a_form(&headers)
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert!(judged(&[form]) && judged(&[("content-type", "text/plain")]));
        assert!(!judged(&[]) && !judged(&[("content-type", "Application/JSON; charset=utf-8")]));
        assert!(!judged(&[form, ("origin", "http://pi")]) && !judged(&[form, ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn further_origins_may_hold_wildcards() {
        assert!(matches!(judged("https://chat.example", &["https://*.example", "https://chat.example"]), Origin::Allowed(_)));
        assert!(matches!(judged("null", &["*"]), Origin::Allowed(_)));
        assert!(matches!(judged("chrome-extension://abc", &["chrome-extension://*"]), Origin::Allowed(_)));
        assert!(matches!(judged("https://a.chat.example:8443", &["https://*.chat.example:*"]), Origin::Allowed(_)));
        for (origin, more) in [
            ("null", "https://*"),
            ("moz-extension://abc", "chrome-extension://*"),
            ("http://a.chat.example", "https://*.chat.example"),
            ("https://a.chat.example.evil.example", "https://*.chat.example"),
        ] {
            assert_eq!(judged(origin, &[more]), Origin::Refused, "{origin} by {more}");
        }
    }
}
