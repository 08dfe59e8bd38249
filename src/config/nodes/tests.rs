//! Which nodes there are, how each is woken and which may sleep, through the one door `load`.

use crate::config::fixture::{Place, addresses, node, origin, remote};

#[test]
fn ollama_host_is_ignored_with_a_note_unless_it_is_a_url_of_another_machine() {
    for value in ["0.0.0.0", "0.0.0.0:11434", "gpu", "tcp://10.0.0.1:11434", "http://0.0.0.0:11435", "http://localhost:11434"] {
        let config = Place::new().env("OLLAMA_HOST", value).config();
        assert!(config.nodes.is_empty(), "{value}");
        assert!(config.notes.iter().any(|note| note.contains("OLLAMA_HOST")), "{value}: {:?}", config.notes);
    }
    let config = Place::new().env("OLLAMA_HOST", "http://gpu:11434").config();
    assert_eq!(addresses(&config), ["node1=gpu:11434"]);
    assert_eq!(origin(&config, "ollama-url"), ("http://gpu:11434".into(), "environment OLLAMA_HOST".into()));
    let config = remote().env("OLLAMA_HOST", "http://other:11434").config();
    assert_eq!(addresses(&config), ["node1=192.168.1.20:11434"], "the setting's own names come first");
}

#[test]
fn the_default_upstream_serves_unless_it_is_our_own_listener() {
    let own = Place::new().config();
    assert!(own.nodes.is_empty());
    assert!(own.notes.iter().any(|note| note.contains("--ollama-url")), "{:?}", own.notes);
    assert_eq!(origin(&own, "ollama-url").0, "none");
    let other = Place::new().flag("port", "11435").config();
    assert_eq!(addresses(&other), ["node1=localhost:11434"]);
    assert!(other.nodes[0].always_on);
    let elsewhere = Place::new().flag("host", "192.168.1.2").config();
    assert_eq!(addresses(&elsewhere), ["node1=localhost:11434"], "we listen on another address of this machine");
}

#[test]
fn an_explicit_address_at_our_own_listener_is_refused() {
    for url in ["http://localhost:11434", "http://127.0.0.1:11434/", "http://[::1]:11434"] {
        let faults = Place::new().flag("ollama-url", url).faults();
        assert!(faults.contains("inside a container localhost is the container"), "{faults}");
    }
    assert_eq!(Place::new().flag("ollama-url", "http://localhost:11435").config().nodes.len(), 1);
    let faults = Place::new().flag("ollama-url", "http://localhost:9").flag("port", "8,9").faults();
    assert!(faults.contains("`localhost:9`"), "{faults}");
    let faults = remote().flag("wake-url", "http://127.0.0.1:11434/wake").faults();
    assert!(faults.contains("--wake-url") && faults.contains("inside a container"), "{faults}");
    let file = "{\"nodes\":[{\"name\":\"a\",\"hosts\":[\"localhost\"]}]}";
    assert!(Place::new().file("node_config.json", file).faults().contains("hosts of `a`"));
}

#[test]
fn a_wake_url_at_the_node_itself_is_ignored_with_a_note() {
    let config = Place::new()
        .flag("port", "11435")
        .env("OLLAMA_URL", "http://127.0.0.1:11434")
        .env("WAKE_URL", "http://localhost:11434/api/generate")
        .config();
    let node = node(&config, "node1");
    assert_eq!(node.wake.url, None);
    assert!(node.always_on, "on loopback and without means of waking");
    assert!(config.notes.iter().any(|note| note.contains("wake URL of `node1`")), "{:?}", config.notes);
}

#[test]
fn nothing_named_but_how_to_wake_still_starts() {
    let config =
        Place::new().env("WAKE_URL", "http://localhost:11434/api/generate").env("WAKE_MAC", "a8:a1:59:01:02:03").config();
    assert!(config.nodes.is_empty());
}

#[test]
fn means_of_waking_pair_with_the_urls_by_position() {
    let two = || Place::new().flag("ollama-url", "http://a:1,http://b:2");
    let config = two().flag("wake-mac", ",a8-a1-59-01-02-03").flag("wake-url", "http://w/{node}").config();
    assert_eq!(node(&config, "node1").wake.mac, None);
    assert_eq!(node(&config, "node2").wake.mac, "a8:a1:59:01:02:03".parse().ok());
    for name in ["node1", "node2"] {
        assert_eq!(node(&config, name).wake.url.as_ref().unwrap().template, "http://w/{node}", "one URL serves all");
    }
    let config = two().flag("wake-url", "http://w/1,http://w/2").config();
    assert_eq!(node(&config, "node2").wake.url.as_ref().unwrap().template, "http://w/2");
    for (flag, value, count) in [
        ("wake-mac", "a8:a1:59:01:02:03", "`1`"),
        ("wake-mac", "a8:a1:59:01:02:03,a8:a1:59:01:02:04,a8:a1:59:01:02:05", "`3`"),
        ("wake-url", "http://w/1,http://w/2,http://w/3", "`3`"),
    ] {
        let faults = two().flag(flag, value).faults();
        assert!(faults.contains(&format!("--{flag}: {count} given for 2")), "{faults}");
    }
}

#[test]
fn a_wake_call_carries_its_method_headers_body_and_key() {
    let place = remote().flag("wake-url", "http://w/").flag("wake-headers", "A: 1; B: 2").flag("wake-body", "{}");
    let url = place.config().nodes[0].wake.url.clone().unwrap();
    assert_eq!((url.method.as_str(), url.headers.len(), url.body.as_deref()), ("POST", 2, Some("{}")));
    let url = remote().flag("wake-url", "http://w/").flag("wake-key", "k").config().nodes[0].wake.url.clone().unwrap();
    assert_eq!((url.method.as_str(), url.key.as_deref()), ("GET", Some("k")));
    let useless = remote().flag("wake-key", "k").config();
    assert!(useless.notes.iter().any(|note| note.contains("without --wake-url")), "{:?}", useless.notes);
}

