//! Without any key: who is at home may do everything, pages from elsewhere nothing.

use crate::house::{ACTS, CHAT, House, LOOKS, USES};
use crate::program::{Scratch, refused};

const STRANGER: (&str, &str) = ("X-Forwarded-For", "203.0.113.9");
const NEIGHBOUR: (&str, &str) = ("X-Forwarded-For", "192.168.1.66");
const BEHIND_A_PROXY: (&str, &str) = ("trusted-proxy", "127.0.0.1");

#[tokio::test]
async fn without_keys_whoever_is_at_home_may_use_look_and_act() {
    let house = House::awake(&[BEHIND_A_PROXY]);
    for headers in [&[][..], &[NEIGHBOUR]] {
        house.all(&LOOKS, headers, 200).await;
        house.all(&["GET /health", "GET /", "GET /metrics", "GET /api/tags"], headers, 200).await;
        assert_eq!(house.status("POST /nodes/node1/refresh", headers).await, 200);
    }
    assert!(house.node.count("GET /api/tags") > 0);
    let (mut node, address) = (house.node, house.proxy.address);
    let asking = tokio::spawn(async move { crate::client::ask(address, "POST /api/chat", &[NEIGHBOUR], CHAT).await });
    node.next().await.answer_chat().await;
    assert_eq!(asking.await.unwrap().status(), 200);
}

#[tokio::test]
async fn without_keys_nobody_from_elsewhere_may_act() {
    let house = House::asleep(&[BEHIND_A_PROXY]).await;
    house.all(&ACTS, &[STRANGER], 403).await;
    // What stands left of the last address is the stranger's own invention.
    house.all(&ACTS, &[("X-Forwarded-For", "127.0.0.1, 203.0.113.9")], 403).await;
    house.nobody_stirred();
    assert_eq!(house.refusals("address", &[]).await, 6);
}

