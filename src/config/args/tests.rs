//! What a command line is understood as.

use super::*;

fn serve(line: &[&str]) -> ServeArgs {
    match parse_cli(line).unwrap().command() {
        Command::Serve(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn serve_is_the_default_and_its_flags_stand_before_or_behind_its_name() {
    let bare = serve(&["ollama-proxy", "--ollama-url", "http://a:1", "--port", "11434"]);
    assert_eq!(bare, serve(&["ollama-proxy", "serve", "--ollama-url", "http://a:1", "--port", "11434"]));
    assert_eq!(bare, serve(&["ollama-proxy", "server", "--ollama-url=http://a:1", "--port=11434"]));
    assert_eq!(bare, serve(&["ollama-proxy", "--ollama-url", "http://a:1", "serve", "--port", "11434"]));
    assert_eq!(serve(&["ollama-proxy", "--port", "1", "serve", "--port", "2"]).get("port"), Some("2"));
}

#[test]
fn a_repeated_flag_is_a_list() {
    let args = serve(&["ollama-proxy", "--ollama-url", "http://a:1", "--ollama-url", "http://b:2,http://c:3"]);
    assert_eq!(args.get("ollama-url"), Some("http://a:1,http://b:2,http://c:3"));
    let args = serve(&["ollama-proxy", "--wake-headers", "A: 1, 2", "--wake-headers", "B: 3"]);
    assert_eq!(args.get("wake-headers"), Some("A: 1, 2\nB: 3"));
}

#[test]
fn a_switch_takes_no_word_that_follows_it() {
    assert_eq!(serve(&["ollama-proxy", "--always-on", "serve"]).get("always-on"), Some("true"));
    assert_eq!(serve(&["ollama-proxy", "--always-on=false"]).get("always-on"), Some("false"));
}

#[test]
fn healthcheck_and_demo_take_the_same_flags() {
    let check = parse_cli(["ollama-proxy", "healthcheck", "--host", "127.0.0.1", "--port", "1"]).unwrap().command();
    assert!(matches!(check, Command::Healthcheck(args) if args.get("port") == Some("1")));
    let demo = parse_cli(["ollama-proxy", "demo", "--log", "debug", "--max-held", "3"]).unwrap().command();
    assert!(matches!(demo, Command::Demo(args) if args.get("log") == Some("debug")));
}

#[test]
fn wake_nodes_and_check_have_flags_of_their_own_beside_those_of_serve() {
    let line = ["ollama-proxy", "--wake-port", "9", "wake", "gpu", "--url", "pi", "--wake-timeout", "5s"];
    let Command::Wake(wake) = parse_cli(line).unwrap().command() else { panic!() };
    assert_eq!(wake.node.as_deref(), Some("gpu"));
    assert_eq!(wake.proxy.url.unwrap().at, HostPort { host: "pi".to_owned(), port: 11434 });
    assert_eq!((wake.serve.get("wake-port"), wake.serve.get("wake-timeout")), (Some("9"), Some("5s")));
    let Command::Nodes(nodes) = parse_cli(["ollama-proxy", "nodes", "--watch"]).unwrap().command() else { panic!() };
    assert!(nodes.watch && nodes.proxy.url.is_none());
    let Command::Check(check) = parse_cli(["ollama-proxy", "check", "--port", "1"]).unwrap().command() else { panic!() };
    assert_eq!((check.call_wake_url, check.serve.get("port")), (false, Some("1")));
    assert_eq!(parse_cli(["ollama-proxy", "nodes", "--url", "ftp://x"]).unwrap_err().exit_code(), 2);
}

#[test]
fn help_and_version_end_well_and_a_wrong_usage_with_two() {
    for line in [["ollama-proxy", "--help"], ["ollama-proxy", "--version"], ["ollama-proxy", "help"]] {
        assert_eq!(parse_cli(line).unwrap_err().exit_code(), 0, "{line:?}");
    }
    for line in [["ollama-proxy", "--no-such-flag"], ["ollama-proxy", "fly"], ["ollama-proxy", "--timeout"]] {
        assert_eq!(parse_cli(line).unwrap_err().exit_code(), 2, "{line:?}");
    }
}

#[test]
fn help_names_the_environment_and_the_default_of_every_flag() {
    let text = parse_cli(["ollama-proxy", "--help"]).unwrap_err().to_string();
    for setting in settings::all() {
        assert!(text.contains(&format!("--{}", setting.flag)), "{}", setting.flag);
        assert!(text.contains(&format!("[env: {}", setting.env[0])), "{}", setting.flag);
    }
    assert!(text.contains("[default: 10]"), "{text}");
}
