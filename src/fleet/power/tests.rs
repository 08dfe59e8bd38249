use super::*;
use proptest::prelude::*;

const MEANS: Means = Means { packets: true, url: true, deadline: Duration::from_secs(180) };
const PACKETS_ONLY: Means = Means { url: false, ..MEANS };
const NONE: Means = Means { packets: false, url: false, ..MEANS };
const MS: Duration = Duration::from_millis(1);

fn waking(now: Instant) -> Power {
    next(Power::Asleep, Event::Wanted, now, MEANS).0
}

/// Lets time pass as the keeper does: one tick whenever the machine asks for one.
fn run(mut power: Power, until: Instant, means: Means) -> (Power, Vec<(Instant, Act)>) {
    let mut log = vec![];
    while let Some(at) = power.next_tick(means).filter(|at| *at <= until) {
        let (after, acts) = next(power, Event::Tick, at, means);
        log.extend(acts.into_iter().map(|act| (at, act)));
        power = after;
    }
    (power, log)
}

#[test]
fn a_wanted_sleeper_gets_its_first_packet_call_and_poll_at_once() {
    let (power, acts) = next(Power::Asleep, Event::Wanted, Instant::now(), MEANS);
    assert!(matches!(power, Power::Waking(_)));
    assert_eq!(acts, [Act::SendPackets, Act::CallUrl, Act::Poll]);
}

#[test]
fn packets_go_three_in_200_ms_then_at_1_2_4_s_then_every_5_s() {
    let now = Instant::now();
    let (power, first) = next(Power::Asleep, Event::Wanted, now, PACKETS_ONLY);
    let (_, log) = run(power, now + Duration::from_secs(15), PACKETS_ONLY);
    let sent: Vec<u128> = log.iter().filter(|(_, act)| *act == Act::SendPackets).map(|(at, _)| (*at - now).as_millis()).collect();
    assert!(first.contains(&Act::SendPackets));
    assert_eq!(sent, [100, 200, 1000, 2000, 4000, 9000, 14000]);
}

#[test]
fn the_wake_url_is_called_at_0_5_15_30_s_one_at_a_time() {
    let now = Instant::now();
    let means = Means { packets: false, ..MEANS };
    let (mut power, first) = next(Power::Asleep, Event::Wanted, now, means);
    assert!(first.contains(&Act::CallUrl));
    // The first call hangs for 8 s: the second waits for it.
    let (still, log) = run(power, now + Duration::from_secs(8), means);
    assert!(log.iter().all(|(_, act)| *act != Act::CallUrl));
    power = next(still, Event::Called, now + Duration::from_secs(8), means).0;
    let (_, log) = run(power, now + Duration::from_secs(9), means);
    assert_eq!(log.iter().filter(|(_, act)| *act == Act::CallUrl).count(), 1);
}

#[test]
fn a_campaign_ends_with_the_first_answer_and_tells_how_long_it_took() {
    let now = Instant::now();
    let (power, acts) = next(waking(now), Event::Answered, now + MS * 1500, MEANS);
    assert_eq!((power, acts), (Power::Awake, vec![Act::CameUp(Some(MS * 1500))]));
}

#[test]
fn a_hedged_wake_of_a_host_that_was_awake_teaches_no_wake_time() {
    let now = Instant::now();
    let (power, _) = next(Power::Awake, Event::Wanted, now, MEANS);
    assert_eq!(next(power, Event::Answered, now + MS * 400, MEANS).1, [Act::CameUp(None)]);
}

#[test]
fn a_campaign_fails_at_its_deadline_and_may_start_again_ten_seconds_later() {
    let now = Instant::now();
    let (power, log) = run(waking(now), now + MEANS.deadline, MEANS);
    let failed = now + MEANS.deadline;
    assert_eq!(log.last().unwrap(), &(failed, Act::GaveUp));
    assert_eq!(power, Power::WakeFailed { until: failed + BACK_OFF, refused: false });
    assert_eq!(next(power.clone(), Event::Wanted, failed + MS, MEANS), (power.clone(), vec![]));
    assert!(next(power, Event::Wanted, failed + BACK_OFF, MEANS).0.in_progress());
}

#[test]
fn a_booting_host_that_refuses_gets_no_more_packets_and_is_polled_on() {
    let now = Instant::now();
    let (power, _) = next(waking(now), Event::Refused(MS), now + MS * 50, MEANS);
    let (_, log) = run(power, now + Duration::from_secs(20), MEANS);
    assert!(log.iter().all(|(_, act)| *act == Act::Poll) && log.len() >= 39);
}

#[test]
fn a_host_that_refuses_outside_a_campaign_is_polled_for_thirty_seconds_and_gets_no_packet() {
    let now = Instant::now();
    let (power, acts) = next(Power::Unknown, Event::Refused(MS), now, MEANS);
    assert_eq!((power.word(), acts), ("service_down", vec![]));
    let (power, acts) = next(power, Event::Wanted, now, MEANS);
    assert_eq!(acts, []);
    let (power, log) = run(power, now + REFUSED_POLLS, MEANS);
    assert_eq!(log.last().unwrap().1, Act::GaveUp);
    assert!(log[..log.len() - 1].iter().all(|(_, act)| *act == Act::Poll) && !power.in_progress());
}

