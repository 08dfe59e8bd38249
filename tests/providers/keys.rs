//! Keys stay between the proxy and their providers.

use std::path::Path;

use serde_json::json;

use crate::client;
use crate::program::{self, Node, Proxy, Scratch, get, say};
use crate::rig::{Rig, logged};
use crate::{anthropic, openai};

/// Part of every key that any of these tests uses.
const CANARY: &str = "canary";

#[tokio::test]
async fn no_answer_page_metric_or_line_of_the_log_tells_a_key() {
    let rig = Rig::start().await;
    assert!([openai::KEY, openai::AZURE_KEY, anthropic::KEY].iter().all(|key| key.contains(CANARY)));
    rig.listed().await;
    let mut all = String::new();
    for model in ["openai/gpt-4o-mini", "anthropic/claude-first", "azure/mini", "openai/none"] {
        for words in ["Hi", "too fast", "too much", "first error", "late error", "break off", "fall over"] {
            for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
                let body = json!({ "model": model, "max_tokens": 9, "stream": words != "Hi", "messages": [{ "role": "user", "content": words }] });
                let answer = client::post(rig.address, path, &body.to_string()).await;
                all.push_str(&format!("{:?}\n{}\n", answer.head, answer.text()));
            }
        }
    }
    for path in ["/metrics", "/health", "/nodes", "/", "/route?model=openai/gpt-4o-mini", "/api/tags", "/v1/models", "/api/ps"] {
        let answer = client::get(rig.address, path).await;
        all.push_str(&format!("{:?}\n{}\n", answer.head, answer.text()));
    }
    assert!(all.contains("Rate limit reached for …"), "the provider did tell it");
    assert!(!all.contains(CANARY), "{}", around(&all));
    let logged = logged();
    assert!(logged.contains("node=\"openai\"") || logged.contains("openai"), "the log says who served");
    assert!(!logged.contains(CANARY), "{}", around(&logged));
    assert!(!logged.contains("too fast"), "nor what was said");
}

/// The program with all three keys, in front of `node`.
fn with_keys(scratch: &Scratch, node: &Node, openai: &str, anthropic: &str) -> std::process::Command {
    let mut command = program::program(scratch);
    command.env("OPENAI_API_KEY", openai::KEY).env("OPENAI_BASE_URL", format!("{openai}/v1"));
    command.env("ANTHROPIC_API_KEY", anthropic::KEY).env("ANTHROPIC_BASE_URL", anthropic);
    command.env("AZURE_OPENAI_API_KEY", openai::AZURE_KEY).env("AZURE_OPENAI_ENDPOINT", openai);
    command.env("AZURE_OPENAI_DEPLOYMENTS", "mini").env("OLLAMA_URL", node.url()).env("DATA_DIR", scratch.join("data"));
    command.env("HOST", "127.0.0.1").env("PORT", "0").env("RUST_BACKTRACE", "1");
    command
}

/// All files of a directory, one behind the other.
fn files_under(dir: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.push_str(&files_under(&path));
        } else {
            all.push_str(&String::from_utf8_lossy(&std::fs::read(&path).unwrap()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_log_state_file_or_check_of_the_program_tells_a_key() {
    let (openai, anthropic) = (openai::start().await, anthropic::start().await);
    let (at_openai, at_anthropic) = (format!("http://{}", openai.address), format!("http://{}", anthropic.address));
    let (node, scratch) = (Node::start(), Scratch::new());
    let mut command = with_keys(&scratch, &node, &at_openai, &at_anthropic);
    command.args(["--log", "trace"]);
    let mut proxy = Proxy::from(command);
    proxy.until("/v1/models", "claude-second");
    proxy.until("/api/tags", "llama3.2:3b");
    let mut told = String::new();
    for model in ["openai/gpt-4o-mini", "anthropic/claude-first", "azure/mini", "llama3.2:3b"] {
        for words in ["Hi", "too fast", "revoked key", "late error", "break off"] {
            for path in ["/api/chat", "/v1/chat/completions", "/v1/messages", "/v1/embeddings"] {
                let body = json!({ "model": model, "max_tokens": 9, "stream": true, "messages": [{ "role": "user", "content": words }], "input": words });
                let body = body.to_string();
                // A client's own key is nobody's business either.
                let keys = "Authorization: Bearer canary-of-a-client\r\nx-api-key: canary-of-a-client\r\n";
                let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{keys}");
                let reply = say(proxy.address, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
                told.push_str(&format!("{}\n{}\n", reply.head, reply.body));
            }
        }
    }
    for path in
        ["/", "/metrics", "/health", "/nodes", "/summary", "/journal", "/topology", "/route?model=azure/mini", "/v1/models"]
    {
        let reply = get(proxy.address, path);
        told.push_str(&format!("{}\n{}\n", reply.head, reply.body));
    }
    proxy.terminate();
    assert_eq!(proxy.exit_code(), Some(0));
    let files = files_under(&scratch.path().join("data"));
    assert!(files.contains("llama3.2:3b"), "it keeps what it knows");
    let check = with_keys(&scratch, &node, &at_openai, &at_anthropic).arg("check").output().unwrap();
    let check = format!("{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&check.stderr));
    assert!(check.contains("openai-api-key"), "it prints its settings: {check}");
    assert!(told.contains("check its API key") && told.contains("Rate limit reached"), "the providers were asked");
    for (what, text) in [("answer", told), ("log", proxy.written_so_far()), ("state", files), ("check", check)] {
        assert!(!text.contains(CANARY), "{what}: {}", around(&text));
        let key = openai::KEY.trim_start_matches("sk-canary");
        assert!(!text.contains(key), "{what}: not even the end of one");
    }
}

fn around(text: &str) -> &str {
    let at = text.find(CANARY).unwrap_or(0);
    text.get(at.saturating_sub(300)..(at + 60).min(text.len())).unwrap_or(text)
}
