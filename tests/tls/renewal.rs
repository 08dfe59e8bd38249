//! The certificate changes while the program runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::client::{Client, request};
use crate::{CHAT, House, until};

/// Tells the others to stop, also when a test panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_new_pair_is_shown_under_load_and_no_request_fails() {
    let house = House::new(&[]);
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        let askers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::of(&house.authority);
                    while !stop.load(Ordering::Relaxed) {
                        let text = client.post(house.proxy.address, "/api/chat", CHAT).unwrap();
                        assert!(text.contains("\"done\":true"), "{text}");
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for by_signal in [true, false, true] {
            let (before, new) = (asked.load(Ordering::Relaxed), house.authority.certifies(&["127.0.0.1"]));
            new.write(&house.scratch, "proxy");
            if by_signal {
                house.proxy.hang_up();
            }
            until("the new certificate is shown", || {
                house.client.ask(house.proxy.address, &request("GET", "/health", "")).unwrap().1 == new.der
            });
            until("others were served", || {
                asked.load(Ordering::Relaxed) > before || askers.iter().any(std::thread::ScopedJoinHandle::is_finished)
            });
        }
    });
    assert!(asked.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_pair_that_cannot_be_used_leaves_the_old_one_in_place_and_is_told() {
    let house = House::new(&[]);
    let shown = || house.client.ask(house.proxy.address, &request("GET", "/health", "")).unwrap().1;
    let old = shown();
    std::fs::write(house.scratch.join("proxy.crt"), "-----BEGIN CERTIFICATE-----\noops").unwrap();
    house.proxy.hang_up();
    house.proxy.written("the one before is still shown");
    assert_eq!(shown(), old);
    // The certificate came, its key is still on the way.
    let new = house.authority.certifies(&["127.0.0.1"]);
    std::fs::write(house.scratch.join("proxy.crt"), &new.cert).unwrap();
    house.proxy.written("is not the key of");
    assert_eq!(shown(), old);
    std::fs::write(house.scratch.join("proxy.key"), &new.key).unwrap();
    until("the whole pair is shown", || shown() == new.der);
}
