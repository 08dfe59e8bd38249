//! Reading the node file again, through the one door `load`.

use std::fs;

use crate::config::fixture::Place;
use crate::config::{Fallback, NodeSettings};

const FILE: &str = "node_config.json";

fn nodes(names: &[&str]) -> String {
    let nodes: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}","hosts":["{name}.lan"]}}"#)).collect();
    format!(r#"{{"nodes":[{}]}}"#, nodes.join(","))
}

fn names(settings: &NodeSettings) -> Vec<&str> {
    settings.nodes.iter().map(|node| node.name.as_str()).collect()
}

#[test]
fn the_file_is_read_anew_and_the_nodes_of_urls_stay() {
    let place = Place::new().file(FILE, &nodes(&["a", "b"])).flag("ollama-url", "http://192.168.1.20:11434");
    let mut source = place.config().source;
    assert_eq!(names(&source.read().unwrap()), ["a", "b", "node1"]);
    let place = place.file(FILE, r#"{"nodes":[{"name":"c","hosts":["c.lan"]}],"fallback":"none","price_per_kwh":0.3}"#);
    let read = source.read().unwrap();
    assert_eq!(names(&read), ["c", "node1"]);
    assert_eq!((read.fallback, read.price_per_kwh), (Fallback::None, Some(0.3)));
    assert_eq!(source.file(), Some(&*place.dir.join(FILE)));
}

#[test]
fn flags_the_environment_and_the_env_file_are_those_of_the_start() {
    let text = r#"{"nodes":[{"name":"rack","hosts":["${RACK}"]}]}"#;
    let place = Place::new().file(FILE, text).file(".env", "RACK=10.0.0.9").file("state/x", "");
    let mut source = place.config().source;
    let _place = place.file(".env", "RACK=10.0.0.10\nTIMEOUT_SECONDS=soon");
    assert_eq!(source.read().unwrap().nodes[0].hosts[0].host, "10.0.0.9");
}

#[test]
fn all_faults_of_a_bad_file_are_told_and_a_lost_file_is_one() {
    let place = Place::new().file(FILE, &nodes(&["a"])).flag("ollama-url", "http://192.168.1.20:11434");
    let mut source = place.config().source;
    let place = place.file(FILE, r#"{"nodes":[{"name":"a","hosts":["a"],"prot":1},{"name":"b","hosts":["b"],"weight":0}]}"#);
    let faults = source.read().unwrap_err().to_string();
    assert!(faults.contains("`prot`") && faults.contains("`weight`") && faults.contains("line 1"), "{faults}");
    fs::remove_file(place.dir.join(FILE)).unwrap();
    let faults = source.read().unwrap_err().to_string();
    assert!(faults.starts_with("node_config.json: is not there any more"), "{faults}");
}

#[test]
fn a_file_that_was_not_there_at_the_start_is_found_when_it_comes() {
    let place = Place::new().flag("ollama-url", "http://192.168.1.20:11434");
    let mut source = place.config().source;
    assert_eq!(source.file(), None);
    assert_eq!(names(&source.read().unwrap()), ["node1"]);
    let place = place.file("config/node_config.json", &nodes(&["rack"]));
    let read = source.read().unwrap();
    assert_eq!(names(&read), ["rack", "node1"]);
    assert_eq!(source.file(), Some(&*place.dir.join("config/node_config.json")));
}

#[test]
fn what_is_printed_of_a_source_holds_nothing_of_the_environment() {
    let place = Place::new().env("SECRET_OF_ANOTHER_PROGRAM", "hunter2");
    assert!(!format!("{:?}", place.config()).contains("hunter2"));
}
