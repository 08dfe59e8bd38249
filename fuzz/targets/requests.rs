//! What clients send: requests of every kind, forms, names of models.

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::Method;
use ollama_proxy::classify::{classify, streams_up};
use ollama_proxy::values::ModelName;

const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::DELETE, Method::PUT];

const PATHS: [&str; 16] = [
    "/",
    "/api/generate",
    "/api/chat",
    "/api/embed",
    "/api/embeddings",
    "/api/show",
    "/api/tags",
    "/api/pull",
    "/api/create",
    "/api/copy",
    "/api/delete",
    "/api/blobs/sha256:x",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/models/m",
];

/// A request with a JSON body: method, path, and the rest is the body, cut off anywhere.
pub fn requests(mut data: &[u8]) {
    let method = METHODS[super::number(&mut data) % METHODS.len()].clone();
    let path = PATHS[super::number(&mut data) % PATHS.len()];
    let (headers, body) = (HeaderMap::new(), Bytes::copy_from_slice(data));
    let ask = classify(&method, path, &headers, &body);
    assert!(!(ask.malformed && ask.preload.is_some()), "nothing is loaded for nonsense");
    if let Some(preload) = &ask.preload {
        let sent: serde_json::Value = serde_json::from_slice(&preload.body()).expect("a preload is JSON");
        assert_eq!(sent["model"].as_str(), ask.model.as_deref(), "a preload is of the model that was asked for");
    }
    // An unknown path of a client's own making.
    if let Ok(path) = std::str::from_utf8(data) {
        streams_up(&method, path);
        classify(&method, path, &headers, &Bytes::new());
    }
}

/// A form (an audio file with its model): the type up to the first line end, then the body.
pub fn forms(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (kind, body) = data.split_at(end);
    let Ok(kind) = HeaderValue::from_bytes(kind) else { return };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    classify(&Method::POST, "/v1/audio/transcriptions", &headers, &body);
}

/// A name of a model: what is printed of it is read as the same name again.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(name) = ModelName::parse(text) else { return };
    let again = ModelName::parse(&name.canonical()).expect("a canonical name is a name");
    assert_eq!(again.canonical(), name.canonical());
    if !name.is_cloud() {
        let again = ModelName::parse(&name.display()).expect("what is printed is a name");
        assert_eq!(again.canonical(), name.canonical());
    }
}
