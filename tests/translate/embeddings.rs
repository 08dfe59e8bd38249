//! Embeddings between Ollama's two routes and OpenAI's one.

use ollama_proxy::translate::{EmbedRequest, EmbedRoute};
use serde_json::{Value, json};

use crate::now;

/// 0.5, -2.0 and 0.26726124 as OpenAI sends them.
const NUMBERS: &str = "AAAAPwAAAMB31og+";

fn wanted(route: &str, body: &Value) -> EmbedRequest {
    EmbedRequest::of(EmbedRoute::of_template(route).unwrap(), body.to_string().as_bytes()).unwrap()
}

fn json(body: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(body.as_ref()).unwrap()
}

#[test]
fn a_native_request_asks_for_base64_and_drops_what_a_runner_needs() {
    let asked = wanted(
        "/api/embed",
        &json!({ "model": "x", "input": ["a", "b"], "dimensions": 3, "truncate": true, "options": { "num_ctx": 1 }, "keep_alive": "5m" }),
    );
    let expected = json!({ "model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 3 });
    assert_eq!(json(asked.for_openai("m")), expected);
    assert_eq!(json(wanted("/api/embeddings", &json!({ "model": "x", "prompt": "a" })).for_openai("m"))["input"], "a");
}

#[test]
fn embeddings_are_put_in_the_order_of_their_index() {
    let answer = json!({ "data": [{ "index": 1, "embedding": [1.0] }, { "index": 0, "embedding": NUMBERS }], "usage": { "prompt_tokens": 4, "total_tokens": 4 } });
    let given = wanted("/api/embed", &json!({ "model": "x", "input": ["a", "b"] }))
        .from_openai(answer.to_string().as_bytes(), now())
        .unwrap();
    let text = String::from_utf8(given.clone()).unwrap();
    assert!(text.contains("[[0.5,-2.0,0.26726124],[1.0]]"), "numbers stay as short as 32 bits are: {text}");
    assert_eq!(json(given)["prompt_eval_count"], 4);
    assert_eq!(json(&text)["total_duration"], 2_000_000_000_u64);
}

#[test]
fn the_older_route_gets_one_embedding() {
    let answer = json!({ "data": [{ "index": 0, "embedding": NUMBERS }] });
    let given = wanted("/api/embeddings", &json!({ "model": "x", "prompt": "a" }))
        .from_openai(answer.to_string().as_bytes(), now())
        .unwrap();
    assert_eq!(String::from_utf8(given).unwrap(), r#"{"embedding":[0.5,-2.0,0.26726124]}"#);
}

#[test]
fn an_openai_client_gets_the_encoding_that_it_asked_for_from_a_node() {
    let answer = br#"{"model":"emb","embeddings":[[0.5,-2.0,0.26726124]],"prompt_eval_count":3}"#;
    for (format, expected) in [
        (None, json!([0.5, -2.0, 0.267_261_24])),
        (Some("float"), json!([0.5, -2.0, 0.267_261_24])),
        (Some("base64"), json!(NUMBERS)),
    ] {
        let mut body = json!({ "model": "emb", "input": "a" });
        if let Some(format) = format {
            body["encoding_format"] = format.into();
        }
        let asked = wanted("/v1/embeddings", &body);
        assert_eq!(json(asked.for_native("emb").unwrap()), json!({ "model": "emb", "input": "a" }));
        let given = json(asked.from_native(answer, now()).unwrap());
        assert_eq!(given["data"][0]["embedding"], expected);
        assert_eq!(given["usage"], json!({ "prompt_tokens": 3, "total_tokens": 3 }));
        assert_eq!(given["model"], "emb");
    }
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    for (route, body) in [
        ("/api/embed", json!({ "model": "x", "input": 1 })),
        ("/api/embed", json!({ "model": "x", "input": [1] })),
        ("/api/embeddings", json!({ "model": "x", "prompt": ["a"] })),
        ("/v1/embeddings", json!({ "model": "x", "input": "a", "encoding_format": "hex" })),
    ] {
        assert!(EmbedRequest::of(EmbedRoute::of_template(route).unwrap(), body.to_string().as_bytes()).is_err(), "{body}");
    }
    let tokens = wanted("/v1/embeddings", &json!({ "model": "x", "input": [[1, 2]] }));
    assert!(tokens.for_native("m").is_err(), "no node takes tokens");
    assert_eq!(json(tokens.for_openai("m"))["input"], json!([[1, 2]]), "a provider does");
    assert!(tokens.from_openai(br#"{"data":[{"index":0,"embedding":"AAAA"}]}"#, now()).is_err(), "half a number");
}

#[test]
fn a_native_request_without_input_loads_nothing_and_is_answered_at_once() {
    let given = wanted("/api/embed", &json!({ "model": "x" })).nothing_said(now()).unwrap();
    assert_eq!(json(given)["embeddings"], json!([]));
    let given = wanted("/api/embeddings", &json!({ "model": "x" })).nothing_said(now()).unwrap();
    assert_eq!(json(given), json!({ "embedding": [] }));
    assert_eq!(wanted("/api/embed", &json!({ "model": "x", "input": "a" })).nothing_said(now()), None);
}
