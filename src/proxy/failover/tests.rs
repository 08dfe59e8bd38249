//! One test per row of the table.

use super::*;

fn of_status(status: u16) -> Consequence {
    Ending::of_answer(StatusCode::from_u16(status).unwrap(), b"{\"error\":\"no\"}").consequence()
}

#[test]
fn a_refused_connection_goes_to_another_node_and_counts() {
    assert_eq!(Ending::Refused.consequence(), row(Next::Another, false, Blame::Yes));
}

#[test]
fn a_node_that_does_not_answer_is_tried_after_the_others_and_a_sleeper_not_blamed() {
    assert_eq!(Ending::Unanswered.consequence(), row(Next::AnotherOrSame, false, Blame::UnlessSleeper));
}

#[test]
fn a_node_that_sleeps_and_cannot_be_woken_is_replaced_and_not_blamed() {
    assert_eq!(Ending::Asleep.consequence(), row(Next::Another, false, Blame::No));
}

#[test]
fn a_wake_in_vain_goes_to_another_node_and_is_no_failure() {
    assert_eq!(Ending::WakeFailed.consequence(), row(Next::Another, false, Blame::No));
}

#[test]
fn a_connection_that_ends_before_the_answer_is_repeated_elsewhere_first_and_counts() {
    assert_eq!(Ending::WentAway.consequence(), row(Next::AnotherOrSame, true, Blame::Yes));
}

#[test]
fn a_host_that_falls_silent_is_replaced_and_a_sleeper_not_blamed() {
    assert_eq!(Ending::FellSilent.consequence(), row(Next::AnotherOrSame, true, Blame::UnlessSleeper));
}

#[test]
fn bad_gateway_unavailable_and_gateway_timeout_go_to_another_node_and_count() {
    for status in [502, 503, 504] {
        assert_eq!(of_status(status), row(Next::Another, true, Blame::Yes), "{status}");
    }
}

#[test]
fn a_busy_server_is_replaced_and_not_blamed() {
    let body = br#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#;
    let ending = Ending::of_answer(StatusCode::SERVICE_UNAVAILABLE, body);
    assert_eq!(ending.consequence(), row(Next::Another, true, Blame::No));
    // The words in an answer of another status are somebody's text.
    assert_eq!(Ending::of_answer(StatusCode::OK, body), Ending::Status(StatusCode::OK));
}

#[test]
fn every_other_status_is_the_clients_answer_and_no_failure() {
    for status in [200, 204, 301, 400, 401, 403, 404, 409, 413, 429, 499, 500, 501, 505, 507] {
        assert_eq!(of_status(status), row(Next::Nobody, true, Blame::No), "{status}");
    }
}

#[test]
fn our_own_limits_and_the_clients_mistakes_are_final() {
    for kind in [Kind::Busy, Kind::Draining, Kind::BadRequest, Kind::NotFound, Kind::Timeout, Kind::Loop] {
        let fault = Fault::ours(kind, Retry::Never, "no");
        assert_eq!(Ending::of_fault(&fault).consequence(), row(Next::Nobody, true, Blame::No), "{kind:?}");
    }
}

#[test]
fn faults_on_the_way_to_a_node_are_told_apart() {
    let ending = |kind| Ending::of_fault(&Fault::node(kind, Retry::Never, "no"));
    assert_eq!(ending(Kind::Refusing), Ending::Refused);
    assert_eq!(ending(Kind::Asleep), Ending::Asleep);
    assert_eq!(ending(Kind::NoNode), Ending::Asleep);
    assert_eq!(Ending::of_fault(&Fault::node(Kind::NoNode, Retry::Now, "no")), Ending::Unanswered);
    assert_eq!(ending(Kind::WakeFailed), Ending::WakeFailed);
    assert_eq!(ending(Kind::Died), Ending::WentAway);
}