#[tokio::test]
async fn a_proxy_in_front_that_is_not_declared_lets_no_stranger_act() {
    let house = House::asleep(&[]).await;
    for line in [STRANGER, ("X-Real-IP", "203.0.113.9"), ("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "unknown")] {
        house.all(&ACTS, &[line], 403).await;
    }
    house.nobody_stirred();
}

#[tokio::test]
async fn an_address_that_is_not_allowed_gets_nothing_and_wakes_nothing() {
    for flags in [&[BEHIND_A_PROXY, ("allow", "192.168.1.0/24")][..], &[BEHIND_A_PROXY, ("deny", "203.0.113.0/24")]] {
        let house = House::asleep(flags).await;
        for asked in [&USES[..], &LOOKS, &ACTS, &["GET /health", "GET /", "GET /ui/base.css", "OPTIONS /api/chat"]] {
            house.all(asked, &[STRANGER], 403).await;
        }
        assert!(house.ask("POST /v1/messages", &[STRANGER]).await.json()["error"]["message"].is_string());
        house.nobody_stirred();
        assert_eq!(house.status("GET /health", &[NEIGHBOUR]).await, 200);
        assert_eq!(house.status("GET /health", &[]).await, 200, "this machine may, as a health check does");
    }
}

#[tokio::test]
async fn another_origins_page_may_neither_look_nor_use_nor_act() {
    let house = House::asleep(&[]).await;
    for origin in ["https://evil.example", "null", "http://proxy.lan:80", "http://localhost.evil.example"] {
        for asked in [&USES[..], &LOOKS, &ACTS, &["GET /health"]] {
            house.all(asked, &[("Origin", origin)], 403).await;
        }
        let answer = house.ask("OPTIONS /api/chat", &[("Origin", origin), ("Access-Control-Request-Method", "POST")]).await;
        assert_eq!((answer.status(), answer.head.get("access-control-allow-origin")), (403, None));
    }
    house.nobody_stirred();
    assert!(house.refusals("origin", &[]).await >= 4 * 15);
}

#[tokio::test]
async fn an_allowed_origin_may_use_and_look_but_not_act_and_never_with_credentials() {
    let house = House::awake(&[("cors-origins", "https://chat.example")]);
    for origin in ["https://chat.example", "http://localhost:3000", "app://obsidian.md"] {
        let answer = house.ask("GET /api/tags", &[("Origin", origin)]).await;
        assert_eq!((answer.status(), answer.head.get("access-control-allow-origin")), (200, Some(origin)));
        assert_eq!(answer.head.get("access-control-allow-credentials"), None);
        house.all(&ACTS, &[("Origin", origin)], 403).await;
    }
    assert_eq!(house.service.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn a_page_whose_name_was_turned_to_our_address_gets_nothing() {
    let house = House::asleep(&[]).await;
    let (name, origin) = ("evil.example:11434", [("Origin", "http://evil.example:11434")]);
    for asked in LOOKS.iter().chain(&ACTS) {
        assert_eq!(house.called(name, asked, &[]).await.status(), 403, "{asked}");
    }
    for asked in ["POST /api/chat", "POST /nodes/node1/wake"] {
        assert_eq!(house.called(name, asked, &origin).await.status(), 403, "{asked}");
    }
    // What it reads of the server that it came from names no origin.
    let page = [("Accept-Language", "en"), ("User-Agent", "Mozilla/5.0")];
    for asked in ["GET /api/tags", "GET /v1/models", "GET /api/ps", "GET /other", "HEAD /api/tags"] {
        assert_eq!(house.called(name, asked, &page).await.status(), 403, "{asked}");
    }
    house.nobody_stirred();
    assert!(house.refusals("host", &[]).await >= LOOKS.len() as u64);
    // A program may call us by any name, also one that speaks as a browser would.
    for program in [&[][..], &[("Accept-Language", "*"), ("Sec-Fetch-Mode", "cors")]] {
        assert_eq!(house.called(name, "GET /api/tags", program).await.status(), 200, "{program:?}");
    }
    let told = house.called(name, "GET /nodes", &[]).await;
    assert!(told.error().contains("--allowed-hosts"), "{}", told.error());
}

#[tokio::test]
async fn names_of_a_home_network_and_those_in_the_settings_pass() {
    let house = House::awake(&[("allowed-hosts", "ollama.example.org")]);
    for name in ["192.168.1.5:11434", "[fd00::5]:11434", "localhost:11434", "pi:11434", "pi.local", "ollama.example.org"] {
        assert_eq!(house.called(name, "GET /nodes", &[]).await.status(), 200, "{name}");
        let origin = format!("http://{name}");
        assert_eq!(house.called(name, "POST /nodes/node1/refresh", &[("Origin", &origin)]).await.status(), 200, "{name}");
    }
    // A scraper may call us by any name: a page could read only what it may know anyway.
    assert_eq!(house.called("proxy.example.net", "GET /metrics", &[]).await.status(), 200);
}

#[tokio::test]
async fn another_sites_form_may_not_act() {
    let house = House::asleep(&[]).await;
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"] {
        house.all(&ACTS, &[("Content-Type", kind)], 403).await;
    }
    for site in ["cross-site", "same-site"] {
        house.all(&ACTS, &[("Sec-Fetch-Site", site)], 403).await;
    }
    house.nobody_stirred();
    let own = [("Content-Type", "application/x-www-form-urlencoded"), ("Origin", "http://proxy.lan:11434")];
    assert_eq!(house.status("POST /nodes/node1/sleep", &own).await, 409, "the page's own form may");
    assert_eq!(house.status("POST /nodes/node1/sleep", &[("Content-Type", "application/json")]).await, 409);
}

#[tokio::test]
async fn pages_forbid_whatever_they_do_not_need() {
    let house = House::awake(&[]);
    let keyed = House::awake(&[("admin-key", "canary-key-of-the-owner")]);
    for (house, asked) in [(&house, "GET /"), (&house, "GET /topology"), (&keyed, "GET /login")] {
        let page = house.ask(asked, &[("Accept", "text/html")]).await;
        for (name, value) in [
            ("x-frame-options", "SAMEORIGIN"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(page.head.get(name), Some(value), "{asked}");
        }
        let policy = page.head.get("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'") && policy.contains("form-action 'self'"), "{asked}: {policy}");
    }
}

#[test]
fn faulty_rules_keep_the_proxy_from_starting() {
    let scratch = Scratch::new();
    std::fs::write(scratch.join("keys.json"), r#"{"keys":[{"name":"a","key":"canary-canary-canary","wake":true}]}"#).unwrap();
    let file = scratch.join("keys.json");
    let output = refused(&["--ollama-url", "http://192.0.2.1", "--allow", "lan", "--api-key-file", &file], &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--allow") && text.contains("unknown key `wake`") && !text.contains("canary"), "{text}");
}
