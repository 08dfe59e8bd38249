//! What is answered from memory for one node, for several, and for those never read.

use std::time::SystemTime;

use super::super::holding::Stamp;
use super::*;

const TTL: Duration = Duration::from_secs(1800);
const EMB: &str = r#"{"name":"emb:latest","modified_at":"2026-11-20T15:21:06.382557779Z","digest":"e735"}"#;
const TINY: &str = r#"{"name":"tiny:1b","modified_at":"2026-11-20T15:21:05.831901355Z","digest":"acc7"}"#;
const NEW_TINY: &str = r#"{"name":"Tiny:1B","modified_at":"2026-11-20T17:21:07+01:00","digest":"beef"}"#;
const OWNED: &str = r#"{"name":"hf.co/User/Repo:Q4","modified_at":"?","digest":"0wned"}"#;

fn list(models: &[&str]) -> String {
    format!(r#"{{"models":[{}]}}"#, models.join(","))
}

fn stamp() -> Stamp {
    Stamp { at: Instant::now(), wall: SystemTime::now() }
}

fn holding(models: &[&str]) -> Holding {
    Holding::empty().with_list(list(models).into(), stamp()).unwrap()
}

fn versioned(version: &str) -> Holding {
    Holding::empty().with_version(format!(r#"{{"version":"{version}"}}"#).into(), stamp()).unwrap()
}

/// The views of nodes `n0`, `n1` … with these holdings, handed to `ask`.
fn with<T>(holdings: &[Holding], ask: impl FnOnce(&[View<'_>]) -> T) -> T {
    let names: Vec<_> = (0..holdings.len()).map(|at| NodeName::new(&format!("n{at}"))).collect();
    let views: Vec<_> = names.iter().zip(holdings).map(|(node, holding)| View { node, holding }).collect();
    ask(&views)
}

fn tags_of(holdings: &[Holding]) -> Cached {
    with(holdings, |views| tags(views, Instant::now(), TTL))
}

fn found(lookup: Lookup) -> Cached {
    let Lookup::Found(cached) = lookup else { panic!("{lookup:?}") };
    cached
}

#[test]
fn one_nodes_list_keeps_the_nodes_bytes() {
    let spaced = format!("{{ \"models\" : [ {TINY}, {EMB} ], \"later\": 1 }}\n");
    let one = Holding::empty().with_list(spaced.clone().into(), stamp()).unwrap();
    assert_eq!(tags_of(std::slice::from_ref(&one)).body, spaced);
    assert_eq!(tags_of(&[Holding::empty(), one]).body, spaced);
    assert_eq!(tags_of(&[holding(&[TINY])]).content_type, "application/json; charset=utf-8");
}

#[test]
fn several_lists_are_merged_by_name_with_the_newest_first() {
    let merged = tags_of(&[holding(&[TINY, OWNED]), holding(&[EMB, NEW_TINY])]);
    assert_eq!(merged.body, list(&[NEW_TINY, EMB, OWNED]));
    let turned = tags_of(&[holding(&[EMB, NEW_TINY]), holding(&[OWNED, TINY])]);
    assert_eq!(turned.body, merged.body);
}

#[test]
fn models_of_the_same_second_are_sorted_by_name() {
    let a = r#"{"name":"a:1","modified_at":"2026-11-20T15:21:06.1Z"}"#;
    let b = r#"{"name":"b:1","modified_at":"2026-11-20T15:21:06.9Z"}"#;
    assert_eq!(tags_of(&[holding(&[b]), holding(&[a])]).body, list(&[a, b]));
}

#[test]
fn without_models_the_list_is_empty_and_not_null() {
    let null = Holding::empty().with_list(r#"{"models":null}"#.into(), stamp()).unwrap();
    for holdings in [vec![], vec![Holding::empty()], vec![null], vec![holding(&[]), holding(&[])]] {
        assert_eq!(tags_of(&holdings).body, r#"{"models":[]}"#);
    }
}

#[test]
fn an_answer_is_fresh_up_to_its_time_to_live_and_as_old_as_its_oldest_part() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let read = |model: &str, after: Duration| {
        let read = Stamp { at: start + after, wall: SystemTime::now() };
        Holding::empty().with_list(list(&[model]).into(), read).unwrap()
    };
    let both = [read(TINY, Duration::ZERO), read(EMB, TTL)];
    let judged = |holdings: &[Holding], after: Duration| {
        let cached = with(holdings, |views| tags(views, start + after, TTL));
        (cached.fresh, cached.age)
    };
    assert_eq!(judged(&both, TTL), (true, Some(TTL)));
    assert_eq!(judged(&both, TTL + second), (false, Some(TTL + second)));
    assert_eq!(judged(&both[1..], TTL + second), (true, Some(second)));
    assert_eq!(judged(&[both[1].clone(), Holding::empty()], TTL + second), (false, Some(second)));
    assert_eq!(judged(&[Holding::empty()], TTL), (false, None));
    assert_eq!(judged(&[], TTL), (false, None));
    // What was found on one node says nothing about the age of the other's list.
    let one = found(with(&both, |views| model_v1(views, "emb", start + TTL + second, TTL)));
    assert_eq!((one.fresh, one.age), (true, Some(second)));
}

#[test]
fn the_version_is_the_lowest_in_its_nodes_words() {
    let of = |holdings: &[Holding]| with(holdings, |views| version(views, Instant::now(), TTL));
    assert_eq!(
        of(&[versioned("0.33.0"), Holding::empty(), versioned("0.9.6"), versioned("0.12.0")]).body,
        r#"{"version":"0.9.6"}"#
    );
    assert_eq!(of(&[versioned("0.33.0-rc2")]).body, r#"{"version":"0.33.0-rc2"}"#);
    assert!(of(&[versioned("0.33.0")]).fresh);
}

#[test]
fn a_version_never_learnt_is_still_one() {
    let cached = with(&[Holding::empty()], |views| version(views, Instant::now(), TTL));
    assert_eq!((&cached.body[..], cached.fresh, cached.age), (&br#"{"version":"0.12.0"}"#[..], false, None));
}

#[test]
fn the_status_is_that_of_the_first_node_that_told() {
    let told = |text: &str| Holding::empty().with_status(text.to_owned().into(), stamp()).unwrap();
    let of = |holdings: &[Holding]| with(holdings, |views| status(views, Instant::now(), TTL));
    let disabled = r#"{"cloud":{"disabled":true,"source":"env"}}"#;
    let cached = of(&[Holding::empty(), told(disabled), told("{}")]);
    assert_eq!((&cached.body[..], cached.fresh), (disabled.as_bytes(), true));
    let cached = of(&[Holding::empty()]);
    assert_eq!(cached.body, r#"{"cloud":{"disabled":false,"source":"none"}}"#);
    assert_eq!((cached.fresh, cached.age), (false, None));
}

#[test]
fn the_openai_list_is_derived_from_the_lists() {
    let of = |holdings: &[Holding]| with(holdings, |views| models_v1(views, Instant::now(), TTL));
    let expected = concat!(
        r#"{"object":"list","data":[{"id":"emb:latest","object":"model","created":1795188066,"owned_by":"library"},"#,
        r#"{"id":"hf.co/User/Repo:Q4","object":"model","created":0,"owned_by":"User"}]}"#,
        "\n"
    );
    let cached = of(&[holding(&[OWNED]), holding(&[EMB])]);
    assert_eq!((&cached.body[..], cached.content_type), (expected.as_bytes(), "application/json"));
    assert_eq!(of(&[Holding::empty()]).body, "{\"object\":\"list\",\"data\":[]}\n");
}

#[test]
fn an_openai_model_echoes_the_id_as_asked_for() {
    let of = |id: &str| with(&[holding(&[TINY]), holding(&[OWNED, NEW_TINY])], |views| model_v1(views, id, Instant::now(), TTL));
    let tiny = "{\"id\":\"TINY:1b\",\"object\":\"model\",\"created\":1795191667,\"owned_by\":\"library\"}\n";
    assert_eq!(found(of("TINY:1b")).body, tiny);
    let owned = "{\"id\":\"hf.co/user/repo:q4\",\"object\":\"model\",\"created\":0,\"owned_by\":\"User\"}\n";
    assert_eq!(found(of("hf.co/user/repo:q4")).body, owned);
    assert_eq!(of("nope"), Lookup::Unlisted);
}

#[test]
fn a_name_is_unlisted_only_when_every_list_is_known() {
    let of = |holdings: &[Holding], name: &str| with(holdings, |views| listed(views, name));
    let (known, never_read) = (holding(&[TINY]), Holding::empty());
    assert_eq!(of(&[never_read.clone(), known.clone()], "tiny:1B"), Listed::Yes);
    assert_eq!(of(&[known.clone(), holding(&[])], "nope"), Listed::No);
    assert_eq!(of(&[known.clone(), never_read.clone()], "nope"), Listed::Unknown);
    assert_eq!(of(&[never_read], "nope"), Listed::Unknown);
    assert_eq!(of(&[], "nope"), Listed::Unknown);
    assert_eq!(of(&[known], "/:/"), Listed::No);
}

#[test]
fn a_cloud_name_need_not_be_listed_to_exist() {
    let of = |name: &str| with(&[holding(&[TINY])], |views| listed(views, name));
    for name in ["gpt-oss:cloud", "gpt-oss:120b:cloud", "gpt-oss:120b-cloud"] {
        assert_eq!(of(name), Listed::Unknown, "{name}");
    }
    assert_eq!(with(&[holding(&[TINY])], |views| model_v1(views, "gpt-oss:cloud", Instant::now(), TTL)), Lookup::Unknown);
}

const SHOW: &str = r#"{"modelfile":"FROM <x>","model_info":{"general.architecture":"llama","general.basename":"Tiny","llama.eps":0.5},"tensors":[]}"#;

fn show_of(holdings: &[Holding], held: &[(&str, &str, &str)], name: &str, agent: Option<&str>) -> Lookup {
    let shows = Shows::default();
    for (node, digest, body) in held {
        shows.put(&NodeName::new(node), digest, (*body).to_owned().into()).unwrap();
    }
    with(holdings, |views| show(views, &shows, name, agent, Instant::now(), TTL))
}

#[test]
fn a_held_show_keeps_the_nodes_bytes() {
    let cached = found(show_of(&[holding(&[TINY])], &[("n0", "acc7", SHOW)], "TINY:1b", Some("curl/8")));
    assert_eq!((&cached.body[..], cached.status, cached.fresh), (SHOW.as_bytes(), 200, true));
    assert_eq!(cached.content_type, "application/json; charset=utf-8");
}

#[test]
fn of_two_copies_the_newest_with_a_held_show_is_shown() {
    let nodes = [holding(&[TINY]), holding(&[NEW_TINY])];
    let (old, new) = (("n0", "acc7", r#"{"is":"old"}"#), ("n1", "beef", r#"{"is":"new"}"#));
    assert_eq!(found(show_of(&nodes, &[old, new], "tiny:1b", None)).body, new.2);
    assert_eq!(found(show_of(&nodes, &[old], "tiny:1b", None)).body, old.2);
}

#[test]
fn a_show_that_is_not_held_is_unknown_and_never_a_404() {
    let known = holding(&[TINY]);
    assert_eq!(show_of(std::slice::from_ref(&known), &[], "tiny:1b", None), Lookup::Unknown);
    assert_eq!(show_of(std::slice::from_ref(&known), &[("n0", "of an older digest", SHOW)], "tiny:1b", None), Lookup::Unknown);
    assert_eq!(show_of(&[known.clone(), Holding::empty()], &[], "nope", None), Lookup::Unknown);
    assert_eq!(show_of(&[known], &[], "nope", None), Lookup::Unlisted);
}

#[test]
fn copilot_gets_the_requested_name_as_basename() {
    let agent = Some("GitHubCopilotChat/0.30.1");
    let of = |body: &str| found(show_of(&[holding(&[TINY])], &[("n0", "acc7", body)], "Tiny:1b", agent)).body;
    assert_eq!(of(SHOW), SHOW.replace(r#""Tiny""#, r#""Tiny:1b""#));
    assert_eq!(of(r#"{"model_info":null}"#), r#"{"model_info":{"general.basename":"Tiny:1b"}}"#);
    assert_eq!(of("{}"), r#"{"model_info":{"general.basename":"Tiny:1b"}}"#);
}

#[test]
fn a_thousand_models_on_two_nodes_are_merged() {
    let entry = |at: usize, digest: &str| {
        format!(r#"{{"name":"m{at}:7b","modified_at":"2026-11-20T15:21:06Z","digest":"{digest}{at}"}}"#)
    };
    let entries = |digest: &str, range: std::ops::Range<usize>| range.map(|at| entry(at, digest)).collect::<Vec<_>>();
    let (a, b) = (entries("a", 0..1000), entries("b", 500..1500));
    let nodes = [&a, &b].map(|list| holding(&list.iter().map(String::as_str).collect::<Vec<_>>()));
    let merged = Holding::empty().with_list(tags_of(&nodes).body, stamp()).unwrap();
    assert_eq!(merged.models().len(), 1500);
    assert_eq!(with(&nodes, |views| listed(views, "M1499:7B")), Listed::Yes);
}
