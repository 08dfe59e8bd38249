//! Places are taken atomically, given back in any case, and handed on in the order in which people came.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::config::HostPort;
use crate::values::NodeName;

const ONE: ClientId = ClientId::Key(1);
const OTHER: ClientId = ClientId::Key(2);
const SECOND: Duration = Duration::from_secs(1);

fn config(number: usize, capacity: Option<u32>) -> NodeConfig {
    let at = HostPort { host: "127.0.0.1".to_owned(), port: 1 };
    let node = NodeConfig::new(NodeName::new(&format!("node{number}")), at, String::new());
    NodeConfig { always_on: true, capacity, ..node }
}

fn of(configs: &[NodeConfig]) -> Scheduler {
    let scheduler = Scheduler(Arc::default());
    scheduler.seat(configs.iter().enumerate(), Rules::default());
    scheduler
}

fn scheduler(capacities: &[u32]) -> Scheduler {
    let configs: Vec<NodeConfig> = capacities.iter().enumerate().map(|(at, places)| config(at, Some(*places))).collect();
    of(&configs)
}

fn need() -> Need<'static> {
    Need::of_any(true)
}

#[test]
fn no_more_leases_are_given_than_there_are_places_and_each_comes_back() {
    let scheduler = scheduler(&[2, 1]);
    let first = scheduler.claim(0, &need()).unwrap();
    let second = scheduler.claim(0, &need()).unwrap();
    assert!(scheduler.claim(0, &need()).is_none());
    assert!(scheduler.claim(1, &need()).is_some(), "another node's places are its own");
    drop(first);
    assert_eq!(scheduler.places(0), (1, 2));
    assert!(scheduler.claim(0, &need()).is_some());
    drop(second);
    assert_eq!(scheduler.places(0), (0, 2));
}

#[test]
fn what_does_not_work_the_gpu_takes_no_place() {
    let scheduler = scheduler(&[1, 1]);
    let _full = scheduler.claim(0, &need()).unwrap();
    let listing = scheduler.claim(0, &Need::of_any(false)).unwrap();
    assert_eq!(scheduler.places(0), (1, 1));
    drop(listing);
    assert_eq!(scheduler.places(0), (1, 1));
}

#[test]
fn places_are_never_given_twice_whoever_asks_at_once() {
    let scheduler = scheduler(&[3, 3]);
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let scheduler = scheduler.clone();
            std::thread::spawn(move || (0..2000).filter_map(|_| scheduler.claim(0, &need())).count())
        })
        .collect();
    let most = (0..2000).map(|_| scheduler.places(0).0).max().unwrap();
    let given: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(given > 0 && most <= 3);
    assert_eq!(scheduler.places(0), (0, 3));
}

#[test]
fn a_node_alone_has_no_bound_and_no_breaker_unless_its_owner_sets_one() {
    let alone = of(&[config(1, None)]);
    let leases: Vec<Lease> = (0..100).map(|_| alone.claim(0, &need()).unwrap()).collect();
    for mut lease in leases {
        lease.failed();
    }
    assert_eq!(alone.circuit(0), Circuit::Closed);
    let bounded = of(&[config(1, Some(1))]);
    let _one = bounded.claim(0, &need()).unwrap();
    assert!(bounded.claim(0, &need()).is_none());
    let two = of(&[config(1, None), config(2, None)]);
    assert_eq!(two.places(0), (0, CAPACITY));
}

#[test]
fn five_failures_take_a_node_out_and_departures_do_not() {
    let scheduler = scheduler(&[1, 1]);
    (0..10).for_each(|_| drop(scheduler.claim(0, &need()).unwrap()));
    for _ in 0..5 {
        scheduler.claim(0, &need()).unwrap().failed();
    }
    assert!(!scheduler.circuit(0).passes());
    assert!(scheduler.claim(0, &need()).is_none());
    assert_eq!(scheduler.places(0), (0, 1), "who may not pass takes no place");
}

