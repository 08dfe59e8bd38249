//! Tables and properties of classification.

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use proptest::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};

use super::*;

mod preloads;
mod properties;

fn ask_with(method: &str, path: &str, headers: &HeaderMap, body: impl Into<Bytes>) -> Ask {
    classify(&method.parse().unwrap(), path, headers, &body.into())
}

fn ask(method: &str, path: &str, body: &str) -> Ask {
    ask_with(method, path, &HeaderMap::new(), body.to_owned())
}

fn post(path: &str, body: &Value) -> Ask {
    ask("POST", path, &body.to_string())
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[test]
fn each_route_has_its_class_and_every_other_method_on_it_is_other() {
    use Metadata::{ModelById, Models, Ps, Show, Status, Tags, Version};
    use Mutation::{BlobHead, BlobUpload, Copy, Create, Delete, Pull, Push};
    let meta = Class::Metadata;
    let change = Class::Mutation;
    let table = [
        ("GET HEAD", "/api/tags", "/api/tags", meta(Tags)),
        ("GET HEAD", "/api/version", "/api/version", meta(Version)),
        ("GET", "/api/status", "/api/status", meta(Status)),
        ("POST", "/api/show", "/api/show", meta(Show { plain: true })),
        ("GET", "/api/ps", "/api/ps", meta(Ps)),
        ("POST", "/api/generate", "/api/generate", Class::Inference),
        ("POST", "/api/chat", "/api/chat", Class::Inference),
        ("POST", "/api/embed", "/api/embed", Class::Inference),
        ("POST", "/api/embeddings", "/api/embeddings", Class::Inference),
        ("POST", "/api/pull", "/api/pull", change(Pull)),
        ("POST", "/api/push", "/api/push", change(Push)),
        ("POST", "/api/create", "/api/create", change(Create)),
        ("POST", "/api/copy", "/api/copy", change(Copy)),
        ("DELETE", "/api/delete", "/api/delete", change(Delete)),
        ("GET", "/v1/models", "/v1/models", meta(Models)),
        ("GET", "/v1/models/a", "/v1/models/{model}", meta(ModelById("a".into()))),
        ("POST", "/v1/chat/completions", "/v1/chat/completions", Class::Inference),
        ("POST", "/v1/completions", "/v1/completions", Class::Inference),
        ("POST", "/v1/embeddings", "/v1/embeddings", Class::Inference),
        ("POST", "/v1/responses", "/v1/responses", Class::Inference),
        ("POST", "/v1/messages", "/v1/messages", Class::Inference),
        ("POST", "/v1/audio/transcriptions", "/v1/audio/*", Class::Inference),
        ("POST", "/v1/images/generations", "/v1/images/*", Class::Inference),
    ];
    for (methods, path, route, class) in &table {
        for method in METHODS {
            let known = methods.split(' ').any(|m| m == method);
            let ask = ask(method, path, r#"{"model":"a","messages":[1],"prompt":"x"}"#);
            let expected = if known { class.clone() } else { Class::Other { may_wake: false } };
            assert_eq!((ask.route, &ask.class), (*route, &expected), "{method} {path}");
            assert_eq!(ask.replayable, if known { !matches!(class, Class::Mutation(_)) } else { method_is_safe(method) });
        }
    }
    let blob = "/api/blobs/sha256:00ff";
    assert_eq!(ask("POST", blob, "").class, change(BlobUpload));
    assert_eq!(ask("HEAD", blob, "").class, change(BlobHead));
    assert_eq!(ask("GET", blob, "").class, Class::Other { may_wake: false });
}

fn method_is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

#[test]
fn the_dialect_is_that_of_the_path() {
    for (path, dialect) in [
        ("/api/chat", Dialect::Native),
        ("/nowhere", Dialect::Native),
        ("/v1/chat/completions", Dialect::OpenAi),
        ("/v1/nowhere", Dialect::OpenAi),
        ("/v1/messages", Dialect::Anthropic),
        ("/v1/messages/count_tokens", Dialect::Anthropic),
    ] {
        assert_eq!(ask("POST", path, "{}").dialect, dialect, "{path}");
    }
}

#[test]
fn only_blob_uploads_are_streamed_up() {
    for (method, path, streams) in [
        ("POST", "/api/blobs/sha256:00ff", true),
        ("POST", "/api/blobs/sha256%3A00ff", true),
        ("HEAD", "/api/blobs/sha256:00ff", false),
        ("POST", "/api/blobs/", false),
        ("POST", "/api/blobs/a/b", false),
        ("POST", "/api/chat", false),
        ("POST", "/v1/audio/transcriptions", false),
        ("POST", "/api/blobs/%zz", false),
    ] {
        assert_eq!(streams_up(&method.parse().unwrap(), path), streams, "{method} {path}");
    }
}

#[test]
fn unknown_paths_wake_only_by_a_post_with_a_model() {
    let model = r#"{"model":"a"}"#;
    for (method, path, body, may_wake) in [
        ("POST", "/v1/rerank", model, true),
        ("POST", "/api/future", r#"{"MODEL":"a"}"#, true),
        ("POST", "/v1/rerank", r#"{"MODEL":"a"}"#, false),
        ("POST", "/v1/rerank", "{}", false),
        ("POST", "/v1/rerank", r#"{"model":""}"#, false),
        ("POST", "/v1/rerank", r#"{"model":5}"#, false),
        ("GET", "/v1/rerank", model, false),
        ("PUT", "/v1/rerank", model, false),
        ("POST", "/v1/messages/count_tokens", model, false),
        ("POST", "/api/me", model, false),
        ("POST", "/api/signout", model, false),
        ("POST", "/api/user/keys/1", model, false),
        ("POST", "/api/experimental/web_search", model, false),
        ("POST", "/api/experimental/anything", model, false),
        ("POST", "/api/web_search", model, false),
        ("POST", "/v1/web_fetch", model, false),
        ("POST", "/api/tags", model, false),
        ("GET", "/", "", false),
    ] {
        let ask = ask(method, path, body);
        assert_eq!(ask.class, Class::Other { may_wake }, "{method} {path} {body}");
        assert_eq!(ask.preload, None);
    }
    assert_eq!(ask("POST", "/v1/rerank", model).route, "other");
}

#[test]
fn a_model_id_may_hold_slashes_plain_or_encoded() {
    for (path, id) in [
        ("/v1/models/llama3:8b", "llama3:8b"),
        ("/v1/models/me/llama3:8b", "me/llama3:8b"),
        ("/v1/models/me%2Fllama3%3A8b", "me/llama3:8b"),
    ] {
        let ask = ask("GET", path, "");
        assert_eq!(ask.class, Class::Metadata(Metadata::ModelById(id.into())));
        assert_eq!(ask.model.as_deref(), Some(id));
    }
    for path in ["/v1/models/", "/v1/models/%ff", "/v1/models/%2", "/v1/modelsx"] {
        assert_eq!(ask("GET", path, "").class, Class::Other { may_wake: false }, "{path}");
    }
}

#[test]
fn an_encoded_path_means_what_it_decodes_to() {
    assert_eq!(ask("POST", "/api/ch%61t", r#"{"model":"a"}"#).class, Class::Inference);
    assert_eq!(ask("GET", "/api/tags/", "").route, "other");
}

#[test]
fn the_model_is_the_one_sent_whatever_the_key_case_on_api() {
    for (path, body, model) in [
        ("/api/chat", r#"{"model":"A:1B"}"#, Some("A:1B")),
        ("/api/chat", r#"{"MODEL":"a"}"#, Some("a")),
        ("/api/chat", r#"{"name":"a"}"#, None),
        ("/api/chat", r#"{"model":"a","Model":"b"}"#, Some("b")),
        ("/api/chat", r#"{"model":"a","model":null}"#, Some("a")),
        ("/api/chat", r#"{"model":"a","model":7}"#, None),
        ("/api/chat", r#"{"model":"a"} trailing { garbage"#, Some("a")),
        ("/api/chat", r#"{"x":{"model":"b"},"model":"\u0061"}"#, Some("a")),
        ("/api/chat", r#"{"\ud800":1,"y":"\ud800","model":"a"}"#, Some("a")),
        ("/api/chat", r#"{"model":["a"]}"#, None),
        ("/api/chat", r#"{"model":""}"#, None),
        ("/api/show", r#"{"name":"a"}"#, Some("a")),
        ("/api/show", r#"{"model":"","name":"a"}"#, Some("a")),
        ("/api/pull", r#"{"Name":"a"}"#, Some("a")),
        ("/api/copy", r#"{"source":"a","destination":"b"}"#, Some("a")),
        ("/v1/chat/completions", r#"{"model":"a"}"#, Some("a")),
        ("/v1/chat/completions", r#"{"Model":"a"}"#, None),
        ("/v1/images/generations", r#"{"model":"a"}"#, Some("a")),
    ] {
        let ask = ask("POST", path, body);
        assert_eq!((ask.model.as_deref(), ask.malformed), (model, false), "{path} {body}");
    }
    assert_eq!(ask("DELETE", "/api/delete", r#"{"name":"a"}"#).model.as_deref(), Some("a"));
}

#[test]
fn copies_and_creates_name_a_second_model() {
    assert_eq!(post("/api/copy", &json!({"source": "a", "destination": "b"})).names, ["b"]);
    let create = post("/api/create", &json!({"model": "new", "from": "old"}));
    assert_eq!((create.model.as_deref(), create.names), (Some("new"), vec!["old".to_owned()]));
}

#[test]
fn a_body_that_is_no_utf8_is_still_read() {
    let ask = ask_with("POST", "/api/chat", &HeaderMap::new(), &b"{\"model\":\"a\",\"messages\":[\"\xff\"]}"[..]);
    assert_eq!((ask.model.as_deref(), ask.malformed), (Some("a"), false));
}

#[test]
fn only_plain_shows_may_be_kept() {
    for (body, plain) in [
        (r#"{"model":"a"}"#, true),
        (r#"{"name":"a","template":"x","system":"","options":{},"verbose":false}"#, true),
        (r#"{"model":"a","system":null,"options":null,"verbose":null}"#, true),
        (r#"{"model":"a","VERBOSE":true}"#, false),
        (r#"{"model":"a","system":"x"}"#, false),
        (r#"{"model":"a","options":{"num_ctx":1}}"#, false),
        (r#"{"model":"a","verbose":"yes"}"#, false),
    ] {
        assert_eq!(ask("POST", "/api/show", body).class, Class::Metadata(Metadata::Show { plain }), "{body}");
    }
}

#[test]
fn nothing_to_say_and_no_keep_alive_is_an_unload() {
    for keep_alive in [json!(0), json!(0.0), json!(-0.0), json!("0"), json!("0s"), json!("0h0m"), json!("-0"), json!("0.0ms")] {
        for (path, shape, bodies) in [
            ("/api/generate", Shape::Generate, [json!({}), json!({"prompt": ""}), json!({"prompt": null})]),
            ("/api/chat", Shape::Chat, [json!({}), json!({"messages": []}), json!({"messages": null})]),
        ] {
            for mut body in bodies {
                body["model"] = json!("a");
                body["keep_alive"] = keep_alive.clone();
                let ask = post(path, &body);
                assert_eq!(ask.class, Class::Unload(shape), "{path} {body}");
                assert!(!ask.streaming && ask.replayable && ask.preload.is_none());
            }
        }
    }
}

#[test]
fn whatever_generates_or_loads_is_no_unload() {
    for (path, body) in [
        ("/api/generate", r#"{"model":"a"}"#),
        ("/api/generate", r#"{"model":"a","prompt":"x","keep_alive":0}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":null}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":0,"keep_alive":null}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":"0s","keep_alive":null}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":"0 "}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":""}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":"5"}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":-1}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":0.5}"#),
        ("/api/generate", r#"{"model":"a","keep_alive":false}"#),
        ("/api/chat", r#"{"model":"a","messages":[],"keep_alive":"1ms"}"#),
        ("/api/chat", r#"{"model":"a","messages":[{}],"keep_alive":0}"#),
        ("/api/embed", r#"{"model":"a","keep_alive":0}"#),
        ("/v1/chat/completions", r#"{"model":"a","messages":[],"keep_alive":0}"#),
    ] {
        assert_eq!(ask("POST", path, body).class, Class::Inference, "{path} {body}");
    }
}

#[test]
fn native_answers_stream_unless_told_not_to_and_others_only_when_told() {
    for (path, body, streaming) in [
        ("/api/generate", r#"{"prompt":"x"}"#, true),
        ("/api/generate", r#"{"prompt":"x","stream":false}"#, false),
        ("/api/generate", r#"{"prompt":"x","stream":null}"#, true),
        ("/api/generate", r#"{"stream":true}"#, false),
        ("/api/chat", r#"{"messages":[{}]}"#, true),
        ("/api/chat", r#"{"messages":[ ],"stream":true}"#, false),
        ("/api/embed", r#"{"input":"x"}"#, false),
        ("/api/pull", r#"{"model":"a"}"#, true),
        ("/api/create", r#"{"model":"a","stream":false}"#, false),
        ("/api/show", r#"{"model":"a"}"#, false),
        ("/v1/chat/completions", "{}", false),
        ("/v1/chat/completions", r#"{"stream":true}"#, true),
        ("/v1/messages", r#"{"stream":true}"#, true),
        ("/v1/embeddings", r#"{"stream":true}"#, false),
    ] {
        assert_eq!(ask("POST", path, body).streaming, streaming, "{path} {body}");
    }
}

#[test]
fn a_body_is_malformed_only_where_json_is_needed_and_missing() {
    for (method, path, body, malformed) in [
        ("POST", "/api/chat", "", false),
        ("POST", "/api/chat", " \r\n", false),
        ("POST", "/api/chat", "{", true),
        ("POST", "/api/chat", "model=a", true),
        ("POST", "/api/chat", "[]", true),
        ("POST", "/api/chat", "null", true),
        ("POST", "/api/chat", r#"{"model":"a",}"#, true),
        ("DELETE", "/api/delete", "x", true),
        ("POST", "/api/blobs/sha256:00", "x", false),
        ("GET", "/api/tags", "x", false),
        ("GET", "/api/chat", "x", false),
        ("POST", "/api/tags", "x", false),
        ("POST", "/v1/chat/completions", "x", true),
        ("POST", "/v1/audio/transcriptions", "x", false),
        ("POST", "/v1/audio/speech", "{x", true),
        ("POST", "/v1/rerank", "x", false),
        ("POST", "/v1/rerank", "{x", true),
    ] {
        let ask = ask(method, path, body);
        assert_eq!(ask.malformed, malformed, "{method} {path} {body}");
        assert!(!malformed || ask.model.is_none());
    }
}

fn headers(name: hyper::header::HeaderName, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name, value.parse().unwrap())])
}

#[test]
fn the_content_type_of_json_routes_is_ignored() {
    for kind in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
        let ask = ask_with("POST", "/api/chat", &headers(CONTENT_TYPE, kind), r#"{"model":"a"}"#);
        assert_eq!(ask.model.as_deref(), Some("a"), "{kind}");
    }
}

#[test]
fn zstd_bodies_are_read_on_v1_only() {
    let body = compress_to_vec(&br#"{"model":"a","stream":true}"#[..], CompressionLevel::Fastest);
    let zstd = headers(CONTENT_ENCODING, "zstd");
    let v1 = ask_with("POST", "/v1/responses", &zstd, body.clone());
    assert_eq!((v1.model.as_deref(), v1.streaming, v1.malformed), (Some("a"), true, false));
    let native = ask_with("POST", "/api/chat", &zstd, body.clone());
    assert_eq!((native.model, native.malformed), (None, true));
    let broken = ask_with("POST", "/v1/responses", &zstd, body[..body.len() - 2].to_vec());
    assert_eq!((broken.model, broken.malformed), (None, true));
    let plain = ask_with("POST", "/api/chat", &zstd, r#"{"model":"a"}"#);
    assert_eq!(plain.model.as_deref(), Some("a"));
}

#[test]
fn gzip_bodies_are_not_read_and_not_judged_on_v1() {
    let ask = ask_with("POST", "/v1/responses", &headers(CONTENT_ENCODING, "gzip"), &b"\x1f\x8b\x08"[..]);
    assert_eq!((ask.model, ask.malformed, ask.class), (None, false, Class::Inference));
}

#[test]
fn a_form_on_audio_and_image_routes_gives_its_model() {
    let body = "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";
    for path in ["/v1/audio/transcriptions", "/v1/images/edits"] {
        let ask = ask_with("POST", path, &headers(CONTENT_TYPE, "multipart/form-data; boundary=x"), body);
        assert_eq!((ask.model.as_deref(), ask.malformed, ask.preload), (Some("whisper"), false, None), "{path}");
    }
}
