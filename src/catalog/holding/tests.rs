//! What a holding knows, by Ollama's rules for names and with answers of every age and shape.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::*;

const LIST: &str = r#"{"models":[{"name":"emb:latest","model":"emb:latest","modified_at":"2026-11-20T16:21:06.382557779+01:00","size":33811,"digest":"e735","details":{"family":"bert","families":null,"parameter_size":"8K"},"capabilities":["embedding"]},{"name":"hf.co/User/Repo:Q4_K_M","size":4000000000,"digest":"7947","details":{"parameter_size":"7.2B"}},{"name":"gpt-oss:120b-cloud","size":384,"digest":"acc7","remote_model":"gpt-oss:120b","remote_host":"https://ollama.com:443","details":{"parameter_size":""}}]}"#;

fn now() -> Stamp {
    Stamp { at: Instant::now(), wall: SystemTime::now() }
}

fn listing(body: &str) -> Holding {
    Holding::empty().with_list(Bytes::copy_from_slice(body.as_bytes()), now()).unwrap()
}

fn found(holding: &Holding, name: &str) -> Option<String> {
    holding.find(name).map(|model| model.name.clone())
}

#[test]
fn an_empty_holding_knows_nothing() {
    let holding = Holding::empty();
    assert!(!holding.is_known() && holding.models().is_empty() && holding.age(Instant::now()).is_none());
    assert_eq!(found(&holding, "emb"), None);
    assert!(holding.list_answer().is_none() && holding.version_answer().is_none() && holding.status_answer().is_none());
}

#[test]
fn an_entry_is_read_and_keeps_its_bytes() {
    let holding = listing(LIST);
    let [emb, repo, cloud] = holding.models() else { panic!("{:?}", holding.models()) };
    assert_eq!((emb.name.as_str(), emb.digest.as_str(), emb.size), ("emb:latest", "e735", 33811));
    assert_eq!((emb.parameter_size.as_str(), emb.modified_unix), ("8K", 1_795_188_066));
    assert_eq!(emb.modified_at, "2026-11-20T16:21:06.382557779+01:00");
    assert!(LIST.contains(emb.raw.get()) && emb.raw.get().ends_with(r#""capabilities":["embedding"]}"#));
    assert_eq!((repo.modified_unix, repo.is_remote, cloud.is_remote), (0, false, true));
    assert_eq!(holding.list_answer().unwrap().body, LIST);
}

#[test]
fn names_are_found_as_ollama_finds_them() {
    let holding = listing(LIST);
    for name in ["emb", "emb:latest", "EMB:Latest", "library/emb", "registry.ollama.ai/library/emb:latest", " emb ", "emb:local"]
    {
        assert_eq!(found(&holding, name).as_deref(), Some("emb:latest"), "{name}");
    }
    assert_eq!(found(&holding, "hf.co/user/repo:q4_k_m").as_deref(), Some("hf.co/User/Repo:Q4_K_M"));
    assert_eq!(found(&holding, "gpt-oss:120b-cloud").as_deref(), Some("gpt-oss:120b-cloud"));
    for name in ["emb:other", "other/emb", "user/repo:Q4_K_M", "hf.co/user/repo", "em", "", ":", "///"] {
        assert_eq!(found(&holding, name), None, "{name}");
    }
}

#[test]
fn a_listed_name_that_ollama_would_refuse_is_still_found() {
    let holding = listing(r#"{"models":[{"name":"Org/Model@v1"}]}"#);
    assert_eq!(found(&holding, "org/model@v1").as_deref(), Some("Org/Model@v1"));
}

#[test]
fn entries_are_read_leniently_and_nameless_ones_left_out() {
    let body = r#"{"models":[{"model":"only-model:1"},{"name":"odd:1","size":-3,"digest":null,"details":[],"modified_at":7},{},7,null,{"name":""}],"more":1}"#;
    let holding = listing(body);
    let names: Vec<_> = holding.models().iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["only-model:1", "odd:1"]);
    let odd = holding.find("odd:1").unwrap();
    assert_eq!((odd.size, odd.digest.as_str(), odd.modified_unix, odd.parameter_size.as_str()), (0, "", 0, ""));
}

#[test]
fn a_list_may_be_empty_or_null_and_is_known_then() {
    for body in [r#"{"models":[]}"#, r#"{"models":null}"#] {
        let holding = listing(body);
        assert!(holding.is_known() && holding.models().is_empty(), "{body}");
    }
}

#[test]
fn what_is_no_list_changes_nothing() {
    for body in ["", "[]", "{}", r#"{"error":"no"}"#, r#"{"models":7}"#, "<html>", r#"{"models":["#, r#"{"models":[]} x"#] {
        assert!(Holding::empty().with_list(body.into(), now()).is_err(), "{body}");
    }
    assert!(Holding::empty().with_list(Bytes::from_static(b"{\"models\":[{\"name\":\"\xff\"}]}"), now()).is_err());
}

#[test]
fn only_a_version_that_clients_can_read_is_kept() {
    let holding = Holding::empty();
    assert!(holding.with_version(r#"{"version":"0.33.0"}"#.into(), now()).unwrap().version_answer().is_some());
    for body in [r#"{"version":""}"#, r#"{"version":"unknown"}"#, "{}", "oops"] {
        assert!(holding.with_version(body.into(), now()).is_err(), "{body}");
    }
}

#[test]
fn only_an_object_is_kept_as_status() {
    let status = r#"{"cloud":{"disabled":true,"source":"env"}}"#;
    assert_eq!(Holding::empty().with_status(status.into(), now()).unwrap().status_answer().unwrap().body, status);
    assert!(Holding::empty().with_status("404 page not found".into(), now()).is_err());
}

#[test]
fn each_part_is_replaced_without_touching_the_others() {
    let all =
        listing(LIST).with_version(r#"{"version":"0.33.0"}"#.into(), now()).unwrap().with_status("{}".into(), now()).unwrap();
    let relisted = all.with_list(r#"{"models":[]}"#.into(), now()).unwrap();
    assert!(relisted.models().is_empty() && relisted.version_answer().is_some() && relisted.status_answer().is_some());
    let unlisted = all.without_list();
    assert!(!unlisted.is_known() && unlisted.version_answer().is_some() && unlisted.status_answer().is_some());
    assert_eq!(all.models().len(), 3);
}

#[test]
fn the_age_is_that_of_the_list() {
    let later = Stamp { at: Instant::now() + Duration::from_secs(90), wall: SystemTime::now() };
    let list = Stamp { at: later.at - Duration::from_secs(90), ..later };
    let holding = Holding::empty().with_list(LIST.into(), list).unwrap();
    let holding = holding.with_version(r#"{"version":"0.33.0"}"#.into(), later).unwrap();
    assert_eq!(holding.age(later.at), Some(Duration::from_secs(90)));
    assert_eq!(holding.age(list.at - Duration::from_secs(1)), Some(Duration::ZERO));
}

#[test]
fn a_stamp_is_moved_back_by_the_wall_clock_and_never_ahead() {
    let now = now();
    let hour = Duration::from_secs(3600);
    assert_eq!(now.back_to(now.wall - hour).age(now.at), hour);
    assert_eq!(now.back_to(now.wall + hour), now);
    assert!(now.back_to(SystemTime::UNIX_EPOCH).age(now.at) > hour);
}

#[test]
fn of_a_name_listed_twice_the_first_counts() {
    let holding = listing(r#"{"models":[{"name":"m:latest","digest":"1"},{"name":"M:latest","digest":"2"}]}"#);
    assert_eq!(holding.find("m").unwrap().digest, "1");
}
