//! The laboratory itself, without the proxy: a sleeping host must look to the network as real ones were measured to look.

use std::time::Duration;

use crate::plan::{PI_MAC, Plan};
use crate::program::{LIMIT, eventually};
use crate::service::WakeService;
use crate::sleeper::{Machine, Wakes};
use crate::words::Ended;

const WOL: &str = "/wol?mac=02:00:00:00:77:11&ip=10.77.0.255";

#[test]
fn an_awake_host_answers_and_its_frames_are_recorded() {
    let Some(lab) = Plan::named("an_awake_host_answers").without_proxy().start() else { return };
    let answer = lab.client().get_from(&lab.gpu_address(), "/api/version").finish();
    assert_eq!((answer.status, &answer.ended), (200, &Ended::Clean), "{answer:?}");
    let frames = lab.gpu().frames_from(PI_MAC, 0);
    assert!(frames.iter().any(|frame| frame.syn && frame.what.contains("10.77.0.11:11434")), "{frames:?}");
    assert!(frames.iter().any(|frame| frame.what.contains("who has 10.77.0.11")), "{frames:?}");
}

#[test]
fn a_sleeping_host_is_silent_but_its_tap_sees_what_arrives() {
    let Some(lab) = Plan::named("a_sleeping_host_is_silent").without_proxy().start() else { return };
    lab.gpu().sleep();
    let answer = lab.client().get_from(&lab.gpu_address(), "/api/version").finish();
    assert_eq!(answer.ended, Ended::NoConnection("HostUnreachable".into()));
    assert!(answer.took > Duration::from_secs(2), "the kernel asks for the address three times: {:?}", answer.took);
    assert!(!lab.gpu().frames_from(PI_MAC, 0).is_empty());
    assert_eq!(lab.gpu().status().power, "asleep");
}

#[test]
fn a_card_that_answers_arp_turns_unreachable_into_silence() {
    let machine = Machine::usual().wakes(Wakes::ByMagicAnsweringArp);
    let Some(lab) = Plan::named("a_card_that_answers_arp").host(machine).without_proxy().start() else { return };
    lab.gpu().sleep();
    let answer = lab.client().get_from(&lab.gpu_address(), "/api/version").finish();
    assert_eq!(answer.ended, Ended::NoConnection("limit".into()));
    assert!(lab.neighbours().contains("02:00:00:00:77:11"), "{}", lab.neighbours());
}

#[test]
fn a_host_without_ollama_refuses() {
    let Some(lab) = Plan::named("a_host_without_ollama_refuses").without_proxy().start() else { return };
    lab.gpu().kill_ollama();
    let answer = lab.client().get_from(&lab.gpu_address(), "/api/version").finish();
    assert_eq!(answer.ended, Ended::NoConnection("ConnectionRefused".into()));
    lab.gpu().start_ollama();
    assert_eq!(lab.client().get_from(&lab.gpu_address(), "/api/version").finish().status, 200);
}

#[test]
fn a_magic_packet_wakes_the_host_after_its_resume_time() {
    let machine = Machine::usual().resume(Duration::from_millis(700));
    let plan = Plan::named("a_magic_packet_wakes").host(machine).wake_service(WakeService::open());
    let Some(lab) = plan.without_proxy().start() else { return };
    lab.gpu().sleep();
    let woken = lab.client().get_from("10.77.0.3:9090", WOL).finish();
    assert_eq!(woken.json()["error"], 0, "{woken:?}");
    lab.gpu().until_awake(LIMIT);
    let status = lab.gpu().status();
    assert_eq!((status.woken, status.magic), (1, 1));
    assert!(status.took() >= Duration::from_millis(700) && status.took() < Duration::from_secs(2), "{status:?}");
    assert_eq!(lab.client().get_from(&lab.gpu_address(), "/api/version").finish().status, 200);
}

#[test]
fn the_first_segment_of_a_connection_wakes_a_host_with_windows_patterns() {
    let machine = Machine::usual().wakes(Wakes::BySyn).resume(Duration::from_millis(300));
    let Some(lab) = Plan::named("a_syn_wakes").host(machine).without_proxy().start() else { return };
    // The Pi must know the address already: a card asleep in this mode answers no ARP here.
    assert_eq!(lab.client().get_from(&lab.gpu_address(), "/api/version").finish().status, 200);
    lab.gpu().sleep();
    let answer = lab.client().get_from(&lab.gpu_address(), "/api/version").finish();
    assert_eq!(answer.status, 200, "the kernel repeats its SYN after a second: {answer:?}");
    assert_eq!((lab.gpu().status().woken, lab.gpu().status().magic), (1, 0));
}

