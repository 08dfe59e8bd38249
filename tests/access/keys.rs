//! With keys: what opens what, and that a refused request wakes nobody.

use crate::client::ask;
use crate::house::{ACTS, CHAT, CLIENT_KEY, House, LOOKS, OWNER_KEY, USES, bearer};
use crate::program::{self, Scratch};

const KEYS: [(&str, &str); 2] = [("api-key", CLIENT_KEY), ("admin-key", OWNER_KEY)];

#[tokio::test]
async fn without_its_key_everything_is_closed_but_health_and_the_words_of_the_root() {
    let house = House::asleep(&KEYS).await;
    for asked in [&USES[..], &LOOKS, &ACTS, &["GET /metrics", "GET /events", "DELETE /api/delete", "GET /anything"]] {
        house.all(asked, &[], 401).await;
    }
    let asked = USES.len() + LOOKS.len() + ACTS.len() + 4;
    assert_eq!(house.refusals("key", &[("X-API-Key", OWNER_KEY)]).await, asked as u64);
    house.all(&["GET /health", "HEAD /"], &[], 200).await;
    assert_eq!(house.ask("GET /", &[]).await.text(), "Ollama is running");
    assert_eq!(house.status("GET /", &[("Accept", "application/json")]).await, 401);
    let preflight = [("Origin", "http://localhost:3000"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(house.status("OPTIONS /api/chat", &preflight).await, 204, "a browser asks this without a key");
    house.nobody_stirred();
}

#[tokio::test]
async fn a_missing_key_is_told_in_every_dialect() {
    let house = House::asleep(&KEYS).await;
    let native = house.ask("POST /api/chat", &[]).await;
    assert!(native.json()["error"].as_str().unwrap().contains("X-API-Key"), "{}", native.text());
    assert_eq!(native.head.get("www-authenticate"), Some("Bearer realm=\"ollama-proxy\""));
    let openai = house.ask("POST /v1/chat/completions", &[]).await.json();
    assert_eq!(openai["error"]["type"], "invalid_request_error");
    let anthropic = house.ask("POST /v1/messages", &[]).await.json();
    assert_eq!((&anthropic["type"], &anthropic["error"]["type"]), (&"error".into(), &"authentication_error".into()));
}

#[tokio::test]
async fn a_client_key_may_use_and_look_but_not_act_where_the_owner_has_his_own() {
    let mut house = House::awake(&KEYS);
    let key = bearer(CLIENT_KEY);
    let shown = [("Authorization", &*key)];
    house.all(&LOOKS, &shown, 200).await;
    house.all(&["GET /metrics", "GET /api/tags"], &shown, 200).await;
    house.all(&["GET /nodes"], &[("X-API-Key", CLIENT_KEY)], 200).await;
    let asks = ask(house.proxy.address, "POST /v1/messages", &[("x-api-key", CLIENT_KEY)], CHAT);
    let answers = async { house.node.next().await.answer("200 OK", &["Content-Type: application/json"], "{}").await };
    assert_eq!(tokio::join!(asks, answers).0.status(), 200);
    house.all(&ACTS, &shown, 403).await;
    assert_eq!(house.service.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn the_owners_key_opens_everything() {
    let house = House::awake(&KEYS);
    let key = bearer(OWNER_KEY);
    let shown = [("Authorization", &*key)];
    house.all(&LOOKS, &shown, 200).await;
    house.all(&["POST /nodes/node1/refresh", "GET /metrics", "GET /api/tags"], &shown, 200).await;
    // Whoever shows a key acts of his own will: no page from elsewhere knows it.
    let from_afar = [("Authorization", &*key), ("Content-Type", "text/plain"), ("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(house.status("POST /nodes/node1/refresh", &from_afar).await, 200);
}

#[tokio::test]
async fn with_the_owners_key_alone_only_his_acts_need_it() {
    let house = House::awake(&[("admin-key", OWNER_KEY)]);
    house.all(&LOOKS, &[], 200).await;
    house.all(&["GET /api/tags", "GET /metrics"], &[("Authorization", "Bearer ollama")], 200).await;
    house.all(&ACTS, &[], 401).await;
    let key = bearer(OWNER_KEY);
    assert_eq!(house.status("POST /nodes/node1/refresh", &[("Authorization", &key)]).await, 200);
    assert_eq!(house.called("evil.example", "GET /nodes", &[]).await.status(), 403);
}

#[tokio::test]
async fn with_client_keys_alone_each_of_them_may_act() {
    let house = House::awake(&[("api-key", CLIENT_KEY)]);
    let key = bearer(CLIENT_KEY);
    assert_eq!(house.status("POST /nodes/node1/refresh", &[("Authorization", &key)]).await, 200);
    house.all(&ACTS, &[], 401).await;
}

#[tokio::test]
async fn metrics_may_be_opened_for_scrapers() {
    let house = House::awake(&[KEYS[0], ("open-metrics", "true")]);
    assert_eq!(house.status("GET /metrics", &[]).await, 200);
    assert_eq!(house.status("GET /nodes", &[]).await, 401);
}

#[tokio::test]
async fn a_wrong_key_is_counted_and_slowed_while_the_right_one_still_passes() {
    let house = House::asleep(&KEYS).await;
    let (wrong, right) = (bearer("canary-of-somebody-else"), bearer(CLIENT_KEY));
    // One more is told at once every six seconds, which a busy machine may need for ten.
    let (mut told, mut slowed) = (0, house.ask("POST /api/chat", &[("Authorization", &wrong)]).await);
    while slowed.status() == 401 && told < 30 {
        told += 1;
        slowed = house.ask("POST /api/chat", &[("Authorization", &wrong)]).await;
    }
    assert!(slowed.status() == 429 && told >= 10, "{} after {told}", slowed.status());
    assert!(slowed.head.get("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(house.status("GET /nodes", &[("Authorization", &right)]).await, 200);
    assert_eq!(house.refusals("wrong_key", &[("Authorization", &right)]).await, told + 1);
    house.nobody_stirred();
}

#[test]
fn no_key_is_ever_logged() {
    let (node, scratch) = (program::Node::start(), Scratch::new());
    let args = ["--api-key", CLIENT_KEY, "--admin-key", OWNER_KEY, "--log", "trace"];
    let mut proxy = program::Proxy::before(&node, &scratch, &args);
    let say = |asked: &str, key: &str| {
        let text = format!("{asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n");
        program::say(proxy.address, text.as_bytes()).status
    };
    assert_eq!(say("GET /api/tags", "canary-of-a-burglar"), 401);
    assert_eq!((say("GET /api/tags", CLIENT_KEY), say("GET /nodes", OWNER_KEY)), (200, 200));
    proxy.terminate();
    assert_eq!(proxy.exit_code(), Some(0));
    let log = proxy.written_so_far();
    assert!(log.contains("a wrong key") && log.contains("/api/tags"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

const RULES: &str = r#"{"keys": [
    {"name": "kids", "key": "canary-key-of-the-kids", "models": ["m"], "may_wake": false},
    {"name": "guest", "key": "canary-key-of-a-guest", "nodes": ["node9"]},
    {"name": "slow", "key": "canary-key-of-the-slow", "requests_per_minute": 2},
    {"name": "owner", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "admin": true}]}"#;

fn ruled() -> House {
    House::with_file("keys.json", RULES, &[("api-key-file", "keys.json")])
}

#[tokio::test]
async fn a_key_opens_only_its_models() {
    let mut house = ruled();
    let kids = [("X-API-Key", "canary-key-of-the-kids")];
    let address = house.proxy.address;
    for (asked, body) in [
        ("POST /api/chat", r#"{"model":"n","messages":[]}"#),
        ("POST /api/show", r#"{"model":"n"}"#),
        ("DELETE /api/delete", r#"{"model":"n"}"#),
        ("POST /api/copy", r#"{"source":"m","destination":"n"}"#),
        ("POST /api/pull", r#"{"model":"n"}"#),
        ("POST /api/blobs/sha256:00", "bytes"),
        ("POST /v1/unheard/of", "{}"),
        // Ollama minds no case of a key, and the last one counts.
        ("POST /v1/chat/completions", r#"{"model":"m","MODEL":"n"}"#),
    ] {
        let answer = ask(address, asked, &kids, body).await;
        assert_eq!(answer.status(), 403, "{asked}: {}", answer.text());
        assert!(answer.error().contains("kids"), "{}", answer.error());
    }
    let part = |name: &str| format!("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{name}\r\n");
    let (form, two) = (("Content-Type", "multipart/form-data; boundary=x"), part("m") + &part("n") + "--x--\r\n");
    assert_eq!(ask(address, "POST /v1/audio/transcriptions", &[kids[0], form], two).await.status(), 403, "two models");
    assert!(house.node.seen().iter().all(|seen| seen.starts_with("GET ")), "{:?}", house.node.seen());
    assert_eq!(house.refusals("model", &[("X-API-Key", "test")]).await, 9);
    // Now that the PC is known to be up, a key that wakes nobody may use it, too.
    assert_eq!(house.status("POST /nodes/node1/refresh", &[("X-API-Key", "test")]).await, 200);
    let asks = ask(address, "POST /api/chat", &kids, CHAT);
    let answers = async { house.node.next().await.answer_chat().await };
    assert_eq!(tokio::join!(asks, answers).0.status(), 200);
}

#[tokio::test]
async fn a_key_opens_only_its_nodes() {
    let house = ruled();
    let guest = ("X-API-Key", "canary-key-of-a-guest");
    let named = house.ask("POST /api/chat", &[guest, ("X-Ollama-Proxy-Node", "node1")]).await;
    assert_eq!((named.status(), named.error().contains("does not open node1")), (403, true));
    assert_eq!(house.refusals("node", &[("X-API-Key", "test")]).await, 1);
    assert_eq!(house.status("POST /api/chat", &[guest]).await, 503);
    assert_eq!(house.node.count("POST /api/chat"), 0);
}

#[tokio::test]
async fn a_key_that_may_not_wake_wakes_nobody() {
    let mut house = ruled();
    house.node.sleep().await;
    let answer = house.ask("POST /api/chat", &[("X-API-Key", "canary-key-of-the-kids")]).await;
    assert_eq!(answer.status(), 503, "{}", answer.text());
    house.nobody_stirred();
}

#[tokio::test]
async fn a_key_has_limits_of_its_own_and_may_be_kept_as_a_digest() {
    let house = ruled();
    let slow = [("X-API-Key", "canary-key-of-the-slow")];
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(house.status("GET /api/version", &slow).await);
    }
    assert_eq!(told, [200, 200, 429]);
    assert_eq!(house.status("POST /nodes/node1/refresh", &[("X-API-Key", "test")]).await, 200);
}

#[tokio::test]
async fn commands_show_the_key_of_the_settings() {
    let (node, scratch) = (program::Node::start(), Scratch::new());
    let proxy = program::Proxy::before(&node, &scratch, &["--admin-key", OWNER_KEY, "--api-key", CLIENT_KEY]);
    let url = format!("http://{}", proxy.address);
    let run = |key: &[(&str, &str)]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ollama-proxy"));
        program::bare(&mut command, &scratch);
        command.args(["nodes", "--url", &url]).envs(key.iter().copied()).output().unwrap()
    };
    let (with, without) = (run(&[("ADMIN_KEY", OWNER_KEY)]), run(&[]));
    assert!(with.status.success() && String::from_utf8_lossy(&with.stdout).contains("node1"), "{with:?}");
    assert!(!without.status.success() && String::from_utf8_lossy(&without.stderr).contains("asks for a key"), "{without:?}");
}

#[tokio::test]
async fn the_key_file_of_the_readme_is_understood() {
    let readme = include_str!("../../README.md");
    let block = readme.split("```json\n").find(|block| block.contains("requests_per_minute")).unwrap();
    let text = block.split("```").next().unwrap().replace("${KIDS_KEY}", "canary-key-of-the-kids").replace("gaming-pc", "node1");
    let house = House::with_file("keys.json", &text, &[("api-key-file", "keys.json")]);
    assert_eq!(house.status("GET /nodes", &[("X-API-Key", "canary-key-of-the-kids")]).await, 200);
    assert_eq!(house.status("GET /nodes", &[("X-API-Key", "test")]).await, 200);
}
