//! A worker becomes a node of its controllers, and stops being one.

use serde_json::json;

use crate::house::{Controller, Worker, assert_whole, begun, quick, rest, served_by, slow, until};
use crate::rig::{Node, get, post};

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
    until("it gets nothing new", || controller.node("gpu-1")["enabled"] == false);
    assert_eq!(worker.proxy.exit_code(), Some(0));
}

#[test]
fn two_processes_of_one_name_are_two_workers() {
    let (server, controller) = (Node::with(quick()), Controller::start(&[]));
    let _first = Worker::start("gpu", &server, &controller.url(), &[]);
    controller.until_serving("gpu");
    let _second = Worker::start("gpu", &server, &controller.url(), &[]);
    until("the second has a suffix", || controller.ids() == ["gpu", "gpu-2"]);
    // Neither takes the other's place with its next heartbeats.
    let heard = |id: &str| controller.worker(id)["last_heartbeat"].as_str().unwrap().to_owned();
    let (first, second) = (heard("gpu"), heard("gpu-2"));
    until("both go on telling", || heard("gpu") != first && heard("gpu-2") != second);
    assert_eq!(controller.ids(), ["gpu", "gpu-2"]);
}

#[test]
fn equal_node_names_get_a_suffix_and_a_name_of_the_settings_is_never_a_worker_s() {
    let (server, other) = (Node::with(quick()), Node::with(quick()));
    let controller = Controller::start(&["--ollama-url", &other.url()]);
    let _worker = Worker::start("w", &server, &controller.url(), &["--node-name", "node1"]);
    controller.until_serving("node1-2");
    assert_eq!(controller.node("node1")["hosts"], json!(["127.0.0.1"]));
    assert_eq!(controller.worker("w")["node"], "node1-2");
}

#[test]
fn a_controller_that_was_killed_knows_its_workers_at_once_and_hears_them_again() {
    let (server, controller) = (Node::with(quick()), Controller::start(&[]));
    let _worker = Worker::start("gpu-1", &server, &controller.url(), &[]);
    controller.until_serving("gpu-1");
    controller.proxy.until("/health", "gpu-1");
    controller.until_kept("gpu-1");
    let controller = controller.killed_and_back(&[]);
    assert_eq!(controller.ids(), ["gpu-1"]);
    assert_whole(&controller.chat());
    until("it is heard again", || !controller.worker("gpu-1")["last_heartbeat"].is_null());
}

#[test]
fn a_controller_that_forgot_its_workers_is_told_anew_within_a_heartbeat() {
    let (server, controller) = (Node::with(quick()), Controller::start(&[]));
    let _worker = Worker::start("gpu-1", &server, &controller.url(), &[]);
    controller.until_serving("gpu-1");
    assert_eq!(controller.internal("DELETE", "/gpu-1?force=true", "", "").status, 200);
    until("it registers again", || controller.ids() == ["gpu-1"]);
    controller.until_serving("gpu-1");
}

#[test]
fn when_one_controller_dies_a_stream_through_the_other_lives_on() {
    let server = Node::with(slow());
    let (one, other) = (Controller::start(&[]), Controller::start(&[]));
    let _worker = Worker::start("gpu-1", &server, &format!("{},{}", one.url(), other.url()), &[]);
    one.until_serving("gpu-1");
    other.until_serving("gpu-1");
    let stream = begun(&other);
    drop(one);
    assert!(rest(stream) > 20, "it had ended before");
    assert_whole(&other.chat());
}

#[test]
fn an_always_on_worker_that_is_killed_leaves_the_pool_and_a_sleeper_is_asleep() {
    let server = Node::with(quick());
    let controller = Controller::start(&["--heartbeat-timeout", "2s", "--heartbeat-check-interval", "300ms"]);
    let steady = Worker::start("steady", &server, &controller.url(), &["--always-on"]);
    let sleeper = Worker::start("sleeper", &server, &controller.url(), &[]);
    controller.until_serving("steady");
    controller.until_serving("sleeper");
    assert_eq!(controller.node("steady")["power"]["always_on"], true);
    drop((steady, sleeper));
    until("the one left the pool", || controller.ids() == ["sleeper"]);
    until("the other sleeps", || controller.node("sleeper")["power"]["state"] == "asleep");
    assert!(controller.node("steady").is_null());
}

#[test]
fn a_worker_tells_when_its_ollama_does_not_answer() {
    let (server, controller) = (Node::with(quick()), Controller::start(&[]));
    let _worker = Worker::start("gpu-1", &server, &controller.url(), &["--health-interval", "300ms"]);
    controller.until_serving("gpu-1");
    drop(server);
    until("it is told", || controller.worker("gpu-1")["status"] == "unhealthy");
}

#[test]
fn with_a_model_id_a_worker_gets_requests_for_that_model_alone() {
    let (one, other, controller) = (Node::with(quick()), Node::with(quick()), Controller::start(&[]));
    let _first = Worker::start("chats", &one, &controller.url(), &["--model-id", "llama3.2:3b"]);
    let _second = Worker::start("embeds", &other, &controller.url(), &["--model-id", "nomic-embed-text"]);
    controller.until_serving("chats");
    controller.until_serving("embeds");
    for _ in 0..6 {
        assert_eq!(served_by(&controller.chat()), "chats");
    }
    let embed = post(controller.proxy.address, "/api/embed", r#"{"model":"nomic-embed-text","input":"x"}"#);
    assert_eq!((embed.status, served_by(&embed)), (200, "embeds".to_owned()));
    assert!(controller.internal("GET", "?model_id=nomic-embed-text", "", "").body.contains("\"total\":1"));
}
