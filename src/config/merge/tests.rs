//! The rules of precedence, of names that are not ours and of files, through the one door `load`.

use std::fs;
use std::net::IpAddr;

use super::*;
use crate::config::HostPort;
use crate::config::fixture::{Place, addresses, origin, remote};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_default_is_the_documented_one() {
    let config = remote().config();
    let timeouts = Timeouts {
        metadata: 10 * SECOND,
        silence: 30 * SECOND,
        connect: SECOND,
        request_limit: None,
        wake: 180 * SECOND,
        quiet_after: 120 * SECOND,
        queue: 300 * SECOND,
    };
    assert_eq!(config.timeouts, timeouts);
    assert_eq!(config.listen, Listen { host: None, ports: vec![11434], port_asked: false, tls: None });
    assert_eq!((config.wake.interval, config.wake.keep_awake.clone()), (Some(600 * SECOND), KeepAwake::Off));
    assert_eq!((config.cache_ttl, config.health_interval), (1800 * SECOND, Some(30 * SECOND)));
    let limits = Limits { held: 256, body: 64 << 20, buffer: 64 << 20, connections: 1024, attempts: 3 };
    assert_eq!(config.limits, limits);
    assert_eq!(config.log, Log { json: false, level: LogLevel::Info });
    assert!(config.notes.is_empty(), "{:?}", config.notes);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_env_file_which_beats_the_default() {
    for (setting, name) in settings::all().filter(|s| s.default.parse::<u32>().is_ok()).map(|s| (s.flag, s.env[0])) {
        let full = || remote().flag(setting, "1").env(name, "2").file(".env", &format!("{name}=3"));
        let mut place = full();
        assert_eq!(origin(&place.config(), setting), ("1".into(), "flag".into()));
        place.args = remote().args.clone();
        assert_eq!(origin(&place.config(), setting), ("2".into(), format!("environment {name}")));
        place.env.remove(name);
        assert_eq!(origin(&place.config(), setting), ("3".into(), format!(".env {name}")));
        fs::remove_file(place.dir.join(".env")).unwrap();
        assert_eq!(origin(&place.config(), setting).1, "default", "{setting}");
    }
    let values = remote().flag("timeout", "1").env("TIMEOUT_SECONDS", "2").env("MODEL_TIMEOUT_SECONDS", "2");
    let config = values.file(".env", "MODEL_TIMEOUT_SECONDS=3\nCONNECT_TIMEOUT=3").config();
    assert_eq!((config.timeouts.metadata, config.timeouts.silence, config.timeouts.connect), (SECOND, 2 * SECOND, 3 * SECOND));
}

#[test]
fn every_setting_has_a_row_with_its_origin() {
    let config = remote().config();
    for setting in settings::all() {
        assert_eq!(config.origins.iter().filter(|row| row.setting == setting.flag).count(), 1, "{}", setting.flag);
    }
    assert_eq!(origin(&config, "node node1"), ("192.168.1.20:11434, may sleep".into(), "flag".into()));
}

#[test]
fn an_empty_value_is_no_value() {
    let config = remote().env("TIMEOUT_SECONDS", "").env("WAKE_MAC", " ").flag("port", "").config();
    assert_eq!(origin(&config, "timeout").1, "default");
    assert_eq!(config.listen.ports, [11434]);
}

#[test]
fn bare_numbers_keep_their_unit_and_text_works_everywhere() {
    let config =
        remote().flag("timeout", "2").flag("wake-interval", "2").flag("wake-timeout", "5m").flag("quiet-after", "7").config();
    assert_eq!(config.timeouts.metadata, 2 * SECOND);
    assert_eq!(config.wake.interval, Some(120 * SECOND));
    assert_eq!(config.timeouts.wake, 300 * SECOND);
    assert_eq!(config.timeouts.quiet_after, 7 * SECOND);
    let off = remote().flag("wake-interval", "0").flag("health-interval", "0").flag("request-limit", "off").config();
    assert_eq!((off.wake.interval, off.health_interval, off.timeouts.request_limit), (None, None, None));
}

#[test]
fn all_faults_are_named_at_once_with_setting_value_and_way_out() {
    let place = Place::new()
        .flag("ollama-url", "ftp://gpu:11434,gpu2:11434")
        .flag("wake-mac", "nonsense")
        .flag("host", "my-pi")
        .flag("max-body", "64 bananas")
        .flag("keep-awake", "always")
        .flag("never-wake-clients", "192.168.1.0/24,lan")
        .env("TIMEOUT_SECONDS", "soon")
        .env("LOG_LEVEL", "loud")
        .file(".env", "MODEL_TIMEOUT_SECONDS=0\nWAKE_URL=wol/x")
        .file("node_config.json", "{\"nodes\":[{\"name\":\"a\",\"hosts\":[\"a\"],\"wake\":{\"mac\":\"zz\"},\"prot\":1}]}");
    let faults = place.load().unwrap_err().0;
    for (hints, count) in [
        (["--ollama-url (flag)", "`ftp://gpu:11434`", "http://"], 1),
        (["--ollama-url (flag)", "`gpu2:11434`", "http://gpu2:11434"], 1),
        (["--wake-mac", "`nonsense`", "a8:a1:59"], 1),
        (["--host (flag)", "`my-pi`", "localhost"], 1),
        (["--max-body", "`64 bananas`", "64MiB"], 1),
        (["--keep-awake", "`always`", "mon-fri"], 1),
        (["--never-wake-clients", "`lan`", "192.168.1.0/24"], 1),
        (["--timeout (environment TIMEOUT_SECONDS)", "`soon`", "90s"], 1),
        (["--log (environment LOG_LEVEL)", "`loud`", "debug"], 1),
        (["--model-timeout (.env MODEL_TIMEOUT_SECONDS)", "`0`", "more than 0"], 1),
        (["--wake-url (.env WAKE_URL)", "`wol/x`", "http://host"], 1),
        (["node_config.json line 1", "`zz`", "a8:a1:59"], 1),
        (["node_config.json line 1", "`prot`", "port"], 1),
    ] {
        let found = faults.iter().filter(|fault| hints.iter().all(|hint| fault.contains(hint))).count();
        assert_eq!(found, count, "{hints:?} in {faults:#?}");
    }
    assert_eq!(faults.len(), 13, "{faults:#?}");
}

#[test]
fn a_folder_in_the_place_of_the_node_file_is_told() {
    let place = remote().file("node_config.json/README", "made by a mount without its file");
    let notes = place.config().notes;
    assert!(notes.iter().any(|note| note.contains("node_config.json is a folder")), "{notes:?}");
    assert!(remote().config().notes.is_empty());
}

#[test]
fn a_node_file_that_ends_too_early_is_told_from_one_with_a_slip() {
    for (text, hint) in [
        ("{\"nodes\": [", "a closing bracket or quote is missing"),
        (" ", "it is empty"),
        ("{\"nodes\": [],}", "line 1 column 14"),
    ] {
        let faults = Place::new().file("node_config.json", text).faults();
        assert!(faults.contains("node_config.json: no valid JSON") && faults.contains(hint), "{text}: {faults}");
    }
}

#[test]
fn nobody_is_told_to_use_a_key_that_has_no_effect() {
    let faults = Place::new().file("node_config.json", r#"{"nodes":[{"name":"a","hosts":["a"],"api_kee":1}]}"#).faults();
    assert!(faults.contains("`api_kee`") && faults.contains("hosts") && !faults.contains("api_key,"), "{faults}");
}

#[test]
fn two_aliases_that_differ_in_one_layer_are_a_fault_that_names_both() {
    let faults = Place::new().env("OLLAMA_URL", "http://a:1").env("OLLAMA_BASE_URL", "http://b:2").faults();
    assert!(faults.contains("OLLAMA_URL") && faults.contains("OLLAMA_BASE_URL") && faults.contains("remove one"), "{faults}");
    let faults = remote().file(".env", "PORT=1\nGATEWAY_PORT=2").faults();
    assert!(faults.contains("PORT=`1`") && faults.contains("GATEWAY_PORT=`2`"), "{faults}");
    let equal = Place::new().env("OLLAMA_URL", "http://a:1").env("OLLAMA_BASE_URL", "http://a:1").config();
    assert_eq!(addresses(&equal), ["node1=a:1"]);
    let layers = Place::new().env("OLLAMA_BASE_URL", "http://a:1").file(".env", "OLLAMA_URL=http://b:2").config();
    assert_eq!(addresses(&layers), ["node1=a:1"], "different layers are no conflict");
}

#[test]
fn addresses_that_orchestrators_inject_are_ignored_with_a_note() {
    let config = remote().env("GATEWAY_PORT", "tcp://10.0.0.1:11434").env("PORT", "8080").config();
    assert_eq!(config.listen.ports, [8080]);
    assert!(config.notes.iter().any(|note| note.contains("GATEWAY_PORT")), "{:?}", config.notes);
    let config = remote().env("PORT", "tcp://10.0.0.1:11434").config();
    assert_eq!(config.listen, Listen { host: None, ports: vec![11434], port_asked: false, tls: None });
}

#[test]
fn host_counts_from_the_environment_only_as_an_address() {
    assert_eq!(remote().env("HOST", "raspberrypi").config().listen.host, None);
    assert_eq!(remote().env("HOST", "raspberrypi").file(".env", "HOST=127.0.0.1").config().listen.host, "127.0.0.1".parse().ok());
    assert_eq!(remote().env("HOST", "localhost").config().listen.host, "127.0.0.1".parse().ok());
    assert_eq!(remote().flag("host", "::").config().listen.host, "::".parse::<IpAddr>().ok());
    assert!(remote().flag("host", "raspberrypi").faults().contains("--host"));
}

#[test]
fn a_named_node_file_must_exist_and_the_usual_one_need_not() {
    let faults = remote().flag("node-config", "nodes.json").faults();
    assert!(faults.contains("--node-config") && faults.contains("nodes.json"), "{faults}");
    assert_eq!(remote().env("NODE_CONFIG_FILE", "node_config.json").config().nodes.len(), 1);
    let file = r#"{"nodes":[{"name":"rack","hosts":["rack"]}]}"#;
    assert_eq!(addresses(&Place::new().file("state/node_config.json", file).config()), ["rack=rack:11434"]);
    assert_eq!(addresses(&Place::new().file("state/n.json", file).flag("node-config", "n.json").config()), ["rack=rack:11434"]);
}

#[test]
fn the_env_file_is_read_here_or_else_in_the_data_directory() {
    let there = Place::new().file("state/.env", "OLLAMA_URL=http://there:1\nUNKNOWN_NAME=x");
    assert_eq!(addresses(&there.config()), ["node1=there:1"], "unknown names are no fault");
    let both = there.file(".env", "OLLAMA_URL=http://here:1");
    assert_eq!(addresses(&both.config()), ["node1=here:1"]);
    let moved = Place::new().file(".env", "DATA_DIR=elsewhere").config();
    assert!(moved.data_dir.unwrap().ends_with("elsewhere"));
}

#[test]
fn variables_of_the_node_file_come_from_the_environment_or_the_env_file() {
    let file = r#"{"nodes":[{"name":"rack","hosts":["${RACK}"],"wake":{"mac":"${RACK_MAC}"}}]}"#;
    let place = Place::new().file("node_config.json", file).env("RACK", "10.0.0.9");
    assert!(place.faults().contains("set RACK_MAC"));
    let config = place.file(".env", "RACK_MAC=a8:a1:59:01:02:03").config();
    assert_eq!(config.nodes[0].hosts, [HostPort { host: "10.0.0.9".into(), port: 11434 }]);
    assert!(config.nodes[0].wake.mac.is_some());
}

#[test]
fn secrets_are_shown_nowhere() {
    let place = remote()
        .flag("wake-key", "hush")
        .flag("wake-url", "http://me:hush@wol:9/wol?key=hush")
        .flag("wake-headers", "Authorization: hush")
        .flag("wake-body", "hush")
        .flag("wake-secure-on", "01:02:03:04:05:06");
    let config = place.config();
    assert!(!format!("{config:?}").contains("hush"), "{config:?}");
    assert_eq!(origin(&config, "wake-url").0, "http://wol:9/wol?…");
    let faults =
        remote().flag("wake-secure-on", "hush").flag("wake-url", "ftp://a:hush@b/?hush").flag("wake-headers", "hush").faults();
    assert!(!faults.contains("hush"), "{faults}");
}

#[test]
fn a_body_that_could_never_be_held_is_refused() {
    let faults = remote().flag("max-body", "128MiB").faults();
    assert!(faults.contains("--max-buffer"), "{faults}");
    assert_eq!(remote().flag("max-body", "128MiB").flag("max-buffer", "1GiB").config().limits.body, 128 << 20);
}

#[test]
fn several_ports_are_listened_on_once_each() {
    assert_eq!(remote().flag("port", "11434, 11435,11434").config().listen.ports, [11434, 11435]);
    assert_eq!(remote().flag("port", "0,0").config().listen.ports, [0, 0]);
    assert!(remote().flag("port", "70000").faults().contains("65535"));
}

#[test]
fn the_entrance_is_read_without_looking_at_nodes() {
    let place = Place::new().flag("ollama-url", "nonsense").flag("port", "9").env("LOG_FORMAT", "json");
    let (listen, log) = load_entrance(&place.args, &place.env, &place.dir).unwrap();
    assert_eq!((listen.ports, listen.port_asked, log.json), (vec![9], true, true));
}

#[test]
fn whoever_asks_the_proxy_of_this_machine_finds_a_controller_or_a_worker_by_its_own_names() {
    let ports = |place: &Place| load_running(&place.args, &place.env, &place.dir).unwrap().ports;
    assert_eq!(ports(&Place::new()), [11434]);
    assert_eq!(ports(&Place::new().env("PORT", "9")), [9]);
    assert_eq!(ports(&Place::new().env("PORT", "9").env("CONTROLLER_PORT", "8100")), [8100]);
    assert_eq!(ports(&Place::new().env("CONTROLLER_HOST", "127.0.0.1")), [8000], "the controller's own default");
    assert_eq!(ports(&Place::new().file(".env", "LISTEN_PORT=8200\n")), [8200]);
    assert_eq!(ports(&Place::new().env("CONTROLLER_PORT", "8100").flag("port", "7")), [7], "a flag goes first");
    assert_eq!(ports(&Place::new().env("CONTROLLER_PORT", "tcp://10.0.0.1:80")), [11434], "an orchestrator's, not the owner's");
    let place = Place::new().env("CONTROLLER_PORT", "8100").env("PORT", "9");
    let checked = load_of_role(&place.args, &place.env, &place.dir).unwrap();
    assert_eq!((checked.listen.ports, checked.nodes.len(), checked.registration.is_some()), (vec![8100], 0, true));
    let place = Place::new().env("LISTEN_PORT", "8200").env("BACKEND_URL", "http://localhost:9");
    let checked = load_of_role(&place.args, &place.env, &place.dir).unwrap();
    assert_eq!((checked.listen.ports, checked.nodes[0].hosts[0].port), (vec![8200], 9));
    let bad = Place::new().env("CONTROLLER_PORT", "x");
    assert!(load_running(&bad.args, &bad.env, &bad.dir).unwrap_err().to_string().contains("`x`"));
}

#[test]
fn every_default_text_is_a_sound_value() {
    for setting in settings::all().filter(|setting| !setting.default.is_empty()) {
        let place = if setting.flag == "ollama-url" { Place::new().flag("port", "9") } else { remote() };
        place.flag(setting.flag, setting.default).config();
    }
}
