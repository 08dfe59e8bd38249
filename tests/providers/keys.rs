//! Keys stay between the proxy and their providers.

use serde_json::json;

use crate::client;
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

fn around(text: &str) -> &str {
    let at = text.find(CANARY).unwrap_or(0);
    text.get(at.saturating_sub(300)..(at + 60).min(text.len())).unwrap_or(text)
}
