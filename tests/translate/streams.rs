//! Streams: what a provider says event by event, and what the client gets for it, whatever the cut.

use ollama_proxy::translate::{LineFramer, SseDecoder, Tongue, Translation};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{client, now, pairs, tongue};

/// The bytes that a provider sends for the events of a pair. A text stands for itself.
pub fn spoken(pair: &Value) -> String {
    let event = |event: &Value| match (event, tongue(pair)) {
        (Value::String(raw), _) => raw.clone(),
        (event, Tongue::Native) => format!("{event}\n"),
        (event, Tongue::OpenAi) => format!("data: {event}\n\n"),
        (event, Tongue::Anthropic) => format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()),
    };
    pair["said"].as_array().unwrap().iter().map(event).collect()
}

/// What the client gets, and the text of the error that ended it.
pub fn translated(pair: &Value, pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let mut translation = Translation::new(tongue(pair), client(pair));
    let mut out = Vec::new();
    let mut result = Ok(());
    for piece in pieces {
        result = result.and_then(|()| translation.feed(piece, now(), &mut out));
    }
    let result = result.and_then(|()| translation.finish(now(), &mut out));
    assert_eq!(translation.done(), result.is_ok(), "{}", pair["says"]);
    let error = result.err().map(|fault| fault.text.into_owned());
    if let Some(text) = &error {
        out.extend(translation.error(text));
    }
    (out, error)
}

/// The client's stream as values: lines, or events as the name and the data of each.
pub fn heard(pair: &Value, out: &[u8]) -> Vec<Value> {
    let mut heard = Vec::new();
    if pair["voice"].as_str().unwrap().starts_with("/api/") {
        let mut framer = LineFramer::new(1 << 20);
        framer.feed(out, &mut |line| heard.push(serde_json::from_slice(line).unwrap())).unwrap();
        assert!(out.is_empty() || out.ends_with(b"\n"));
        return heard;
    }
    let mut decoder = SseDecoder::new(1 << 20);
    let mut take = |event: ollama_proxy::translate::Event<'_>| {
        let data: Value = serde_json::from_slice(event.data).unwrap_or_else(|_| String::from_utf8_lossy(event.data).into());
        let name = String::from_utf8_lossy(event.name);
        if name.is_empty() {
            heard.push(data);
        } else {
            assert_eq!(name, data["type"].as_str().unwrap());
            heard.push(data);
        }
    };
    decoder.feed(out, &mut take).unwrap();
    assert!(out.is_empty() || out.ends_with(b"\n\n"));
    heard
}

/// Values of a pair, with what all chunks have in common filled in.
fn expected(pair: &Value) -> Vec<Value> {
    let fill = |value: &Value| {
        let mut value = value.clone();
        let Some(object) = value.as_object_mut().filter(|object| !object.contains_key("error")) else { return value };
        let common = match pair["voice"].as_str().unwrap() {
            "/api/chat" | "/api/generate" => json!({ "model": "asked", "created_at": "2026-11-20T15:30:45.5Z" }),
            "/v1/chat/completions" => {
                json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_795_188_645, "model": "asked" })
            }
            "/v1/completions" => {
                json!({ "id": "cmpl-1", "object": "text_completion", "created": 1_795_188_645, "model": "asked" })
            }
            _ => json!({}),
        };
        object.extend(common.as_object().unwrap().clone());
        value
    };
    pair["heard"].as_array().unwrap().iter().map(fill).collect()
}

fn all() -> Vec<Value> {
    let files =
        [include_str!("openai_streams.json"), include_str!("anthropic_streams.json"), include_str!("native_streams.json")];
    files.iter().flat_map(|text| pairs(text)).collect()
}

#[test]
fn every_stream_is_given_as_its_pair_says() {
    for pair in all() {
        let says = &pair["says"];
        let (out, error) = translated(&pair, &[spoken(&pair).as_bytes()]);
        let (heard, expected) = (heard(&pair, &out), expected(&pair));
        for (at, (heard, expected)) in heard.iter().zip(&expected).enumerate() {
            assert_eq!(heard, expected, "{says}: number {at}\ngot {heard}");
        }
        assert_eq!(heard.len(), expected.len(), "{says}: {}", String::from_utf8_lossy(&out));
        match pair["error"].as_str() {
            Some(text) => assert!(error.as_deref().is_some_and(|error| error.contains(text)), "{says}: {error:?}"),
            None => assert_eq!(error, None, "{says}"),
        }
    }
}

