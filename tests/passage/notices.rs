//! Notifications: the owner is told by webhook and by ntfy, and no request waits for that.

use serde_json::json;

use crate::client::{ask, post};
use crate::node::Node;
use crate::proxy::{Proxy, STRICT};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

#[tokio::test]
async fn a_failed_wake_is_told_to_the_webhook_and_no_request_waits_for_it() {
    let (mut node, mut webhook) = (Node::with_models(&["m"]), Node::start());
    let card = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = card.local_addr().unwrap().port().to_string();
    node.sleep().await;
    let wake = [("wake-mac", "02:00:00:00:00:07"), ("wake-broadcast", "127.0.0.1"), ("wake-port", &*port)];
    let hook = format!("{}/hook?key=secret", webhook.url());
    let flags = [&wake[..], &[STRICT, ("wake-timeout", "1s"), ("notify-webhook", &*hook)]].concat();
    let proxy = Proxy::before(&[&node], &flags);
    let failed = ask(proxy.address, "POST /api/chat", &[("User-Agent", "Open WebUI/1")], CHAT).await;
    assert_eq!(failed.status(), 504);
    let mut call = webhook.next().await;
    assert_eq!((call.head.asked(), call.head.get("content-type")), ("POST /hook?key=secret", Some("application/json")));
    let told: serde_json::Value = serde_json::from_slice(&call.body().await).unwrap();
    assert_eq!(
        (&told["event"], &told["node"], &told["title"]),
        (&json!("wake_failed"), &json!("node1"), &json!("node1 did not wake"))
    );
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("127.0.0.1 (open-webui)") && message.contains("magic packets"), "{message}");
    assert!(!message.contains("hello") && told["at"].as_f64() > Some(1e9), "{told}");
    // The webhook has not answered yet, and is given up only after 5 s.
    let asking = post(proxy.address, "/api/chat", CHAT);
    let next = tokio::time::timeout(std::time::Duration::from_secs(4), asking).await.expect("a request waits for the webhook");
    assert_eq!(next.status(), 503);
    call.answer("200 OK", &[], "ok").await;
}

#[tokio::test]
async fn a_lost_always_on_node_is_told_to_the_topic_of_ntfy() {
    let (mut node, mut ntfy) = (Node::with_models(&["m"]), Node::start());
    let topic = format!("{}/under/here/my-topic_1", ntfy.url());
    let proxy = Proxy::before(&[&node], &[("health-interval", "200ms"), ("notify-ntfy", &*topic)]);
    proxy.until("/nodes", "\"state\":\"awake\"").await;
    node.close().await;
    let mut call = ntfy.next().await;
    assert_eq!(call.head.asked(), "POST /under/here/");
    let told: serde_json::Value = serde_json::from_slice(&call.body().await).unwrap();
    assert_eq!((&told["topic"], &told["title"]), (&json!("my-topic_1"), &json!("node1 does not answer")));
    assert_eq!((&told["tags"], &told["priority"]), (&json!(["warning"]), &json!(4)));
    call.answer("200 OK", &[], "{}").await;
    proxy.until("/nodes", "\"state\":\"service_down\"").await;
}
