//! Models and blobs that come and go.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::wire::{body, get, open, post, server, status, tell, three_tokens, until};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[tokio::test]
async fn a_pull_tells_its_progress_and_adds_the_model_at_success() {
    let (_, at) = server(three_tokens()).await;
    let pull = body(at, &post("/api/pull", "{\"name\":\"qwen3\"}")).await;
    let lines: Vec<&str> = pull.split('|').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[0], "{\"status\":\"pulling manifest\"}\n");
    assert!(lines[1].starts_with("{\"status\":\"pulling ") && lines[1].ends_with("\"total\":1321098329}\n"), "{}", lines[1]);
    assert!(lines[5].ends_with("\"total\":1321098329,\"completed\":1321098329}\n"), "{}", lines[5]);
    let end = ["verifying sha256 digest", "writing manifest", "success"].map(|s| format!("{{\"status\":\"{s}\"}}\n"));
    assert_eq!(lines[lines.len() - 3..], end);
    assert!(body(at, &get("/api/tags")).await.contains("\"name\":\"qwen3:latest\""));
}

#[tokio::test]
async fn a_pull_of_what_no_registry_has_fails_within_the_stream_or_with_500() {
    let (_, at) = server(three_tokens()).await;
    let error = "{\"error\":\"pull model manifest: file does not exist\"}";
    let streamed = body(at, &post("/api/pull", "{\"model\":\"missing\"}")).await;
    assert_eq!(streamed, format!("|{{\"status\":\"pulling manifest\"}}\n|{error}\n|"));
    let whole = post("/api/pull", "{\"model\":\"missing\",\"stream\":false}");
    assert_eq!((status(at, &whole).await, body(at, &whole).await.as_str()), (500, error));
}

#[tokio::test]
async fn a_copy_is_an_empty_answer_and_shares_the_loaded_model() {
    let (ollama, at) = server(three_tokens()).await;
    let copy = tell(at, &post("/api/copy", "{\"source\":\"llama3.2:3b\",\"destination\":\"mine\"}")).await;
    assert_eq!(copy, "HTTP/1.1 200 OK\r\nDate: D\r\nContent-Length: 0\r\n\r\n");
    for name in ["llama3.2:3b", "mine"] {
        body(at, &post("/api/generate", &format!("{{\"model\":\"{name}\"}}"))).await;
    }
    assert_eq!(ollama.counters().loads_finished, 1);
    let missing = body(at, &post("/api/copy", "{\"source\":\"nope\",\"destination\":\"mine\"}")).await;
    assert_eq!(missing, "{\"error\":\"model \\\"nope\\\" not found\"}");
}

#[tokio::test]
async fn delete_reads_the_body_of_a_delete() {
    let (_, at) = server(three_tokens()).await;
    let delete = |body: &str| post("/api/delete", body).replace("POST", "DELETE");
    assert_eq!(status(at, &delete("{\"name\":\"llama3.2:3b\"}")).await, 200);
    assert!(!body(at, &get("/api/tags")).await.contains("llama3.2"));
    assert_eq!(body(at, &delete("{\"model\":\"llama3.2:3b\"}")).await, "{\"error\":\"model 'llama3.2:3b' not found\"}");
    assert_eq!(body(at, &delete("")).await, "{\"error\":\"missing request body\"}");
}

#[tokio::test]
async fn a_model_is_created_from_another_and_not_from_nothing() {
    let (_, at) = server(three_tokens()).await;
    let created = body(at, &post("/api/create", "{\"model\":\"mine\",\"from\":\"llama3.2:3b\"}")).await;
    assert!(created.ends_with("|{\"status\":\"writing manifest\"}\n|{\"status\":\"success\"}\n|"), "{created}");
    assert!(body(at, &get("/api/tags")).await.contains("mine:latest"));
    let failed = body(at, &post("/api/create", "{\"model\":\"other\",\"from\":\"nope\"}")).await;
    assert!(failed.ends_with("|{\"error\":\"pull model manifest: file does not exist\"}\n|"), "{failed}");
}

#[tokio::test]
async fn a_blob_is_taken_once_and_then_known() {
    let (ollama, at) = server(three_tokens()).await;
    let path = format!("/api/blobs/{DIGEST}");
    let head = get(&path).replace("GET", "HEAD");
    assert_eq!(tell(at, &head).await, "HTTP/1.1 404 Not Found\r\nDate: D\r\n\r\n");
    assert_eq!(tell(at, &post(&path, "weights")).await, "HTTP/1.1 201 Created\r\nDate: D\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(ollama.counters().blob_bytes, 7);
    assert_eq!(tell(at, &head).await, "HTTP/1.1 200 OK\r\nDate: D\r\n\r\n");
    assert_eq!(status(at, &post("/api/blobs/sha256:short", "")).await, 400);
}

#[tokio::test]
async fn a_known_blob_is_answered_before_its_body_was_sent_and_the_body_is_not_read() {
    let (ollama, at) = server(three_tokens()).await;
    let path = format!("/api/blobs/{DIGEST}");
    body(at, &post(&path, "weights")).await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: pc\r\nContent-Length: 100000000\r\n\r\nsome of it");
    let mut upload = open(at, &head).await;
    let _ = upload.write_all(&vec![0; 256 << 10]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answer = Vec::new();
    upload.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(ollama.counters().blob_bytes, 7);
    assert_eq!(ollama.counters().connections_open, 1, "Go leaves the socket half open for a moment, or a reset follows at once");
    // What a client goes on sending meets a closed connection soon, not a patient reader.
    let megabyte = vec![0; 1 << 20];
    let mut sent = 0;
    while upload.write_all(&megabyte).await.is_ok() {
        sent += 1;
        assert!(sent < 50, "the body is being read");
    }
}

#[tokio::test]
async fn an_upload_is_invited_only_when_its_blob_is_wanted() {
    let (_, at) = server(three_tokens()).await;
    let head = format!(
        "POST /api/blobs/{DIGEST} HTTP/1.1\r\nHost: pc\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 7\r\n\r\n"
    );
    let mut upload = open(at, &head).await;
    let mut invited = [0; 25];
    upload.read_exact(&mut invited).await.unwrap();
    assert_eq!(&invited, b"HTTP/1.1 100 Continue\r\n\r\n");
    upload.write_all(b"weights").await.unwrap();
    let mut answer = String::new();
    upload.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created"), "{answer}");
    assert!(tell(at, &head).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_client_that_leaves_during_a_pull_gets_no_model() {
    let settings = ollama_proxy::simulator::Settings { token_gap: Duration::from_millis(100), ..three_tokens() };
    let (ollama, at) = server(settings).await;
    let client = open(at, &post("/api/pull", "{\"model\":\"qwen3\"}")).await;
    until(|| ollama.counters().running == 1).await;
    drop(client);
    until(|| ollama.counters().running == 0).await;
    assert!(!body(at, &get("/api/tags")).await.contains("qwen3"));
}