#[test]
fn single_bytes_halves_and_other_line_ends_give_the_same() {
    for pair in all() {
        let text = spoken(&pair);
        let whole = translated(&pair, &[text.as_bytes()]);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(translated(&pair, &single), whole, "{}", pair["says"]);
        for at in 0..=text.len() {
            let (one, two) = text.as_bytes().split_at(at);
            assert_eq!(translated(&pair, &[one, two]), whole, "{} cut at {at}", pair["says"]);
        }
        // As the standard asks: CRLF for both, CR and a byte order mark for events.
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(translated(&pair, &[crlf.as_bytes()]), whole, "{} with CRLF", pair["says"]);
        let bom = format!("\u{feff}{text}");
        assert_eq!(translated(&pair, &[bom.as_bytes()]), whole, "{} with a byte order mark", pair["says"]);
        if tongue(&pair) != Tongue::Native {
            let cr = format!(": hello\n\n{text}").replace('\n', "\r");
            assert_eq!(translated(&pair, &[cr.as_bytes()]), whole, "{} with CR and a comment", pair["says"]);
        }
    }
}

#[test]
fn nothing_goes_out_before_something_that_matters_was_said() {
    for (pair, quiet) in [
        (
            json!({ "voice": "/api/chat", "tongue": "openai" }),
            "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        ),
        (
            json!({ "voice": "/v1/messages", "tongue": "openai" }),
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
        ),
        (
            json!({ "voice": "/v1/chat/completions", "tongue": "anthropic" }),
            "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        ),
        (
            json!({ "voice": "/v1/messages", "tongue": "native" }),
            "{\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":false}\n",
        ),
    ] {
        let mut translation = Translation::new(tongue(&pair), client(&pair));
        let mut out = Vec::new();
        translation.feed(quiet.as_bytes(), now(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "", "{pair}");
    }
}

#[test]
fn a_stream_that_breaks_off_at_any_byte_never_looks_whole() {
    for pair in all().into_iter().filter(|pair| pair["error"].is_null() && pair["may_break"] != false) {
        let text = spoken(&pair);
        let (whole, _) = translated(&pair, &[text.as_bytes()]);
        let ends = |out: &[u8]| {
            let heard = heard(&pair, out);
            heard.iter().any(|value| value["done"] == true || *value == "[DONE]" || value["type"] == "message_stop")
        };
        assert!(ends(&whole), "{}", pair["says"]);
        for at in 0..text.len() {
            let (out, error) = translated(&pair, &[&text.as_bytes()[..at]]);
            assert_eq!(ends(&out), error.is_none(), "{} broken off at {at}", pair["says"]);
        }
        let (out, error) = translated(&pair, &[&text.as_bytes()[..text.len() / 3]]);
        assert!(error.is_some() && !ends(&out), "{}", pair["says"]);
    }
}

proptest! {
    #[test]
    fn no_cut_changes_a_stream(which in 0usize..1000, cuts in prop::collection::vec(1usize..50, 1..20)) {
        let pairs = all();
        let pair = &pairs[which % pairs.len()];
        let text = spoken(pair);
        let (mut pieces, mut rest) = (Vec::new(), text.as_bytes());
        for cut in cuts.iter().cycle() {
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = later;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(translated(pair, &pieces), translated(pair, &[text.as_bytes()]));
    }

    #[test]
    fn no_bytes_make_a_translation_panic(text in "(data: |event: error\n|\\{\"choices\":\\[\\{\"index\":0,\"delta\":|\\{\"content\":\"ü\"\\}|\\}\\]\\}|\"tool_calls\":|\\{\"type\":\"content_block_delta\"|null|\\{\"done\":true\\}|\n\n|\n|\\[DONE\\]|\"){0,30}", which in 0usize..3) {
        let tongue = ["openai", "anthropic", "native"][which];
        for voice in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
            translated(&json!({ "voice": voice, "tongue": tongue }), &[text.as_bytes()]);
        }
    }
}
