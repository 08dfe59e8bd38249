//! Which headers pass, which end at the proxy, and which are its own.

use crate::client::{Answer, ask, post, request};
use crate::node::{Exchange, Node};
use crate::proxy::{Proxy, STRICT};
use crate::wire::{Head, Wire};

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#;

/// What the node hears of a chat with these headers.
async fn heard(headers: &'static [(&str, &str)]) -> Head {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { ask(proxy.address, "POST /api/chat", headers, CHAT).await });
    let exchange = node.next().await;
    let head = exchange.head.clone();
    exchange.answer_chat().await;
    asking.await.unwrap();
    head
}

/// What the client hears of an answer with these header lines.
async fn told(lines: &[&str]) -> Answer {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/embed", CHAT).await });
    node.next().await.answer("200 OK", lines, "{}").await;
    asking.await.unwrap()
}

#[tokio::test]
async fn the_host_is_the_nodes_own() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { post(proxy.address, "/api/chat", CHAT).await });
    let exchange = node.next().await;
    assert_eq!(exchange.head.get("host"), Some(node.address.to_string().as_str()));
    exchange.answer_chat().await;
    asking.await.unwrap();
}

#[tokio::test]
async fn origin_referer_cookies_and_what_browsers_add_do_not_reach_the_node() {
    let head = heard(&[
        ("Origin", "http://localhost:3000"),
        ("Referer", "http://localhost:3000/chat"),
        ("Cookie", "session=secret"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "cors"),
        ("X-Ollama-Proxy-Wake", "never"),
    ])
    .await;
    for name in ["origin", "referer", "cookie", "sec-fetch-site", "sec-fetch-mode", "x-ollama-proxy-wake"] {
        assert!(head.all(name).is_empty(), "{name}: {head:?}");
    }
}

#[tokio::test]
async fn authorization_and_user_agent_reach_the_node() {
    let head =
        heard(&[("Authorization", "Bearer ollama"), ("User-Agent", "GitHubCopilotChat/0.26"), ("X-Stainless-Lang", "js")]).await;
    assert_eq!(head.get("authorization"), Some("Bearer ollama"));
    assert_eq!(head.get("user-agent"), Some("GitHubCopilotChat/0.26"));
    assert_eq!(head.get("x-stainless-lang"), Some("js"));
}

#[tokio::test]
async fn what_concerns_the_clients_connection_ends_at_the_proxy() {
    let head = heard(&[
        ("Connection", "keep-alive, X-First"),
        ("Connection", "x-second"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("X-First", "1"),
        ("X-Second", "2"),
        ("X-Third", "3"),
    ])
    .await;
    for name in ["connection", "keep-alive", "proxy-connection", "te", "x-first", "x-second"] {
        assert!(head.all(name).is_empty(), "{name}: {head:?}");
    }
    assert_eq!(head.get("x-third"), Some("3"));
}

#[tokio::test]
async fn what_concerns_the_nodes_connection_ends_at_the_proxy() {
    let answer = told(&[
        "Connection: keep-alive, X-First",
        "Connection: X-Second",
        "Keep-Alive: timeout=5",
        "X-First: 1",
        "X-Second: 2",
        "X-Third: 3",
    ])
    .await;
    for name in ["connection", "keep-alive", "x-first", "x-second"] {
        assert!(answer.head.all(name).is_empty(), "{name}: {answer:?}");
    }
    assert_eq!(answer.head.get("x-third"), Some("3"));
}

#[tokio::test]
async fn repeated_headers_of_an_answer_all_pass() {
    let answer = told(&["X-Twice: 1", "X-Twice: 2", "Content-Type: application/json"]).await;
    assert_eq!(answer.head.all("x-twice"), ["1", "2"]);
    assert_eq!(answer.head.get("content-type"), Some("application/json"));
}

#[tokio::test]
async fn a_nodes_own_cors_headers_are_replaced() {
    let answer = told(&["Access-Control-Allow-Origin: *", "Access-Control-Allow-Credentials: true"]).await;
    assert!(answer.head.all("access-control-allow-origin").is_empty());
    assert!(answer.head.all("access-control-allow-credentials").is_empty());
}

#[tokio::test]
async fn a_request_that_came_back_is_answered_with_508() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/v1/chat/completions", CHAT).await });
    let mut exchange = node.next().await;
    let via = exchange.head.get("via").unwrap().to_owned();
    let again = ask(address, "POST /v1/chat/completions", &[("Via", "1.1 other"), ("Via", &via)], CHAT).await;
    assert_eq!(again.status(), 508);
    assert!(again.error().contains("OLLAMA_URL"), "{}", again.error());
    exchange.answer("200 OK", &[], "{}").await;
    asking.await.unwrap();
    assert_eq!(node.seen().len(), 1);
}

