//! A worker becomes a node of its controllers, and stops being one.

use serde_json::json;

use crate::house::{Controller, Worker, assert_whole, quick, served_by, until};
use crate::rig::{Node, get};

#[test]
fn a_worker_registers_becomes_a_node_and_serves() {
    let (server, controller) = (Node::with(quick()), Controller::start(&[]));
    assert_eq!(get(controller.proxy.address, "/health").status, 200);
    let worker = Worker::start("gpu-1", &server, &controller.url(), &["--capacity", "3"]);
    controller.until_serving("gpu-1");
    let reply = controller.chat();
    assert_whole(&reply);
    assert_eq!(served_by(&reply), "gpu-1");
    let told = controller.worker("gpu-1");
    assert_eq!(told["endpoint"], format!("http://{}", worker.proxy.address));
    assert_eq!((&told["status"], &told["capacity"], &told["circuit_state"]), (&json!("healthy"), &json!(3), &json!("closed")));
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    until("its loaded model is told", || controller.worker("gpu-1")["loaded_models"] == json!(["llama3.2:3b"]));
    let all = controller.workers();
    assert_eq!(all["total"], 1);
    let of_model = |model: &str| controller.internal("GET", &format!("?model_id={model}"), "", "").body;
    assert!(of_model("llama3.2:3b").contains("gpu-1") && of_model("mistral").contains("\"total\":0"));
}

#[test]
fn a_worker_that_ends_says_farewell_and_ends_what_runs() {
    let (server, controller) = (Node::with(quick()), Controller::start(&[]));
    let mut worker = Worker::start("gpu-1", &server, &controller.url(), &[]);
    controller.until_serving("gpu-1");
    worker.proxy.terminate();
    until("it drains", || controller.worker("gpu-1")["status"] == "draining");
    assert_eq!(controller.node("gpu-1")["enabled"], false);
    assert_eq!(worker.proxy.exit_code(), Some(0));
}
