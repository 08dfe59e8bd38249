//! Reading the node file: the old format unchanged, the new keys, and every fault with its place.

use std::time::Duration;

use super::*;

fn read(text: &str) -> NodeFile {
    parse(text, "node_config.json", &|name| (name == "KEY").then(|| "k1".to_owned()))
}

fn sound(text: &str) -> NodeFile {
    let file = read(text);
    assert!(file.faults.is_empty(), "{:#?}", file.faults);
    file
}

/// The file as its origin's documentation shows it.
const OLD: &str = r#"{
  "nodes": [
    {
      "name": "node1",
      "memory_gb": 128,
      "description": "m3max-128gb",
      "supported_model_ranges": [
        {
          "min_params_b": 100,
          "max_params_b": null,
          "description": "120B+ 大模型"
        }
      ]
    }
  ],
  "model_name_patterns": {
    "120b": 120,
    "70b": 70,
    "8b": 8
  }
}"#;

#[test]
fn the_old_format_is_read_unchanged() {
    let file = sound(OLD);
    let node = &file.nodes[0].config;
    assert_eq!((node.name.as_str(), node.memory_gb, node.description.as_str()), ("node1", Some(128.0), "m3max-128gb"));
    let range = ModelRange { min_params_b: 100.0, max_params_b: None, description: "120B+ 大模型".into() };
    assert_eq!(node.model_ranges, [range]);
    assert_eq!(file.sizes.patterns, [("120b".into(), 120.0), ("70b".into(), 70.0), ("8b".into(), 8.0)]);
    assert!(file.notes.is_empty());
}

