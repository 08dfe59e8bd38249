//! From bytes to something that can be peeked at: encodings and forms. Says when a body is not what its route needs.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, Method};

use super::peek::{self, Fields, Keys};
use super::routes::{Found, Means};
use super::{Mutation, multipart, zstd};

/// So many models of one form are looked at.
const MODELS: usize = 16;

/// A body made readable.
pub(super) enum Reading<'a> {
    Text(Cow<'a, str>),
    /// A multipart form, with its model; a second one is what another reader may take for it.
    Form(Vec<String>),
    /// Encoded in a way that the node would refuse.
    Broken,
    /// Not looked at.
    Opaque,
}

impl Reading<'_> {
    /// The fields of the text, with the key rules of the path. `None` if the body is broken or begins with no object.
    pub(super) fn fields(&self, path: &str) -> Option<Fields<'_>> {
        match self {
            Self::Text(text) if path.starts_with("/api/") => peek::look(text, Keys::WithoutCase),
            Self::Text(text) => peek::look(text, Keys::Exact),
            Self::Form(_) | Self::Opaque => Some(Fields::default()),
            Self::Broken => None,
        }
    }

    /// The models of a form.
    pub(super) fn form_models(&self) -> &[String] {
        match self {
            Self::Form(models) => models,
            _ => &[],
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
            return Reading::Form(multipart::models(kind, body).take(MODELS).map(|(model, _)| model).collect());
        }
        return Reading::Text(peek::text(body));
    }
    if !encoding.eq_ignore_ascii_case("zstd") {
        return Reading::Opaque;
    }
    match zstd::decode(body) {
        Some(decoded) => Reading::Text(Cow::Owned(peek::owned_text(decoded))),
        None => Reading::Broken,
    }
}

/// The bytes of a JSON body as those behind an encoding. `None` for an encoding that is not known, a broken one, or a form.
pub(super) fn decoded(path: &str, headers: &HeaderMap, body: &Bytes) -> Option<Bytes> {
    match read(path, headers, body) {
        Reading::Text(Cow::Borrowed(_)) => Some(body.clone()),
        Reading::Text(Cow::Owned(text)) => Some(text.into()),
        Reading::Form(_) | Reading::Broken | Reading::Opaque => None,
    }
}

/// Whether a body that could not be read as JSON should have been JSON.
pub(super) fn needs_json(method: &Method, found: Found, reading: &Reading<'_>) -> bool {
    let claims_json = || match reading {
        Reading::Text(text) => text.trim_ascii_start().starts_with('{'),
        Reading::Broken => true,
        Reading::Form(_) | Reading::Opaque => false,
    };
    match found {
        Found::Route(_, Means::Media) => claims_json(),
        Found::Route(..) => true,
        // An unknown path need not speak JSON; it does if the body begins so.
        Found::Unknown => method == Method::POST && claims_json(),
        Found::WrongMethod(_) => false,
    }
}

pub(super) fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
