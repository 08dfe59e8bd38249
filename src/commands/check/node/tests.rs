//! What `check` says about a node, line by line.

use std::net::Ipv4Addr;

use super::*;
use crate::commands::check::report::Mark;

fn mac(last: u8) -> Mac {
    Mac::new([2, 0, 0, 0, 0, last]).unwrap()
}

fn lan() -> Vec<Network> {
    vec![Network::new("eth0", [192, 168, 1, 5].into(), [255, 255, 255, 0].into())]
}

/// A PC that is as it should be: awake, on our network, its MAC set.
fn well() -> Found {
    Found {
        at: "192.168.1.20:11434".to_owned(),
        port: 11434,
        always_on: false,
        resolved: None,
        address: Some([192, 168, 1, 20].into()),
        is_here: false,
        contact: Contact::Answered { version: "Ollama 0.12.6".to_owned(), models: Some(3), after: Duration::from_millis(4) },
        chain: None,
        mac: Some((mac(1), "set")),
        seen_mac: Some(mac(1)),
        broadcast: vec![],
        trial: Some(Trial { interfaces: vec!["eth0".into()], sent: Ok(4), rose: Some(vec!["eth0".into()]) }),
        wake_url: None,
    }
}

fn asleep() -> Found {
    Found { contact: Contact::NoAnswer("no answer to the connect".to_owned()), seen_mac: None, ..well() }
}

fn judged(found: &Found) -> Vec<Line> {
    lines(found, &lan(), Housing::Open)
}

/// The one fault: its text and way out in one.
fn fault(found: &Found) -> String {
    let lines = judged(found);
    let faults: Vec<&Line> = lines.iter().filter(|line| line.mark == Mark::Fault).collect();
    assert_eq!(faults.len(), 1, "{lines:?}");
    format!("{} -> {}", faults[0].text, faults[0].way_out.as_deref().unwrap_or_default())
}

fn is_without_fault(found: &Found) -> bool {
    judged(found).iter().all(|line| line.mark != Mark::Fault)
}

#[test]
fn a_pc_as_it_should_be_has_only_good_lines() {
    let texts: Vec<String> = judged(&well()).iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "  ok     answers: Ollama 0.12.6 with 3 model(s), after 4 ms",
            "  ok     MAC 02:00:00:00:00:01 (set)",
            "  ok     on the same network: magic packets go from eth0 (192.168.1.5) to 192.168.1.255",
            "  ok     4 trial packets, for a card that nobody has, were seen leaving by eth0",
        ]
    );
}

#[test]
fn a_sleeping_pc_is_no_fault_as_long_as_it_can_be_woken() {
    assert!(is_without_fault(&asleep()));
    assert!(fault(&Found { mac: None, ..asleep() }).contains("--wake-mac"));
    let url = UrlFound { shown: "http://wol/x".to_owned(), server: Some(Ok(())), answer: None };
    assert!(is_without_fault(&Found { mac: None, wake_url: Some(url), ..asleep() }));
}

#[test]
fn an_always_on_node_must_answer_and_is_asked_for_no_means() {
    let found = Found { always_on: true, mac: None, seen_mac: None, trial: None, ..well() };
    assert_eq!(judged(&found).len(), 1);
    assert!(fault(&Found { contact: Contact::NoAnswer("x".to_owned()), ..found }).contains("always on"));
}

#[test]
fn a_refusal_names_ollamas_own_listen_address() {
    assert!(fault(&Found { contact: Contact::Refused, ..well() }).contains("OLLAMA_HOST=0.0.0.0"));
    assert!(fault(&Found { contact: Contact::Mute("silence".to_owned()), ..well() }).contains("restart Ollama"));
    assert!(fault(&Found { contact: Contact::Stranger("404 Not Found".to_owned()), ..well() }).contains("no Ollama"));
}

