//! What nodes and providers learn of us, and what they cannot do to us.

use crate::client::ask;
use crate::house::{CHAT, CLIENT_KEY, House, OWNER_KEY, bearer};
use crate::node::Node;

const KEYS: [(&str, &str); 2] = [("api-key", CLIENT_KEY), ("admin-key", OWNER_KEY)];

#[tokio::test]
async fn no_node_sees_a_key_or_a_cookie_of_ours() {
    let mut house = House::awake(&KEYS);
    let (client, owner) = (bearer(CLIENT_KEY), bearer(OWNER_KEY));
    for headers in [
        [("Authorization", &*client), ("Cookie", "ollama_proxy_session=canary")],
        [("X-API-Key", CLIENT_KEY), ("Authorization", &*owner)],
        [("X-API-Key", OWNER_KEY), ("Authorization", "Bearer of-the-node")],
    ] {
        let asks = ask(house.proxy.address, "POST /api/chat", &headers, CHAT);
        let hears = async {
            let exchange = house.node.next().await;
            let heard = exchange.head.clone();
            exchange.answer_chat().await;
            heard
        };
        let (answer, heard) = tokio::join!(asks, hears);
        assert_eq!(answer.status(), 200);
        assert!(!format!("{heard:?}").contains("canary"), "{heard:?}");
        // What is no key of ours may be the node's own.
        assert_eq!(heard.get("authorization"), headers[1].1.contains("of-the-node").then_some("Bearer of-the-node"));
    }
}

#[tokio::test]
async fn no_provider_sees_a_key_of_ours() {
    let (mut house, mut cloud) = (House::awake(&[]), Node::start());
    let base = format!("{}/v1", cloud.url());
    let flags = [KEYS[0], KEYS[1], ("openai-base-url", &*base), ("openai-api-key", "sk-of-the-house")];
    house.proxy = House::awake(&flags).proxy;
    let body = r#"{"model":"openai/gpt","messages":[{"role":"user","content":"hello"}]}"#;
    let headers = [("X-API-Key", CLIENT_KEY), ("Authorization", "Bearer canary-of-another")];
    let asks = ask(house.proxy.address, "POST /v1/chat/completions", &headers, body);
    let hears = async {
        loop {
            let mut exchange = cloud.next().await;
            let heard = exchange.head.clone();
            exchange.answer("200 OK", &["Content-Type: application/json"], r#"{"object":"list","data":[]}"#).await;
            if heard.asked().starts_with("POST") {
                return heard;
            }
        }
    };
    let (answer, heard) = tokio::join!(asks, hears);
    assert_eq!(answer.status(), 200);
    assert_eq!(heard.get("authorization"), Some("Bearer sk-of-the-house"));
    assert!(!format!("{heard:?}").contains("canary"), "{heard:?}");
}

#[tokio::test]
async fn a_node_can_set_no_cookie_and_open_no_origin() {
    let mut house = House::awake(&[]);
    let asks = ask(house.proxy.address, "POST /api/embed", &[("Origin", "http://localhost:3000")], CHAT);
    let lines = [
        "Set-Cookie: ollama_proxy_session=of-the-node",
        "Access-Control-Allow-Origin: *",
        "Access-Control-Allow-Credentials: true",
        "Access-Control-Allow-Private-Network: true",
        "Strict-Transport-Security: max-age=31536000",
        "Clear-Site-Data: \"*\"",
        "Alt-Svc: h2=\":1\"",
        "Service-Worker-Allowed: /",
    ];
    let answers = async { house.node.next().await.answer("200 OK", &lines, "{}").await };
    let answer = tokio::join!(asks, answers).0;
    assert_eq!((answer.head.get("set-cookie"), answer.head.get("access-control-allow-credentials")), (None, None));
    assert_eq!(answer.head.get("access-control-allow-origin"), Some("http://localhost:3000"));
    for name in [
        "access-control-allow-private-network",
        "strict-transport-security",
        "clear-site-data",
        "alt-svc",
        "service-worker-allowed",
    ] {
        assert_eq!(answer.head.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_page_of_a_node_has_no_rights_in_a_browser() {
    let mut house = House::awake(&[]);
    let lines = ["Content-Type: text/html", "Content-Security-Policy: script-src *", "Refresh: 0;url=http://evil.example"];
    let asks = ask(house.proxy.address, "POST /api/embed", &[], CHAT);
    let answers = async { house.node.next().await.answer("200 OK", &lines, "<script>act()</script>").await };
    let answer = tokio::join!(asks, answers).0;
    assert_eq!(answer.text(), "<script>act()</script>", "its bytes pass all the same");
    assert_eq!((answer.head.get("content-security-policy"), answer.head.get("refresh")), (Some("sandbox"), None));
    assert_eq!(answer.head.get("x-content-type-options"), Some("nosniff"));
}
