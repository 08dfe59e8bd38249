//! What the proxy keeps of a provider's answers for the next request: parameters that a model does not take, and signed
//! thoughts.

use serde_json::{Value, json};

use crate::rig::{Rig, lines};

const CHAT: &str = "POST /v1/chat/completions";
const MESSAGES: &str = "POST /v1/messages";

#[tokio::test]
async fn what_a_model_does_not_take_is_left_out_and_not_sent_a_second_time() {
    let rig = Rig::start().await;
    let body = json!({ "model": "openai/o4-mini", "messages": [{ "role": "user", "content": "Hi" }],
        "options": { "num_predict": 64, "temperature": 0.2, "top_p": 0.9, "seed": 3 } });
    for tries in [4, 5] {
        let answer = rig.post("/api/chat", &body).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(lines(&answer).last().unwrap()["done"], true);
        assert_eq!(answer.head.get("x-ollama-proxy-dropped"), Some("temperature, top_p"));
        assert_eq!(rig.openai.bodies(CHAT).len(), tries, "three refusals, each once");
    }
    let last = rig.openai.bodies(CHAT).pop().unwrap();
    assert_eq!((&last["max_completion_tokens"], &last["seed"]), (&json!(64), &json!(3)), "a limit keeps its meaning");
    let other = json!({ "model": "openai/gpt-4o-mini", "stream": false, "messages": [{ "role": "user", "content": "Hi" }], "options": { "temperature": 0.2 } });
    let answer = rig.post("/api/chat", &other).await;
    assert_eq!(answer.head.get("x-ollama-proxy-dropped"), None, "another model is another matter");
}

#[tokio::test]
async fn a_client_of_openais_dialect_hears_openais_own_refusal() {
    let rig = Rig::start().await;
    let body = json!({ "model": "openai/o4-mini", "temperature": 0.2, "messages": [{ "role": "user", "content": "Hi" }] });
    let answer = rig.post("/v1/chat/completions", &body).await;
    assert_eq!((answer.status(), &answer.json()["error"]["code"]), (400, &json!("unsupported_value")));
    assert_eq!(rig.openai.bodies(CHAT).len(), 1);
}

/// A question, the answer to it as a client of the native dialect keeps it, and what the tool says.
async fn conversation(rig: &Rig, stream: bool) -> Vec<Value> {
    let question = json!({ "role": "user", "content": "call the tool" });
    let answer = rig.post("/api/chat", &ask(&json!([question]), stream)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let mut said = json!({ "role": "assistant", "content": "", "thinking": "", "tool_calls": [] });
    for line in lines(&answer) {
        for key in ["content", "thinking"] {
            let more = format!("{}{}", said[key].as_str().unwrap(), line["message"][key].as_str().unwrap_or_default());
            said[key] = more.into();
        }
        said["tool_calls"].as_array_mut().unwrap().extend(line["message"]["tool_calls"].as_array().cloned().unwrap_or_default());
    }
    assert_ne!(said["thinking"], "");
    vec![question, said, json!({ "role": "tool", "tool_name": "weather", "content": "11 degrees" })]
}

fn ask(messages: &Value, stream: bool) -> Value {
    let tool = json!({ "name": "weather", "parameters": { "type": "object", "properties": {} } });
    json!({ "model": "anthropic/claude-first", "messages": messages, "think": true, "stream": stream, "tools": [{ "type": "function", "function": tool }] })
}

#[tokio::test]
async fn what_was_thought_before_a_call_goes_back_signed() {
    for stream in [true, false] {
        let rig = Rig::start().await;
        rig.listed().await;
        let messages = conversation(&rig, stream).await;
        let mut without_id = messages.clone();
        without_id[1]["tool_calls"][0].as_object_mut().unwrap().remove("id");
        let mut without_thoughts = messages.clone();
        without_thoughts[1].as_object_mut().unwrap().remove("thinking");
        for said in [messages, without_id, without_thoughts] {
            let answer = rig.post("/api/chat", &ask(&json!(said), stream)).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
            let asked = rig.anthropic.bodies(MESSAGES).pop().unwrap();
            assert_eq!(asked["thinking"], json!({ "type": "adaptive" }), "it goes on thinking");
            assert_eq!(asked["messages"][1]["content"][0]["type"], "thinking");
            assert_ne!(asked["messages"][1]["content"][0]["signature"], "");
        }
    }
}

#[tokio::test]
async fn a_conversation_whose_thoughts_are_lost_goes_on_without_thinking() {
    let rig = Rig::start().await;
    rig.listed().await;
    let mut messages = conversation(&rig, false).await;
    messages[1]["thinking"] = "something else".into();
    messages[1]["tool_calls"][0]["id"] = "call_of_another_house".into();
    let answer = rig.post("/api/chat", &ask(&json!(messages), false)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(rig.anthropic.bodies(MESSAGES).pop().unwrap()["thinking"], json!({ "type": "disabled" }));
    messages.push(json!({ "role": "assistant", "content": "It is cold." }));
    messages.push(json!({ "role": "user", "content": "Thanks" }));
    let answer = rig.post("/api/chat", &ask(&json!(messages), false)).await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let asked = rig.anthropic.bodies(MESSAGES).pop().unwrap();
    assert_eq!(asked["thinking"], json!({ "type": "adaptive" }), "once the user has spoken nothing is wanted back");
}

#[tokio::test]
async fn a_schema_and_a_picture_reach_every_provider_in_a_form_that_it_takes() {
    const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let rig = Rig::start().await;
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string", "maxLength": 9 }, "in": { "type": "object", "properties": { "n": { "type": "integer", "minimum": 0 } } } } });
    for model in ["openai/gpt-4o-mini", "anthropic/claude-first", "azure/mini"] {
        let messages = json!([{ "role": "user", "content": "Where?" }]);
        let body = json!({ "model": model, "messages": messages, "format": schema, "stream": false });
        let answer = rig.post("/api/chat", &body).await;
        assert_eq!(answer.status(), 200, "{model}: {}", answer.text());
        let said: Value = serde_json::from_str(answer.json()["message"]["content"].as_str().unwrap()).unwrap();
        assert_eq!(said, json!({ "city": "Paris", "in": { "n": 7 } }), "{model}");
        let messages = json!([{ "role": "user", "content": "What is it?", "images": [PIXEL] }]);
        let answer = rig.post("/api/chat", &json!({ "model": model, "messages": messages, "stream": false })).await;
        let seen = format!("I see image/png of {} bytes", 70);
        assert_eq!(answer.json()["message"]["content"], json!(seen), "{model}: {}", answer.text());
    }
}