#[test]
fn the_v1_of_a_server_with_openais_api_stands_in_its_paths_already() {
    let prefix = |kind: &str, host: &str| {
        let text = format!(r#"{{"nodes":[{{"name":"a","kind":"{kind}","hosts":["{host}"]}}]}}"#);
        sound(&text).nodes.remove(0).config.path_prefix
    };
    assert_eq!(prefix("openai", "http://192.168.1.5:1234/v1"), "");
    assert_eq!(prefix("openai", "http://192.168.1.5:1234/llm/v1/"), "/llm");
    assert_eq!(prefix("openai", "192.168.1.5:1234"), "");
    assert_eq!(prefix("ollama", "http://192.168.1.5:1234/v1"), "/v1");
}

#[test]
fn a_fallback_is_a_word_or_names_the_models_that_stand_in_for_others() {
    let file = sound(r#"{"fallback":{"llama3:70b":["llama3:8b","openai/gpt-4o-mini"],"a":"b"}}"#);
    let chain = ["llama3:8b", "openai/gpt-4o-mini"].map(str::to_owned).to_vec();
    assert_eq!(file.stand_ins, [("llama3:70b".to_owned(), chain), ("a".to_owned(), vec!["b".to_owned()])]);
    assert_eq!(file.fallback, Fallback::HaveModel);
    let none = |_: &str| None;
    for (text, why) in [
        (r#"{"fallback":{"a":["a"]}}"#, "stands in for itself"),
        (r#"{"fallback":{"a":["b","b"]}}"#, "named twice"),
        (r#"{"fallback":{"a":["library/A:latest"]}}"#, "stands in for itself"),
        (r#"{"fallback":{"a":["b","B:latest"]}}"#, "named twice"),
        (r#"{"fallback":{"a":["b"],"A:latest":["c"]}}"#, "has A:latest twice"),
        (r#"{"fallback":{"a":[""]}}"#, "names of models"),
        (r#"{"fallback":{"a":["b","c","d","e","f","g"]}}"#, "more than 5"),
        (r#"{"fallback":"some"}"#, "must be any"),
    ] {
        let faults = parse(text, "f.json", &none).faults;
        assert!(faults.len() == 1 && faults[0].contains(why), "{text}: {faults:?}");
    }
}

#[test]
fn every_key_finds_its_place() {
    let file = sound(
        r#"{"nodes":[{"name":"rack","hosts":["192.168.1.5","rack.local:9","fd00::5"],"port":11435,"weight":2.5,"enabled":false,
            "capacity":3,"kind":"openai","always_on":false,"models":["llama3"],
            "wake":{"mac":"A8-A1-59-01-02-03","broadcast":"192.168.1.255","port":[9,"7"],"secure_on":"1.2.3.4",
                    "url":"http://wol/{mac}","method":"put","headers":{"X-Key":"${KEY}"},"body":"b","key":"${KEY}"},
            "sleep":{"url":"http://rack:8009/sleep","command":"ssh rack sleep"},
            "power":{"idle_watts":60,"sleep_watts":2.5,"sleeps_after":"30m"}}],
            "model_name_mapping":{"llama3.2":3.2},"fallback":"any","price_per_kwh":0.31}"#,
    );
    let node = &file.nodes[0];
    let config = &node.config;
    let hosts: Vec<String> = config.hosts.iter().map(HostPort::to_string).collect();
    assert_eq!(hosts, ["192.168.1.5:11435", "rack.local:9", "[fd00::5]:11435"]);
    assert_eq!((config.weight, config.enabled, config.capacity, config.kind), (2.5, false, Some(3), NodeKind::OpenAi));
    assert_eq!(
        (node.always_on, node.wake_stated, config.models.as_slice()),
        (Some(false), true, ["llama3".to_owned()].as_slice())
    );
    assert_eq!((config.wake.ports.as_slice(), config.wake.broadcast.len()), ([9, 7].as_slice(), 1));
    assert!(config.wake.mac.is_some() && config.wake.secure_on.is_some());
    let url = config.wake.url.as_ref().unwrap();
    assert_eq!((url.method.as_str(), url.body.as_deref(), url.key.as_deref()), ("PUT", Some("b"), Some("k1")));
    assert_eq!(url.headers, [("X-Key".to_owned(), "k1".to_owned())]);
    assert_eq!(config.sleep.command.as_deref(), Some("ssh rack sleep"));
    assert_eq!((config.power.idle_watts, config.power.sleeps_after), (Some(60.0), Some(Duration::from_secs(1800))));
    assert_eq!(file.sizes.mapping, [("llama3.2".to_owned(), 3.2)]);
    assert_eq!((file.fallback, file.price_per_kwh), (Fallback::Any, Some(0.31)));
}

#[test]
fn every_fault_is_told_with_line_and_column() {
    let file = read(
        r#"{
  "nodes": [
    {"hosts": ["a"]},
    {"name": "b", "hosts": ["socks://b"], "prot": 9},
    {"name": "c d", "hosts": [7], "port": 0},
    {"name": "e", "hosts": ["e"], "wake": {"mac": "ff:ff:ff:ff:ff:ff", "wait": 1}},
    {"name": "f", "hosts": ["f"], "weight": 0, "capacity": -1, "enabled": "maybe"},
    {"name": "g", "hosts": ["g"], "supported_model_ranges": [{"min_params_b": 8, "max_params_b": 7}]},
    {"name": "h", "name": "h2", "hosts": ["h/x", "http://h/x", "http://h2/y"]},
    "i"
  ],
  "fallback": "maybe",
  "model_name_patterns": {"8b": "eight"}
}"#,
    );
    for (place, what) in [
        ("line 3, column 5", "no `name`"),
        ("line 4, column 29", "http://"),
        ("line 4, column 43", "unknown key `prot`"),
        ("line 5, column 14", "`c d`"),
        ("line 5, column 43", "1 to 65535"),
        ("line 6, column 51", "multicast"),
        ("line 6, column 72", "unknown key `wait`"),
        ("line 7, column 45", "greater than 0"),
        ("line 7, column 60", "from 1 on"),
        ("line 7, column 75", "true or false"),
        ("line 8, column 62", "swap them"),
        ("line 9, column 27", "given twice"),
        ("line 10, column 5", "must be an object"),
        ("line 12, column 15", "have_model"),
        ("line 13, column 33", "must be a number"),
    ] {
        let found =
            file.faults.iter().any(|fault| fault.starts_with(&format!("node_config.json {place}: ")) && fault.contains(what));
        assert!(found, "{place}: {what} in {:#?}", file.faults);
    }
    assert!(file.faults.last().unwrap().contains("line 13"), "in the order of the file");
}

#[test]
fn keys_of_later_versions_are_noted_and_no_fault() {
    let file = sound(
        r#"{"nodes":[{"name":"a","hosts":["a"],"type":"local","timeout_seconds":5,"headers":{},"api_key":"${MISSING}"},
            {"name":"cloud","type":"external","api_url":"https://api.example"}],"default_model_size_b":7}"#,
    );
    assert_eq!(file.nodes.len(), 1, "a provider's API is no node here");
    for key in ["type", "timeout_seconds", "headers", "api_key", "api_url", "default_model_size_b"] {
        assert!(
            file.notes.iter().any(|note| note.contains(&format!("`{key}`")) && note.contains("line")),
            "{key}: {:?}",
            file.notes
        );
    }
}

#[test]
fn a_wake_key_counts_as_stated_even_when_empty_but_not_as_null() {
    let file =
        sound(r#"{"nodes":[{"name":"a","hosts":"a","wake":{}},{"name":"b","hosts":"b","wake":null},{"name":"c","hosts":"c"}]}"#);
    let stated: Vec<bool> = file.nodes.iter().map(|node| node.wake_stated).collect();
    assert_eq!(stated, [true, false, false]);
}

#[test]
fn text_that_is_no_json_or_no_object_is_one_fault() {
    for text in ["", "{", "[]", "{\"nodes\": {}}", "\"x\"", "{\"nodes\": [}"] {
        assert_eq!(read(text).faults.len(), 1, "{text:?}: {:?}", read(text).faults);
    }
    assert!(read("{}").faults.is_empty(), "an empty file names no nodes");
}

#[test]
fn headers_may_be_a_list_of_lines_too() {
    let node =
        |headers: &str| format!(r#"{{"nodes":[{{"name":"a","hosts":"a","wake":{{"url":"http://w/","headers":{headers}}}}}]}}"#);
    let file = sound(&node(r#"["A: 1","B: 2"]"#));
    assert_eq!(file.nodes[0].config.wake.url.as_ref().unwrap().headers.len(), 2);
    let faults = read(&node(r#"["hush"]"#)).faults;
    assert!(faults[0].contains("`Name: value`") && !faults[0].contains("hush"), "{faults:?}");
}

#[test]
fn a_fault_repeats_no_secret() {
    let wake = r#""secure_on":"hush","url":"ftp://me:hush@w/?k=hush","headers":{"A b":"hush"},"key":["hush"],"body":{"hush":1}"#;
    let faults = read(&format!(r#"{{"nodes":[{{"name":"a","hosts":"a","wake":{{{wake}}}}}]}}"#)).faults;
    assert_eq!(faults.len(), 5, "{faults:#?}");
    assert!(!faults.concat().contains("hush"), "{faults:#?}");
}

#[test]
fn ranges_of_one_node_may_touch_and_not_overlap() {
    let node = |ranges: &str| format!(r#"{{"nodes":[{{"name":"a","supported_model_ranges":[{ranges}]}}]}}"#);
    let range = |min: u32, max: &str| format!(r#"{{"min_params_b":{min},"max_params_b":{max}}}"#);
    sound(&node(&[range(1, "8"), range(8, "30"), range(70, "null")].join(",")));
    for (first, second) in [(range(1, "8"), range(7, "30")), (range(7, "null"), range(1, "8")), (range(1, "9"), range(2, "3"))] {
        let faults = read(&node(&format!("{first},\n{second}"))).faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("node_config.json line 2, column 1: this range overlaps"), "{faults:?}");
    }
}
