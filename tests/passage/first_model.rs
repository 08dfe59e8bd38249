//! The default model: pulled once onto a node that is awake anyway, and never a reason to wake one.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::client::{get, post};
use crate::node::Node;
use crate::program::Scratch;
use crate::proxy::Proxy;

const PULL: &str = "POST /api/pull";
const WISH: [(&str, &str); 2] = [("default-model", "llama3.2:1b"), ("pull-default-model", "true")];

async fn refresh(proxy: &Proxy, name: &str) {
    let answer = post(proxy.address, &format!("/nodes/{name}/refresh"), "").await;
    assert_eq!(answer.status(), 200, "{}", answer.text());
}

#[tokio::test]
async fn it_is_pulled_once_and_its_list_is_read_anew() {
    let mut node = Node::with_models(&["m"]);
    let proxy = Proxy::before(&[&node], &WISH);
    let mut pull = node.next().await;
    assert_eq!(pull.head.asked(), PULL);
    assert_eq!(serde_json::from_slice::<Value>(&pull.body().await).unwrap(), json!({ "model": "llama3.2:1b" }));
    pull.begin("application/x-ndjson").await;
    pull.chunk("{\"status\":\"pulling manifest\"}\n{\"status\":\"pulling aa\",\"total\":100,\"comp").await;
    pull.chunk("leted\":50}\n").await;
    // Readings meanwhile begin no second one.
    refresh(&proxy, "node1").await;
    let lists = node.count("GET /api/tags");
    pull.chunk("{\"status\":\"success\"}\n").await;
    pull.end().await;
    while node.count("GET /api/tags") == lists {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    refresh(&proxy, "node1").await;
    assert_eq!(node.count(PULL), 1);
}

#[tokio::test]
async fn a_sleeping_node_is_not_woken_for_it_and_pulls_it_when_a_request_has_woken_it() {
    let (mut node, mut service) = (Node::with_models(&["m"]), Node::start());
    let scratch = Arc::new(Scratch::new());
    let wake_url = service.url();
    let flags = [("wake-url", &*wake_url), ("wake-interval", "0")];
    // Its list is known from before.
    let before = Proxy::remembering(&scratch, &[&node], &flags);
    before.until("/api/tags", "\"m\"").await;
    before.end().await;
    node.sleep().await;
    let proxy = Proxy::remembering(&scratch, &[&node], &[&flags[..], &WISH].concat());
    for path in ["/api/tags", "/v1/models", "/nodes", "/health"] {
        assert_eq!(get(proxy.address, path).await.status(), 200);
    }
    assert_eq!((service.seen().len(), node.count(PULL)), (0, 0));
    let address = proxy.address;
    let asking = tokio::spawn(async move {
        post(address, "/api/chat", r#"{"model":"m","messages":[{"role":"user","content":"hello"}]}"#).await
    });
    service.next().await.answer("200 OK", &[], "ok").await;
    node.wake();
    // The load in the proxy's name, the look at the GPU, the chat and the pull come in any order.
    let (mut chatted, mut pulled) = (false, false);
    while !chatted || !pulled {
        let mut asked = node.next().await;
        match asked.head.asked() {
            PULL => {
                pulled = true;
                asked.answer("200 OK", &["Content-Type: application/x-ndjson"], "{\"status\":\"success\"}\n").await;
            }
            "GET /api/ps" => asked.answer_json(&json!({ "models": [] })).await,
            "POST /api/chat" => {
                let body: Value = serde_json::from_slice(&asked.body().await).unwrap();
                chatted |= body["messages"] != json!([]);
                asked.answer_chat().await;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(asking.await.unwrap().status(), 200);
}

#[tokio::test]
async fn nothing_is_pulled_where_a_node_has_it_or_nobody_asked_for_the_pull() {
    let (first, second) = (Node::with_models(&["m"]), Node::with_models(&["llama3.2:1b"]));
    let proxy = Proxy::before(&[&first, &second], &WISH);
    proxy.until("/api/tags", "llama3.2:1b").await;
    let (alone, other) = (Node::with_models(&["m"]), Node::with_models(&["n"]));
    let quiet = Proxy::before(&[&alone, &other], &WISH[..1]);
    for (proxy, node) in [(&proxy, "node1"), (&proxy, "node2"), (&quiet, "node1"), (&quiet, "node2")] {
        refresh(proxy, node).await;
        refresh(proxy, node).await;
    }
    assert!([&first, &second, &alone, &other].iter().all(|node| node.count(PULL) == 0));
}

#[tokio::test]
async fn a_node_that_is_not_meant_for_its_size_does_not_get_it() {
    let scratch = Arc::new(Scratch::new());
    let file = r#"{"nodes":[{"name":"node1","supported_model_ranges":[{"min_params_b":30}]}]}"#;
    std::fs::write(scratch.path().join("node_config.json"), file).unwrap();
    let (large, mut small) = (Node::with_models(&["m"]), Node::with_models(&["m"]));
    let proxy = Proxy::remembering(&scratch, &[&large, &small], &WISH);
    let pull = small.next().await;
    assert_eq!(pull.head.asked(), PULL);
    refresh(&proxy, "node1").await;
    assert_eq!(large.count(PULL), 0);
}
