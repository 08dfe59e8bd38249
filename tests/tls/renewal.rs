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

#[test]
fn the_end_of_a_certificate_is_told_in_good_time_and_no_more_when_it_was_renewed() {
    let house = House::new(&[]);
    let metric = "ollama_proxy_tls_certificate_not_after_timestamp_seconds";
    let ends_at = || {
        let page = house.client.get(house.proxy.address, "/metrics").unwrap();
        let series = page.lines().find_map(|line| line.strip_prefix(metric)).unwrap_or_else(|| panic!("{page}"));
        series.trim().parse::<f64>().unwrap()
    };
    let page = || house.client.ask(house.proxy.address, PAGE).unwrap().0;
    // 2099-01-01, as the house's first certificate has it.
    until("its end is known", || (ends_at() - 4_070_908_800.0).abs() < 1.0);
    assert!(!page().contains("renew it"), "{}", page());
    let shows = |days: u64| {
        let new = house.authority.certifies_for(&["127.0.0.1"], days);
        new.write(&house.scratch, "proxy");
        house.proxy.hang_up();
        until("it is shown", || house.client.ask(house.proxy.address, &request("GET", "/health", "")).unwrap().1 == new.der);
    };
    shows(6);
    house.proxy.written("warn");
    let line = house.proxy.written("the certificate of --tls-cert ends on");
    assert!(line.contains("in 5 days: renew it"), "{line}");
    until("the page says so", || page().contains("in 5 days: renew it"));
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((4.5 * 86400.0..6.5 * 86400.0).contains(&(ends_at() - now)), "{}", ends_at() - now);
    shows(90);
    until("the page is silent", || !page().contains("renew it"));
    assert_eq!(house.proxy.written_so_far().matches("renew it").count(), 1, "{}", house.proxy.written_so_far());
}

const PAGE: &str = "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
