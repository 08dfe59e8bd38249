//! What `check` says about this machine, line by line.

use super::*;
use crate::commands::check::report::Mark;

fn network(interface: &str, address: [u8; 4], length: u32) -> Network {
    Network::new(interface, address.into(), Ipv4Addr::from_bits(u32::MAX << (32 - length)))
}

fn machine(in_container: bool, networks: &[Network]) -> Machine {
    let loopback = network("lo", [127, 0, 0, 1], 8);
    let networks = std::iter::once(loopback).chain(networks.iter().cloned()).collect();
    Machine { in_container, networks, ..Machine::default() }
}

#[test]
fn a_container_with_only_an_engines_address_is_in_a_bridge() {
    for address in [[172, 17, 0, 2], [172, 31, 4, 2], [10, 88, 0, 7], [10, 0, 2, 100], [192, 168, 65, 3]] {
        assert_eq!(housing(&machine(true, &[network("eth0", address, 16)])), Housing::Bridge, "{address:?}");
    }
}

#[test]
fn a_container_with_the_machines_network_is_open() {
    let lan = network("eth0", [192, 168, 1, 5], 24);
    let bridge = network("docker0", [172, 17, 0, 1], 16);
    assert_eq!(housing(&machine(true, &[lan.clone(), bridge.clone()])), Housing::Open);
    assert_eq!(housing(&machine(false, &[lan, bridge])), Housing::Open);
}

#[test]
fn without_a_mark_only_dockers_own_mask_and_gateway_count() {
    let mut unmarked = machine(false, &[network("eth0", [172, 18, 0, 3], 16)]);
    assert_eq!(housing(&unmarked), Housing::Open);
    unmarked.gateways = vec![[172, 18, 0, 1].into()];
    assert_eq!(housing(&unmarked), Housing::Bridge);
    let mut home = machine(false, &[network("eth0", [172, 18, 0, 3], 24)]);
    home.gateways = vec![[172, 18, 0, 1].into()];
    assert_eq!(housing(&home), Housing::Open, "a home network may use these addresses too");
}

#[test]
fn desktop_virtual_machines_are_known_by_their_kernel() {
    let mut hidden = machine(true, &[network("eth0", [192, 168, 1, 5], 24)]);
    hidden.kernel = "Linux version 6.6.12-linuxkit (root@buildkitsandbox)".to_owned();
    assert!(matches!(housing(&hidden), Housing::Hidden(place) if place.contains("Docker Desktop")));
    hidden.kernel = "Linux version 5.15.153.1-microsoft-standard-WSL2".to_owned();
    assert!(matches!(housing(&hidden), Housing::Hidden(place) if place.contains("Windows")));
}

#[test]
fn a_bridge_is_a_fault_with_its_one_line_fix_unless_wake_urls_do_the_work() {
    let bridged = machine(true, &[network("eth0", [172, 17, 0, 2], 16)]);
    let found = lines(&bridged, &[], true);
    assert_eq!(found[0].mark, Mark::Fault);
    assert_eq!(found.len(), 1, "nothing else is said of packets: {found:?}");
    assert!(found[0].way_out.as_ref().unwrap().contains("--network host"));
    assert!(lines(&bridged, &[], false).iter().all(|line| line.mark != Mark::Fault));
}

#[test]
fn no_interface_for_packets_is_a_fault_when_packets_are_needed() {
    assert_eq!(lines(&machine(false, &[]), &[], true)[1].mark, Mark::Fault);
    assert_eq!(lines(&machine(false, &[]), &[], false)[1].mark, Mark::Note);
    let lan = lines(&machine(false, &[network("eth0", [10, 2, 2, 7], 23)]), &[], true);
    assert_eq!(lan[1], Line::ok("magic packets can leave by eth0 (10.2.2.7, broadcast 10.2.3.255)"));
}

#[test]
fn a_port_held_by_ollama_names_both_ways_out() {
    let ports = [(11434, Port::Ollama), (11435, Port::Free), (11436, Port::Proxy(2)), (80, Port::Unusable("why".into()))];
    let found = lines(&machine(false, &[]), &ports, false);
    let marks: Vec<Mark> = found[..4].iter().map(|line| line.mark).collect();
    assert_eq!(marks, [Mark::Fault, Mark::Ok, Mark::Ok, Mark::Fault]);
    let way_out = found[0].way_out.as_ref().unwrap();
    assert!(way_out.contains("OLLAMA_HOST=127.0.0.1:11435") && way_out.contains("--port 11435"), "{way_out}");
}

#[test]
fn a_certificate_that_ends_soon_is_a_note_and_one_that_has_ended_a_fault() {
    let (now, day) = (SystemTime::now(), std::time::Duration::from_secs(24 * 3600));
    let mark = |end: SystemTime| certificate_line(Expiry(end), now).mark;
    assert_eq!([mark(now + 90 * day), mark(now + 5 * day), mark(now - day)], [Mark::Ok, Mark::Note, Mark::Fault]);
}
