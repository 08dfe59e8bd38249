//! No time is counted twice, none is lost, and what was counted as awake or asleep is never taken back.

use std::time::Duration;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::*;

const HOUR: f64 = 3600.0;

fn ledger(contact: Option<f64>) -> Ledger {
    Ledger::resumed(KeptLedger::default(), contact, &PowerConfig::default())
}

#[test]
fn a_machine_that_is_found_asleep_has_slept_since_half_an_hour_after_its_last_contact() {
    let mut ledger = ledger(None);
    ledger.stands(Standing::Supposed, HOUR, Some(HOUR));
    let before = ledger.seconds(5.0 * HOUR, Some(2.0 * HOUR));
    assert_eq!(before, Seconds { awake: 1.5 * HOUR, asleep: 0.0, unknown: 3.5 * HOUR });
    assert_eq!(ledger.found_asleep(5.0 * HOUR, Some(2.0 * HOUR)), Some(2.5 * HOUR));
    let after = ledger.seconds(6.0 * HOUR, Some(2.0 * HOUR));
    assert_eq!(after, Seconds { awake: 1.5 * HOUR, asleep: 3.5 * HOUR, unknown: HOUR });
}

#[test]
fn a_machine_that_is_found_awake_has_not_slept() {
    let mut ledger = ledger(Some(-60.0));
    ledger.stands(Standing::Supposed, 5.0 * HOUR, Some(5.0 * HOUR));
    assert_eq!(ledger.seconds(5.0 * HOUR, Some(5.0 * HOUR)), Seconds { awake: 5.0 * HOUR, ..Seconds::default() });
}

#[test]
fn a_machine_that_fell_asleep_at_once_is_not_booked_as_asleep_before_its_contact() {
    let mut ledger = ledger(None);
    ledger.stands(Standing::Supposed, 0.0, Some(0.0));
    assert_eq!(ledger.found_asleep(600.0, Some(0.0)), None);
    assert_eq!(ledger.seconds(700.0, Some(0.0)), Seconds { awake: 600.0, asleep: 100.0, unknown: 0.0 });
}

#[test]
fn without_any_contact_nothing_is_claimed() {
    let mut ledger = ledger(None);
    assert_eq!(ledger.found_asleep(5.0 * HOUR, None), None);
    assert_eq!(ledger.seconds(6.0 * HOUR, None), Seconds { awake: 0.0, asleep: HOUR, unknown: 5.0 * HOUR });
}

#[test]
fn what_was_doubtful_before_a_restart_is_settled_by_the_first_contact_after_it() {
    let mut first = ledger(None);
    first.stands(Standing::Supposed, 0.0, Some(0.0));
    let kept = first.kept(2.0 * HOUR, Some(0.0));
    assert_eq!((kept.settled.awake, kept.doubtful), (0.5 * HOUR, 1.5 * HOUR));
    // Ten minutes pass between the two runs: they are nobody's.
    let mut second = Ledger::resumed(kept, Some(-2.0 * HOUR - 600.0), &PowerConfig::default());
    assert_eq!(second.seconds(0.0, None), Seconds { awake: 0.5 * HOUR, asleep: 0.0, unknown: 1.5 * HOUR });
    assert_eq!(second.found_asleep(HOUR, None), Some(-1.5 * HOUR - 600.0));
    assert_eq!(second.seconds(HOUR, None), Seconds { awake: 0.5 * HOUR, asleep: 2.5 * HOUR, unknown: 0.0 });
}

#[test]
fn the_owner_says_after_which_time_it_sleeps_and_what_it_draws() {
    let power = PowerConfig { idle_watts: Some(100.0), sleep_watts: Some(5.0), sleeps_after: Some(Duration::from_secs(60)) };
    let mut ledger = Ledger::resumed(KeptLedger::default(), Some(0.0), &power);
    assert_eq!(ledger.found_asleep(HOUR, None), Some(60.0));
    let energy = Energy::of(ledger.seconds(HOUR, None), &power).unwrap();
    assert!((energy.saved_joules - (HOUR - 60.0) * 95.0).abs() < 1e-6, "{energy:?}");
    assert!((energy.used_joules - (60.0 * 100.0 + (HOUR - 60.0) * 5.0)).abs() < 1e-6, "{energy:?}");
    assert_eq!(Energy::of(Seconds::default(), &PowerConfig::default()), None);
}

#[test]
fn a_machine_that_draws_less_awake_than_asleep_saves_nothing_rather_than_less() {
    let power = PowerConfig { idle_watts: Some(1.0), ..PowerConfig::default() };
    let seconds = Seconds { asleep: HOUR, ..Seconds::default() };
    assert!(Energy::of(seconds, &power).unwrap().saved_joules.abs() < 1e-9);
}

#[test]
fn what_a_damaged_file_claims_is_no_time() {
    let settled = Seconds { awake: f64::NAN, asleep: -1.0, unknown: f64::INFINITY };
    let kept = KeptLedger { settled, doubtful: f64::NEG_INFINITY, turns: 1 };
    let ledger = Ledger::resumed(kept, Some(f64::MAX), &PowerConfig::default());
    assert!((ledger.seconds(1.0, None).total() - 1.0).abs() < 1e-9);
}

/// What may happen to a node, after so many seconds.
#[derive(Clone, Copy, Debug)]
enum Step {
    Stands(Standing),
    Found,
    Contact,
    Read,
    Restart(f64),
}

fn steps() -> impl Strategy<Value = Vec<(f64, Step)>> {
    let standing = prop_oneof![Just(Standing::Unknown), Just(Standing::Supposed), Just(Standing::Up), Just(Standing::Asleep)];
    let step = prop_oneof![
        standing.prop_map(Step::Stands),
        Just(Step::Found),
        Just(Step::Contact),
        Just(Step::Read),
        (0.0..1e5_f64).prop_map(Step::Restart),
    ];
    prop::collection::vec((0.0..2e4_f64, step), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_second_is_counted_once_and_nothing_known_is_taken_back(steps in steps(), known in any::<bool>()) {
        let mut contact = known.then_some(-100.0);
        let mut ledger = ledger(contact);
        // `now` counts from the last restart, `elapsed` from the first start.
        let (mut now, mut elapsed) = (0.0_f64, 0.0_f64);
        let mut before = Seconds::default();
        for (after, step) in steps {
            now += after;
            elapsed += after;
            match step {
                Step::Stands(standing) => ledger.stands(standing, now, contact),
                Step::Found => { ledger.found_asleep(now, contact); }
                Step::Contact => contact = Some(now),
                Step::Read => {}
                Step::Restart(pause) => {
                    contact = contact.map(|contact| contact - now - pause);
                    ledger = Ledger::resumed(ledger.kept(now, contact.map(|contact| contact + now + pause)), contact, &PowerConfig::default());
                    now = 0.0;
                }
            }
            let seconds = ledger.seconds(now, contact);
            assert!((seconds.total() - elapsed).abs() < 1e-6 * (1.0 + elapsed), "{seconds:?} of {elapsed}");
            assert!(seconds.awake >= before.awake - 1e-6 && seconds.asleep >= before.asleep - 1e-6, "{before:?} then {seconds:?}");
            before = seconds;
        }
    }
}
