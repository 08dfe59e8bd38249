//! Waking through a service on the network, as people do whose proxy cannot broadcast.

use std::time::Duration;

use crate::plan::{CHAT_MODEL, Lab, Plan, SERVICE_MAC};
use crate::program::{LIMIT, eventually};
use crate::service::WakeService;
use crate::sleeper::{Machine, Wakes};

const URL: &str = "http://10.77.0.3:9090/wol?mac={mac}&ip=10.77.0.255";
const KEY: &str = "a-long-key";

fn asleep(plan: Plan) -> Option<Lab> {
    let lab = plan.setting("--wake-url", URL).start()?;
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    Some(lab)
}

/// Gets up slowly. The proxy's own packets wake it too, and once it is up nobody calls the service any more.
fn slow() -> Machine {
    Machine::usual().resume(Duration::from_secs(5))
}

/// The `error` codes that the service has answered, in order.
fn codes(lab: &Lab) -> Vec<i64> {
    lab.service().calls().iter().filter_map(|call| call["error"].as_i64()).collect()
}

/// A chat is answered, and a packet of the service was there.
#[track_caller]
fn assert_woken_by_the_service(lab: &Lab) {
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    let frames = lab.gpu().frames_since(0);
    assert!(frames.iter().any(|frame| frame.magic && frame.from == SERVICE_MAC), "{:?}", lab.service().calls());
}

#[test]
fn a_wake_service_without_a_key_wakes_the_host() {
    let Some(lab) = asleep(Plan::named("service_open").host(slow()).wake_service(WakeService::open())) else { return };
    assert_woken_by_the_service(&lab);
    assert_eq!(codes(&lab).first(), Some(&0));
}

#[test]
fn a_wake_service_with_a_key_gets_its_token_and_never_the_key() {
    let plan = Plan::named("service_with_key").host(slow()).wake_service(WakeService::open().key(KEY)).setting("--wake-key", KEY);
    let Some(lab) = asleep(plan) else { return };
    assert_woken_by_the_service(&lab);
    assert_eq!(codes(&lab).first(), Some(&0));
    assert!(!lab.service().calls().iter().any(|call| call.to_string().contains(KEY)));
    assert!(!lab.proxy_log().contains(KEY), "the log holds the key");
}

#[test]
fn a_wake_service_whose_clock_is_ahead_is_met_on_the_second_call() {
    let service = WakeService::open().key(KEY).clock_ahead(90);
    let plan = Plan::named("service_clock_ahead").host(slow()).wake_service(service).setting("--wake-key", KEY);
    let Some(lab) = asleep(plan) else { return };
    assert_woken_by_the_service(&lab);
    assert_eq!(codes(&lab)[..2], [102, 0]);
}

#[test]
fn a_wake_service_whose_clock_is_behind_is_met_on_the_second_call() {
    let service = WakeService::open().key(KEY).clock_ahead(-45);
    let plan = Plan::named("service_clock_behind").host(slow()).wake_service(service).setting("--wake-key", KEY);
    let Some(lab) = asleep(plan) else { return };
    assert_woken_by_the_service(&lab);
    assert_eq!(codes(&lab)[..2], [102, 0]);
}

#[test]
fn a_wake_service_that_answers_200_with_an_error_is_no_success_and_the_operator_reads_why() {
    let host = Machine::usual().wakes(Wakes::Never);
    let plan = Plan::named("service_fails").host(host).wake_service(WakeService::open().fails(100));
    let Some(lab) = asleep(plan.setting("--wake-timeout", "6s")) else { return };
    let answer = lab.client().chat(CHAT_MODEL).finish();
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(codes(&lab).len() >= 2, "called again at 5 s: {:?}", lab.service().calls());
    let text = format!("{}\n{}", answer.body, lab.proxy_log());
    assert!(text.contains("error 100"), "neither the answer nor the log names the service's error: {}", answer.body);
}

#[test]
fn a_key_that_is_missing_is_named_as_the_way_out() {
    let host = Machine::usual().wakes(Wakes::Never);
    let plan = Plan::named("service_key_missing").host(host).wake_service(WakeService::open().key(KEY));
    let Some(lab) = asleep(plan.setting("--wake-timeout", "3s")) else { return };
    assert_eq!(lab.client().chat(CHAT_MODEL).finish().status, 504);
    assert_eq!(codes(&lab).first(), Some(&101));
    assert!(lab.proxy_log().contains("--wake-key"), "the log does not name --wake-key");
}

#[test]
fn a_wake_service_that_is_down_does_not_keep_packets_from_waking_the_host() {
    let Some(lab) = asleep(Plan::named("service_down")) else { return };
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    // Nobody answers for the address of the service, which the kernel knows after 3 s.
    let most = lab.gpu().status().took() + Duration::from_millis(2900);
    assert!(answer.took < most, "{:?} is more than {most:?}", answer.took);
    assert!(lab.proxy_log().contains("wake URL"), "the log does not say that the wake URL failed");
}

#[test]
fn with_inference_one_preventive_call_goes_out_per_interval_and_without_it_none() {
    let plan = Plan::named("service_preventive").wake_service(WakeService::open()).setting("--wake-url", URL);
    let Some(lab) = plan.start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    crate::listing::poll(lab.client());
    assert!(lab.service().calls().is_empty(), "listings call nothing");
    for _ in 0..3 {
        lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    }
    eventually("the call goes out", LIMIT, || codes(&lab).len() == 1);
    crate::program::pause(Duration::from_secs(1));
    assert_eq!(codes(&lab), [0]);
}
