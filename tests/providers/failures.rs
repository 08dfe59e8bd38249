//! What goes wrong at a provider, before the first word and after it; and clients that leave.

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client;
use crate::rig::{Rig, events, lines};
use crate::wire::{SOON, Wire};

fn chat(model: &str, words: &str, stream: bool) -> Value {
    json!({ "model": model, "max_tokens": 9, "stream": stream, "messages": [{ "role": "user", "content": words }] })
}

#[tokio::test]
async fn a_refused_key_is_502_in_plain_words_so_that_no_client_starts_a_sign_in() {
    let rig = Rig::with(&[("OPENAI_API_KEY", "sk-wrong-key".to_owned())]).await;
    for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
        let answer = rig.post(path, &chat("openai/gpt-4o-mini", "Hi", true)).await;
        assert_eq!(answer.status(), 502, "{path}");
        assert!(answer.error().contains("check its API key"), "{}", answer.text());
        assert!(!answer.text().contains("sk-wrong-key"));
    }
}

#[tokio::test]
async fn a_limit_keeps_its_retry_after_in_every_dialect() {
    let rig = Rig::start().await;
    for (path, kind) in
        [("/api/chat", None), ("/v1/chat/completions", Some("requests")), ("/v1/messages", Some("rate_limit_error"))]
    {
        let answer = rig.post(path, &chat("openai/gpt-4o-mini", "too fast", true)).await;
        assert_eq!((answer.status(), answer.head.get("retry-after")), (429, Some("7")), "{path}");
        assert_eq!(answer.json()["error"]["type"].as_str(), kind, "{path}: {}", answer.text());
        assert_eq!(answer.head.get("x-should-retry"), None, "its own SDK may come again");
    }
    let busy = rig.post("/api/chat", &chat("anthropic/claude-first", "too much", true)).await;
    assert_eq!(busy.status(), 503, "529 is nothing that other dialects know");
    assert!(busy.head.get("retry-after").is_some());
}

#[tokio::test]
async fn an_unknown_model_is_404_and_a_failure_502_in_the_clients_dialect() {
    let rig = Rig::start().await;
    let answer = rig.post("/api/chat", &chat("openai/gpt-9", "Hi", true)).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.error().contains("gpt-9"));
    let answer = rig.post("/v1/messages", &chat("openai/gpt-4o-mini", "fall over", false)).await;
    assert_eq!((answer.status(), &answer.json()["error"]["type"]), (502, &json!("api_error")));
    let answer = rig.post("/v1/chat/completions", &chat("openai/gpt-9", "Hi", true)).await;
    assert_eq!(
        (answer.status(), &answer.json()["error"]["code"]),
        (404, &json!("model_not_found")),
        "in its own dialect it passes"
    );
}

#[tokio::test]
async fn an_error_that_hides_behind_a_200_is_a_real_status() {
    let rig = Rig::start().await;
    for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
        for stream in [true, false] {
            let answer = rig.post(path, &chat("openai/gpt-4o-mini", "first error", stream)).await;
            assert_eq!(answer.status(), 429, "{path}: {}", answer.text());
            let answer = rig.post(path, &chat("anthropic/claude-first", "first error", stream)).await;
            assert_eq!(answer.status(), 503, "{path}: {}", answer.text());
            assert!(answer.error().contains("Overloaded"));
        }
    }
}

#[tokio::test]
async fn half_of_a_whole_answer_is_no_success_in_any_dialect() {
    let rig = Rig::start().await;
    for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
        let answer = rig.post(path, &chat("openai/gpt-4o-mini", "end early", false)).await;
        assert_eq!(answer.status(), 502, "{path}: {}", answer.text());
        assert!(answer.error().contains("cannot be passed on"), "{}", answer.text());
    }
}

#[tokio::test]
async fn an_error_in_the_middle_ends_the_stream_in_the_clients_dialect() {
    let rig = Rig::start().await;
    for words in ["late error", "break off", "end early"] {
        let answer = rig.post("/api/chat", &chat("openai/gpt-4o-mini", words, true)).await;
        let lines = lines(&answer);
        assert_eq!(answer.status(), 200);
        assert_eq!(lines[0]["message"]["content"], "Hello");
        assert!(lines.last().unwrap()["error"].is_string(), "{words}: {}", answer.text());
        assert!(lines.iter().all(|line| line["done"] != true), "{words}");
        for (path, model) in [("/v1/chat/completions", "openai/gpt-4o-mini"), ("/v1/messages", "openai/gpt-4o-mini")] {
            let answer = rig.post(path, &chat(model, words, true)).await;
            assert!(events(&answer).last().unwrap()["error"]["message"].is_string(), "{words} {path}: {}", answer.text());
            assert!(!answer.text().contains("[DONE]") && !answer.text().contains("message_stop"), "{words} {path}");
        }
    }
    let answer = rig.post("/v1/chat/completions", &chat("anthropic/claude-first", "late error", true)).await;
    assert!(events(&answer).last().unwrap()["error"]["message"].as_str().unwrap().contains("Internal server error"));
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_502() {
    let rig = Rig::with(&[("OPENAI_BASE_URL", "http://127.0.0.1:9/v1".to_owned())]).await;
    let answer = rig.post("/api/chat", &chat("openai/gpt-4o-mini", "Hi", true)).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.error().starts_with("openai: it could not be reached"), "{}", answer.error());
}

#[tokio::test]
async fn a_stream_that_stays_silent_has_its_head_passed_on_all_the_same() {
    let rig = Rig::start().await;
    let asking = ["/api/chat", "/v1/chat/completions"].map(|path| {
        let (body, address) = (chat("openai/gpt-4o-mini", "stay silent", true).to_string(), rig.address);
        tokio::spawn(async move {
            let mut wire = Wire::connect(address).await;
            wire.say(client::request(&format!("POST {path}"), &[], body)).await;
            timeout(30 * SOON, wire.head()).await.expect("a head without a word").unwrap().status()
        })
    });
    for asked in asking {
        assert_eq!(asked.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_providers_call() {
    let rig = Rig::start().await;
    for (path, words) in [("/api/chat", "never end"), ("/v1/chat/completions", "never end"), ("/v1/messages", "never end")] {
        let before = rig.openai.dropped();
        let mut wire = Wire::connect(rig.address).await;
        let body = chat("openai/gpt-4o-mini", words, true).to_string();
        wire.say(client::request(&format!("POST {path}"), &[], body)).await;
        assert_eq!(wire.head().await.unwrap().status(), 200);
        drop(wire);
        let ends = async {
            while rig.openai.dropped() == before {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, ends).await.unwrap_or_else(|_| panic!("{path}: the call goes on"));
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_provider_back() {
    let rig = Rig::start().await;
    let mut wire = Wire::connect(rig.address).await;
    let body = chat("openai/gpt-4o-mini", "never end", true).to_string();
    wire.say(client::request("POST /api/chat", &[], body)).await;
    wire.head().await.unwrap();
    // The provider has as much to say as it can; sockets are full once it says no more.
    let mut taken = 0;
    for _ in 0..200 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let now = rig.openai.taken();
        if now == taken {
            break;
        }
        taken = now;
    }
    assert_eq!(rig.openai.taken(), taken, "it never stops");
    assert!(taken * 300 < 64 * 1024 * 1024, "{taken} chunks were taken in");
}
