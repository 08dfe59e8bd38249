//! What is loaded beforehand for which ask.

use super::*;

fn preload(path: &str, body: &Value) -> Preload {
    post(path, body).preload.unwrap_or_else(|| panic!("{path} {body} has a preload"))
}

fn body_of(preload: &Preload) -> Value {
    serde_json::from_slice(&preload.body()).unwrap()
}

#[test]
fn each_kind_of_ask_is_preloaded_by_its_own_kind() {
    let chat = json!({"model": "A:1b", "messages": [], "keep_alive": "5m"});
    let plain = json!({"model": "A:1b", "keep_alive": "5m"});
    for (path, target, body) in [
        ("/api/generate", "/api/generate", &plain),
        ("/api/chat", "/api/chat", &chat),
        ("/api/embed", "/api/embed", &plain),
        ("/api/embeddings", "/api/embed", &plain),
        ("/v1/chat/completions", "/api/chat", &chat),
        ("/v1/responses", "/api/chat", &chat),
        ("/v1/messages", "/api/chat", &chat),
        ("/v1/completions", "/api/generate", &plain),
        ("/v1/embeddings", "/api/embed", &plain),
    ] {
        let preload = preload(path, &json!({"model": "A:1b", "prompt": "x", "messages": [1], "input": "x"}));
        assert_eq!((preload.path, preload.model.as_str(), &body_of(&preload)), (target, "A:1b", body), "{path}");
    }
}

#[test]
fn a_load_by_the_client_itself_is_preloaded_too() {
    assert_eq!(preload("/api/generate", &json!({"model": "a"})).path, "/api/generate");
    assert_eq!(preload("/api/chat", &json!({"model": "a", "messages": []})).path, "/api/chat");
}

#[test]
fn only_options_of_the_runner_are_passed_on() {
    let options = json!({"num_ctx": 8192.0, "temperature": 0.5, "use_mmap": false, "num_gpu": null, "num_batch": "x", "Num_Thread": 2, "seed": 1});
    let ask = json!({"model": "a", "prompt": "x", "Options": options, "shift": true, "format": "json"});
    assert_eq!(
        body_of(&preload("/api/generate", &ask)),
        json!({"model": "a", "keep_alive": "5m", "options": {"num_ctx": 8192, "use_mmap": false}, "shift": true})
    );
    let embed = preload("/api/embed", &json!({"model": "a", "input": "x", "shift": true, "options": {"num_ctx": 1}}));
    assert_eq!(body_of(&embed), json!({"model": "a", "keep_alive": "5m", "options": {"num_ctx": 1}}));
    let v1 = preload("/v1/completions", &json!({"model": "a", "options": {"num_ctx": 1}, "keep_alive": -1}));
    assert_eq!(body_of(&v1), json!({"model": "a", "keep_alive": "5m"}));
}

#[test]
fn a_longer_keep_alive_is_passed_on_and_a_shorter_one_is_not() {
    for (asked, kept) in [
        (json!(null), json!("5m")),
        (json!(300), json!("5m")),
        (json!(301), json!(301)),
        (json!(-1), json!(-1)),
        (json!(0), json!("5m")),
        (json!("10m"), json!("10m")),
        (json!("1h30m"), json!("1h30m")),
        (json!("1.5h"), json!("1.5h")),
        (json!("300s"), json!("5m")),
        (json!("-1m"), json!("-1m")),
        (json!("-1"), json!("5m")),
        (json!("1d"), json!("5m")),
        (json!("h"), json!("5m")),
        (json!("1e9s"), json!("5m")),
        (json!([1]), json!("5m")),
    ] {
        let preload = preload("/api/chat", &json!({"model": "a", "messages": [1], "keep_alive": asked}));
        assert_eq!(body_of(&preload)["keep_alive"], kept, "{asked}");
    }
}

#[test]
fn asks_share_a_load_exactly_when_model_options_and_kind_are_the_same() {
    let key = |path: &str, body: Value| preload(path, &body).key;
    let base = key("/api/chat", json!({"model": "llama3", "messages": [1], "options": {"num_ctx": 1, "num_gpu": 2}}));
    for (path, body) in [
        ("/api/chat", json!({"model": "LLAMA3:latest", "messages": [2], "options": {"num_gpu": 2, "num_ctx": 1.0}})),
        ("/api/chat", json!({"model": "llama3", "keep_alive": "1h", "options": {"num_ctx": 1, "num_gpu": 2, "seed": 3}})),
    ] {
        assert_eq!(key(path, body.clone()), base, "{path} {body}");
    }
    for (path, body) in [
        ("/api/chat", json!({"model": "llama3"})),
        ("/api/chat", json!({"model": "llama3", "options": {"num_ctx": 2, "num_gpu": 2}})),
        ("/api/chat", json!({"model": "llama3:8b", "options": {"num_ctx": 1, "num_gpu": 2}})),
        ("/api/chat", json!({"model": "llama3", "shift": false, "options": {"num_ctx": 1, "num_gpu": 2}})),
        ("/api/generate", json!({"model": "llama3", "options": {"num_ctx": 1, "num_gpu": 2}})),
    ] {
        assert_ne!(key(path, body.clone()), base, "{path} {body}");
    }
}

#[test]
fn what_cannot_be_loaded_has_no_preload() {
    for (path, body) in [
        ("/api/chat", json!({"messages": [1]})),
        ("/api/chat", json!({"model": "gpt-oss:120b-cloud", "messages": [1]})),
        ("/api/chat", json!({"model": "not a name", "messages": [1]})),
        ("/api/pull", json!({"model": "a"})),
        ("/api/show", json!({"model": "a"})),
        ("/v1/images/generations", json!({"model": "a"})),
    ] {
        assert_eq!(post(path, &body).preload, None, "{path} {body}");
    }
}

#[test]
fn a_name_that_needs_escaping_cannot_leave_its_place_in_the_body() {
    let preload = preload("/v1/completions", &json!({"model": "  a\n"}));
    assert_eq!(body_of(&preload)["model"], "  a\n");
}
