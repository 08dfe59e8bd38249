//! Rules of the choice by example, and what holds for any fleet and any ask.

use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const OPEN: Circuit = Circuit::Open { retry_in: None };

fn node(index: usize, readiness: Readiness) -> Candidate {
    Candidate {
        index,
        part: Part::Takes,
        model: Holds::Yes,
        fit: Some(f64::INFINITY),
        circuit: Circuit::Closed,
        tried: Tried::Not,
        readiness,
        loaded: false,
        seen: Some(SECOND),
        wakes_in: 20 * SECOND,
        service: None,
        active: 0,
        capacity: 4,
        weight: 1.0,
        idle_watts: None,
    }
}

fn terms() -> Terms {
    Terms {
        fallback: Fallback::HaveModel,
        order: Order::By(Strategy::RoundRobin),
        may_wake: true,
        waited: Duration::ZERO,
        ahead: 0,
    }
}

fn chosen(all: &[Candidate]) -> Choice {
    choose(all, &terms(), &mut Turns::default())
}

fn index(choice: &Choice) -> Option<usize> {
    match choice {
        Choice::Serve { index, .. } => Some(*index),
        Choice::Wait { .. } | Choice::Nobody => None,
    }
}

fn full(index: usize, readiness: Readiness) -> Candidate {
    Candidate { active: 4, ..node(index, readiness) }
}

#[test]
fn who_holds_the_model_comes_before_who_is_awake() {
    let lacking = Candidate { model: Holds::No, ..node(0, Readiness::Awake) };
    let unknown = Candidate { model: Holds::Unknown, ..node(2, Readiness::Awake) };
    let all = [lacking, node(1, Readiness::Asleep), unknown];
    assert_eq!(index(&chosen(&all)), Some(1));
    assert_eq!(filter(&all, Fallback::Any), [Some(Dropped::LacksModel), None, Some(Dropped::ListUnknown)]);
}

#[test]
fn no_machine_is_woken_while_an_awake_one_can_serve() {
    let all = [node(0, Readiness::Asleep), node(1, Readiness::Waking), node(2, Readiness::ProbablyAwake)];
    assert_eq!(index(&chosen(&all)), Some(2));
}

#[test]
fn a_warm_node_comes_first_then_awake_probably_awake_waking_and_asleep() {
    let warm = Candidate { loaded: true, ..node(5, Readiness::ProbablyAwake) };
    let order = [Readiness::Asleep, Readiness::Waking, Readiness::ProbablyAwake, Readiness::Awake];
    let mut all: Vec<Candidate> = order.into_iter().enumerate().map(|(index, readiness)| node(index, readiness)).collect();
    all.push(warm);
    let mut seen = Vec::new();
    while let Some(next) = index(&chosen(&all)) {
        seen.push(next);
        all.retain(|node| node.index != next);
    }
    assert_eq!(seen, [5, 3, 2, 1, 0]);
}

#[test]
fn what_was_loaded_before_a_sleep_is_not_warm() {
    let all = [node(0, Readiness::Asleep), Candidate { loaded: true, ..node(1, Readiness::Asleep) }];
    let mut turns = Turns::default();
    let first = index(&choose(&all, &terms(), &mut turns));
    assert_ne!(first, index(&choose(&all, &terms(), &mut turns)), "they take turns");
}

#[test]
fn of_probably_awake_nodes_the_last_seen_is_taken() {
    let all = [
        Candidate { seen: Some(90 * SECOND), ..node(0, Readiness::ProbablyAwake) },
        Candidate { seen: Some(10 * SECOND), ..node(1, Readiness::ProbablyAwake) },
        Candidate { seen: None, ..node(2, Readiness::ProbablyAwake) },
    ];
    assert_eq!(index(&chosen(&all)), Some(1));
}

#[test]
fn a_node_is_only_spared_its_wake_while_another_is_awake_even_if_that_is_full() {
    let spared = |all: &[Candidate]| match chosen(all) {
        Choice::Serve { gently, others, .. } => (gently, others),
        other => panic!("{other:?}"),
    };
    assert_eq!(spared(&[node(0, Readiness::Awake)]), (false, false));
    assert_eq!(spared(&[node(0, Readiness::Awake), node(1, Readiness::Awake)]), (true, true));
    assert_eq!(spared(&[node(0, Readiness::Awake), full(1, Readiness::Awake)]), (true, false));
    assert_eq!(spared(&[node(0, Readiness::Awake), full(1, Readiness::Waking)]), (false, false));
    assert_eq!(spared(&[node(0, Readiness::Awake), node(1, Readiness::Asleep)]), (false, true));
    assert_eq!(spared(&[node(0, Readiness::Awake), node(1, Readiness::Down)]), (false, false));
}

