//! Home networks as they are: no default route, two interfaces, odd masks, routers, names that come and go.

use std::time::Duration;

use crate::plan::{CHAT_MODEL, Lab, Plan};
use crate::program::{LIMIT, eventually};
use crate::sleeper::{Machine, Wakes};

/// The proxy must wake the host without any help of the kernel's neighbour table.
#[track_caller]
fn assert_wakes(lab: &Lab) {
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    lab.forget_neighbours();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 1);
}

/// The destinations of the magic packets that have arrived.
fn destinations(lab: &Lab) -> Vec<String> {
    let mut frames = lab.gpu().frames_since(0);
    frames.retain(|frame| frame.magic);
    frames.into_iter().map(|frame| frame.what).collect()
}

#[test]
fn a_pi_without_a_default_route_wakes_the_host() {
    let Some(lab) = Plan::named("no_default_route").without_default_route().start() else { return };
    assert_wakes(&lab);
}

#[test]
fn a_pi_with_two_interfaces_wakes_a_host_that_is_not_on_the_default_route() {
    let host = Machine::usual().at("attic", "10.88.0.11/24");
    let plan = Plan::named("two_interfaces").host(host).second_interface("attic", "10.88.0.2/24");
    let Some(lab) = plan.start() else { return };
    assert_wakes(&lab);
    let seen = destinations(&lab);
    assert!(seen.iter().any(|what| what.contains("> 10.88.0.255:9,")), "{seen:?}");
}

#[test]
fn a_network_with_23_bits_is_broadcast_to_at_its_own_last_address() {
    let host = Machine::usual().at("home", "10.77.1.11/23");
    let Some(lab) = Plan::named("a_23_network").host(host).pi_at("10.77.0.2/23").start() else { return };
    assert_wakes(&lab);
    let seen = destinations(&lab);
    assert!(seen.iter().any(|what| what.contains("> 10.77.1.255:9,")), "{seen:?}");
}

#[test]
fn addresses_and_ports_that_the_owner_sets_replace_all_others() {
    let plan = Plan::named("own_targets").setting("--wake-broadcast", "10.77.0.255").setting("--wake-port", "4009");
    let Some(lab) = plan.start() else { return };
    assert_wakes(&lab);
    let seen = destinations(&lab);
    assert!(seen.iter().all(|what| what.contains("> 10.77.0.255:4009,")), "{seen:?}");
}

#[test]
fn a_secure_on_password_follows_the_magic_packet() {
    let plan = Plan::named("secure_on").setting("--wake-secure-on", "01:02:03:04:05:06");
    let Some(lab) = plan.start() else { return };
    assert_wakes(&lab);
    let seen = destinations(&lab);
    assert!(seen.iter().all(|what| what.ends_with(", 108 bytes")), "{seen:?}");
}

fn behind_a_router(test: &str, host: Machine) -> Plan {
    let host = host.at("office", "10.99.0.11/24").gateway("10.99.0.1");
    Plan::named(test).host(host).router("office", "10.99.0.1/24")
}

#[test]
fn a_host_behind_no_interface_gets_a_message_that_says_so() {
    let plan = behind_a_router("behind_no_interface", Machine::usual().wakes(Wakes::Never));
    let Some(lab) = plan.setting("--wake-timeout", "6s").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    lab.gpu().sleep();
    let answer = lab.client().chat(CHAT_MODEL).finish();
    assert_eq!(answer.status, 504, "{answer:?}");
    let text = format!("{}\n{}", answer.body, lab.proxy_log()).to_lowercase();
    assert!(text.contains("interface"), "nothing says that no interface leads there: {}", answer.body);
}

#[test]
fn a_router_is_never_taken_for_the_host_behind_it() {
    let Some(lab) = behind_a_router("a_router_is_no_host", Machine::usual()).without_mac().start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    let nodes = lab.client().get("/nodes").finish();
    assert!(!nodes.body.contains("02:00:00:00:77:01"), "the router's address was learnt: {}", nodes.body);
}

#[test]
fn a_mac_is_learnt_while_the_host_answers_and_wakes_it_after_a_restart_too() {
    let Some(mut lab) = Plan::named("a_mac_is_learnt").without_mac().start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    eventually("the MAC is learnt", LIMIT, || lab.client().get("/nodes").finish().body.contains("02:00:00:00:77:11"));
    assert_wakes(&lab);
    lab.gpu().sleep();
    lab.restart_proxy();
    lab.forget_neighbours();
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 2);
}

#[test]
fn a_host_name_that_stops_resolving_keeps_its_last_good_address() {
    let Some(lab) = Plan::named("a_name_stops_resolving").host_name("gaming-pc.lan").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    lab.resolve(None);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_wakes(&lab);
}

#[test]
fn a_name_server_that_does_not_answer_holds_no_request_up() {
    let plan = Plan::named("a_silent_name_server").host_name("gaming-pc.lan");
    let Some(lab) = plan.start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    lab.resolve_slowly();
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    // The system's resolver gives up after 5 s.
    assert!(answer.took < Duration::from_secs(4), "{:?}", answer.took);
}
