//! The proxy ends while requests wait for a host or receive its answer.

use std::time::Duration;

use crate::calls::chat;
use crate::plan::{CHAT_MODEL, Plan};
use crate::program::{LIMIT, eventually};
use crate::sleeper::{Machine, Wakes};
use crate::words::Ended;

#[test]
fn requests_that_wait_for_a_wake_are_told_when_the_proxy_ends() {
    let host = Machine::usual().wakes(Wakes::Never);
    let Some(mut lab) = Plan::named("ending_while_held").host(host).start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    lab.gpu().sleep();
    let calls = [lab.client().post("/v1/chat/completions", &chat(CHAT_MODEL)), lab.client().chat(CHAT_MODEL)];
    eventually("packets go out", LIMIT, || lab.gpu().status().magic > 0);
    lab.signal_proxy_to_end();
    for answer in calls.map(crate::calls::Call::finish) {
        assert_eq!((answer.status, &answer.ended), (503, &Ended::Clean), "{answer:?}");
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert!(answer.took < Duration::from_secs(25), "{:?}", answer.took);
    }
    lab.until_proxy_ended(LIMIT);
}

#[test]
fn a_stream_that_runs_when_the_proxy_ends_is_finished_first() {
    let host = Machine::usual().simulates("--tokens", "100");
    let Some(mut lab) = Plan::named("ending_while_streaming").host(host).start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    let mut call = lab.client().chat(CHAT_MODEL);
    call.until_first_byte();
    lab.signal_proxy_to_end();
    call.finish().assert_whole_chat();
    lab.until_proxy_ended(LIMIT);
}
