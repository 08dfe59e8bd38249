//! Clients of one dialect at a provider of another.

use serde_json::{Value, json};

use crate::rig::{Rig, events, lines};

const CHAT: &str = "POST /v1/chat/completions";
const MESSAGES: &str = "POST /v1/messages";

fn tools() -> Value {
    json!([{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object", "properties": { "city": { "type": "string" } } } } }])
}

#[tokio::test]
async fn a_native_chat_streams_from_openai_in_ollamas_own_shape() {
    let rig = Rig::start().await;
    let body = json!({ "model": "openai/gpt-4o-mini", "messages": [{ "role": "user", "content": "Hi" }], "options": { "num_predict": 128, "num_thread": 8 } });
    let answer = rig.post("/api/chat", &body).await;
    assert_eq!((answer.status(), answer.head.get("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(answer.head.get("x-ollama-proxy-node"), Some("openai"));
    assert_eq!(answer.head.get("x-ollama-proxy-dropped"), Some("num_thread"));
    assert_eq!(answer.head.get("x-accel-buffering"), Some("no"));
    let lines = lines(&answer);
    let text: String = lines.iter().map(|line| line["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(text, "Hello there ü");
    assert!(
        lines.iter().all(|line| line["model"] == "openai/gpt-4o-mini" && line["created_at"].as_str().unwrap().ends_with('Z'))
    );
    let (last, before) = lines.split_last().unwrap();
    assert!(before.iter().all(|line| line["done"] == false));
    assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
    assert_eq!((&last["prompt_eval_count"], &last["eval_count"]), (&json!(9), &json!(4)));
    assert!(last["eval_duration"].as_u64().unwrap() > 0 && last["total_duration"].as_u64() >= last["eval_duration"].as_u64());
    let asked = &rig.openai.bodies(CHAT)[0];
    assert_eq!(
        (&asked["model"], &asked["max_tokens"], &asked["stream_options"]["include_usage"]),
        (&json!("gpt-4o-mini"), &json!(128), &json!(true))
    );
    assert_eq!(rig.asked_of_node(), Vec::<String>::new(), "no node hears of it");
}

#[tokio::test]
async fn a_native_chat_with_tools_goes_there_and_back_at_both_providers() {
    let rig = Rig::start().await;
    for model in ["openai/gpt-4o-mini", "anthropic/claude-first"] {
        let question = json!({ "role": "user", "content": "call the tool" });
        let first = rig
            .post("/api/chat", &json!({ "model": model, "stream": false, "messages": [question], "tools": tools() }))
            .await
            .json();
        let call = &first["message"]["tool_calls"][0];
        assert_eq!(call["function"]["arguments"], json!({ "city": "Paris" }), "{first}");
        let answer = json!({ "role": "tool", "tool_name": "weather", "content": "11 degrees" });
        let again = json!({ "role": "user", "content": "And now?" });
        // Older clients send the call back without its id.
        let mut said = first["message"].clone();
        said["tool_calls"][0].as_object_mut().unwrap().remove("id");
        let second = rig
            .post("/api/chat", &json!({ "model": model, "messages": [question, said, answer, again], "tools": tools() }))
            .await;
        assert_eq!(second.status(), 200, "{}", second.text());
        assert_eq!(lines(&second).last().unwrap()["done"], true);
    }
}

#[tokio::test]
async fn streamed_calls_come_whole_to_native_clients() {
    let rig = Rig::start().await;
    for (model, id) in [("openai/gpt-4o-mini", "call_abc"), ("anthropic/claude-first", "toolu_1")] {
        let answer = rig
            .post(
                "/api/chat",
                &json!({ "model": model, "messages": [{ "role": "user", "content": "call the tool" }], "tools": tools() }),
            )
            .await;
        let calls: Vec<Value> = lines(&answer).into_iter().filter(|line| !line["message"]["tool_calls"].is_null()).collect();
        assert_eq!(calls.len(), 1, "{model}");
        let expected = json!([{ "id": id, "function": { "index": 0, "name": "weather", "arguments": { "city": "Paris" } } }]);
        assert_eq!(calls[0]["message"]["tool_calls"], expected);
        assert_eq!(calls[0]["done"], false);
    }
}

#[tokio::test]
async fn a_native_generate_and_a_whole_answer_come_from_anthropic() {
    let rig = Rig::start().await;
    rig.listed().await;
    let answer = rig
        .post(
            "/api/generate",
            &json!({ "model": "anthropic/claude-first", "prompt": "Hi", "system": "Be.", "stream": false, "think": true }),
        )
        .await;
    assert_eq!(answer.head.get("content-type"), Some("application/json; charset=utf-8"));
    let json = answer.json();
    assert_eq!((&json["response"], &json["done"], &json["prompt_eval_count"]), (&json!("Hello"), &json!(true), &json!(9)));
    let asked = &rig.anthropic.bodies(MESSAGES)[0];
    assert_eq!(
        (&asked["system"], &asked["max_tokens"], &asked["thinking"]),
        (&json!("Be."), &json!(64_000), &json!({ "type": "adaptive" })),
        "as its list says"
    );
}

#[tokio::test]
async fn an_openai_client_streams_from_anthropic() {
    let rig = Rig::start().await;
    let body = json!({ "model": "anthropic/claude-first", "stream": true, "stream_options": { "include_usage": true }, "tools": tools(), "messages": [{ "role": "user", "content": "call the tool" }] });
    let answer = rig.post("/v1/chat/completions", &body).await;
    assert_eq!(answer.head.get("content-type"), Some("text/event-stream"));
    let events = events(&answer);
    assert_eq!(events.last().unwrap(), "[DONE]");
    let id = &events[0]["id"];
    assert!(
        events
            .iter()
            .filter(|event| event.is_object())
            .all(|event| event["id"] == *id && event["model"] == "anthropic/claude-first")
    );
    let deltas = || events.iter().map(|event| &event["choices"][0]["delta"]);
    assert_eq!(deltas().filter_map(|delta| delta["content"].as_str()).collect::<String>(), "Hello");
    let arguments = deltas().filter_map(|delta| delta["tool_calls"][0]["function"]["arguments"].as_str()).collect::<String>();
    assert_eq!(arguments, "{\"city\":\"Paris\"}");
    assert!(events.iter().any(|event| event["choices"][0]["finish_reason"] == "tool_calls"));
    assert!(events.iter().any(|event| event["usage"]["total_tokens"] == 14));
}

#[tokio::test]
async fn an_anthropic_client_streams_from_openai_and_can_count_its_tokens() {
    let rig = Rig::start().await;
    let body = json!({ "model": "openai/gpt-4o-mini", "max_tokens": 50, "stream": true, "system": "Be.", "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = rig.post("/v1/messages", &body).await;
    let kinds: Vec<String> = answer.text().lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let end = &events(&answer)[5];
    assert_eq!(
        (&end["delta"]["stop_reason"], &end["usage"]),
        (&json!("end_turn"), &json!({ "input_tokens": 9, "output_tokens": 4 }))
    );
    let counted = rig.post("/v1/messages/count_tokens", &body).await.json();
    assert!(counted["input_tokens"].as_u64().unwrap() >= 1, "{counted}");
    let counted = rig
        .post(
            "/v1/messages/count_tokens",
            &json!({ "model": "anthropic/claude-first", "messages": [{ "role": "user", "content": "Hi" }] }),
        )
        .await
        .json();
    assert_eq!(counted["input_tokens"], 42, "Anthropic counts its own");
}

#[tokio::test]
async fn embeddings_come_in_ollamas_two_shapes() {
    let rig = Rig::start().await;
    let answer = rig.post("/api/embed", &json!({ "model": "openai/text-embedding-3-small", "input": ["a", "b"] })).await.json();
    assert_eq!(answer["embeddings"], json!([[0.5, -0.25, 0.125], [0.5, -0.25, 0.125]]));
    assert_eq!((&answer["model"], &answer["prompt_eval_count"]), (&json!("openai/text-embedding-3-small"), &json!(3)));
    let answer = rig.post("/api/embeddings", &json!({ "model": "openai/text-embedding-3-small", "prompt": "a" })).await;
    assert_eq!(answer.text(), "{\"embedding\":[0.5,-0.25,0.125]}");
    assert!(rig.openai.bodies("POST /v1/embeddings")[0]["encoding_format"].is_null(), "not every server packs numbers");
    rig.post("/api/embed", &json!({ "model": "azure/text-embedding-3-small", "input": "a" })).await;
    assert_eq!(rig.openai.bodies("POST /openai/v1/embeddings")[0]["encoding_format"], "base64");
    let refused = rig.post("/api/embed", &json!({ "model": "anthropic/claude-first", "input": "a" })).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.error().contains("no embeddings"));
}

#[tokio::test]
async fn a_load_and_an_unload_of_a_cloud_model_are_answered_here() {
    let rig = Rig::start().await;
    for (path, body, reason) in [
        ("/api/chat", json!({ "model": "openai/gpt-4o-mini", "messages": [] }), "load"),
        ("/api/chat", json!({ "model": "openai/gpt-4o-mini", "keep_alive": 0 }), "unload"),
        ("/api/generate", json!({ "model": "anthropic/claude-first" }), "load"),
        ("/api/generate", json!({ "model": "anthropic/claude-first", "prompt": "", "keep_alive": "0s" }), "unload"),
    ] {
        let answer = rig.post(path, &body).await.json();
        assert_eq!(
            (&answer["done"], &answer["done_reason"], &answer["model"]),
            (&json!(true), &json!(reason), &body["model"]),
            "{answer}"
        );
        assert_eq!(answer["message"].is_object(), path == "/api/chat");
    }
    assert_eq!(
        rig.post("/api/embed", &json!({ "model": "openai/text-embedding-3-small" })).await.json()["embeddings"],
        json!([])
    );
    assert!(rig.openai.bodies(CHAT).is_empty() && rig.anthropic.bodies(MESSAGES).is_empty(), "nothing was spent");
    assert_eq!(rig.asked_of_node(), Vec::<String>::new(), "and nobody woken");
}
