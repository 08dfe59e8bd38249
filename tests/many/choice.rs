//! Which node serves: who has the model, whom it fits, where it is loaded, whose turn it is.

use crate::client;
use crate::fleet::{Fleet, MODEL, chat_body, served_by};
use crate::node::Node;

/// The rules of the seed: 120B to node1, 30 to 70B to node2, 1 to 8B to node3 and node4.
const SEED: &str = r#"{
  "nodes": [
    {"name": "node1", "memory_gb": 128, "supported_model_ranges": [{"min_params_b": 100, "max_params_b": null}]},
    {"name": "node2", "memory_gb": 32, "supported_model_ranges": [{"min_params_b": 30, "max_params_b": 70}]},
    {"name": "node3", "memory_gb": 16, "supported_model_ranges": [{"min_params_b": 1, "max_params_b": 8}]},
    {"name": "node4", "memory_gb": 32, "supported_model_ranges": [{"min_params_b": 1, "max_params_b": 8}]}
  ],
  "model_name_patterns": {"120b": 120, "70b": 70, "8b": 8}
}"#;

#[tokio::test]
async fn only_nodes_that_have_the_model_with_its_tag_are_asked() {
    let mut fleet = Fleet::holding(&[&["llama3:8b"], &["llama3:70b"], &["library/llama3:latest"]], "{}", &[]).await;
    for (model, node) in [("llama3:8b", 0), ("LLAMA3:70b", 1), ("llama3", 2), ("library/llama3", 2)] {
        for _ in 0..3 {
            assert_eq!(fleet.serve_one(&chat_body(model, "")).await, node, "{model}");
        }
    }
}

#[tokio::test]
async fn the_rules_of_the_seed_hold_by_the_real_size_of_a_model() {
    // The scripted lists say 3.2B of every model: what a list says comes before every name.
    let all: &[&str] = &["llama2-70b", MODEL];
    let mut fleet = Fleet::holding(&[all, all, all, all], SEED, &[]).await;
    assert!(fleet.serve_one(&chat_body(MODEL, "")).await >= 2);
    assert!(fleet.serve_one(&chat_body("llama2-70b", "")).await >= 2);
    let route = fleet.json("/route?model=llama2-70b").await;
    assert_eq!((&route["nodes"][0]["fits"], &route["nodes"][0]["model_size_b"]), (&false.into(), &3.2.into()), "{route}");
    assert_eq!(route["nodes"][0]["model_size_from"], "the model list");
}

