//! What changes models, over several nodes.

use crate::client::Answer;
use crate::fleet::{Fleet, MODEL, served_by};

const RANGES: &str = r#"{"nodes":[
  {"name":"node1","supported_model_ranges":[{"min_params_b":0,"max_params_b":100}]},
  {"name":"node2","supported_model_ranges":[{"min_params_b":1,"max_params_b":8}]},
  {"name":"node3","supported_model_ranges":[{"min_params_b":30,"max_params_b":70}]}
]}"#;

const DELETE: &str = r#"{"model":"llama3.2:3b"}"#;

async fn answered(fleet: &mut Fleet, status: &str) -> usize {
    let (index, mut exchange) = fleet.next().await;
    exchange.answer(status, &[], "").await;
    index
}

async fn pulled(fleet: &mut Fleet, headers: &[(&str, &str)], model: &str) -> usize {
    let pull = fleet.asks("POST /api/pull", headers, &format!(r#"{{"model":"{model}","stream":false}}"#));
    let (index, mut exchange) = fleet.next().await;
    exchange.answer("200 OK", &["Content-Type: application/json"], r#"{"status":"success"}"#).await;
    assert_eq!(served_by(&pull.await.unwrap()), index);
    index
}

#[tokio::test]
async fn a_pull_goes_to_the_node_that_fits_best_or_to_the_named_one() {
    let mut fleet = Fleet::holding(&[&[MODEL], &[MODEL], &[MODEL]], RANGES, &[]).await;
    assert_eq!(pulled(&mut fleet, &[], "qwen3:4b").await, 1);
    assert_eq!(pulled(&mut fleet, &[], "llama3.3:70b").await, 2);
    assert_eq!(pulled(&mut fleet, &[], "gemma3:12b").await, 0);
    assert_eq!(pulled(&mut fleet, &[("X-Ollama-Proxy-Node", "node3")], "qwen3:4b").await, 2);
}

#[tokio::test]
async fn a_delete_acts_on_every_node_that_holds_the_model() {
    let mut fleet = Fleet::holding(&[&[MODEL], &["qwen3:4b"], &[MODEL]], "{}", &[]).await;
    let delete = fleet.asks("DELETE /api/delete", &[], DELETE);
    let asked = [answered(&mut fleet, "200 OK").await, answered(&mut fleet, "200 OK").await];
    assert_eq!(asked, [0, 2]);
    assert_eq!(delete.await.unwrap().status(), 200);
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_copy_that_fails_on_one_node_is_a_502_that_names_it() {
    let mut fleet = Fleet::of(2).await;
    let copy = fleet.asks("POST /api/copy", &[], r#"{"source":"llama3.2:3b","destination":"mine"}"#);
    answered(&mut fleet, "200 OK").await;
    answered(&mut fleet, "500 Internal Server Error").await;
    let answer: Answer = copy.await.unwrap();
    assert_eq!(answer.status(), 502);
    let text = answer.error();
    assert!(text.contains("node2 answered 500") && !text.contains("node1"), "{text}");
}

#[tokio::test]
async fn a_delete_on_the_named_node_leaves_the_others_alone() {
    let mut fleet = Fleet::of(2).await;
    let delete = fleet.asks("DELETE /api/delete", &[("X-Ollama-Proxy-Node", "node2")], DELETE);
    assert_eq!(answered(&mut fleet, "200 OK").await, 1);
    assert_eq!(delete.await.unwrap().status(), 200);
    fleet.nothing_more().await;
}

#[tokio::test]
async fn a_create_goes_where_its_blobs_lie_and_else_is_a_conflict() {
    let mut fleet = Fleet::of(3).await;
    let create = r#"{"model":"mine","files":{"a.gguf":"sha256:aa"},"stream":false}"#;
    let unknown = fleet.asks("POST /api/create", &[], create).await.unwrap();
    assert_eq!(unknown.status(), 409, "{unknown:?}");
    let upload = fleet.asks("POST /api/blobs/sha256:aa", &[("X-Ollama-Proxy-Node", "node3")], "bytes");
    assert_eq!(answered(&mut fleet, "201 Created").await, 2);
    assert_eq!(upload.await.unwrap().status(), 201);
    for _ in 0..2 {
        let created = fleet.asks("POST /api/create", &[], create);
        assert_eq!(answered(&mut fleet, "200 OK").await, 2);
        assert_eq!(created.await.unwrap().status(), 200);
    }
    let blob = fleet.asks("POST /api/blobs/sha256:bb", &[], "bytes");
    assert_eq!(answered(&mut fleet, "201 Created").await, 0, "the first awake one");
    assert_eq!(blob.await.unwrap().status(), 201);
    fleet.nothing_more().await;
}
