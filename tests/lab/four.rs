//! The four machines of the owners who asked for this proxy: two big ones, a small one and a gaming PC. The first and the
//! last sleep, the two between are always on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::calls::Call;
use crate::frame::Kind;
use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, PI_MAC, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::Machine;

mod failures;
mod health;
mod mutations;
mod restart;
mod rules;
mod spare;

/// The nodes, which are also the marks in their answers.
pub const NODES: [&str; 4] = ["node1", "node2", "node3", "node4"];
/// Those that sleep.
pub const SLEEPERS: [&str; 2] = ["node1", "node4"];

/// The hardware address of everybody.
const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";

/// A model of each size that the rules speak of, and of one that they do not.
pub const MODELS: [(&str, &str); 5] = [
    ("gpt-oss:120b", "116.8B"),
    ("llama3.3:70b", "70.0B"),
    ("qwen3:30b-a3b", "30.5B"),
    ("gemma3:12b", "12.2B"),
    (CHAT_MODEL, "3.2B"),
];

/// Node `number` from 1 to 4 as a machine: 10.77.0.2N, its answers full of its name, and quick.
pub fn machine(number: usize) -> Machine {
    let name = NODES[number - 1];
    let mut machine = Machine::usual()
        .called(name, &format!("02:00:00:00:77:2{number}"))
        .at("home", &format!("10.77.0.2{number}/24"))
        .resume(Duration::from_millis(600))
        .simulates("--first-token", "0s")
        .simulates("--token-gap", "0s")
        .simulates("--tokens", "2")
        .simulates("--parallel", "8")
        .simulates("--word", name);
    for (model, size) in MODELS {
        machine = machine.with_model(model, size);
    }
    machine
}

/// The example's node file for these machines: their addresses, and MACs where they sleep. Without `ranges` every machine is
/// meant for every model. `more` is put into the entries: `("node1", {…})`.
pub fn file(machines: &[Machine], ranges: bool, more: &[(&str, Value)]) -> Value {
    let mut file: Value = serde_json::from_str(include_str!("../../examples/node_config.json")).unwrap();
    for (machine, node) in machines.iter().zip(file["nodes"].as_array_mut().unwrap()) {
        assert_eq!(node["name"], machine.name);
        let node = node.as_object_mut().unwrap();
        node.insert("hosts".into(), json!([machine.ip()]));
        node.remove("wake");
        if SLEEPERS.contains(&machine.name.as_str()) {
            node.insert("wake".into(), json!({ "mac": machine.mac }));
        }
        if !ranges {
            node.remove("supported_model_ranges");
        }
        for (_, wishes) in more.iter().filter(|(name, _)| *name == machine.name) {
            node.extend(wishes.as_object().unwrap().clone());
        }
    }
    file
}

/// The four machines as they are, with ranges of sizes or without.
pub fn plan(test: &str, ranges: bool, more: &[(&str, Value)]) -> Plan {
    plan_of(test, (1..=4).map(machine).collect(), ranges, more)
}

/// The same with machines of the test's own.
pub fn plan_of(test: &str, machines: Vec<Machine>, ranges: bool, more: &[(&str, Value)]) -> Plan {
    let file = file(&machines, ranges, more);
    machines.into_iter().fold(Plan::named(test), Plan::host).node_file(file)
}

/// The body of a chat that is answered in one piece.
pub fn whole_chat(model: &str) -> Value {
    let mut body = crate::calls::chat(model);
    body["stream"] = json!(false);
    body
}

/// Lets these fall asleep and be forgotten; a mark at the card of each, from which on nothing may come.
pub fn dormant(lab: &Lab, nodes: &[&str]) -> Vec<usize> {
    lab.until_nothing_is_under_way(nodes);
    for node in nodes {
        lab.host(node).sleep();
    }
    pause(EVIDENCE);
    nodes.iter().map(|node| lab.host(node).mark()).collect()
}

/// Lets these fall asleep, and the proxy notice it; a mark at the card of each, from which on nothing may come.
pub fn known_asleep(lab: &Lab, nodes: &[&str]) -> Vec<usize> {
    lab.until_nothing_is_under_way(nodes);
    for node in nodes {
        lab.host(node).sleep();
        let header = format!("X-Ollama-Proxy-Wake: never\r\nX-Ollama-Proxy-Node: {node}");
        let told = lab.client().post_with("/api/chat", &header, &crate::calls::chat(CHAT_MODEL)).finish();
        assert_eq!(told.status, 503, "{told:?}");
        until_power(lab, node, "asleep");
    }
    nodes.iter().map(|node| lab.host(node).mark()).collect()
}

/// Fails the test when the Pi has sent anything to the cards of these since their marks.
#[track_caller]
pub fn assert_left_alone(lab: &Lab, nodes: &[&str], marks: &[usize]) {
    for (node, mark) in nodes.iter().zip(marks) {
        let mut frames = lab.host(node).frames_from(PI_MAC, *mark);
        // Questions for another node's address and packets for another's card are broadcast to all.
        frames.retain(|frame| frame.kind == Kind::Ipv4 && (frame.to != BROADCAST || frame.magic));
        assert!(frames.is_empty(), "{node}: {frames:#?}");
        assert_eq!(lab.host(node).status().power, "asleep", "{node}");
    }
}

/// The names of the nodes whose lists the proxy has read.
fn listed(lab: &Lab) -> Vec<String> {
    let told = lab.client().get("/nodes").finish().json();
    let known = told["nodes"].as_array().unwrap().iter().filter(|node| !node["models"].as_array().unwrap().is_empty());
    known.map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

/// Waits until all lists are known and every `show` is read, so that nothing more is sent on our own account.
#[track_caller]
pub fn until_known(lab: &Lab, nodes: &[&str]) {
    lab.until_catalog_knows(CHAT_MODEL);
    eventually("the proxy has read all lists", LIMIT, || nodes.iter().all(|node| listed(lab).contains(&(*node).to_owned())));
    for node in nodes {
        eventually("the proxy has read all of it", LIMIT, || {
            lab.host(node).counters()["requests"]["POST /api/show"].as_u64() >= Some(MODELS.len() as u64)
        });
    }
}

/// What `/nodes` tells of one node.
pub fn told(lab: &Lab, node: &str) -> Value {
    let told = lab.client().get("/nodes").finish().json();
    told["nodes"].as_array().unwrap().iter().find(|known| known["name"] == node).unwrap().clone()
}

/// Waits until the proxy says this of a node's power.
#[track_caller]
pub fn until_power(lab: &Lab, node: &str, power: &str) {
    eventually(&format!("{node} is {power}"), LIMIT, || told(lab, node)["power"]["state"] == power);
}

/// A chat that only this node may serve.
pub fn chat_on<'a>(lab: &'a Lab, node: &str, model: &str) -> Call<'a> {
    lab.client().post_with("/api/chat", &format!("X-Ollama-Proxy-Node: {node}"), &crate::calls::chat(model))
}

/// Loads a model on these nodes, so that all are equally warm.
#[track_caller]
pub fn load_on(lab: &Lab, nodes: &[&str], model: &str) {
    for node in nodes {
        let answer = chat_on(lab, node, model).finish();
        answer.assert_whole_chat();
        assert_eq!(answer.header("x-ollama-proxy-node"), Some(*node));
    }
}

/// How many generations each of these has finished.
pub fn finished(lab: &Lab, nodes: &[&str]) -> Vec<u64> {
    nodes.iter().map(|node| lab.host(node).counters()["generations_finished"].as_u64().unwrap()).collect()
}
