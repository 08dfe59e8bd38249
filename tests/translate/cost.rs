//! What the translation of a stream costs. `cargo test --release --test translate cost -- --ignored --nocapture` measures.

use std::time::Duration;

use ollama_proxy::translate::{EndWatch, Form, Translation};
use serde_json::json;
use tokio::time::Instant;

use crate::{client, now, tongue};

const EVENTS: usize = 200_000;

/// The processor's time of this thread, which others on the machine do not lengthen; where it is not told, the wall's.
fn spent(began: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanos.map_or_else(|| began.elapsed(), Duration::from_nanos)
}

#[test]
#[ignore = "measures; says nothing in a debug build"]
fn nanoseconds_per_event() {
    let openai = |text: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-9\",\"object\":\"chat.completion.chunk\",\"created\":1795188647,\"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let anthropic = |text: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let native = |text: &str| {
        format!(
            "{{\"model\":\"a\",\"created_at\":\"2026-11-20T15:30:45.1Z\",\"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"done\":false}}\n"
        )
    };
    let event = openai("token ");
    let mut watch = EndWatch::new(Form::SseChat);
    let start = Instant::now();
    let began = spent(start);
    for _ in 0..EVENTS {
        watch.feed(event.as_bytes());
    }
    println!(
        "{:>30}: {:>5} ns of CPU per event",
        "passing through",
        spent(start).saturating_sub(began).as_nanos() / EVENTS as u128
    );
    for (voice, speaker, event) in [
        ("/api/chat", "openai", event.clone()),
        ("/v1/messages", "openai", event),
        ("/api/chat", "anthropic", anthropic("token ")),
        ("/v1/chat/completions", "anthropic", anthropic("token ")),
        ("/v1/chat/completions", "native", native("token ")),
    ] {
        let pair = json!({ "voice": voice, "tongue": speaker });
        let mut translation = Translation::new(tongue(&pair), client(&pair));
        let mut out = Vec::new();
        let began = spent(start);
        for _ in 0..EVENTS {
            out.clear();
            translation.feed(event.as_bytes(), now(), &mut out).unwrap();
        }
        let took = spent(start).saturating_sub(began).as_nanos() / EVENTS as u128;
        println!("{:>30}: {took:>5} ns of CPU per event", format!("{speaker} {voice}"));
    }
}
