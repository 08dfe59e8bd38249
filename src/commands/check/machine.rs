//! Judging this machine: whether broadcasts can leave it, and whether its ports are free.

use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use super::report::Line;
use crate::config::{Expiry, ExpiryStage};
use crate::fleet::survey::Network;

/// What was found on this machine.
#[derive(Clone, Debug, Default)]
pub(super) struct Machine {
    /// Docker, Podman or Kubernetes left their mark.
    pub(super) in_container: bool,
    /// The text of `/proc/version`; empty on other systems.
    pub(super) kernel: String,
    pub(super) networks: Vec<Network>,
    pub(super) gateways: Vec<IpAddr>,
}

/// Where this program lives, as far as broadcasts are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Housing {
    /// On a machine of its own, or in a container with the machine's network.
    Open,
    /// In a container's bridge network: broadcasts end at the bridge.
    Bridge,
    /// In a virtual machine that a desktop program hides: broadcasts end there.
    Hidden(&'static str),
}

/// What holds a port that we would listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Port {
    Free,
    /// A proxy of ours, with so many nodes.
    Proxy(usize),
    Ollama,
    /// Why it cannot be opened, with the way out.
    Unusable(String),
}

/// The networks that container engines hand out: Docker's bridges, Podman's, rootless Podman's, Docker Desktop's.
const ENGINES: [(Ipv4Addr, u32); 4] = [
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(10, 88, 0, 0), 16),
    (Ipv4Addr::new(10, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 65, 0), 24),
];

const HOST_NETWORK: &str = "use the machine's own network: `docker run --network host …`, in a compose file `network_mode: host`; \
                            or set --wake-url to a service that sends the packet";

/// Where this program lives. Outside any marked container a lone address that is as Docker makes them, with the gateway as
/// Docker makes it, is taken for a bridge too: some engines leave no mark.
pub(super) fn housing(machine: &Machine) -> Housing {
    let own: Vec<&Network> = machine.networks.iter().filter(|network| !network.address.is_loopback()).collect();
    let made = |network: &&Network| ENGINES.iter().any(|engine| within(network.address, *engine));
    let marked = machine.in_container && !own.is_empty() && own.iter().all(made);
    let lone = matches!(&own[..], [only] if only.prefix_length() == 16 && within(only.address, ENGINES[0]) && machine.gateways.contains(&first_of(only)));
    if marked || lone {
        Housing::Bridge
    } else if machine.kernel.contains("linuxkit") {
        Housing::Hidden("Docker Desktop's virtual machine")
    } else if machine.kernel.to_ascii_lowercase().contains("microsoft") {
        Housing::Hidden("Windows' subsystem for Linux")
    } else {
        Housing::Open
    }
}

fn within(address: Ipv4Addr, (network, length): (Ipv4Addr, u32)) -> bool {
    let mask = u32::MAX << (32 - length);
    address.to_bits() & mask == network.to_bits()
}

/// `172.17.0.1` of `172.17.0.5/16`.
fn first_of(network: &Network) -> IpAddr {
    let shift = 32 - network.prefix_length();
    Ipv4Addr::from_bits((network.address.to_bits() >> shift << shift) + 1).into()
}

/// The findings. `needs_packets`: some node can be woken by packets only.
pub(super) fn lines(machine: &Machine, ports: &[(u16, Port)], needs_packets: bool) -> Vec<Line> {
    let mut lines: Vec<Line> = ports.iter().map(|(port, found)| port_line(*port, found)).collect();
    lines.push(housing_line(machine, needs_packets));
    if housing(machine) == Housing::Bridge {
        return lines;
    }
    let usable: Vec<String> = machine.networks.iter().filter(|network| network.usable).map(shown).collect();
    lines.push(if usable.is_empty() {
        let text = "no network interface here can carry a magic packet";
        Line::fault_unless(!needs_packets, text, "connect this machine to the PC's network by cable or Wi-Fi")
    } else {
        Line::ok(format!("magic packets can leave by {}", usable.join(", ")))
    });
    lines
}

fn shown(network: &Network) -> String {
    format!("{} ({}, broadcast {})", network.interface, network.address, network.broadcast)
}

fn housing_line(machine: &Machine, needs_packets: bool) -> Line {
    match housing(machine) {
        Housing::Bridge => {
            let text = "this is a container's bridge network: magic packets do not leave it, and MACs cannot be learnt";
            Line::fault_unless(!needs_packets, text, HOST_NETWORK)
        }
        Housing::Hidden(place) => Line::note(format!("this runs inside {place}: magic packets may never leave it")).with_way_out(
            "run the proxy on a Raspberry Pi, NAS or Linux machine, or set --wake-url to a service that sends the packet",
        ),
        Housing::Open if machine.in_container => {
            Line::ok("in a container, but not in a bridge network as container engines make them")
        }
        Housing::Open => Line::ok("not in a container's bridge network"),
    }
}

fn port_line(port: u16, found: &Port) -> Line {
    match found {
        Port::Free => Line::ok(format!("port {port} is free for the proxy")),
        Port::Proxy(nodes) => Line::ok(format!("port {port}: an ollama-proxy runs there, with {nodes} node(s)")),
        Port::Ollama => {
            let other = port.wrapping_add(1).max(1024);
            let way_out = format!(
                "move that Ollama with OLLAMA_HOST=127.0.0.1:{other} in its environment, or let the proxy use --port {other}"
            );
            Line::fault(format!("port {port} is in use by an Ollama on this machine"), way_out)
        }
        Port::Unusable(why) => Line::fault(format!("port {port} cannot be opened"), why.clone()),
    }
}

/// What is to be said of the certificate's end.
pub(super) fn certificate_line(expiry: Expiry, now: SystemTime) -> Line {
    const WAY_OUT: &str = "put a new pair into both files: a running proxy reads them by itself";
    match expiry.stage(now) {
        ExpiryStage::Far => Line::ok(expiry.words(now)),
        ExpiryStage::Soon => Line::note(expiry.words(now)).with_way_out(WAY_OUT),
        ExpiryStage::Past => Line::fault(expiry.words(now), WAY_OUT),
    }
}

#[cfg(test)]
mod tests;