#[test]
fn a_model_goes_to_a_node_that_is_meant_for_its_size_even_if_that_sleeps() {
    let all = [Candidate { fit: None, ..node(0, Readiness::Awake) }, node(1, Readiness::Asleep)];
    assert_eq!(index(&chosen(&all)), Some(1));
    assert_eq!(filter(&all, Fallback::HaveModel)[0], Some(Dropped::DoesNotFit));
}

#[test]
fn when_none_fits_the_fallback_decides() {
    let all = [
        Candidate { fit: None, ..node(0, Readiness::Asleep) },
        Candidate { model: Holds::Unknown, ..node(1, Readiness::Awake) },
        Candidate { model: Holds::No, ..node(2, Readiness::Awake) },
    ];
    let by = |fallback| index(&choose(&all, &Terms { fallback, ..terms() }, &mut Turns::default()));
    assert_eq!(by(Fallback::HaveModel), Some(0));
    assert_eq!(by(Fallback::Any), Some(1));
    assert_eq!(by(Fallback::None), None);
}

#[test]
fn a_model_that_nobody_lists_goes_where_the_lists_are_not_known_or_to_an_awake_node() {
    let lacking = |index, readiness| Candidate { model: Holds::No, ..node(index, readiness) };
    let unknown = Candidate { model: Holds::Unknown, ..node(1, Readiness::Asleep) };
    assert_eq!(index(&chosen(&[lacking(0, Readiness::Awake), unknown])), Some(1));
    assert_eq!(index(&chosen(&[lacking(0, Readiness::Asleep), lacking(1, Readiness::Awake)])), Some(1));
}

#[test]
fn a_node_behind_an_open_breaker_and_a_disabled_one_are_left_out() {
    let broken = Candidate { circuit: OPEN, ..node(0, Readiness::Awake) };
    let disabled = Candidate { part: Part::Disabled, ..node(1, Readiness::Awake) };
    let all = [broken, disabled, node(2, Readiness::Asleep)];
    assert_eq!(index(&chosen(&all)), Some(2));
    assert_eq!(chosen(&all[..2]), Choice::Nobody);
}

/// Each reason in words that its owner can act on; no two alike.
#[test]
fn every_reason_for_keeping_or_dropping_a_node_has_its_own_words() {
    let awake = || node(0, Readiness::Awake);
    let waits = Circuit::Open { retry_in: Some(12 * SECOND) };
    let told: Vec<String> = [
        (Candidate { part: Part::Disabled, ..awake() }, Some(Dropped::Disabled), "\"enabled\": false"),
        (Candidate { part: Part::NotNamed, ..awake() }, Some(Dropped::NotNamed), "names another node"),
        (Candidate { part: Part::OtherApi, ..awake() }, Some(Dropped::OtherApi), "no Ollama"),
        (Candidate { model: Holds::No, ..awake() }, Some(Dropped::LacksModel), "does not have the model"),
        (Candidate { model: Holds::Unknown, ..awake() }, Some(Dropped::ListUnknown), "not known yet"),
        (Candidate { fit: None, ..awake() }, Some(Dropped::DoesNotFit), "supported_model_ranges"),
        (
            Candidate { circuit: waits, ..awake() },
            Some(Dropped::BreakerOpen),
            "breaker is open, and one request may try it in 13 s",
        ),
        (Candidate { circuit: OPEN, ..awake() }, Some(Dropped::BreakerOpen), "until the one request that tries it has ended"),
        (Candidate { tried: Tried::Done, ..awake() }, Some(Dropped::Tried), "already failed there"),
        (awake(), None, "awake, has the model, 0 of 4 places taken"),
        (full(0, Readiness::Awake), None, "full: all 4 places are taken"),
        (Candidate { active: 1, capacity: 1, ..awake() }, None, "full: its only place is taken"),
        (Candidate { active: 9, capacity: u32::MAX, loaded: true, ..awake() }, None, "awake, has the model, has it loaded"),
        (Candidate { circuit: Circuit::HalfOpen, ..awake() }, None, "this request would be its trial"),
        (node(0, Readiness::Down), None, "down: it refuses"),
    ]
    .into_iter()
    .map(|(node, dropped, expected)| {
        let words = crate::schedule::explain::words(&node, dropped);
        assert!(words.contains(expected), "{words:?} lacks {expected:?}");
        words
    })
    .collect();
    assert_eq!(told.iter().collect::<std::collections::HashSet<_>>().len(), told.len());
}

#[test]
fn a_broken_fitting_node_is_replaced_by_one_that_holds_the_model_but_never_by_one_that_lacks_it() {
    let broken = Candidate { circuit: OPEN, ..node(0, Readiness::Awake) };
    let large = Candidate { fit: None, ..node(1, Readiness::Awake) };
    let lacking = Candidate { model: Holds::No, ..node(2, Readiness::Awake) };
    assert_eq!(index(&chosen(&[broken.clone(), large, lacking.clone()])), Some(1));
    assert_eq!(chosen(&[broken, lacking]), Choice::Nobody);
}

