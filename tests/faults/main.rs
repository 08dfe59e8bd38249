//! The fault laboratory: everything that can go wrong in a house goes wrong at random, under traffic in all dialects, and the
//! proxy keeps what it promises.
//!
//! `FAULTS_SECONDS` (180) is how long faults come, `FAULTS_SEED` chooses other faults than the usual ones; each run prints its own.
//! A seed repeats what is done, not the moment at which the machine gets to it. Needs root, `ip`, `tc` and `nft`, as the
//! network laboratory does. Logs lie in `target/faults/`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod chaos;
mod dice;
#[path = "../lab/host/frame.rs"]
#[allow(dead_code, reason = "the host program reads frames, the tests only look at them")]
mod frame;
mod house;
#[path = "../lab/network.rs"]
#[allow(dead_code, reason = "the network laboratory needs more of it")]
mod network;
#[path = "../lab/program.rs"]
mod program;
mod proxy;
#[path = "../lab/sleeper.rs"]
#[allow(dead_code, reason = "the network laboratory needs more of it")]
mod sleeper;
mod traffic;

use std::time::Duration;

use chaos::Chaos;
use house::{House, SLEEPERS};
use program::{eventually, pause};

/// From one look at law 1 to the next. A look takes most of a minute: long runs have fewer.
const BETWEEN_LOOKS: u64 = 120;
const LOOKS: u64 = 6;

/// What the last process may take more than the first, both at rest: the allocator keeps what once was used.
const MORE_MEMORY: u64 = 16 * 1024;
const MORE_DESCRIPTORS: usize = 4;

/// The same faults each time, unless others are asked for: whoever changes something else is not to be surprised by the dice.
const USUAL_SEED: u64 = 105;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")))
}

#[test]
fn whatever_fails_every_request_ends_rightly_and_nothing_is_left_behind() {
    let seconds = number("FAULTS_SECONDS").unwrap_or(180);
    let seed = number("FAULTS_SEED").unwrap_or(USUAL_SEED);
    println!("FAULTS_SEED={seed} FAULTS_SECONDS={seconds}");
    let Some(mut house) = House::start(seed) else { return };
    let at_rest = (house.proxy.descriptors(), house.proxy.memory());
    house.host("hermit").sleep();
    pause(Duration::from_secs(6));
    // A PC that answered minutes ago is probably awake, and an inference request that may not wake it may try to connect. It
    // finds out that the PC sleeps; from then on there is nothing to find out.
    house.mode("lookups");
    pause(Duration::from_secs(3));
    house.settle();
    let hermit = house.host("hermit").mark();
    let mut chaos = Chaos::new(seed);
    let between = BETWEEN_LOOKS.max(seconds / LOOKS);
    let mut left = seconds;
    while left > 0 {
        let time = left.min(between);
        house.mode("all");
        chaos.rage(&mut house, Duration::from_secs(time));
        let tally = house.settle();
        house.sum.add(tally);
        house.assert_no_frame("hermit", hermit);
        house.assert_sleepers_rest([None, Some(true), Some(false)][usize::try_from(seed + left).unwrap() % 3]);
        left -= time;
    }
    assert_recovers(&mut house);
    assert_at_rest(&house, at_rest);
    house.assert_no_frame("hermit", hermit);
    println!("{} restarts, longest request {} ms: {:#?}", house.pauses.len(), house.sum.longest_ms, house.sum.counts);
    assert!(house.sum.of("Whole") > seconds, "hardly anything was answered");
    assert!(
        !house.has_packages() || house.sum.counts.keys().any(|key| key.starts_with("Whole package")),
        "the packages did nothing"
    );
    assert!(house.asked_of_providers() > seconds / 4, "the providers were hardly asked");
}

/// Without faults every request is answered whole again, once breakers have closed.
fn assert_recovers(house: &mut House) {
    for name in house::HOSTS {
        if house.host(name).status().power == "awake" {
            house.host(name).set(&serde_json::json!({ "load_ms": 0, "first_token_ms": 10, "token_gap_ms": 5 }));
        }
    }
    eventually("all is well again", Duration::from_secs(200), || {
        house.mode("all");
        pause(Duration::from_secs(3));
        let tally = house.settle();
        let well = ["Refused", "Marked", "Aborted"].iter().all(|verdict| {
            let of_inference =
                |key: &str| ["Chat", "Generate", "OpenAi", "Anthropic", "package"].iter().any(|route| key.contains(route));
            !tally.counts.keys().any(|key| key.starts_with(verdict) && of_inference(key))
        });
        let whole = tally.of("Whole");
        house.sum.add(tally);
        well && whole > 20
    });
    assert!(SLEEPERS.iter().any(|name| house.host(name).status().woken > 0), "nothing was ever woken");
}

/// Gauges are zero, and files and memory are what they were.
fn assert_at_rest(house: &House, (descriptors, memory): (usize, u64)) {
    for gauge in traffic::AT_REST {
        eventually(&format!("{gauge} is zero"), Duration::from_secs(40), || house.gauge(gauge) == 0.0);
    }
    // A client that broke off while its frames were lost is given up for being quiet, after two minutes.
    eventually("files and sockets are closed", Duration::from_secs(180), || {
        house.proxy.descriptors() <= descriptors + MORE_DESCRIPTORS
    });
    let now = house.proxy.memory();
    println!("at rest before and after: {descriptors} and {} descriptors, {memory} and {now} KiB", house.proxy.descriptors());
    assert!(now <= memory + MORE_MEMORY, "{now} KiB at rest, {memory} before");
}