#[test]
fn a_host_that_boots_refuses_before_its_ollama_listens() {
    let machine = Machine::usual().resume(Duration::from_millis(200)).boot(Duration::from_secs(3));
    let plan = Plan::named("a_host_that_boots").host(machine).wake_service(WakeService::open());
    let Some(lab) = plan.without_proxy().start() else { return };
    lab.gpu().sleep();
    lab.client().get_from("10.77.0.3:9090", WOL).finish();
    eventually("it boots", LIMIT, || lab.gpu().status().power == "booting");
    let answer = lab.client().get_from(&lab.gpu_address(), "/api/version").finish();
    assert_eq!(answer.ended, Ended::NoConnection("ConnectionRefused".into()));
    lab.gpu().until_awake(LIMIT);
    assert_eq!(lab.client().get_from(&lab.gpu_address(), "/api/version").finish().status, 200);
}

#[test]
fn a_stream_of_a_host_that_falls_asleep_stands_still_without_an_end() {
    let machine = Machine::usual().simulates("--tokens", "200");
    let Some(lab) = Plan::named("a_stream_stands_still").host(machine).without_proxy().start() else { return };
    let mut call = lab.client().post_to(&lab.gpu_address(), "/api/chat", &crate::calls::chat("llama3.2:3b"));
    call.until_first_byte();
    lab.gpu().sleep();
    crate::program::pause(Duration::from_secs(2));
    let so_far = call.received_now();
    crate::program::pause(Duration::from_secs(1));
    assert_eq!(call.received_now(), so_far, "nothing more comes, and no end either");
    call.leave();
}

#[test]
fn the_wake_service_keeps_the_rules_of_its_documentation() {
    let service = WakeService::open().key("s3cret-key");
    let Some(lab) = Plan::named("the_wake_service_keeps_rules").wake_service(service).without_proxy().start() else { return };
    let call = |query: &str| lab.client().get_from("10.77.0.3:9090", &format!("/wol?{query}")).finish().json()["error"].clone();
    assert_eq!(call("mac=020000007711"), 100, "a spelling that it does not know");
    assert_eq!(call("mac=02:00:00:00:77:11"), 101, "no token");
    let token = format!("{:x}", md5::compute("s3cret-key02:00:00:00:77:111"));
    assert_eq!(call(&format!("mac=02:00:00:00:77:11&time=1&token={token}")), 102, "1970");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(call(&format!("mac=02:00:00:00:77:11&time={now}&token={token}")), 104, "a token for another time");
    let token = format!("{:x}", md5::compute(format!("s3cret-key02:00:00:00:77:11{now}")));
    let signed = format!("mac=02:00:00:00:77:11&time={now}&token={token}");
    assert_eq!((call(&signed), call(&signed)), (0.into(), 103.into()), "once, and not twice within a second");
    assert_eq!(lab.service().calls().len(), 6);
}

#[test]
fn a_name_resolves_until_it_is_taken_away() {
    let Some(lab) = Plan::named("a_name_resolves").host_name("gaming-pc.lan").without_proxy().start() else { return };
    let version = || lab.client().get_from("gaming-pc.lan:11434", "/api/version").finish();
    assert_eq!(version().status, 200);
    lab.resolve(None);
    let gone = version();
    assert!(matches!(&gone.ended, Ended::NoConnection(why) if why != "limit"), "{gone:?}");
    lab.resolve_slowly();
    assert!(version().took > Duration::from_secs(2), "the name server does not answer");
    lab.resolve(Some(("10.77.0.11", "gaming-pc.lan")));
    assert_eq!(version().status, 200);
}

#[test]
fn a_router_leads_to_a_host_that_broadcasts_cannot_reach() {
    let host = Machine::usual().at("office", "10.99.0.11/24").gateway("10.99.0.1");
    let plan = Plan::named("a_router_leads").host(host).router("office", "10.99.0.1/24").wake_service(WakeService::open());
    let Some(lab) = plan.without_proxy().start() else { return };
    assert_eq!(lab.client().get_from(&lab.gpu_address(), "/api/version").finish().status, 200);
    lab.client().get_from("10.77.0.3:9090", WOL).finish();
    assert_eq!(lab.gpu().status().magic, 0);
    assert!(lab.neighbours().contains("02:00:00:00:77:01") && !lab.neighbours().contains("02:00:00:00:77:11"));
}
