//! The breaker by its transitions; time is a value here, nothing sleeps.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Lets one request pass and end.
fn one(breaker: &mut Breaker, verdict: Verdict, now: Instant) {
    let pass = breaker.enter(now).expect("it lets requests pass");
    breaker.ended(pass, verdict, now);
}

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::default();
    (0..5).for_each(|_| one(&mut breaker, Verdict::Failed, now));
    breaker
}

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    (0..4).for_each(|_| one(&mut breaker, Verdict::Failed, now));
    assert_eq!(breaker.circuit(now), Circuit::Closed);
    one(&mut breaker, Verdict::Served, now);
    (0..4).for_each(|_| one(&mut breaker, Verdict::Failed, now));
    assert_eq!(breaker.circuit(now), Circuit::Closed, "a success between ends the row");
    let mut breaker = opened(now);
    assert_eq!(breaker.circuit(now), Circuit::Open { retry_in: Some(15 * SECOND) });
    assert_eq!(breaker.enter(now), None);
}

#[test]
fn half_of_ten_within_thirty_seconds_open_it_and_half_of_nine_do_not() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    for _ in 0..4 {
        one(&mut breaker, Verdict::Failed, now);
        one(&mut breaker, Verdict::Served, now);
    }
    one(&mut breaker, Verdict::Failed, now + 29 * SECOND);
    assert_eq!(breaker.circuit(now + 29 * SECOND), Circuit::Closed);
    one(&mut breaker, Verdict::Served, now + 29 * SECOND);
    assert!(!breaker.circuit(now + 29 * SECOND).passes());
}

#[test]
fn failures_of_long_ago_are_forgotten() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    for _ in 0..4 {
        one(&mut breaker, Verdict::Failed, now);
        one(&mut breaker, Verdict::Served, now);
    }
    one(&mut breaker, Verdict::Failed, now + 30 * SECOND);
    one(&mut breaker, Verdict::Served, now + 30 * SECOND);
    assert_eq!(breaker.circuit(now + 30 * SECOND), Circuit::Closed);
}

#[test]
fn what_says_nothing_about_the_node_changes_nothing() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    (0..4).for_each(|_| one(&mut breaker, Verdict::Failed, now));
    (0..100).for_each(|_| one(&mut breaker, Verdict::Nothing, now));
    assert_eq!(breaker.circuit(now), Circuit::Closed);
    one(&mut breaker, Verdict::Failed, now);
    assert!(!breaker.circuit(now).passes());
}

#[test]
fn half_open_it_lets_exactly_one_trial_pass() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert!(breaker.enter(now + 15 * SECOND - Duration::from_millis(1)).is_none());
    let later = now + 15 * SECOND;
    assert_eq!(breaker.circuit(later), Circuit::HalfOpen);
    assert_eq!(breaker.enter(later), Some(Pass::Trial));
    assert_eq!(breaker.circuit(later), Circuit::Open { retry_in: None });
    assert_eq!(breaker.enter(later), None);
    breaker.ended(Pass::Trial, Verdict::Served, later);
    assert_eq!(breaker.circuit(later), Circuit::Closed);
}

#[test]
fn a_failed_trial_opens_it_for_twice_as_long_up_to_two_minutes_and_a_good_one_begins_anew() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    for seconds in [15, 30, 60, 120, 120] {
        assert_eq!(breaker.circuit(now), Circuit::Open { retry_in: Some(seconds * SECOND) });
        now += seconds * SECOND;
        one(&mut breaker, Verdict::Failed, now);
    }
    now += LONGEST;
    one(&mut breaker, Verdict::Served, now);
    (0..5).for_each(|_| one(&mut breaker, Verdict::Failed, now));
    assert_eq!(breaker.circuit(now), Circuit::Open { retry_in: Some(15 * SECOND) });
}

#[test]
fn a_trial_whose_client_left_leaves_the_trial_to_the_next_request() {
    let now = Instant::now();
    let mut breaker = opened(now);
    let later = now + 15 * SECOND;
    one(&mut breaker, Verdict::Nothing, later);
    assert_eq!(breaker.circuit(later), Circuit::HalfOpen);
}

#[test]
fn what_began_before_it_opened_decides_nothing() {
    let now = Instant::now();
    let mut breaker = Breaker::default();
    let before = breaker.enter(now).unwrap();
    (0..5).for_each(|_| one(&mut breaker, Verdict::Failed, now));
    breaker.ended(before, Verdict::Served, now);
    assert!(!breaker.circuit(now).passes());
    let later = now + 15 * SECOND;
    assert_eq!(breaker.enter(later), Some(Pass::Trial));
    breaker.ended(before, Verdict::Served, later);
    assert!(!breaker.circuit(later).passes(), "only the trial closes it");
}

proptest! {
    #[test]
    fn it_always_closes_again_and_forgets_what_is_old(steps in prop::collection::vec((0u8..3, 0u64..5_000), 0..400)) {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        for (verdict, millis) in steps {
            now += Duration::from_millis(millis);
            if let Some(pass) = breaker.enter(now) {
                let verdict = [Verdict::Served, Verdict::Failed, Verdict::Nothing][usize::from(verdict)];
                breaker.ended(pass, verdict, now);
            }
            prop_assert!(breaker.recent.len() <= 31);
            if let Circuit::Open { retry_in } = breaker.circuit(now) {
                prop_assert!(retry_in.is_some_and(|wait| wait <= LONGEST), "no trial is under way here");
            }
        }
        now += LONGEST;
        prop_assert!(breaker.circuit(now).passes());
        one(&mut breaker, Verdict::Served, now);
        prop_assert_eq!(breaker.circuit(now), Circuit::Closed);
    }
}