#[tokio::test(start_paused = true)]
async fn one_trial_is_let_through_half_open_and_decides() {
    let scheduler = scheduler(&[4, 4]);
    (0..5).for_each(|_| scheduler.claim(0, &need()).unwrap().failed());
    tokio::time::sleep(15 * SECOND).await;
    let mut trial = scheduler.claim(0, &need()).unwrap();
    assert!(scheduler.claim(0, &need()).is_none());
    trial.served();
    drop(trial);
    assert!(scheduler.claim(0, &need()).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_free_goes_to_who_came_first() {
    let scheduler = scheduler(&[1, 1]);
    let lease = scheduler.claim(0, &need()).unwrap();
    let mut first = scheduler.queue(ONE);
    let mut second = scheduler.queue(ONE);
    second.wait_on(&[0]);
    first.wait_on(&[0]);
    assert_eq!((first.ahead(), second.ahead()), (0, 1));
    drop(lease);
    assert!(scheduler.claim(0, &need()).is_none(), "who comes now comes after those who wait");
    assert!(timeout(SECOND, second.turn(&need())).await.is_err());
    let lease = timeout(SECOND, first.turn(&need())).await.unwrap().unwrap();
    assert_eq!(scheduler.waiting(), 1);
    drop(lease);
    assert_eq!(timeout(SECOND, second.turn(&need())).await.unwrap().unwrap().index(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_several_nodes_gets_the_first_free_place() {
    let scheduler = scheduler(&[1, 1]);
    let (_busy, soon) = (scheduler.claim(0, &need()).unwrap(), scheduler.claim(1, &need()).unwrap());
    let mut waiting = scheduler.queue(ONE);
    waiting.wait_on(&[0, 1]);
    drop(soon);
    assert_eq!(timeout(SECOND, waiting.turn(&need())).await.unwrap().unwrap().index(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_came_free_between_the_look_and_the_wait_is_not_missed() {
    let scheduler = scheduler(&[1, 1]);
    let mut waiting = scheduler.queue(ONE);
    waiting.wait_on(&[0]);
    assert_eq!(timeout(SECOND, waiting.turn(&need())).await.unwrap().unwrap().index(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_keeps_nobody_and_passes_on_what_was_already_its_own() {
    let scheduler = scheduler(&[1, 1]);
    let lease = scheduler.claim(0, &need()).unwrap();
    let (mut leaves, mut called, mut last) = (scheduler.queue(ONE), scheduler.queue(ONE), scheduler.queue(ONE));
    for waiting in [&mut leaves, &mut called, &mut last] {
        waiting.wait_on(&[0]);
    }
    drop(leaves);
    drop(lease);
    // Called, and gone before it heard.
    drop(called);
    let lease = timeout(SECOND, last.turn(&need())).await.unwrap().unwrap();
    assert_eq!(scheduler.places(0), (1, 1));
    drop((lease, last));
    assert_eq!((scheduler.places(0), scheduler.waiting()), ((0, 1), 0));
}

/// Gives the place away until all have had it; who got it, in order.
async fn served(scheduler: &Scheduler, mut lease: Lease, mut waiting: Vec<(&'static str, Queued)>) -> Vec<&'static str> {
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(lease);
        let mut next = None;
        for (at, (_, queued)) in waiting.iter_mut().enumerate() {
            if let Ok(Some(lease)) = timeout(Duration::from_millis(1), queued.turn(&need())).await {
                next = Some((at, lease));
                break;
            }
        }
        let (at, held) = next.unwrap();
        order.push(waiting.remove(at).0);
        lease = held;
    }
    assert_eq!(scheduler.waiting(), 0);
    order
}

fn joins(scheduler: &Scheduler, who: &'static str, client: ClientId) -> (&'static str, Queued) {
    let mut queued = scheduler.queue(client);
    queued.wait_on(&[0]);
    (who, queued)
}

#[tokio::test(start_paused = true)]
async fn clients_take_turns_however_many_requests_one_of_them_has() {
    let scheduler = scheduler(&[1, 1]);
    let lease = scheduler.claim(0, &need()).unwrap();
    let many = ["a1", "a2", "a3", "a4"].map(|who| joins(&scheduler, who, ONE));
    let few = ["b1", "b2"].map(|who| joins(&scheduler, who, OTHER));
    assert_eq!((few[0].1.ahead(), few[1].1.ahead()), (1, 3));
    let waiting = many.into_iter().chain(few).collect();
    assert_eq!(served(&scheduler, lease, waiting).await, ["a1", "b1", "a2", "b2", "a3", "a4"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_again_at_once_does_not_go_before_those_who_wait() {
    let scheduler = scheduler(&[1, 1]);
    let lease = scheduler.claim(0, &need()).unwrap();
    let (mut a1, a2) = (joins(&scheduler, "a1", ONE), joins(&scheduler, "a2", ONE));
    let mut b1 = joins(&scheduler, "b1", OTHER);
    drop(lease);
    let lease = timeout(SECOND, a1.1.turn(&need())).await.unwrap().unwrap();
    drop(lease);
    let lease = timeout(SECOND, b1.1.turn(&need())).await.unwrap().unwrap();
    // Served a moment ago, and here again: its turn is after a2, which waits since before.
    let b2 = joins(&scheduler, "b2", OTHER);
    assert_eq!(served(&scheduler, lease, vec![a2, b2]).await, ["a2", "b2"]);
}

#[tokio::test(start_paused = true)]
async fn requests_that_left_cost_their_client_no_turns() {
    let scheduler = scheduler(&[1, 1]);
    let lease = scheduler.claim(0, &need()).unwrap();
    let others = ["b1", "b2", "b3"].map(|who| joins(&scheduler, who, OTHER));
    drop((0..50).map(|_| joins(&scheduler, "left", ONE)).collect::<Vec<_>>());
    let waiting = others.into_iter().chain([joins(&scheduler, "a1", ONE)]).collect();
    assert_eq!(served(&scheduler, lease, waiting).await, ["b1", "a1", "b2", "b3"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_place_is_kept_for_is_learnt_from_those_who_were_served() {
    let scheduler = scheduler(&[1, 1]);
    let service = || scheduler.0.desk().seat(0).and_then(Seat::service);
    drop(scheduler.claim(0, &need()).unwrap());
    assert_eq!(service(), None, "who left teaches nothing");
    for seconds in [10, 20] {
        let mut lease = scheduler.claim(0, &need()).unwrap();
        tokio::time::sleep(100 * SECOND).await;
        lease.begins();
        tokio::time::sleep(seconds * SECOND).await;
        lease.served();
    }
    assert_eq!(service(), Some(15 * SECOND), "the wake before it does not count");
}

/// Seats for these slots from now on, as after a reload.
fn reseat(scheduler: &Scheduler, slots: &[(usize, u32)]) {
    let configs: Vec<(usize, NodeConfig)> = slots.iter().map(|(slot, places)| (*slot, config(*slot, Some(*places)))).collect();
    scheduler.seat(configs.iter().map(|(slot, config)| (*slot, config)), Rules::default());
}

#[test]
fn a_seat_keeps_its_leases_and_failures_over_a_reload_and_takes_the_new_capacity() {
    let scheduler = scheduler(&[2, 1]);
    let lease = scheduler.claim(0, &need()).unwrap();
    (0..5).for_each(|_| scheduler.claim(1, &need()).unwrap().failed());
    reseat(&scheduler, &[(1, 3), (0, 1)]);
    assert_eq!((scheduler.places(0), scheduler.places(1)), ((1, 1), (0, 3)));
    assert!(scheduler.claim(0, &need()).is_none());
    assert!(!scheduler.circuit(1).passes());
    drop(lease);
    assert_eq!(scheduler.places(0), (0, 1));
}

#[test]
fn a_node_that_is_gone_or_disabled_gives_no_places_and_takes_its_leases_back() {
    let scheduler = scheduler(&[2, 2]);
    let lease = scheduler.claim(1, &need()).unwrap();
    reseat(&scheduler, &[(0, 2)]);
    assert!(scheduler.claim(1, &need()).is_none());
    drop(lease);
    assert_eq!(scheduler.places(1), (0, 2));
    reseat(&scheduler, &[(0, 2), (1, 1)]);
    assert!(scheduler.claim(1, &need()).is_some());
    let off = NodeConfig { enabled: false, ..config(1, None) };
    scheduler.seat([(0, &config(0, None)), (1, &off)].into_iter(), Rules::default());
    assert!(scheduler.claim(1, &need()).is_none());
    assert_eq!(scheduler.places(0), (0, u32::MAX), "alone again");
}

#[test]
fn what_was_learnt_of_one_machine_is_not_held_against_the_next_of_its_name() {
    let scheduler = scheduler(&[1, 5]);
    let _runs = scheduler.claim(1, &need()).unwrap();
    (0..5).for_each(|_| scheduler.claim(1, &need()).unwrap().failed());
    scheduler.0.desk().forget(1);
    assert_eq!((scheduler.circuit(1), scheduler.places(1)), (Circuit::Closed, (1, 5)));
}

#[tokio::test(start_paused = true)]
async fn who_waits_looks_again_when_the_nodes_are_others() {
    let scheduler = scheduler(&[1, 1]);
    let _busy = scheduler.claim(0, &need()).unwrap();
    let mut waiting = scheduler.queue(ONE);
    waiting.wait_on(&[0]);
    assert!(timeout(SECOND, waiting.turn(&need())).await.is_err());
    reseat(&scheduler, &[(0, 1), (2, 1)]);
    assert!(timeout(SECOND, waiting.turn(&need())).await.unwrap().is_none());
    waiting.wait_on(&[0, 2]);
    assert_eq!(timeout(SECOND, waiting.turn(&need())).await.unwrap().unwrap().index(), 2);
}

#[tokio::test(start_paused = true)]
async fn more_places_after_a_reload_go_to_those_who_wait() {
    let scheduler = scheduler(&[1, 1]);
    let _busy = scheduler.claim(0, &need()).unwrap();
    let mut waiting = scheduler.queue(ONE);
    waiting.wait_on(&[0]);
    reseat(&scheduler, &[(0, 2), (1, 1)]);
    assert_eq!(timeout(SECOND, waiting.turn(&need())).await.unwrap().unwrap().index(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_was_called_to_a_node_that_has_gone_waits_on_in_the_old_turn() {
    let scheduler = scheduler(&[1, 1]);
    let (busy, other) = (scheduler.claim(0, &need()).unwrap(), scheduler.claim(1, &need()).unwrap());
    let (mut first, mut second) = (scheduler.queue(ONE), scheduler.queue(ONE));
    first.wait_on(&[0, 1]);
    second.wait_on(&[1]);
    drop(busy);
    let gone = first.turn(&need()).await.unwrap();
    reseat(&scheduler, &[(1, 1)]);
    first.rejoin();
    drop(gone);
    first.wait_on(&[1]);
    assert_eq!((first.ahead(), second.ahead(), scheduler.waiting()), (0, 1, 2));
    assert!(first.turn(&need()).await.is_none());
    drop(other);
    assert_eq!(timeout(SECOND, first.turn(&need())).await.unwrap().unwrap().index(), 1);
}