#[tokio::test]
async fn the_node_that_the_client_names_serves_or_nobody() {
    let mut fleet = Fleet::of(3).await;
    for node in ["node3", "node1", "node2"] {
        let asked = fleet.asks("POST /api/chat", &[("X-Ollama-Proxy-Node", node)], &chat_body(MODEL, ""));
        let (_, exchange) = fleet.next().await;
        exchange.answer_chat().await;
        assert_eq!(asked.await.unwrap().head.get("x-ollama-proxy-node"), Some(node));
    }
    let asked = fleet.asks("POST /api/chat", &[("X-Ollama-Proxy-Node", "node2")], &chat_body(MODEL, ""));
    for _ in 0..2 {
        let (index, exchange) = fleet.next().await;
        assert_eq!(index, 1);
        exchange.close().await;
    }
    assert_eq!(asked.await.unwrap().status(), 502);
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_model_is_used_where_it_is_loaded_and_another_context_length_is_another_load() {
    let mut fleet = Fleet::of(2).await;
    let plain = chat_body(MODEL, "");
    let first = fleet.serve_one(&plain).await;
    for _ in 0..3 {
        assert_eq!(fleet.serve_one(&plain).await, first);
    }
    let long = chat_body(MODEL, r#","options":{"num_ctx":32768}"#);
    let mut served = [fleet.serve_one(&long).await, fleet.serve_one(&plain).await];
    if served[0] == first {
        // It took the place of the plain one there, so nothing is warm for the plain ask now.
        served[1] = 1 - first;
    }
    assert_eq!(fleet.serve_one(&long).await, served[0]);
}

async fn load_everywhere(fleet: &mut Fleet) {
    for number in 1..=fleet.nodes.len() {
        let name = format!("node{number}");
        let asked = fleet.asks("POST /api/chat", &[("X-Ollama-Proxy-Node", &name)], &chat_body(MODEL, ""));
        fleet.next().await.1.answer_chat().await;
        assert_eq!(served_by(&asked.await.unwrap()), number - 1);
    }
}

async fn shares(fleet: &mut Fleet, requests: usize) -> Vec<usize> {
    let mut counts = vec![0; fleet.nodes.len()];
    for _ in 0..requests {
        counts[fleet.serve_one(&chat_body(MODEL, "")).await] += 1;
    }
    counts
}

#[tokio::test]
async fn nodes_that_have_it_loaded_take_turns() {
    let mut fleet = Fleet::of(3).await;
    load_everywhere(&mut fleet).await;
    assert_eq!(shares(&mut fleet, 12).await, [4, 4, 4]);
}

#[tokio::test]
async fn weights_and_watts_decide_when_the_strategy_says_so() {
    let weights = r#"{"nodes":[{"name":"node1","weight":3},{"name":"node2","power":{"idle_watts":8}}]}"#;
    for (strategy, share) in [("Weighted-Round-Robin", [9, 3]), ("least_energy", [0, 12]), ("least-loaded", [6, 6])] {
        let mut fleet = Fleet::holding(&[&[MODEL], &[MODEL]], weights, &[("strategy", strategy)]).await;
        load_everywhere(&mut fleet).await;
        assert_eq!(shares(&mut fleet, 12).await, share, "{strategy}");
        let told = strategy.to_lowercase().replace('-', "_");
        assert_eq!(fleet.json("/nodes").await["scheduling_strategy"], told);
    }
}

#[tokio::test]
async fn a_route_is_explained_for_every_node_and_nobody_is_asked() {
    let file = r#"{"nodes":[{"name":"node1","supported_model_ranges":[{"min_params_b":30,"max_params_b":70}]}]}"#;
    let mut fleet = Fleet::holding(&[&[MODEL], &[MODEL], &["qwen3:4b"]], file, &[]).await;
    let seen: Vec<usize> = fleet.nodes.iter().map(|node| node.seen().len()).collect();
    let route = fleet.json("/route?model=llama3.2%3A3b").await;
    assert_eq!((&route["choice"], &route["wakes"]), (&"node2".into(), &false.into()), "{route}");
    let why = |index: usize| route["nodes"][index]["why"].as_str().unwrap().to_owned();
    assert!(why(0).contains("supported_model_ranges"), "{route}");
    assert!(why(1).contains("awake, has the model"), "{route}");
    assert!(why(2).contains("does not have the model"), "{route}");
    for _ in 0..3 {
        assert_eq!(fleet.json("/route?model=llama3.2:3b").await["choice"], "node2");
    }
    assert_eq!(fleet.nodes.iter().map(|node| node.seen().len()).collect::<Vec<_>>(), seen);
    assert_eq!(client::get(fleet.proxy.address, "/route").await.status(), 400);
    assert_eq!(client::get(fleet.proxy.address, "/route?model=x&node=no").await.status(), 404);
    assert_eq!(fleet.serve_one(&chat_body(MODEL, "")).await, 1);
}

#[tokio::test]
async fn explaining_takes_nobodys_turn() {
    let mut fleet = Fleet::of(2).await;
    load_everywhere(&mut fleet).await;
    for _ in 0..4 {
        let told = fleet.json(&format!("/route?model={MODEL}")).await;
        let again = fleet.json(&format!("/route?model={MODEL}")).await;
        assert_eq!(told["choice"], again["choice"]);
        let served = fleet.serve_one(&chat_body(MODEL, "")).await;
        assert_eq!(told["choice"], format!("node{}", served + 1));
    }
}

#[tokio::test]
async fn with_the_fallback_none_a_model_that_fits_nowhere_is_refused_with_reasons() {
    let file = r#"{"fallback":"none","nodes":[{"name":"node1","supported_model_ranges":[{"min_params_b":30}]},
        {"name":"node2","supported_model_ranges":[{"max_params_b":1}]}]}"#;
    let mut fleet = Fleet::holding(&[&[MODEL], &[MODEL]], file, &[]).await;
    let answer = fleet.chat().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.error().contains("node1") && answer.error().contains("supported_model_ranges"), "{answer:?}");
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_model_that_one_of_many_nodes_has_got_meanwhile_is_found_there_too() {
    let both: &[&str] = &[MODEL, "both:1b"];
    let lists = [both, &[MODEL], &[MODEL], &[MODEL], &[MODEL], &[MODEL]];
    let one_each = r#"{"nodes":[{"name":"node1","capacity":1},{"name":"node6","capacity":1}]}"#;
    let mut fleet = Fleet::holding(&lists, one_each, &[]).await;
    let address = fleet.nodes[5].address;
    fleet.nodes[5].close().await;
    fleet.nodes[5] = Node::at(address, &["both:1b"]);
    assert_eq!(fleet.asks("POST /nodes/node6/refresh", &[], "").await.unwrap().status(), 200);
    let chats = [(); 2].map(|()| fleet.asks("POST /api/chat", &[], &chat_body("both:1b", "")));
    let mut served = Vec::new();
    for _ in 0..2 {
        // Neither is answered before both have come: the first has taken the one place of its node.
        served.push(fleet.next().await);
    }
    served.sort_by_key(|(index, _)| *index);
    assert_eq!(served.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 5]);
    for (_, exchange) in served {
        exchange.answer_chat().await;
    }
    for chat in chats {
        assert_eq!(chat.await.unwrap().status(), 200);
    }
    let route = fleet.json(&format!("/route?model={MODEL}")).await;
    let sixth = route["nodes"].as_array().unwrap().iter().find(|node| node["name"] == "node6").unwrap();
    assert_eq!(sixth["why"], "does not have the model", "{route}");
}
