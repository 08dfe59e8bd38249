//! How 10,000 requests are shared out among nodes that are equally good.

use serde_json::{Value, json};

use crate::calls::Call;
use crate::four::{NODES, chat_on, load_on, plan, until_known, until_power, whole_chat};
use crate::plan::{CHAT_MODEL, Lab};
use crate::words::Tally;

const REQUESTS: u64 = 10_000;
/// One in a hundred of all requests.
const TOLERANCE: u64 = REQUESTS / 100;

/// All four awake, with the model loaded and a strategy. Nobody is ever full.
fn warm(strategy: &str, more: [Value; 4]) -> Option<Lab> {
    let mut more = more;
    for node in &mut more {
        if node["capacity"].is_null() {
            node["capacity"] = json!(64);
        }
    }
    let more: Vec<(&str, Value)> = NODES.into_iter().zip(more).collect();
    let plan = plan(&format!("shares_by_{strategy}"), false, &more);
    let lab = plan.setting("--strategy", strategy).setting("--health-interval", "1s").setting("--model-timeout", "1s").start()?;
    until_known(&lab, &NODES);
    load_on(&lab, &NODES, CHAT_MODEL);
    Some(lab)
}

fn shared_out(lab: &Lab, at_once: usize) -> Tally {
    lab.client().load(REQUESTS, at_once, "", &whole_chat(CHAT_MODEL), &NODES).finish()
}

/// So many chats on each node that go on until they are dropped.
fn occupy(lab: &Lab, chats: [usize; 4]) -> Vec<Call<'_>> {
    let mut calls = Vec::new();
    for (node, count) in NODES.iter().zip(chats) {
        lab.host(node).set(&json!({ "token_gap_ms": 600_000 }));
        let mut here: Vec<_> = (0..count).map(|_| chat_on(lab, node, CHAT_MODEL)).collect();
        here.iter_mut().for_each(Call::until_first_byte);
        lab.host(node).set(&json!({ "token_gap_ms": 0 }));
        calls.append(&mut here);
    }
    calls
}

#[track_caller]
fn assert_shares(strategy: &str, tally: &Tally, shares: [u64; 4]) {
    for (node, share) in NODES.iter().zip(shares) {
        let served = tally.served_by(node);
        assert!(served.abs_diff(share) <= TOLERANCE, "{strategy}: {node} served {served}, not {share}: {tally:?}");
    }
}

fn nothing() -> [Value; 4] {
    [(); 4].map(|()| json!({}))
}

#[test]
fn each_strategy_shares_out_10_000_requests_as_it_is_defined() {
    let Some(lab) = warm("round_robin", nothing()) else { return };
    assert_shares("round_robin", &shared_out(&lab, 8), [2500; 4]);
    drop(lab);

    let Some(lab) = warm("weighted_round_robin", [4, 3, 2, 1].map(|weight| json!({ "weight": weight }))) else { return };
    assert_shares("weighted_round_robin", &shared_out(&lab, 8), [4000, 3000, 2000, 1000]);
    drop(lab);

    // Two chats go on at the first, one at the second: the others have the fewest and take turns.
    let Some(lab) = warm("least_connections", nothing()) else { return };
    let held = occupy(&lab, [2, 1, 0, 0]);
    assert_shares("least_connections", &shared_out(&lab, 1), [0, 0, 5000, 5000]);
    drop(held);
    drop(lab);

    // The first is half full; the others are full to a quarter, whatever their number of chats, and take turns.
    let Some(lab) = warm("least_loaded", [2, 4, 8, 8].map(|capacity| json!({ "capacity": capacity }))) else { return };
    let held = occupy(&lab, [1, 1, 2, 2]);
    assert_shares("least_loaded", &shared_out(&lab, 1), [0, 3333, 3333, 3333]);
    drop(held);
    drop(lab);

    let watts = [60, 20, 8, 45].map(|watts| json!({ "power": { "idle_watts": watts } }));
    let Some(lab) = warm("least_energy", watts) else { return };
    assert_shares("least_energy", &shared_out(&lab, 8), [0, 0, 10_000, 0]);
}

/// How many chats each node has served until now, as the proxy counts them.
fn served_so_far(lab: &Lab) -> [u64; 4] {
    let page = lab.client().get("/metrics").finish().body;
    NODES.map(|node| {
        let of_it = format!("node=\"{node}\"");
        let series = page
            .lines()
            .filter(|line| line.starts_with("gateway_requests_total{") && line.contains("/api/chat") && line.contains(&of_it));
        series.filter(|line| line.contains("status=\"200\"")).map(count_of).sum()
    })
}

fn count_of(line: &str) -> u64 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Of what was done between two counts each node is due its weight among those that were there.
fn due(counts: &[[u64; 4]], present: &[[bool; 4]], weights: [u64; 4]) -> [u64; 4] {
    let mut shares = [0; 4];
    for (part, present) in counts.windows(2).zip(present) {
        let done: u64 = (0..4).map(|at| part[1][at].saturating_sub(part[0][at])).sum();
        let all: u64 = (0..4).filter(|at| present[*at]).map(|at| weights[at]).sum();
        for at in (0..4).filter(|at| present[*at]) {
            shares[at] += done * weights[at] / all;
        }
    }
    shares
}

/// The second goes and comes back, then the last falls asleep.
fn assert_shares_while_nodes_come_and_go(strategy: &str, weights: [u64; 4]) {
    let Some(lab) = warm(strategy, weights.map(|weight| json!({ "weight": weight }))) else { return };
    let mut counts = vec![served_so_far(&lab)];
    let load = lab.client().load(REQUESTS, 8, "", &whole_chat(CHAT_MODEL), &NODES);
    load.until_answered(REQUESTS / 5);
    counts.push(served_so_far(&lab));
    lab.host("node2").kill_ollama();
    load.until_answered(REQUESTS * 2 / 5);
    lab.host("node2").start_ollama();
    until_power(&lab, "node2", "awake");
    // Before it has the model loaded it is not as good as the others.
    load_on(&lab, &["node2"], CHAT_MODEL);
    counts.push(served_so_far(&lab));
    load.until_answered(REQUESTS * 3 / 5);
    counts.push(served_so_far(&lab));
    lab.host("node4").sleep();
    let tally = load.finish();
    let served = NODES.map(|node| tally.served_by(node));
    assert_eq!(served.iter().sum::<u64>(), REQUESTS, "nothing is lost: {tally:?}");
    let before = counts[0];
    counts.push([0, 1, 2, 3].map(|at| before[at] + served[at]));
    let present = [[true; 4], [true, false, true, true], [true; 4], [true, true, true, false]];
    let shares = due(&counts, &present, weights);
    println!("{strategy}: {served:?} of {shares:?}");
    assert_shares(strategy, &tally, shares);
}

#[test]
fn turns_are_kept_within_one_percent_among_those_that_are_there_while_nodes_come_and_go() {
    assert_shares_while_nodes_come_and_go("round-robin", [1; 4]);
}

#[test]
fn weights_are_kept_within_one_percent_among_those_that_are_there_while_nodes_come_and_go() {
    assert_shares_while_nodes_come_and_go("weighted-round-robin", [3, 1, 2, 1]);
}
