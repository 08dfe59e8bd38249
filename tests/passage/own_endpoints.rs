//! The endpoints that are the proxy's own. None of them touches a node that sleeps.

use crate::client::{Answer, ask, get, post};
use crate::node::Node;
use crate::proxy::{Proxy, STRICT};

/// Answers of a proxy in front of one node, which must not hear of them.
async fn asked(asked: &str, headers: &[(&str, &str)]) -> Answer {
    let node = Node::start();
    let proxy = Proxy::strict(&node);
    let answer = ask(proxy.address, asked, headers, "").await;
    assert!(node.seen().is_empty(), "{:?}", node.seen());
    answer
}

#[tokio::test]
async fn the_root_says_what_ollama_says() {
    let answer = asked("GET /", &[]).await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "Ollama is running"));
    assert_eq!(answer.head.get("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(asked("GET /", &[("Accept", "*/*")]).await.text(), "Ollama is running");
}

#[tokio::test]
async fn a_head_of_the_root_has_the_length_and_no_body() {
    let answer = asked("HEAD /", &[]).await;
    assert_eq!((answer.status(), answer.head.get("content-length")), (200, Some("17")));
}

#[tokio::test]
async fn programs_get_json_at_the_root() {
    let answer = asked("GET /", &[("Accept", "application/json")]).await;
    assert_eq!(answer.json()["name"], "ollama-proxy");
}

#[tokio::test]
async fn a_browser_gets_a_page_that_loads_nothing_from_elsewhere() {
    let answer = asked("GET /", &[("Accept", "text/html,application/xhtml+xml")]).await;
    assert_eq!(answer.head.get("content-type"), Some("text/html; charset=utf-8"));
    let policy = answer.head.get("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let page = answer.text();
    for absolute in ["=\"http", "=\"//", "src=\"/", "href=\"/", "action=\"/", "url("] {
        assert!(!page.contains(absolute), "{absolute} in {page}");
    }
    assert!(page.contains("node1"));
}

#[tokio::test]
async fn what_the_pages_link_to_is_there() {
    for path in ["/", "/topology"] {
        let page = asked(&format!("GET {path}"), &[("Accept", "text/html")]).await.text();
        let parts = ["ui/", "./"].map(|start| page.split('"').filter(move |text| text.starts_with(start)));
        let links: Vec<&str> = parts.into_iter().flatten().collect();
        assert!(links.len() >= 5, "{links:?}");
        for link in links {
            let answer = asked(&format!("GET /{}", link.trim_start_matches("./")), &[]).await;
            assert_eq!(answer.status(), 200, "{link}");
        }
    }
}

#[tokio::test]
async fn the_page_is_said_in_the_readers_language() {
    for (language, said) in [("zh-CN,zh;q=0.9", "节点"), ("zh-TW", "節點"), ("de, en;q=0.5", "Nodes")] {
        let answer = asked("GET /", &[("Accept", "text/html"), ("Accept-Language", language)]).await;
        assert_eq!(answer.head.get("vary"), Some("Accept, Accept-Language"));
        assert!(answer.text().contains(said), "{language}");
    }
}

#[tokio::test]
async fn the_picture_of_the_network_has_its_page_and_its_old_address_leads_there() {
    assert!(asked("GET /topology", &[]).await.text().contains("<canvas"));
    let old = asked("GET /static/topology-3d.html", &[]).await;
    assert_eq!((old.status(), old.head.get("location")), (303, Some("../topology")));
}

#[tokio::test]
async fn health_is_always_200_and_counts_nodes_and_requests() {
    let answer = asked("GET /health", &[]).await;
    let json = answer.json();
    assert_eq!((answer.status(), &json["status"], &json["healthy_nodes"]), (200, &"healthy".into(), &1.into()));
    let node = &json["nodes"]["node1"];
    assert_eq!((&node["healthy"], &node["state"], &node["total_requests"]), (&true.into(), &"unknown".into(), &0.into()));
}

#[tokio::test]
async fn health_is_degraded_and_still_200_when_the_node_refuses() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    node.close().await;
    post(proxy.address, "/api/show", r#"{"model":"m"}"#).await;
    proxy.until("/health", "service_down").await;
    let answer = get(proxy.address, "/health").await;
    assert_eq!((answer.status(), &answer.json()["status"]), (200, &"degraded".into()));
}

#[tokio::test]
async fn health_and_nodes_answer_head_without_a_body() {
    for path in ["/health", "/nodes"] {
        let answer = asked(&format!("HEAD {path}"), &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert!(answer.head.get("content-length").unwrap().parse::<usize>().unwrap() > 10, "{path}");
    }
}

#[tokio::test]
async fn nodes_are_listed_with_their_power() {
    let json = asked("GET /nodes", &[]).await.json();
    let node = &json["nodes"][0];
    assert_eq!(
        (&json["scheduling_strategy"], &node["name"], &node["weight"]),
        (&"round_robin".into(), &"node1".into(), &1.0.into())
    );
    assert!(node["hosts"][0].as_str().is_some_and(|host| host.starts_with("127.")) && node["hosts"][1].is_null(), "{node}");
    let power = &node["power"];
    assert_eq!((&power["state"], &power["always_on"], &power["wakeable"]), (&"unknown".into(), &true.into(), &false.into()));
}

#[tokio::test]
async fn a_wrong_method_is_told_with_the_right_ones() {
    for (asked_for, allowed) in
        [("POST /health", "GET, HEAD"), ("DELETE /nodes", "GET, HEAD"), ("GET /nodes/node1/wake", "POST"), ("PUT /", "GET, HEAD")]
    {
        let answer = asked(asked_for, &[]).await;
        assert_eq!((answer.status(), answer.head.get("allow")), (405, Some(allowed)), "{asked_for}");
    }
}

#[tokio::test]
async fn an_unknown_node_cannot_be_woken() {
    let answer = asked("POST /nodes/gpu9/wake", &[]).await;
    assert_eq!(answer.status(), 404);
    assert!(answer.error().contains("gpu9"));
}

#[tokio::test]
async fn an_unknown_action_on_a_node_is_not_found() {
    assert_eq!(asked("POST /nodes/node1/explode", &[]).await.status(), 404);
}

#[tokio::test]
async fn a_node_without_means_cannot_be_woken_and_the_answer_says_what_is_missing() {
    let node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("always-on", "false")]);
    let answer = post(proxy.address, "/nodes/node1/wake", "").await;
    assert_eq!(answer.status(), 409);
    assert!(answer.error().contains("--wake-mac"), "{}", answer.error());
    assert!(node.seen().is_empty());
}

#[tokio::test]
async fn a_wake_is_accepted_at_once_and_calls_the_wake_url() {
    let (node, mut service) = (Node::with_models(&["m"]), Node::start());
    let url = format!("{}/wol?node={{node}}", service.url());
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &url)]);
    let answer = post(proxy.address, "/nodes/node1/wake", "").await;
    assert_eq!((answer.status(), &answer.json()["node"]), (202, &"node1".into()));
    let mut call = service.next().await;
    assert_eq!(call.head.asked(), "GET /wol?node=node1");
    call.answer("200 OK", &[], "ok").await;
    proxy.until("/nodes", "\"state\":\"awake\"").await;
}

#[tokio::test]
async fn a_waited_for_wake_is_answered_when_the_node_is_up() {
    let (node, mut service) = (Node::with_models(&["m"]), Node::start());
    let proxy = Proxy::before(&[&node], &[STRICT, ("wake-url", &service.url())]);
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/nodes/node1/wake?wait=1", "").await });
    service.next().await.answer("200 OK", &[], "ok").await;
    let answer = asking.await.unwrap();
    assert_eq!((answer.status(), &answer.json()["state"]), (200, &"awake".into()));
    assert!(answer.json()["seconds"].is_number());
}

#[tokio::test]
async fn a_waited_for_wake_in_vain_is_told_with_504() {
    let (mut node, mut service) = (Node::start(), Node::start());
    let flags = [STRICT, ("wake-url", &*service.url()), ("wake-timeout", "1s")];
    let proxy = Proxy::before(&[&node], &flags);
    node.close().await;
    let address = proxy.address;
    let asking = tokio::spawn(async move { post(address, "/nodes/node1/wake?wait=1", "").await });
    service.next().await.answer("200 OK", &[], "ok").await;
    assert_eq!(asking.await.unwrap().status(), 504);
}

#[tokio::test]
async fn another_site_may_not_wake_a_node() {
    let answer = asked("POST /nodes/node1/wake", &[("Sec-Fetch-Site", "cross-site")]).await;
    assert_eq!(answer.status(), 403);
}

#[tokio::test]
async fn a_refresh_reads_the_list_now() {
    let node = Node::with_models(&["m:1b"]);
    let proxy = Proxy::strict(&node);
    assert_eq!(post(proxy.address, "/nodes/node1/refresh", "").await.status(), 200);
    assert_eq!(node.count("GET /api/tags"), 1);
    assert!(get(proxy.address, "/nodes").await.text().contains("m:1b"));
}

#[tokio::test]
async fn an_allowed_origin_may_read_the_answer() {
    let origin = "http://localhost:3000";
    let answer = asked("GET /health", &[("Origin", origin)]).await;
    assert_eq!((answer.status(), answer.head.get("access-control-allow-origin")), (200, Some(origin)));
    assert!(answer.head.all("vary").iter().any(|vary| vary.contains("Origin")));
}

#[tokio::test]
async fn the_proxys_own_page_is_no_stranger() {
    let answer = asked("GET /health", &[("Origin", "http://proxy.lan:11434")]).await;
    assert_eq!((answer.status(), answer.head.get("access-control-allow-origin")), (200, None));
}

#[tokio::test]
async fn a_strange_origin_gets_an_empty_403_everywhere() {
    for asked_for in ["GET /health", "GET /api/tags", "POST /nodes/node1/wake", "OPTIONS /api/chat", "DELETE /api/delete"] {
        let answer = asked(asked_for, &[("Origin", "https://evil.example")]).await;
        assert_eq!((answer.status(), answer.body.len()), (403, 0), "{asked_for}");
        assert_eq!(answer.head.get("access-control-allow-origin"), None);
    }
}

#[tokio::test]
async fn an_origin_from_the_settings_is_allowed() {
    let node = Node::start();
    let proxy = Proxy::before(&[&node], &[STRICT, ("cors-origins", "https://chat.example")]);
    let answer = ask(proxy.address, "GET /health", &[("Origin", "https://chat.example")], "").await;
    assert_eq!(answer.head.get("access-control-allow-origin"), Some("https://chat.example"));
}

#[tokio::test]
async fn a_preflight_is_answered_here() {
    let headers = [
        ("Origin", "http://localhost:3000"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type, x-stainless-os"),
    ];
    let answer = asked("OPTIONS /api/chat", &headers).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.head.get("access-control-allow-origin"), Some("http://localhost:3000"));
    assert!(answer.head.get("access-control-allow-methods").unwrap().contains("DELETE"));
    assert_eq!(answer.head.get("access-control-allow-headers"), Some("content-type, x-stainless-os"));
    assert_eq!(answer.head.get("access-control-max-age"), Some("43200"));
}

#[tokio::test]
async fn an_allowed_origin_reads_the_answer_of_a_node_with_one_cors_header() {
    let mut node = Node::start();
    let proxy = Proxy::strict(&node);
    let address = proxy.address;
    let asking = tokio::spawn(async move { ask(address, "GET /api/tags", &[("Origin", "app://obsidian.md")], "").await });
    let mut exchange = node.next().await;
    assert_eq!(exchange.head.get("origin"), None);
    exchange.answer("200 OK", &["Access-Control-Allow-Origin: http://other"], "{}").await;
    assert_eq!(asking.await.unwrap().head.get("access-control-allow-origin"), Some("app://obsidian.md"));
}

#[tokio::test]
async fn without_any_node_the_proxy_says_what_is_missing() {
    let proxy = Proxy::without_a_node();
    let chat = post(proxy.address, "/api/chat", r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#).await;
    assert_eq!(chat.status(), 503);
    assert!(chat.error().contains("OLLAMA_URL"), "{}", chat.error());
    assert_eq!(get(proxy.address, "/health").await.json()["status"], "degraded");
    assert_eq!(get(proxy.address, "/api/tags").await.json(), serde_json::json!({ "models": [] }));
    assert!(ask(proxy.address, "GET /", &[("Accept", "text/html")], "").await.text().contains("OLLAMA_URL"));
    let chinese = ask(proxy.address, "GET /", &[("Accept", "text/html"), ("Accept-Language", "zh-CN")], "").await.text();
    assert!(chinese.contains("<p class=\"notice\">尚未设置 Ollama 节点"), "the notice is in the reader's language: {chinese}");
}
