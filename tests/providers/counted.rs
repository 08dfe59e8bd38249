//! Tokens of cloud answers in the metrics, and lists where the proxy makes no calls of its own.

use serde_json::json;

use crate::client;
use crate::rig::{LOCAL, Rig};

/// The sum of a model's tokens of a kind.
async fn tokens(rig: &Rig, node: &str, model: &str, kind: &str) -> u64 {
    let page = rig.get("/metrics").await.text();
    let labels = format!("ollama_proxy_tokens_total{{node=\"{node}\",model=\"{model}\",type=\"{kind}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&labels)).map_or(0, |number| number.parse().unwrap())
}

#[tokio::test]
async fn tokens_are_counted_by_provider_and_listed_model_in_every_dialect() {
    let rig = Rig::start().await;
    rig.listed().await;
    let told = [("openai", "gpt-4o-mini", 9, 4), ("anthropic", "claude-first", 9, 5), ("azure", "mini", 9, 4)];
    for (provider, model, input, output) in told {
        let (mut answers, mut least_input) = (0, 0);
        for path in ["/api/chat", "/v1/chat/completions", "/v1/messages"] {
            for stream in [true, false] {
                let body = json!({ "model": format!("{provider}/{model}"), "max_tokens": 9, "stream": stream,
                    "stream_options": stream.then(|| json!({ "include_usage": true })), "messages": [{ "role": "user", "content": "Hi" }] });
                let mut body = body;
                if path != "/v1/chat/completions" || !stream {
                    body.as_object_mut().unwrap().remove("stream_options");
                }
                let answer = rig.post(path, &body).await;
                assert_eq!(answer.status(), 200, "{path}: {}", answer.text());
                answers += 1;
                // Where bytes pass untouched, Anthropic tells what it had cached apart.
                least_input += if (provider, path) == ("anthropic", "/v1/messages") { input - 2 } else { input };
            }
        }
        // The account is made on the drop of the answer, a moment after its last byte.
        while tokens(&rig, provider, model, "output").await < answers * output {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(tokens(&rig, provider, model, "output").await, answers * output, "{provider}");
        assert_eq!(tokens(&rig, provider, model, "input").await, least_input, "{provider}");
    }
}

#[tokio::test]
async fn lists_name_cloud_models_also_where_own_calls_are_off() {
    let mut rig = Rig::with(&[("HEALTH_INTERVAL", "0".to_owned())]).await;
    let tags = loop {
        let tags = rig.get("/api/tags").await;
        if ["gpt-4o-mini", "claude-second"].iter().all(|model| tags.text().contains(model)) {
            break tags;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    assert_eq!(tags.json()["models"][0]["name"], LOCAL, "the node's own answer comes first: {}", tags.text());
    assert_eq!(tags.head.get("content-length"), Some(tags.text().len().to_string().as_str()));
    let address = rig.address;
    let asking = tokio::spawn(async move { client::get(address, "/v1/models").await });
    let list = "{\"object\":\"list\",\"data\":[{\"id\":\"of the node\"}]}";
    let mut exchange = rig.node.next().await;
    exchange
        .say(&format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{list}", list.len()))
        .await;
    let list = asking.await.unwrap().json();
    let names: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((names[0], names.contains(&"azure/mini")), ("of the node", true), "{names:?}");
}