#[tokio::test]
async fn other_proxies_on_the_way_are_kept_in_via() {
    let head = heard(&[("Via", "1.1 other")]).await;
    assert_eq!(head.all("via").len(), 2);
    assert_eq!(head.all("via")[0], "1.1 other");
}

#[tokio::test]
async fn a_request_id_is_kept_forwarded_and_returned() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let asking = tokio::spawn(async move { ask(proxy.address, "POST /api/chat", &[("X-Request-ID", "abc-123")], CHAT).await });
    let exchange = node.next().await;
    assert_eq!(exchange.head.get("x-request-id"), Some("abc-123"));
    exchange.answer_chat().await;
    assert_eq!(asking.await.unwrap().head.get("x-request-id"), Some("abc-123"));
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_which_both_ends_see() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let mut known = Vec::new();
    for _ in 0..2 {
        let mut client = Wire::connect(proxy.address).await;
        client.say(request("POST /api/chat", &[], CHAT)).await;
        let exchange = node.next().await;
        let id = exchange.head.get("x-request-id").unwrap().to_owned();
        exchange.answer_chat().await;
        assert_eq!(client.answer("POST").await.head.get("x-request-id"), Some(id.as_str()));
        known.push(id);
    }
    assert_ne!(known[0], known[1]);
}

#[tokio::test]
async fn an_answer_names_the_node_that_gave_it() {
    assert_eq!(told(&[]).await.head.get("x-ollama-proxy-node"), Some("node1"));
}

#[tokio::test]
async fn a_client_may_name_the_node_that_shall_serve() {
    let (mut first, mut second) = (Node::start(), Node::start());
    let proxy = Proxy::before(&[&first, &second], &[STRICT]);
    let address = proxy.address;
    for name in ["node2", "node1"] {
        let asking = tokio::spawn(async move { ask(address, "POST /api/chat", &[("X-Ollama-Proxy-Node", name)], CHAT).await });
        let exchange: Exchange = if name == "node1" { first.next().await } else { second.next().await };
        assert!(exchange.head.all("x-ollama-proxy-node").is_empty());
        exchange.answer_chat().await;
        assert_eq!(asking.await.unwrap().head.get("x-ollama-proxy-node"), Some(name));
    }
}

#[tokio::test]
async fn an_unknown_node_is_answered_with_404_and_the_known_names() {
    let node = Node::start();
    let proxy = Proxy::strict(&node);
    let answer = ask(proxy.address, "POST /api/chat", &[("X-Ollama-Proxy-Node", "gpu9")], CHAT).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.error().contains("gpu9") && answer.error().contains("node1"), "{}", answer.error());
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn an_answer_from_memory_says_so_and_how_old_it_is() {
    let node = Node::with_models(&["llama3.2:3b"]);
    let proxy = Proxy::before(&[&node], &[]);
    proxy.until("/api/tags", "llama3.2:3b").await;
    let answer = ask(proxy.address, "GET /api/tags", &[], "").await;
    assert_eq!(answer.head.get("x-ollama-proxy-cache"), Some("fresh"));
    assert!(answer.head.get("age").unwrap().parse::<u64>().unwrap() < 10);
    assert_eq!(answer.head.get("x-ollama-proxy-node"), None);
}

#[tokio::test]
async fn an_old_answer_from_memory_is_called_stale() {
    let node = Node::with_models(&["llama3.2:3b"]);
    let proxy = Proxy::before(&[&node], &[("cache-ttl", "1ns")]);
    proxy.until("/api/tags", "llama3.2:3b").await;
    let answer = ask(proxy.address, "GET /api/tags", &[], "").await;
    assert_eq!(answer.head.get("x-ollama-proxy-cache"), Some("stale"));
}

#[tokio::test]
async fn nobody_gets_a_tunnel_or_an_echo() {
    let node = Node::start();
    let proxy = Proxy::strict(&node);
    for asked in ["CONNECT example.org:443", "TRACE /api/tags"] {
        assert_eq!(ask(proxy.address, asked, &[], "").await.status(), 405, "{asked}");
    }
    assert!(node.seen().is_empty(), "{:?}", node.seen());
}
