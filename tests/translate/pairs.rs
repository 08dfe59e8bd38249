//! Requests and whole answers.

use ollama_proxy::translate::{Voice, ask, understand, whole};
use serde_json::{Value, json};

use crate::{client, now, pairs, target, tongue, voice};

const REQUESTS: [(&str, &str); 5] = [
    ("native_to_openai", include_str!("native_to_openai.json")),
    ("to_anthropic", include_str!("to_anthropic.json")),
    ("anthropic_to_openai", include_str!("anthropic_to_openai.json")),
    ("to_native", include_str!("to_native.json")),
    ("refused", include_str!("refused.json")),
];

#[test]
fn every_request_is_said_as_its_pair_says() {
    for (file, text) in REQUESTS {
        for pair in pairs(text) {
            let says = format!("{file}: {}", pair["says"]);
            let asked = understand(voice(&pair), pair["request"].to_string().as_bytes())
                .and_then(|talk| ask(&talk, tongue(&pair), &target(&pair)));
            match asked {
                Ok((body, dropped)) => {
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    assert_eq!(body, pair["asked"], "{says}\ngot {body}");
                    assert_eq!(json!(dropped), *pair.get("dropped").unwrap_or(&json!([])), "{says}");
                }
                Err(fault) => {
                    let expected = pair["refused"].as_str().unwrap_or_else(|| panic!("{says}: {fault}"));
                    assert!(fault.text.contains(expected), "{says}: {fault}");
                }
            }
        }
    }
}

#[test]
fn the_order_of_keys_in_schemas_and_arguments_is_kept() {
    let body = r#"{"model":"x","messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"z":1,"a":2}}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"z":{},"a":{}}}}}]}"#;
    let talk = understand(Voice::Chat, body.as_bytes()).unwrap();
    for name in ["openai", "anthropic", "native"] {
        let (body, _) = ask(&talk, tongue(&json!({ "tongue": name })), &target(&json!({}))).unwrap();
        let text = String::from_utf8(body).unwrap().replace('\\', "");
        assert!(text.contains(r#"{"z":1,"a":2}"#), "{text}");
        assert!(text.contains(r#"{"z":{},"a":{}}"#), "{text}");
    }
}

#[test]
fn only_the_first_value_of_a_body_counts_and_native_keys_match_without_case() {
    let talk =
        understand(Voice::Chat, br#"{"MODEL":"x","Messages":[{"Role":"User","CONTENT":"hi"}],"stream":false} trailing"#).unwrap();
    assert_eq!(talk.model, "x");
    let (body, _) = ask(&talk, tongue(&json!({ "tongue": "openai" })), &target(&json!({}))).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body, json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] }));
}

#[test]
fn every_whole_answer_is_given_as_its_pair_says() {
    for pair in pairs(include_str!("answers.json")) {
        let says = &pair["says"];
        let answered = whole(tongue(&pair), client(&pair), pair["answer"].to_string().as_bytes(), now());
        match answered {
            Ok(body) => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(body, pair["given"], "{says}\ngot {body}");
            }
            Err(fault) => {
                let expected = pair["refused"].as_str().unwrap_or_else(|| panic!("{says}: {fault}"));
                assert!(fault.text.contains(expected), "{says}: {fault}");
            }
        }
    }
}
