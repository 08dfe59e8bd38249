//! The first day: nothing is known yet, and the host may sleep.

use std::time::Duration;

use serde_json::json;

use crate::plan::{CHAT_MODEL, Plan};
use crate::program::{eventually, pause};

#[test]
fn the_list_fills_without_any_inference_as_soon_as_the_host_is_up() {
    let Some(lab) = Plan::named("the_list_fills").asleep_at_start().start() else { return };
    let empty = lab.client().get("/api/tags").finish();
    assert_eq!((empty.status, empty.json()), (200, json!({ "models": [] })));
    assert!(empty.took < Duration::from_millis(250), "{:?}", empty.took);
    lab.gpu().wake_by_hand();
    // A listing may ask for first contact once a minute.
    eventually("the list is filled", Duration::from_secs(70), || {
        pause(Duration::from_millis(500));
        lab.client().get("/api/tags").finish().body.contains(CHAT_MODEL)
    });
    assert_eq!((lab.gpu().status().magic, lab.gpu().status().woken), (0, 0));
}

#[test]
fn a_host_that_is_up_at_the_start_is_listed_without_any_inference() {
    let Some(lab) = Plan::named("listed_at_the_start").start() else { return };
    lab.until_catalog_knows(CHAT_MODEL);
    assert_eq!(lab.gpu().counters()["generations_started"], 0);
    assert_eq!(lab.gpu().counters()["loads_started"], 0);
}

#[test]
fn a_chat_wakes_a_host_of_which_nothing_is_known() {
    let Some(lab) = Plan::named("a_chat_on_the_first_day").asleep_at_start().start() else { return };
    lab.client().chat(CHAT_MODEL).finish().assert_whole_chat();
    assert_eq!(lab.gpu().status().woken, 1);
}

#[test]
fn a_model_whose_list_was_never_read_is_not_called_missing() {
    let Some(lab) = Plan::named("nothing_is_called_missing").asleep_at_start().start() else { return };
    let show = lab.client().post("/api/show", &json!({ "model": CHAT_MODEL })).finish();
    assert_eq!(show.status, 503, "a 404 makes `ollama run` pull: {show:?}");
    assert_eq!(lab.gpu().status().magic, 0);
}