#[test]
fn a_failed_node_comes_after_every_other_awake_one_and_failed_for_good_it_is_out() {
    let again = Candidate { tried: Tried::Again, loaded: true, ..node(0, Readiness::Awake) };
    assert_eq!(index(&chosen(&[again.clone(), node(1, Readiness::ProbablyAwake)])), Some(1));
    // No machine is woken while this one may still be mended by a second attempt.
    assert_eq!(index(&chosen(&[again, node(1, Readiness::Asleep)])), Some(0));
    let done = Candidate { tried: Tried::Done, ..node(0, Readiness::Awake) };
    assert_eq!(index(&chosen(&[done.clone(), node(1, Readiness::Asleep)])), Some(1));
    assert_eq!(chosen(&[done]), Choice::Nobody);
}

#[test]
fn a_node_that_is_down_serves_only_when_nobody_else_is_left() {
    assert_eq!(index(&chosen(&[node(0, Readiness::Down), node(1, Readiness::Asleep)])), Some(1));
    assert_eq!(index(&chosen(&[node(0, Readiness::Down)])), Some(0));
    let all = [node(0, Readiness::Down), full(1, Readiness::Awake)];
    assert_eq!(chosen(&all), Choice::Wait { on: vec![1], spill_in: None });
}

#[test]
fn with_every_awake_node_full_the_request_waits_and_wakes_another_only_when_that_is_faster() {
    let learnt = |seconds| Candidate { service: Some(seconds * SECOND), ..full(0, Readiness::Awake) };
    let all = |seconds| [learnt(seconds), node(1, Readiness::Asleep)];
    // Four places of 40 s each: ten seconds to a free one, against twenty for a wake.
    assert_eq!(chosen(&all(40)), Choice::Wait { on: vec![0], spill_in: Some(20 * SECOND) });
    assert_eq!(index(&chosen(&all(81))), Some(1));
    let behind = |ahead| choose(&all(40), &Terms { ahead, ..terms() }, &mut Turns::default());
    assert_eq!(index(&behind(1)), None);
    assert_eq!(index(&behind(2)), Some(1), "three wait for places that come free every ten seconds");
}

#[test]
fn whoever_has_waited_as_long_as_a_wake_takes_need_not_wait_longer() {
    let all = [full(0, Readiness::Awake), node(1, Readiness::Asleep)];
    let after = |seconds: u32| choose(&all, &Terms { waited: seconds * SECOND, ..terms() }, &mut Turns::default());
    assert_eq!(after(19), Choice::Wait { on: vec![0], spill_in: Some(SECOND) });
    assert_eq!(index(&after(20)), Some(1));
    let forbidden = Terms { waited: 60 * SECOND, may_wake: false, ..terms() };
    assert_eq!(choose(&all, &forbidden, &mut Turns::default()), Choice::Wait { on: vec![0], spill_in: None });
}

#[test]
fn of_those_that_sleep_only_one_whose_own_wake_is_shorter_than_the_wait_replaces_it() {
    let slow = Candidate { wakes_in: 60 * SECOND, ..node(1, Readiness::Asleep) };
    let all =
        |service| [Candidate { service: Some(service), ..full(0, Readiness::Awake) }, slow.clone(), node(2, Readiness::Asleep)];
    for _ in 0..4 {
        let mut turns = Turns::default();
        assert_eq!(index(&choose(&all(81 * SECOND), &terms(), &mut turns)), Some(2));
        assert_eq!(index(&choose(&all(SECOND), &Terms { waited: 30 * SECOND, ..terms() }, &mut turns)), Some(2));
    }
    assert_eq!(chosen(&all(SECOND)), Choice::Wait { on: vec![0], spill_in: Some(20 * SECOND) });
}

#[test]
fn while_one_wakes_no_second_one_is_woken_unless_it_is_full_for_long() {
    assert_eq!(index(&chosen(&[node(0, Readiness::Asleep), node(1, Readiness::Waking)])), Some(1));
    let all = [node(0, Readiness::Asleep), full(1, Readiness::Waking)];
    assert_eq!(chosen(&all), Choice::Wait { on: vec![1], spill_in: Some(20 * SECOND) });
}

