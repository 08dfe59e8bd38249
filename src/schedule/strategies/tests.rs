//! Each strategy shares out as it promises, also while nodes come and go.

use std::time::Duration;

use proptest::prelude::{ProptestConfig, prop, prop_assert, proptest};

use super::*;
use crate::schedule::breaker::Circuit;
use crate::schedule::choose::{Holds, Part, Readiness, Tried};

const REQUESTS: usize = 10_000;

fn node(index: usize) -> Candidate {
    Candidate {
        index,
        part: Part::Takes,
        model: Holds::Yes,
        fit: Some(f64::INFINITY),
        circuit: Circuit::Closed,
        tried: Tried::Not,
        readiness: Readiness::Awake,
        loaded: false,
        seen: None,
        wakes_in: Duration::ZERO,
        service: None,
        active: 0,
        elsewhere: 0.0,
        capacity: 4,
        weight: 1.0,
        idle_watts: None,
    }
}

fn pick_of(strategy: Strategy, nodes: &[Candidate], present: &[usize], turns: &mut Turns) -> usize {
    let equals: Vec<&Candidate> = present.iter().map(|index| &nodes[*index]).collect();
    pick(Order::By(strategy), &equals, turns).unwrap().index
}

/// A row of numbers that looks random and is the same each time.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    }
}

#[test]
fn round_robin_takes_turns_in_the_order_of_the_settings() {
    let nodes: Vec<Candidate> = (0..3).map(node).collect();
    let mut turns = Turns::default();
    let row: Vec<usize> = (0..6).map(|_| pick_of(Strategy::RoundRobin, &nodes, &[0, 1, 2], &mut turns)).collect();
    assert_eq!(row[..3], row[3..]);
    assert!(row.windows(2).all(|pair| pair[1] == (pair[0] + 1) % 3), "{row:?}");
}

#[test]
fn each_set_of_equals_has_its_own_turn() {
    let nodes: Vec<Candidate> = (0..3).map(node).collect();
    let mut turns = Turns::default();
    let mut counts = [[0; 3]; 2];
    for _ in 0..REQUESTS {
        counts[0][pick_of(Strategy::RoundRobin, &nodes, &[0, 1], &mut turns)] += 1;
        counts[1][pick_of(Strategy::RoundRobin, &nodes, &[0, 1, 2], &mut turns)] += 1;
    }
    // One cursor for both would give the first set to one node for ever.
    assert_eq!(counts[0], [REQUESTS / 2, REQUESTS / 2, 0]);
    assert!(counts[1].iter().all(|count| count.abs_diff(REQUESTS / 3) <= 1));
}