#[test]
fn a_late_reset_is_some_routers_and_counts_as_no_answer() {
    assert_eq!(next(Power::Awake, Event::Refused(MS * 301), Instant::now(), MEANS).0, Power::Asleep);
}

#[test]
fn a_node_without_means_is_never_waking() {
    assert_eq!(next(Power::Asleep, Event::Wanted, Instant::now(), NONE), (Power::Asleep, vec![]));
}

#[test]
fn a_suspending_hosts_last_answers_do_not_make_it_awake() {
    let now = Instant::now();
    let (power, _) = next(Power::Awake, Event::GoesToSleep, now, MEANS);
    let (power, _) = next(power, Event::Answered, now + MS, MEANS);
    assert_eq!(power.word(), "suspending");
    assert_eq!(run(power, now + Duration::from_secs(30), MEANS).0, Power::Asleep);
}

#[test]
fn a_suspending_hosts_own_word_makes_it_awake_at_once() {
    let now = Instant::now();
    let (power, _) = next(Power::Awake, Event::GoesToSleep, now, MEANS);
    assert_eq!(next(power, Event::Stays, now, MEANS), (Power::Awake, vec![Act::CameUp(None)]));
}

fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
    let event = prop_oneof![
        Just(Event::Answered),
        (0u64..600).prop_map(|ms| Event::Refused(Duration::from_millis(ms))),
        Just(Event::NoAnswer),
        Just(Event::Wanted),
        Just(Event::Called),
        Just(Event::GoesToSleep),
        Just(Event::Stays),
        Just(Event::Tick),
    ];
    proptest::collection::vec((event, 0u64..20_000), 0..60)
}

fn sends(acts: &[Act]) -> bool {
    acts.iter().any(|act| matches!(act, Act::SendPackets | Act::CallUrl | Act::Poll))
}

#[test]
fn every_word_of_a_state_is_in_the_list_of_words() {
    let now = Instant::now();
    let waking = next(Power::Asleep, Event::Wanted, now, MEANS).0;
    let (resting, failed) = (Power::ServiceDown(Refused::Resting), Power::WakeFailed { until: now, refused: false });
    let states = [Power::Unknown, Power::Awake, resting, Power::Asleep, waking, Power::Suspending { until: now }, failed];
    assert_eq!(states.map(|power| power.word()), Power::WORDS);
}

proptest! {
    #[test]
    fn without_a_want_no_sequence_of_evidence_sends_anything(events in events(), packets: bool, url: bool) {
        let means = Means { packets, url, ..MEANS };
        let (mut power, mut now) = (Power::Unknown, Instant::now());
        for (event, ms) in events.into_iter().filter(|(event, _)| *event != Event::Wanted) {
            now += Duration::from_millis(ms);
            let (after, acts) = next(power, event, now, means);
            prop_assert!(!sends(&acts), "{event:?} -> {acts:?}");
            prop_assert!(!after.in_progress());
            power = after;
        }
    }

    #[test]
    fn no_packet_follows_a_refusal_until_the_host_fell_silent(events in events()) {
        let (mut power, mut now, mut refusing) = (Power::Unknown, Instant::now(), false);
        for (event, ms) in events {
            now += Duration::from_millis(ms);
            match event {
                Event::Refused(after) => refusing = after <= PROMPT,
                Event::NoAnswer | Event::Answered | Event::GoesToSleep | Event::Stays => refusing = false,
                Event::Wanted | Event::Called | Event::Tick => {}
            }
            // A failed wake is over: the next want may try again with packets.
            let fresh = matches!(power, Power::WakeFailed { .. } | Power::Suspending { .. });
            let (after, acts) = next(power, event, now, MEANS);
            if refusing && !fresh {
                prop_assert!(!acts.contains(&Act::SendPackets), "{event:?} in {after:?}");
            }
            if fresh { refusing = false; }
            power = after;
        }
    }

    #[test]
    fn whatever_a_request_may_wait_for_ends_by_itself(events in events()) {
        let (mut power, mut now) = (Power::Unknown, Instant::now());
        for (event, ms) in events {
            now += Duration::from_millis(ms);
            power = next(power, event, now, MEANS).0;
            prop_assert_eq!(power.in_progress() && power.next_tick(MEANS).is_none(), false);
        }
        let (power, _) = run(power, now + MEANS.deadline + REFUSED_POLLS, MEANS);
        prop_assert!(!power.in_progress());
    }

    #[test]
    fn a_campaign_ticks_forward_and_never_spins(events in events()) {
        let (mut power, mut now) = (Power::Asleep, Instant::now());
        for (event, ms) in events {
            now += Duration::from_millis(ms);
            power = next(power, event, now, MEANS).0;
            power = next(power, Event::Tick, now, MEANS).0;
            if let Some(at) = power.next_tick(MEANS) {
                prop_assert!(at > now, "asks for a tick that is already past");
            }
        }
    }
}
