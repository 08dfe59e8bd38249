//! Ollama's table of routes, and its router's rules for what is in none of them.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Root,
    Version,
    Status,
    Tags,
    Ps,
    Show,
    Recommendations,
    Chat,
    Generate,
    Embed,
    Embeddings,
    V1Chat,
    V1Completions,
    V1Embeddings,
    V1Models,
    V1Model,
    V1Messages,
    V1Responses,
    Transcription,
    Pull,
    Push,
    Create,
    Copy,
    Delete,
    HasBlob,
    TakeBlob,
    Me,
    SignOut,
    CloudOnly,
    Preflight,
    Redirect(StatusCode),
    NotFound,
    NotAllowed,
}

const TABLE: &[(&str, &str, Route)] = &[
    ("GET HEAD", "/", Route::Root),
    ("GET HEAD", "/api/version", Route::Version),
    ("GET", "/api/status", Route::Status),
    ("GET HEAD", "/api/tags", Route::Tags),
    ("GET", "/api/ps", Route::Ps),
    ("POST", "/api/show", Route::Show),
    ("GET", "/api/experimental/model-recommendations", Route::Recommendations),
    ("POST", "/api/chat", Route::Chat),
    ("POST", "/api/generate", Route::Generate),
    ("POST", "/api/embed", Route::Embed),
    ("POST", "/api/embeddings", Route::Embeddings),
    ("POST", "/v1/chat/completions", Route::V1Chat),
    ("POST", "/v1/completions", Route::V1Completions),
    ("POST", "/v1/embeddings", Route::V1Embeddings),
    ("GET", "/v1/models", Route::V1Models),
    ("GET", "/v1/models/:model", Route::V1Model),
    ("POST", "/v1/messages", Route::V1Messages),
    ("POST", "/v1/responses", Route::V1Responses),
    ("POST", "/v1/audio/transcriptions", Route::Transcription),
    ("POST", "/api/pull", Route::Pull),
    ("POST", "/api/push", Route::Push),
    ("POST", "/api/create", Route::Create),
    ("POST", "/api/copy", Route::Copy),
    ("DELETE", "/api/delete", Route::Delete),
    ("HEAD", "/api/blobs/:digest", Route::HasBlob),
    ("POST", "/api/blobs/:digest", Route::TakeBlob),
    ("POST", "/api/me", Route::Me),
    ("POST", "/api/signout", Route::SignOut),
    ("DELETE", "/api/user/keys/:key", Route::SignOut),
    ("POST", "/api/experimental/web_search", Route::CloudOnly),
    ("POST", "/api/experimental/web_fetch", Route::CloudOnly),
];

impl Route {
    /// The route of a request and its template.
    pub(super) fn find(method: &Method, path: &str) -> (Self, &'static str) {
        if *method == Method::OPTIONS {
            return (Self::Preflight, "other");
        }
        let matching = |path: &str| TABLE.iter().filter(|(_, template, _)| matches(template, path)).collect::<Vec<_>>();
        let takes = |methods: &str| methods.split(' ').any(|m| m == method.as_str());
        let here = matching(path);
        if let Some((_, template, route)) = here.iter().find(|(methods, ..)| takes(methods)) {
            return (*route, template);
        }
        let bare = path.strip_suffix('/').filter(|bare| !bare.is_empty());
        if bare.is_some_and(|bare| matching(bare).iter().any(|(methods, ..)| takes(methods))) {
            let get = *method == Method::GET;
            return (Self::Redirect(if get { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT }), "other");
        }
        (if here.is_empty() { Self::NotFound } else { Self::NotAllowed }, "other")
    }

    /// Whether a GPU PC has something to do: neither a listing nor a check.
    pub(super) fn is_work(self) -> bool {
        use Route::{
            Chat, Copy, Create, Delete, Embed, Embeddings, Generate, HasBlob, Pull, Push, TakeBlob, Transcription, V1Chat,
            V1Completions, V1Embeddings, V1Messages, V1Responses,
        };
        let inference = matches!(
            self,
            Chat | Generate
                | Embed
                | Embeddings
                | V1Chat
                | V1Completions
                | V1Embeddings
                | V1Messages
                | V1Responses
                | Transcription
        );
        inference || matches!(self, Pull | Push | Create | Copy | Delete | HasBlob | TakeBlob)
    }

    /// What a dead runner looks like in the middle of this route's stream, given the stream's last chunk.
    /// Ollama shows an error on its own routes only: OpenAI's get an empty chunk without a model, the others just stop.
    pub(super) fn runner_error(self, last: &[u8]) -> Option<String> {
        match self {
            Self::Chat | Self::Generate | Self::Pull | Self::Push | Self::Create => {
                let text = "an error was encountered while running the model: unexpected EOF";
                Some(format!("{}\n", json!({"error": text})))
            }
            Self::V1Chat | Self::V1Completions => {
                let mut chunk: Value = serde_json::from_slice(last.strip_prefix(b"data: ")?).ok()?;
                chunk["model"] = "".into();
                let choice = match self {
                    Self::V1Chat => json!({"index": 0, "delta": {"content": ""}, "finish_reason": null}),
                    _ => json!({"text": "", "index": 0, "finish_reason": null}),
                };
                chunk["choices"] = json!([choice]);
                Some(format!("data: {chunk}\n\n"))
            }
            _ => None,
        }
    }
}

fn matches(template: &str, path: &str) -> bool {
    match template.split_once(':') {
        None => template == path,
        Some((start, _)) => path.strip_prefix(start).is_some_and(|rest| !rest.is_empty() && !rest.contains('/')),
    }
}