#[test]
fn the_class_of_a_node_follows_what_was_written() {
    let mac = "a8:a1:59:01:02:03";
    let here = || Place::new().flag("ollama-url", "http://localhost:9");
    for (place, expected, why) in [
        (remote(), false, "a remote node may sleep"),
        (remote().flag("always-on", "true"), true, "declared"),
        (remote().env("ALWAYS_ON", "1"), true, "declared in the environment"),
        (here(), true, "on loopback"),
        (here().flag("wake-mac", mac), false, "on loopback but wakeable"),
        (here().flag("always-on", "false"), false, "declared otherwise"),
        (remote().flag("wake-mac", mac).flag("always-on", "true"), true, "declared, although wakeable"),
    ] {
        assert_eq!(place.config().nodes[0].always_on, expected, "{why}");
    }
}

#[test]
fn nodes_of_the_file_come_first_and_those_of_the_urls_are_added() {
    let file = r#"{"nodes":[
        {"name":"node1","hosts":["192.168.1.31","m1.local"],"wake":{}},
        {"name":"rack","hosts":["rack"]},
        {"name":"both","hosts":["both"],"wake":{"mac":"a8:a1:59:01:02:03"},"always_on":true}]}"#;
    let config = Place::new().file("config/node_config.json", file).env("OLLAMA_URL", "http://192.168.1.20:11434").config();
    assert_eq!(
        addresses(&config),
        ["node1=192.168.1.31:11434", "rack=rack:11434", "both=both:11434", "node2=192.168.1.20:11434"]
    );
    let classes: Vec<bool> = config.nodes.iter().map(|node| node.always_on).collect();
    assert_eq!(classes, [false, true, true, false]);
    assert_eq!(origin(&config, "node rack").1, "config/node_config.json");
    assert_eq!(origin(&config, "node node2").1, "environment OLLAMA_URL");
}

#[test]
fn with_nodes_in_the_file_the_default_upstream_is_not_used() {
    let file = r#"{"nodes":[{"name":"rack","hosts":["rack"]}]}"#;
    let config = Place::new().flag("port", "11435").file("node_config.json", file).config();
    assert_eq!(addresses(&config), ["rack=rack:11434"]);
}

#[test]
fn a_url_of_a_node_of_the_file_is_this_node_and_flags_go_before_the_file() {
    let file = r#"{"nodes":[{"name":"rack","hosts":["rack"],"wake":{"mac":"a8:a1:59:01:02:03","port":7}}]}"#;
    let place = Place::new().file("node_config.json", file).flag("ollama-url", "http://rack:11434");
    let config =
        place.flag("wake-mac", "a8:a1:59:01:02:99").flag("wake-port", "9").flag("wake-broadcast", "192.168.1.255").config();
    assert_eq!(addresses(&config), ["rack=rack:11434"]);
    let wake = &config.nodes[0].wake;
    assert_eq!(wake.mac, "a8:a1:59:01:02:99".parse().ok());
    assert_eq!(wake.ports, [7], "the node's own ports stay");
    assert_eq!(wake.broadcast, ["192.168.1.255".parse::<std::net::Ipv4Addr>().unwrap()], "the network's addresses serve it too");
}

#[test]
fn an_entry_without_hosts_describes_the_url_node_of_its_name() {
    let file = r#"{"nodes":[{"name":"node1","memory_gb":128,"description":"m3max"},{"name":"node2","memory_gb":32}]}"#;
    let config = remote().file("node_config.json", file).config();
    assert_eq!(addresses(&config), ["node1=192.168.1.20:11434"]);
    let described = node(&config, "node1");
    assert_eq!((described.memory_gb, described.description.as_str(), described.always_on), (Some(128.0), "m3max", false));
    assert!(config.notes.iter().any(|note| note.contains("`node2` has no `hosts`")), "{:?}", config.notes);
}

#[test]
fn one_address_for_two_nodes_is_refused_but_not_under_two_paths() {
    let faults = Place::new().flag("ollama-url", "http://a:1,http://a:1/").faults();
    assert!(faults.contains("`node1` and `node2`"), "{faults}");
    assert_eq!(Place::new().flag("ollama-url", "http://a:1/x,http://a:1/y").config().nodes.len(), 2);
}

#[test]
fn the_example_file_holds_the_four_nodes_and_is_sound() {
    let place = Place::new().file("config/node_config.json", include_str!("../../../examples/node_config.json"));
    let config = place.config();
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    let told: Vec<(&str, usize, &str, Option<f64>)> = config
        .nodes
        .iter()
        .map(|node| (node.name.as_str(), node.hosts.len(), node.hosts[0].host.as_str(), node.model_ranges[0].max_params_b))
        .collect();
    let expected = [
        ("node1", 4, "192.168.50.158", None),
        ("node2", 4, "192.168.50.31", Some(70.0)),
        ("node3", 4, "192.168.50.94", Some(8.0)),
        ("node4", 4, "192.168.50.155", Some(8.0)),
    ];
    assert_eq!(told, expected);
    let memory: Vec<Option<f64>> = config.nodes.iter().map(|node| node.memory_gb).collect();
    assert_eq!(memory, [Some(128.0), Some(32.0), Some(16.0), Some(32.0)]);
    let classes: Vec<bool> = config.nodes.iter().map(|node| node.always_on).collect();
    assert_eq!(classes, [true, true, true, false], "only the gaming PC sleeps");
    assert_eq!(config.sizes.patterns.len(), 3);
}
