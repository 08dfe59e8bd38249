//! What a worker tells of its machine: system, interfaces, hardware addresses.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::message::Interface;
use crate::values::{Mac, sort_by_key};

/// The operating system and the processor, such as `linux x86_64`.
pub(super) fn os() -> String {
    format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
}

/// A number that belongs to this process alone.
pub(super) fn instance() -> String {
    let started = std::time::SystemTime::now();
    format!("{:016x}", RandomState::new().hash_one((started, std::process::id())))
}

/// The interfaces that can be woken by: those with a hardware address. Empty where the system tells none without a program
/// of its own (macOS, Windows): there the controller learns the address from its neighbour table.
pub(super) fn interfaces() -> Vec<Interface> {
    let macs = hardware_addresses();
    let addresses = if_addrs::get_if_addrs().unwrap_or_default();
    let mut interfaces: Vec<Interface> = addresses
        .iter()
        .filter(|interface| !interface.is_loopback())
        .filter_map(|interface| {
            let (name, mac) = (interface.name.clone(), macs.get(&interface.name)?.to_string());
            Some(Interface { name, mac, address: Some(interface.ip()) })
        })
        .collect();
    // IPv4 first: magic packets go by it.
    sort_by_key(&mut interfaces, |interface| interface.address.is_some_and(|address| address.is_ipv6()));
    interfaces
}

fn hardware_addresses() -> HashMap<String, Mac> {
    let Ok(all) = std::fs::read_dir("/sys/class/net") else { return HashMap::new() };
    let address = |name: &str| std::fs::read_to_string(format!("/sys/class/net/{name}/address")).ok()?.trim().parse().ok();
    all.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let mac = address(&name)?;
        Some((name, mac))
    })
    .collect()
}
