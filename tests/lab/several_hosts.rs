//! Two PCs behind one proxy: the sleeping one sleeps on while the other can serve.

use crate::plan::{CHAT_MODEL, EVIDENCE, Lab, PI_MAC, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::Machine;

fn two(test: &str) -> Option<Lab> {
    let second = Machine::usual().called("gpu2", "02:00:00:00:77:12").at("home", "10.77.0.12/24");
    let lab = Plan::named(test).host(Machine::usual()).host(second).start()?;
    lab.until_catalog_knows(CHAT_MODEL);
    for name in ["gpu", "gpu2"] {
        eventually("the proxy has read all of both hosts", LIMIT, || {
            lab.host(name).counters()["requests"]["POST /api/show"].as_u64() >= Some(2)
        });
    }
    Some(lab)
}

#[test]
fn a_sleeping_host_is_left_alone_while_an_awake_one_can_serve() {
    let Some(lab) = two("left_alone") else { return };
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    let (awake, asleep) = if lab.host("gpu").counters()["generations_started"] == 1 { ("gpu", "gpu2") } else { ("gpu2", "gpu") };
    lab.host(asleep).sleep();
    pause(EVIDENCE);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    let mark = lab.host(asleep).mark();
    for _ in 0..5 {
        lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    }
    let frames = lab.host(asleep).frames_since(mark);
    assert!(!frames.iter().any(|frame| frame.from == PI_MAC && (frame.syn || frame.magic)), "{frames:?}");
    assert_eq!(lab.host(awake).counters()["generations_started"], 7);
}

#[test]
fn one_host_is_woken_when_both_sleep() {
    let Some(lab) = two("both_sleep") else { return };
    lab.host("gpu").sleep();
    lab.host("gpu2").sleep();
    pause(EVIDENCE);
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_eq!(lab.host("gpu").status().woken + lab.host("gpu2").status().woken, 1);
}
