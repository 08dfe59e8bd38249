//! Law 3: a timeout asks for evidence. Ollama is silent until its first token, for minutes if need be.

use std::time::Duration;

use crate::plan::{CHAT_MODEL, Lab, Plan};
use crate::program::{LIMIT, eventually, pause};
use crate::sleeper::{Machine, Wakes};

fn versions(lab: &Lab) -> u64 {
    lab.gpu().counters()["requests"]["GET /api/version"].as_u64().unwrap_or(0)
}

#[test]
fn a_first_token_after_4_model_timeouts_is_not_cut_and_the_node_is_asked_once() {
    let host = Machine::usual().simulates("--first-token", "12s");
    let Some(lab) = Plan::named("a_slow_first_token").host(host).setting("--model-timeout", "3s").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    let before = versions(&lab);
    let answer = lab.client().chat(CHAT_MODEL).finish();
    answer.assert_whole_chat();
    assert!(answer.head_after >= Duration::from_secs(12));
    let counters = lab.gpu().counters();
    assert_eq!((&counters["requests"]["POST /api/chat"], &counters["generations_started"]), (&1.into(), &1.into()));
    assert!(versions(&lab) > before, "its life was checked meanwhile");
}

#[test]
fn one_life_check_serves_all_silent_requests_of_a_node() {
    let host = Machine::usual().simulates("--first-token", "60s");
    let Some(lab) = Plan::named("one_life_check").host(host).setting("--model-timeout", "3s").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    let before = versions(&lab);
    let calls: Vec<_> = (0..20).map(|_| lab.client().chat(CHAT_MODEL)).collect();
    eventually("its life is checked", LIMIT, || versions(&lab) > before);
    pause(Duration::from_millis(1500));
    let checks = versions(&lab) - before;
    assert!(checks <= 2, "{checks} checks for 20 silent requests");
    for call in calls {
        call.leave();
    }
}

#[test]
fn a_silent_request_is_given_up_when_its_node_has_died() {
    let host = Machine::usual().wakes(Wakes::Never).simulates("--first-token", "90s");
    let plan = Plan::named("a_silent_node_has_died").host(host).setting("--model-timeout", "3s");
    let Some(lab) = plan.setting("--wake-timeout", "6s").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    let call = lab.client().chat(CHAT_MODEL);
    eventually("it works", LIMIT, || lab.gpu().counters()["generations_started"] == 1);
    lab.gpu().sleep();
    let answer = call.finish();
    assert_eq!(answer.status, 504, "it was woken in vain: {answer:?}");
    // 3 s of silence, at most 15 s until its death is known, 6 s in which it does not wake.
    assert!(answer.took < Duration::from_secs(3 + 15 + 6 + 1), "{:?}", answer.took);
}
