//! From bytes to something that can be peeked at: encodings and forms. Says when a body is not what its route needs.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Method};

use super::peek::{self, Keys, Peek};
use super::routes::{Found, Means};
use super::{Mutation, multipart, zstd};

/// A body made readable.
pub(super) enum Reading<'a> {
    Text(Cow<'a, str>),
    /// A multipart form, with its model.
    Form(Option<String>),
    /// Encoded in a way that the node would refuse.
    Broken,
    /// Not looked at.
    Opaque,
}

impl Reading<'_> {
    /// Looks at the text, with the key rules of the path.
    pub(super) fn peek(&self, path: &str) -> Peek<'_> {
        match self {
            Self::Text(text) if path.starts_with("/api/") => peek::look(text, Keys::WithoutCase),
            Self::Text(text) => peek::look(text, Keys::Exact),
            Self::Form(_) | Self::Broken | Self::Opaque => Peek::Empty,
        }
    }

    /// The model of a form.
    pub(super) fn form_model(&self) -> Option<String> {
        match self {
            Self::Form(model) => model.clone(),
            _ => None,
        }
    }
}

/// Whether a body says anything on this route: GET bodies and blobs do not.
pub(super) fn is_told(method: &Method, found: Found) -> bool {
    let blob = matches!(found, Found::Route(_, Means::Change(Mutation::BlobUpload | Mutation::BlobHead)));
    !blob && (method == Method::POST || method == Method::DELETE)
}

/// Makes a body readable. `Content-Type` counts only where forms are taken, as everywhere in Ollama.
pub(super) fn read<'a>(path: &str, headers: &HeaderMap, body: &'a Bytes) -> Reading<'a> {
    let encoding = header(headers, &CONTENT_ENCODING).trim();
    let kind = header(headers, &CONTENT_TYPE);
    let media = path.starts_with("/v1/audio/") || path.starts_with("/v1/images/");
    if !path.starts_with("/v1/") || encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        // On `/api` Ollama takes the bytes as they are, whatever encoding is claimed.
        if media && multipart::is_form(kind) {
            return Reading::Form(multipart::model(kind, body));
        }
        return Reading::Text(peek::text(body));
    }
    if !encoding.eq_ignore_ascii_case("zstd") {
        return Reading::Opaque;
    }
    match zstd::decode(body) {
        Some(decoded) => Reading::Text(Cow::Owned(peek::text(&decoded).into_owned())),
        None => Reading::Broken,
    }
}

/// Whether a body is there and is no JSON although the route needs it.
pub(super) fn is_malformed(method: &Method, found: Found, reading: &Reading<'_>, peek: &Peek<'_>) -> bool {
    let broken = matches!(reading, Reading::Broken) || matches!(peek, Peek::Malformed);
    let begun = || matches!(reading, Reading::Text(text) if text.trim_ascii_start().starts_with('{'));
    match found {
        Found::Route(_, Means::Media) => matches!(reading, Reading::Broken) || broken && begun(),
        Found::Route(..) => broken,
        // An unknown path need not speak JSON; it does if the body begins so.
        Found::Unknown => broken && method == Method::POST && (begun() || matches!(reading, Reading::Broken)),
        Found::WrongMethod(_) => false,
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
