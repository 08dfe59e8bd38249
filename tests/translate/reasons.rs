//! Why an answer ended: each word of each dialect in the words of the others, whole and streaming.

use ollama_proxy::translate::whole;
use serde_json::{Value, json};

use crate::streams::{heard, spoken, translated};
use crate::{client, now, pairs, tongue};

/// The whole answer that says the row's reason.
fn answer(row: &Value) -> Value {
    let (reason, called) = (&row["reason"], row["called"] == true);
    match row["tongue"].as_str().unwrap() {
        "native" => {
            let mut message = json!({ "role": "assistant", "content": "a" });
            if called {
                message["tool_calls"] = json!([{ "function": { "name": "f", "arguments": { "a": 1 } } }]);
            }
            json!({ "model": "m", "message": message, "done": true, "done_reason": reason })
        }
        "openai" => {
            let mut message = json!({ "role": "assistant", "content": "a" });
            if called {
                message["tool_calls"] =
                    json!([{ "id": "t", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } }]);
            }
            json!({ "choices": [{ "index": 0, "message": message, "finish_reason": reason }] })
        }
        _ => {
            let mut content = vec![json!({ "type": "text", "text": "a" })];
            content.extend(called.then(|| json!({ "type": "tool_use", "id": "t", "name": "f", "input": { "a": 1 } })));
            json!({ "type": "message", "content": content, "stop_reason": reason, "usage": { "input_tokens": 1, "output_tokens": 1 } })
        }
    }
}

/// The same in pieces.
fn pieces(row: &Value) -> Value {
    let (reason, called) = (&row["reason"], row["called"] == true);
    let mut said = Vec::new();
    match row["tongue"].as_str().unwrap() {
        "native" => {
            said.push(json!({ "message": { "role": "assistant", "content": "a" }, "done": false }));
            let call = json!([{ "function": { "name": "f", "arguments": { "a": 1 } } }]);
            said.extend(called.then(|| json!({ "message": { "content": "", "tool_calls": call }, "done": false })));
            said.push(json!({ "message": { "content": "" }, "done": true, "done_reason": reason }));
        }
        "openai" => {
            let delta = |delta: Value| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] });
            said.push(delta(json!({ "role": "assistant", "content": "a" })));
            let call = json!({ "index": 0, "id": "t", "function": { "name": "f", "arguments": "{\"a\":1}" } });
            said.extend(called.then(|| delta(json!({ "tool_calls": [call] }))));
            said.push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }));
            said.push("data: [DONE]\n\n".into());
        }
        _ => {
            said.push(json!({ "type": "message_start", "message": { "usage": { "input_tokens": 1 } } }));
            said.push(json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "a" } }));
            if called {
                let block = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
                said.push(json!({ "type": "content_block_start", "index": 1, "content_block": block }));
                let delta = json!({ "type": "input_json_delta", "partial_json": "{\"a\":1}" });
                said.push(json!({ "type": "content_block_delta", "index": 1, "delta": delta }));
            }
            said.push(json!({ "type": "message_delta", "delta": { "stop_reason": reason }, "usage": { "output_tokens": 1 } }));
            said.push(json!({ "type": "message_stop" }));
        }
    }
    said.into()
}

/// Every reason that is said in an answer, or in the pieces of one.
fn reasons(voice: &str, said: &[Value]) -> Vec<Value> {
    let reason = |value: &Value| match voice {
        "/v1/messages" => [&value["stop_reason"], &value["delta"]["stop_reason"]].into_iter().find(|it| it.is_string()).cloned(),
        voice if voice.starts_with("/v1/") => Some(value["choices"][0]["finish_reason"].clone()).filter(Value::is_string),
        _ => Some(value["done_reason"].clone()).filter(Value::is_string),
    };
    said.iter().filter_map(reason).collect()
}

#[test]
fn every_reason_has_its_word_in_each_dialect_whole_and_streaming() {
    let rows = pairs(include_str!("reasons.json"));
    assert!(rows.len() > 15);
    for row in rows {
        for (voice, expected) in [
            ("/api/chat", &row["native"]),
            ("/api/generate", &row["native"]),
            ("/v1/chat/completions", &row["openai"]),
            ("/v1/messages", &row["anthropic"]),
        ] {
            let pair = json!({ "says": row, "voice": voice, "tongue": row["tongue"], "said": pieces(&row) });
            let given = whole(tongue(&pair), client(&pair), answer(&row).to_string().as_bytes(), now()).unwrap();
            let given: Value = serde_json::from_slice(&given).unwrap();
            assert_eq!(reasons(voice, &[given]), std::slice::from_ref(expected), "{row} for {voice}, whole");
            let (out, error) = translated(&pair, &[spoken(&pair).as_bytes()]);
            assert_eq!(error, None, "{row} for {voice}");
            assert_eq!(reasons(voice, &heard(&pair, &out)), std::slice::from_ref(expected), "{row} for {voice}, streaming");
        }
    }
}
