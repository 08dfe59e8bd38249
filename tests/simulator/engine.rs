//! Loading, queueing, leaving memory.

use std::net::SocketAddr;
use std::time::Duration;

use ollama_proxy::simulator::{Ollama, Settings};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::wire::{body, get, open, post, server, three_tokens, until};

const CHAT: &str = "{\"model\":\"llama3.2:3b\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}";

async fn slow_loader(load: u64) -> (Ollama, SocketAddr) {
    server(Settings { load: Duration::from_millis(load), ..three_tokens() }).await
}

#[tokio::test]
async fn a_client_that_leaves_during_a_load_throws_it_away() {
    let (ollama, at) = slow_loader(60_000).await;
    let client = open(at, &post("/api/chat", CHAT)).await;
    until(|| ollama.counters().loads_started == 1).await;
    drop(client);
    until(|| ollama.counters().loads_aborted == 1).await;
    assert_eq!(body(at, &get("/api/ps")).await, "{\"models\":[]}");
}

#[tokio::test]
async fn a_half_closed_connection_counts_as_a_client_that_left() {
    let (ollama, at) = slow_loader(60_000).await;
    let mut client = open(at, &post("/api/chat", CHAT)).await;
    until(|| ollama.counters().loads_started == 1).await;
    client.shutdown().await.unwrap();
    until(|| ollama.counters().loads_aborted == 1).await;
}

#[tokio::test]
async fn a_second_waiter_starts_the_load_over_when_the_first_leaves() {
    let (ollama, at) = slow_loader(2500).await;
    let begun = Instant::now();
    let first = open(at, &post("/api/chat", CHAT)).await;
    until(|| ollama.counters().loads_started == 1).await;
    let second = tokio::spawn(async move { body(at, &post("/api/chat", CHAT)).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(first);
    assert!(second.await.unwrap().contains("\"done\":true"));
    assert!(begun.elapsed() > Duration::from_millis(2990), "{:?}", begun.elapsed());
    let counters = ollama.counters();
    assert_eq!((counters.loads_started, counters.loads_aborted, counters.loads_finished), (2, 1, 1));
}

#[tokio::test]
async fn a_model_that_loads_is_not_listed_and_then_it_is() {
    let (ollama, at) = slow_loader(2000).await;
    let chat = tokio::spawn(async move { body(at, &post("/api/chat", CHAT)).await });
    until(|| ollama.counters().loads_started == 1).await;
    assert_eq!(body(at, &get("/api/ps")).await, "{\"models\":[]}");
    chat.await.unwrap();
    let ps = body(at, &get("/api/ps")).await;
    assert!(ps.contains("\"name\":\"llama3.2:3b\"") && ps.ends_with("\"context_length\":4096}]}"), "{ps}");
}

#[tokio::test]
async fn a_preload_is_one_json_even_when_streaming_and_an_unload_empties_memory() {
    let (ollama, at) = server(three_tokens()).await;
    let load = body(at, &post("/api/generate", "{\"model\":\"llama3.2:3b\",\"stream\":true}")).await;
    assert_eq!(load, "{\"model\":\"llama3.2:3b\",\"created_at\":\"\",\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}");
    let unload = body(at, &post("/api/chat", "{\"model\":\"llama3.2:3b\",\"messages\":[],\"keep_alive\":0}")).await;
    assert_eq!(
        unload,
        "{\"model\":\"llama3.2:3b\",\"created_at\":\"\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":\"unload\"}"
    );
    assert_eq!(body(at, &get("/api/ps")).await, "{\"models\":[]}");
    assert_eq!(ollama.counters().generations_started, 0);
}

#[tokio::test]
async fn a_model_leaves_memory_when_its_keep_alive_is_over() {
    let (ollama, at) = server(three_tokens()).await;
    let load = |keep: &str| post("/api/generate", &format!("{{\"model\":\"llama3.2:3b\",\"keep_alive\":{keep}}}"));
    body(at, &load("\"2s\"")).await;
    assert!(body(at, &get("/api/ps")).await.contains("llama3.2"));
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(body(at, &get("/api/ps")).await, "{\"models\":[]}");
    body(at, &load("-1")).await;
    assert_eq!(ollama.counters().loads_finished, 2);
}

#[tokio::test]
async fn another_num_ctx_loads_the_model_again_and_the_same_one_does_not() {
    let (ollama, at) = server(three_tokens()).await;
    let load =
        |context: u32| post("/api/generate", &format!("{{\"model\":\"llama3.2:3b\",\"options\":{{\"num_ctx\":{context}}}}}"));
    for (context, loads) in [(8192, 1), (8192, 1), (4096, 2)] {
        body(at, &load(context)).await;
        assert_eq!(ollama.counters().loads_finished, loads);
    }
    body(at, &post("/api/generate", "{\"model\":\"llama3.2:3b\"}")).await;
    assert_eq!(ollama.counters().loads_finished, 2, "4096 is what a request without num_ctx gets");
}

#[tokio::test]
async fn one_model_generates_for_one_request_at_a_time() {
    let settings = Settings { first_token: Duration::from_millis(150), ..three_tokens() };
    let (_, at) = server(settings).await;
    let begun = Instant::now();
    let chats = [0; 3].map(|_| tokio::spawn(async move { body(at, &post("/api/chat", CHAT)).await }));
    for chat in chats {
        assert!(chat.await.unwrap().contains("\"done\":true"));
    }
    assert!(begun.elapsed() > Duration::from_millis(440), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_frees_its_turn() {
    let settings = Settings { token_gap: Duration::from_secs(60), ..three_tokens() };
    let (ollama, at) = server(settings).await;
    let client = open(at, &post("/api/chat", CHAT)).await;
    until(|| ollama.counters().generations_started == 1).await;
    drop(client);
    until(|| ollama.counters().generations_cancelled == 1).await;
    until(|| ollama.counters().running == 0).await;
    ollama.change(|settings| settings.token_gap = Duration::ZERO);
    assert!(body(at, &post("/api/chat", CHAT)).await.contains("\"done\":true"));
}

#[tokio::test]
async fn a_full_queue_of_loads_is_busy() {
    let settings = Settings { max_queue: 1, load: Duration::from_secs(60), ..three_tokens() };
    let (ollama, at) = server(settings).await;
    let _loading = open(at, &post("/api/chat", CHAT)).await;
    until(|| ollama.counters().loads_started == 1).await;
    let busy = body(at, &post("/api/chat", CHAT)).await;
    assert_eq!(busy, "{\"error\":\"server busy, please try again.  maximum pending requests exceeded\"}");
}

#[tokio::test]
async fn headers_come_only_with_the_first_token() {
    let settings = Settings { first_token: Duration::from_secs(60), ..three_tokens() };
    let (_, at) = server(settings).await;
    let client = open(at, &post("/api/chat", CHAT)).await;
    let early = tokio::time::timeout(Duration::from_millis(150), client.readable()).await;
    assert!(early.is_err(), "something came before the first token");
}
