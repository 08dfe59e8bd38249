//! Ollama's route table and the OpenAI and Anthropic routes beside it: which method and path mean what.

use std::borrow::Cow;

use hyper::Method;

use super::{Mutation, Shape};

/// What a known route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    Tags,
    Version,
    Status,
    Show,
    Ps,
    Models,
    ModelById,
    /// Native generate or chat.
    Talk(Shape),
    /// Native embed and its older form.
    Embed,
    /// A `/v1` route that Ollama serves by its own chat.
    V1Chat,
    /// … by its own generate.
    V1Generate,
    /// … by its own embed.
    V1Embed,
    /// Speech and pictures: JSON or a multipart form, and no kind of load that we could name.
    Media,
    Change(Mutation),
}

/// A row of the table: methods apart by spaces, then the path. `{digest}` is one segment, `{model}` one or more since
/// names may hold slashes, `*` the rest.
type Row = (&'static str, &'static str, Means);

const TABLE: &[Row] = &[
    ("GET HEAD", "/api/tags", Means::Tags),
    ("GET HEAD", "/api/version", Means::Version),
    ("GET", "/api/status", Means::Status),
    ("POST", "/api/show", Means::Show),
    ("GET", "/api/ps", Means::Ps),
    ("POST", "/api/generate", Means::Talk(Shape::Generate)),
    ("POST", "/api/chat", Means::Talk(Shape::Chat)),
    ("POST", "/api/embed", Means::Embed),
    ("POST", "/api/embeddings", Means::Embed),
    ("POST", "/api/pull", Means::Change(Mutation::Pull)),
    ("POST", "/api/push", Means::Change(Mutation::Push)),
    ("POST", "/api/create", Means::Change(Mutation::Create)),
    ("POST", "/api/copy", Means::Change(Mutation::Copy)),
    ("DELETE", "/api/delete", Means::Change(Mutation::Delete)),
    ("POST", "/api/blobs/{digest}", Means::Change(Mutation::BlobUpload)),
    ("HEAD", "/api/blobs/{digest}", Means::Change(Mutation::BlobHead)),
    ("GET", "/v1/models", Means::Models),
    ("GET", "/v1/models/{model}", Means::ModelById),
    ("POST", "/v1/chat/completions", Means::V1Chat),
    ("POST", "/v1/completions", Means::V1Generate),
    ("POST", "/v1/embeddings", Means::V1Embed),
    ("POST", "/v1/responses", Means::V1Chat),
    ("POST", "/v1/messages", Means::V1Chat),
    ("POST", "/v1/audio/*", Means::Media),
    ("POST", "/v1/images/*", Means::Media),
];

/// What the table says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Route(&'static str, Means),
    /// The path is known; the node will answer 405.
    WrongMethod(&'static str),
    Unknown,
}

/// Looks up a decoded path.
pub(super) fn find(method: &Method, path: &str) -> Found {
    let mut found = Found::Unknown;
    for (methods, template, means) in TABLE {
        if !fits(template, path) {
            continue;
        }
        if methods.split(' ').any(|m| m == method.as_str()) {
            return Found::Route(template, *means);
        }
        found = Found::WrongMethod(template);
    }
    found
}

fn fits(template: &str, path: &str) -> bool {
    // Most templates are plain, and a look at their end tells it.
    if !matches!(template.as_bytes().last(), Some(b'}' | b'*')) {
        return template == path;
    }
    let Some(at) = template.find(['{', '*']) else { return false };
    let Some(rest) = path.strip_prefix(&template[..at]).filter(|rest| !rest.is_empty()) else { return false };
    !(template.ends_with("{digest}") && rest.contains('/'))
}

/// Whether an unknown path is one that spends nobody's GPU: token counts, accounts, searches on the web.
pub(super) fn needs_no_gpu(path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next();
    matches!(path, "/api/me" | "/api/signout")
        || path.starts_with("/api/user/")
        || path.starts_with("/api/experimental/")
        || matches!(last, Some("count_tokens" | "web_search" | "web_fetch"))
}

/// The path as the node's router sees it: percent-decoded. `None` if it is not decodable text.
pub(super) fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The id in a decoded `/v1/models/{model}` path.
pub(super) fn model_id(path: &str) -> &str {
    path.strip_prefix("/v1/models/").unwrap_or_default()
}