#[test]
fn weighted_round_robin_is_smooth_and_exact() {
    let weights = [5.0, 1.0, 1.0];
    let nodes: Vec<Candidate> =
        weights.into_iter().enumerate().map(|(index, weight)| Candidate { weight, ..node(index) }).collect();
    let mut turns = Turns::default();
    let row: Vec<usize> = (0..7).map(|_| pick_of(Strategy::WeightedRoundRobin, &nodes, &[0, 1, 2], &mut turns)).collect();
    assert_eq!(row, [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn least_connections_and_least_loaded_take_the_emptiest() {
    let nodes = [
        Candidate { active: 3, capacity: 8, ..node(0) },
        Candidate { active: 2, capacity: 4, ..node(1) },
        Candidate { active: 4, capacity: 16, ..node(2) },
    ];
    let mut turns = Turns::default();
    assert_eq!(pick_of(Strategy::LeastConnections, &nodes, &[0, 1, 2], &mut turns), 1);
    assert_eq!(pick_of(Strategy::LeastLoaded, &nodes, &[0, 1, 2], &mut turns), 2);
}

#[test]
fn what_others_have_at_a_node_counts_as_its_load() {
    let nodes = [
        Candidate { active: 1, elsewhere: 2.5, capacity: 4, ..node(0) },
        Candidate { active: 3, capacity: 4, ..node(1) },
        Candidate { elsewhere: 3.2, capacity: 4, ..node(2) },
    ];
    let mut turns = Turns::default();
    for strategy in [Strategy::LeastConnections, Strategy::LeastLoaded] {
        assert_eq!(pick_of(strategy, &nodes, &[0, 1, 2], &mut turns), 1);
        assert_eq!(pick_of(strategy, &nodes, &[0, 2], &mut turns), 2);
    }
}

#[test]
fn least_energy_takes_the_thriftiest_and_among_these_the_least_loaded() {
    let nodes = [
        Candidate { idle_watts: Some(90.0), ..node(0) },
        Candidate { idle_watts: Some(8.0), active: 2, ..node(1) },
        Candidate { idle_watts: Some(8.0), active: 1, ..node(2) },
        node(3),
    ];
    let mut turns = Turns::default();
    assert_eq!(pick_of(Strategy::LeastEnergy, &nodes, &[0, 1, 2, 3], &mut turns), 2);
    assert_eq!(pick_of(Strategy::LeastEnergy, &nodes, &[0, 3], &mut turns), 0, "of whom nothing is stated comes last");
}

#[test]
fn the_narrowest_range_is_the_best_fit_and_blobs_go_to_the_first() {
    let nodes = [Candidate { fit: Some(100.0), ..node(0) }, Candidate { fit: Some(7.0), ..node(1) }, node(2)];
    let equals: Vec<&Candidate> = nodes.iter().collect();
    assert_eq!(pick(Order::BestFit, &equals, &mut Turns::default()).unwrap().index, 1);
    assert_eq!(pick(Order::First, &equals, &mut Turns::default()).unwrap().index, 0);
    assert!(pick(Order::First, &[], &mut Turns::default()).is_none());
}

#[test]
fn turns_are_bounded() {
    let nodes: Vec<Candidate> = (0..60).map(node).collect();
    let mut turns = Turns::default();
    for a in 0..60 {
        for b in a + 1..60 {
            pick_of(Strategy::RoundRobin, &nodes, &[a, b], &mut turns);
        }
    }
    assert!(turns.sets.len() <= SETS);
}

/// What the strategy owes each node: of each request, the part that its definition gives it among those present.
fn owed(strategy: Strategy, nodes: &[Candidate], present: &[usize]) -> Vec<(usize, f64)> {
    let weight = |index: &usize| if strategy == Strategy::WeightedRoundRobin { nodes[*index].weight } else { 1.0 };
    let all: f64 = present.iter().map(weight).sum();
    present.iter().map(|index| (*index, weight(index) / all)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn ten_thousand_requests_are_shared_within_one_percent_while_nodes_come_and_go(
        weights in prop::collection::vec(1u8..10, 2..6),
        stay in 1usize..400,
    ) {
        for strategy in Strategy::ALL {
            let nodes: Vec<Candidate> =
                weights.iter().enumerate().map(|(index, weight)| Candidate { weight: f64::from(*weight), ..node(index) }).collect();
            let (mut turns, mut next) = (Turns::default(), numbers());
            let mut present: Vec<usize> = (0..nodes.len()).collect();
            let (mut got, mut due) = (vec![0.0; nodes.len()], vec![0.0; nodes.len()]);
            for request in 0..REQUESTS {
                if request % stay == stay - 1 {
                    let comes_or_goes = next(nodes.len());
                    if present.contains(&comes_or_goes) && present.len() > 1 {
                        present.retain(|index| *index != comes_or_goes);
                    } else if !present.contains(&comes_or_goes) {
                        present.push(comes_or_goes);
                        present.sort_unstable();
                    }
                }
                for (index, part) in owed(strategy, &nodes, &present) {
                    due[index] += part;
                }
                got[pick_of(strategy, &nodes, &present, &mut turns)] += 1.0;
            }
            for (got, due) in got.iter().zip(&due) {
                let off: f64 = got - due;
                prop_assert!(off.abs() <= 100.0, "{strategy}: {got} instead of {due}");
            }
        }
    }

    #[test]
    fn least_connections_and_least_loaded_keep_their_promise_while_requests_take_their_time(
        capacities in prop::collection::vec(1u32..8, 2..6),
        stays in 1usize..60,
    ) {
        for strategy in [Strategy::LeastConnections, Strategy::LeastLoaded] {
            let mut nodes: Vec<Candidate> =
                capacities.iter().enumerate().map(|(index, capacity)| Candidate { capacity: *capacity * 10, ..node(index) }).collect();
            let (mut turns, mut next) = (Turns::default(), numbers());
            let all: Vec<usize> = (0..nodes.len()).collect();
            let mut running: Vec<usize> = Vec::new();
            for _ in 0..REQUESTS {
                while running.len() >= stays {
                    let ended = running.swap_remove(next(running.len()));
                    nodes[ended].active -= 1;
                }
                let chosen = pick_of(strategy, &nodes, &all, &mut turns);
                let measure = |node: &Candidate| match strategy {
                    Strategy::LeastConnections => f64::from(node.active),
                    _ => f64::from(node.active) / f64::from(node.capacity),
                };
                let least = nodes.iter().map(measure).fold(f64::INFINITY, f64::min);
                prop_assert!(measure(&nodes[chosen]) <= least + 1e-9);
                nodes[chosen].active += 1;
                running.push(chosen);
            }
        }
    }
}
