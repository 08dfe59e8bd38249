//! A browser logs in by a form; what its cookie opens, and whom it does not serve.

use crate::client::{Answer, ask};
use crate::house::{ACTS, CLIENT_KEY, House, LOOKS, Lines, OWNER_KEY};

const KEYS: [(&str, &str); 2] = [("api-key", CLIENT_KEY), ("admin-key", OWNER_KEY)];
const PAGE: (&str, &str) = ("Accept", "text/html");
const OWN: (&str, &str) = ("Origin", "http://proxy.lan:11434");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

async fn submits(house: &House, key: &str, headers: Lines<'_>) -> Answer {
    ask(house.proxy.address, "POST /login", &[&[PAGE, FORM], headers].concat(), format!("key={key}")).await
}

/// The cookie that a right key brings.
async fn logged_in(house: &House, key: &str) -> String {
    let answer = submits(house, key, &[OWN]).await;
    assert_eq!((answer.status(), answer.head.get("location")), (303, Some("./")), "{}", answer.text());
    let cookie = answer.head.get("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("canary"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_browser_without_a_session_is_shown_where_to_log_in() {
    let house = House::asleep(&KEYS).await;
    for (asked, way) in [("GET /", "login"), ("GET /topology", "login"), ("POST /nodes/node1/wake", "../../login")] {
        let answer = house.ask(asked, &[PAGE]).await;
        assert_eq!((answer.status(), answer.head.get("location")), (303, Some(way)), "{asked}");
    }
    let page = house.ask("GET /login", &[PAGE]).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().contains("type=\"password\"") && page.head.get("content-security-policy").is_some());
    assert_eq!(house.status("GET /ui/base.css", &[]).await, 200, "the form has its looks");
    house.nobody_stirred();
}

#[tokio::test]
async fn a_session_opens_what_its_key_opens_until_it_logs_out() {
    let house = House::awake(&KEYS);
    let owner = logged_in(&house, OWNER_KEY).await;
    let client = logged_in(&house, CLIENT_KEY).await;
    for cookie in [&owner, &client] {
        house.all(&LOOKS, &[("Cookie", cookie)], 200).await;
        let page = house.ask("GET /", &[PAGE, ("Cookie", cookie)]).await;
        assert!(page.text().contains("action=\"logout\""), "the page has a way out");
    }
    assert_eq!(house.status("POST /nodes/node1/refresh", &[OWN, ("Cookie", &owner)]).await, 200);
    house.all(&ACTS, &[OWN, ("Cookie", &client)], 403).await;
    let out = house.ask("POST /logout", &[OWN, ("Cookie", &owner)]).await;
    assert!(out.head.get("set-cookie").unwrap().contains("Max-Age=0"));
    house.all(&LOOKS, &[("Cookie", &owner)], 401).await;
    house.all(&["GET /nodes"], &[("Cookie", &client)], 200).await;
}

#[tokio::test]
async fn another_sites_page_can_use_no_session() {
    let house = House::awake(&KEYS);
    let cookie = logged_in(&house, OWNER_KEY).await;
    let cookie = ("Cookie", &*cookie);
    for elsewhere in
        [("Origin", "http://localhost:3000"), ("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Site", "cross-site"), FORM]
    {
        house.all(&ACTS, &[cookie, elsewhere], 403).await;
        house.all(&["POST /api/chat"], &[cookie, elsewhere], 403).await;
    }
    assert!(house.node.seen().iter().all(|seen| seen.starts_with("GET ")), "{:?}", house.node.seen());
    assert_eq!(house.service.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn nobody_logs_a_browser_in_from_elsewhere() {
    let house = House::awake(&KEYS);
    for elsewhere in [("Origin", "http://localhost:3000"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = submits(&house, OWNER_KEY, &[elsewhere]).await;
        assert_eq!((answer.status(), answer.head.get("set-cookie")), (403, None));
    }
}

#[tokio::test]
async fn a_wrong_key_in_the_form_is_told_on_the_page_and_slowed_like_any_other() {
    let house = House::awake(&KEYS);
    let told = submits(&house, "canary-of-a-burglar", &[OWN]).await;
    assert_eq!((told.status(), told.head.get("set-cookie")), (401, None));
    assert!(told.text().contains("role=\"alert\"") && !told.text().contains("canary"), "{}", told.text());
    // One more is told at once every six seconds, which a busy machine may need for ten.
    let mut times = 1;
    while times < 30 && submits(&house, "canary-of-a-burglar", &[OWN]).await.status() == 401 {
        times += 1;
    }
    assert!((10..30).contains(&times), "{times} were told at once");
    assert_eq!(submits(&house, "canary-of-a-burglar", &[OWN]).await.status(), 429);
    let long = "k".repeat(5000);
    assert_eq!(submits(&house, &long, &[OWN]).await.status(), 413);
}

#[tokio::test]
async fn without_any_key_there_is_no_login() {
    let house = House::awake(&[]);
    let page = house.ask("GET /", &[PAGE]).await.text();
    assert!(!page.contains("href=\"login\"") && !page.contains("action=\"logout\""));
}

#[tokio::test]
async fn a_session_behind_tls_is_for_tls_alone() {
    let house = House::awake(&[KEYS[0], KEYS[1], ("trusted-proxy", "127.0.0.1")]);
    for (line, secure) in [
        (("X-Forwarded-Proto", "https"), true),
        (("Forwarded", "for=192.168.1.66;proto=https"), true),
        (("X-Forwarded-Proto", "http"), false),
        (("X-Forwarded-For", "192.168.1.66"), false),
    ] {
        let answer = submits(&house, OWNER_KEY, &[OWN, line]).await;
        assert_eq!(answer.head.get("set-cookie").unwrap().ends_with("; Secure"), secure, "{line:?}");
    }
    // Nobody else is believed: a browser that came plainly would get a cookie that it never sends back.
    let house = House::awake(&KEYS);
    let answer = submits(&house, OWNER_KEY, &[OWN, ("X-Forwarded-Proto", "https")]).await;
    assert!(!answer.head.get("set-cookie").unwrap().contains("Secure"));
}
