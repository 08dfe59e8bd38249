//! How 10,000 requests are shared out among nodes that are equally good.

use serde_json::{Value, json};

use super::{NODES, load_on, plan, until_known};
use crate::calls::{Loading, chat};
use crate::plan::{CHAT_MODEL, Lab};
use crate::words::Tally;

const REQUESTS: u64 = 10_000;
/// One in a hundred of all requests.
const TOLERANCE: u64 = REQUESTS / 100;

/// All four awake, with the model loaded and a strategy.
fn warm(test: &str, strategy: &str, more: &[(&str, Value)]) -> Option<Lab> {
    let lab = plan(test, false, more).setting("--strategy", strategy).setting("--health-interval", "1s").start()?;
    until_known(&lab, &NODES);
    load_on(&lab, &NODES, CHAT_MODEL);
    Some(lab)
}

fn short_chat() -> Value {
    let mut body = chat(CHAT_MODEL);
    body["stream"] = json!(false);
    body
}

fn load(lab: &Lab, at_once: usize) -> Loading {
    lab.client().load(REQUESTS, at_once, "", &short_chat(), &NODES)
}

#[track_caller]
fn assert_shares(tally: &Tally, shares: [u64; 4]) {
    for (node, share) in NODES.iter().zip(shares) {
        let served = tally.served_by(node);
        assert!(served.abs_diff(share) <= TOLERANCE, "{node} served {served}, not {share}: {tally:?}");
    }
}

#[test]
fn round_robin_gives_each_node_a_quarter() {
    let Some(lab) = warm("round_robin", "round_robin", &[]) else { return };
    let began = tokio::time::Instant::now();
    assert_shares(&load(&lab, 8).finish(), [2500; 4]);
    eprintln!("took {:?}", began.elapsed());
}