#[test]
fn a_name_that_fails_is_a_note_while_a_last_address_is_known() {
    let named = Found { resolved: Some(Err("unknown".to_owned())), ..asleep() };
    assert!(is_without_fault(&named));
    assert!(judged(&named)[0].text.contains("192.168.1.20"));
    let lost = Found { address: None, contact: Contact::Nowhere, ..named };
    assert!(fault(&lost).contains("DHCP reservation"));
}

#[test]
fn a_node_that_is_ourselves_is_a_fault_and_another_proxy_only_a_note() {
    assert!(fault(&Found { chain: Some(Chain::Ourselves), ..well() }).contains("OLLAMA_URL"));
    assert!(is_without_fault(&Found { chain: Some(Chain::Another), ..well() }));
}

#[test]
fn a_pc_behind_a_router_needs_a_wake_url() {
    let far = Found { address: Some([10, 9, 9, 9].into()), ..well() };
    assert!(fault(&far).contains("--wake-url"));
    let bridged: Vec<Line> = lines(&far, &lan(), Housing::Bridge);
    assert!(bridged.iter().any(|line| line.way_out.as_ref().is_some_and(|way_out| way_out.contains("--network host"))));
    let url = UrlFound { shown: "http://wol/x".to_owned(), server: None, answer: None };
    assert!(is_without_fault(&Found { wake_url: Some(url), ..far.clone() }));
    assert!(is_without_fault(&Found { broadcast: vec![Ipv4Addr::new(10, 9, 9, 255)], ..far }));
}

#[test]
fn a_machine_without_a_network_is_no_fault_of_each_node() {
    let found = lines(&well(), &[], Housing::Open);
    assert!(found.iter().all(|line| line.mark != Mark::Fault), "{found:?}");
    let given = Found { broadcast: vec![Ipv4Addr::LOCALHOST], ..well() };
    assert!(lines(&given, &[], Housing::Open).iter().any(|line| line.text.contains("--wake-broadcast")));
}

#[test]
fn a_mac_that_nobody_shows_while_the_pc_answers_must_be_set() {
    assert!(fault(&Found { mac: None, seen_mac: None, ..well() }).contains("behind a router"));
    assert!(is_without_fault(&Found { mac: None, ..well() }), "it is learnt by itself");
    let other = judged(&Found { seen_mac: Some(mac(9)), ..well() });
    assert!(other.iter().any(|line| line.mark == Mark::Note && line.text.contains("02:00:00:00:00:09")));
}

#[test]
fn packets_that_do_not_leave_are_a_fault() {
    let trial = |sent, rose: Option<&[&str]>| {
        let rose = rose.map(|names| names.iter().map(ToString::to_string).collect());
        Found { trial: Some(Trial { interfaces: vec!["eth0".into()], sent, rose }), ..well() }
    };
    assert!(fault(&trial(Ok(4), Some(&[]))).contains("did not leave"));
    assert!(fault(&trial(Err("Network is unreachable".to_owned()), Some(&[]))).contains("unreachable"));
    assert!(fault(&trial(Ok(0), None)).contains("nowhere"));
    assert!(is_without_fault(&trial(Ok(4), None)));
}

#[test]
fn a_wake_url_tells_its_answer_and_its_clock() {
    let called = |result, ahead| {
        let url = UrlFound { shown: "http://wol/x".to_owned(), server: None, answer: Some(WakeUrlAnswer { result, ahead }) };
        Found { wake_url: Some(url), ..well() }
    };
    let text = |found: &Found| judged(found).last().unwrap().text.clone();
    assert_eq!(text(&called(Ok(()), Some(1))), "its clock and ours agree");
    assert_eq!(text(&called(Ok(()), Some(7))), "its clock is 7 s ahead of ours; the proxy allows for it");
    assert_eq!(text(&called(Ok(()), Some(-40))), "its clock is 40 s behind ours; the proxy allows for it");
    assert!(fault(&called(Err("error 101".to_owned()), None)).contains("error 101"));
    let dead = UrlFound { shown: "http://wol/x".to_owned(), server: Some(Err("connection refused".to_owned())), answer: None };
    assert!(fault(&Found { wake_url: Some(dead), ..well() }).contains("cannot be reached"));
}