fn any_node() -> impl Generator<Value = Candidate> {
    let readiness = prop_oneof![
        Just(Readiness::Down),
        Just(Readiness::Asleep),
        Just(Readiness::Waking),
        Just(Readiness::ProbablyAwake),
        Just(Readiness::Awake)
    ];
    let model = prop_oneof![Just(Holds::No), Just(Holds::Unknown), Just(Holds::Yes)];
    let tried = prop_oneof![4 => Just(Tried::Not), 1 => Just(Tried::Again), 1 => Just(Tried::Done)];
    let part =
        prop_oneof![8 => Just(Part::Takes), 1 => Just(Part::Disabled), 1 => Just(Part::NotNamed), 1 => Just(Part::OtherApi)];
    let flags = (part, any::<bool>(), prop::bool::weighted(0.8), any::<bool>());
    let times = (0u64..200, 0u64..60, prop::option::of(0u64..100));
    (readiness, model, tried, flags, times, 0u32..5, 1u32..5, prop::option::of(1.0..100.0)).prop_map(
        |(readiness, model, tried, (part, fits, passes, loaded), (seen, wakes, service), active, capacity, watts)| Candidate {
            part,
            model,
            fit: fits.then_some(f64::INFINITY),
            circuit: if passes { Circuit::Closed } else { OPEN },
            tried,
            loaded,
            seen: Some(Duration::from_secs(seen)),
            wakes_in: Duration::from_secs(wakes),
            service: service.map(Duration::from_secs),
            active,
            capacity,
            idle_watts: watts,
            ..node(0, readiness)
        },
    )
}

fn any_terms() -> impl Generator<Value = Terms> {
    let fallback = prop_oneof![Just(Fallback::Any), Just(Fallback::HaveModel), Just(Fallback::None)];
    let order =
        prop_oneof![prop::sample::select(&Strategy::ALL[..]).prop_map(Order::By), Just(Order::BestFit), Just(Order::First)];
    (fallback, order, any::<bool>(), 0u64..60, 0u32..10).prop_map(|(fallback, order, may_wake, waited, ahead)| Terms {
        fallback,
        order,
        may_wake,
        waited: Duration::from_secs(waited),
        ahead,
    })
}

proptest! {
    #[test]
    fn the_choice_is_in_the_filtered_set_has_room_and_sleeps_only_if_no_awake_one_has_room(
        mut fleet in prop::collection::vec(any_node(), 0..12),
        terms in any_terms(),
    ) {
        fleet.iter_mut().enumerate().for_each(|(index, node)| node.index = index);
        let dropped = filter(&fleet, terms.fallback);
        let kept: Vec<&Candidate> = fleet.iter().zip(&dropped).filter(|(_, out)| out.is_none()).map(|(node, _)| node).collect();
        let room = |node: &Candidate| node.active < node.capacity;
        match choose(&fleet, &terms, &mut Turns::default()) {
            Choice::Serve { index, gently, others } => {
                let node = &fleet[index];
                prop_assert!(dropped[index].is_none() && room(node));
                let others_up = kept.iter().any(|other| other.index != index && other.readiness.is_up() && room(other));
                let spares = kept.iter().any(|other| other.index != index && other.readiness.is_up());
                prop_assert_eq!(gently, spares && node.readiness.is_up(), "what is chosen asleep is to be woken");
                prop_assert!(others || !others_up);
                if !node.readiness.is_up() {
                    prop_assert!(!others_up);
                    let busy = kept.iter().any(|other| other.readiness.is_up());
                    prop_assert!(!busy || terms.may_wake, "a request that may not wake leaves the queue for a sleeping node");
                }
            }
            Choice::Wait { on, .. } => {
                prop_assert!(!on.is_empty());
                prop_assert!(on.iter().all(|index| dropped[*index].is_none() && !room(&fleet[*index])));
                prop_assert!(!kept.iter().any(|node| node.readiness.is_up() && room(node)));
            }
            Choice::Nobody => prop_assert!(kept.is_empty()),
        }
    }

    #[test]
    fn nodes_that_do_not_hold_the_model_make_no_difference_to_a_choice_that_holders_decide_alone(
        mut fleet in prop::collection::vec(any_node(), 0..12),
        terms in any_terms(),
    ) {
        fleet.iter_mut().enumerate().for_each(|(index, node)| node.index = index);
        let holders: Vec<Candidate> = fleet.iter().filter(|node| node.model == Holds::Yes).cloned().collect();
        if holders_suffice(&holders, terms.fallback) {
            let choices = [&holders, &fleet].map(|among| choose(among, &terms, &mut Turns::default()));
            prop_assert_eq!(&choices[0], &choices[1]);
        }
    }

    #[test]
    fn while_any_node_is_known_to_hold_the_model_none_that_lacks_it_is_kept(
        fleet in prop::collection::vec(any_node(), 1..12),
        terms in any_terms(),
    ) {
        let dropped = filter(&fleet, terms.fallback);
        if fleet.iter().any(|node| node.takes_part() && node.model == Holds::Yes) {
            prop_assert!(fleet.iter().zip(&dropped).all(|(node, out)| node.model != Holds::No || out.is_some()));
        }
    }
}
