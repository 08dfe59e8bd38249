//! Judging the means to wake a node: its MAC, the way of the packets, whether they leave, its wake URL.

use super::{Found, UrlFound};
use crate::commands::check::machine::Housing;
use crate::commands::check::report::Line;
use crate::fleet;
use crate::fleet::survey::{Network, Trial};

/// WolGoWeb refuses a clock that is further ahead of its own than this, in seconds.
const CLOCKS: i64 = 1;

pub(super) fn lines(found: &Found, networks: &[Network], housing: Housing) -> Vec<Line> {
    let mut lines = mac_lines(found, housing);
    let by_packet = found.mac.is_some() || found.wake_url.is_none();
    // Without any network there is one fault, this machine's, and not one more per node.
    let has_a_way = !found.broadcast.is_empty() || networks.iter().any(|network| network.usable);
    if by_packet && has_a_way {
        lines.push(way_line(found, networks, housing));
        lines.extend(found.trial.as_ref().map(trial_line));
    }
    if let Some(url) = &found.wake_url {
        lines.extend(url_lines(url));
    }
    lines
}

fn mac_lines(found: &Found, housing: Housing) -> Vec<Line> {
    match (found.mac, found.seen_mac) {
        (Some((mac, source)), Some(seen)) if mac != seen => {
            let text = format!("MAC {mac} ({source}), but {seen} is what answers");
            let way_out = "if the PC has two network cards this may be right: packets must name the one that is armed to wake";
            vec![Line::note(text).with_way_out(way_out)]
        }
        (Some((mac, source)), _) => vec![Line::ok(format!("MAC {mac} ({source})"))],
        (None, _) if found.is_here => vec![Line::note("it runs on this machine: there is nothing to wake")],
        (None, Some(seen)) => vec![Line::ok(format!("MAC {seen} is what answers; the proxy learns it by itself"))],
        (None, None) if found.wake_url.is_some() => Vec::new(),
        (None, None) => vec![no_mac(found, housing)],
    }
}

fn no_mac(found: &Found, housing: Housing) -> Line {
    const READ_IT: &str =
        "read it on the PC (Windows: ipconfig /all, Linux: ip link, macOS: ifconfig) and set --wake-mac (WAKE_MAC)";
    if !found.answers() {
        let way_out = format!("switch the PC on once while the proxy runs, so that it is learnt; or {READ_IT}");
        return Line::fault("its MAC is not known, so it cannot be woken", way_out);
    }
    let why = if housing == Housing::Bridge { "from inside a bridge network" } else { "behind a router" };
    Line::fault(format!("its MAC cannot be learnt {why}, so it cannot be woken"), READ_IT)
}

/// Which way its packets would go.
fn way_line(found: &Found, networks: &[Network], housing: Housing) -> Line {
    if !found.broadcast.is_empty() {
        let to: Vec<String> = found.broadcast.iter().map(ToString::to_string).collect();
        return Line::ok(format!("magic packets go to {}, as --wake-broadcast says", to.join(", ")));
    }
    let Some(address) = found.address.and_then(fleet::v4) else {
        return Line::note("its IPv4 address is not known: magic packets go to 255.255.255.255 by every interface");
    };
    if let Some(near) = networks.iter().find(|network| network.usable && network.holds(address)) {
        let Network { interface, address, broadcast, .. } = near;
        return Line::ok(format!("on the same network: magic packets go from {interface} ({address}) to {broadcast}"));
    }
    if found.is_here {
        return Line::note("its address is this machine's own: packets that leave it reach others only");
    }
    let way_out = match housing {
        Housing::Bridge => {
            "in the container use the machine's own network: `docker run --network host …` (compose: `network_mode: host`)"
        }
        _ => {
            "put the proxy on the PC's network, or set --wake-url to a service there, or --wake-broadcast to an address that a router forwards"
        }
    };
    let own: Vec<String> = networks.iter().filter(|network| network.usable).map(|network| network.address.to_string()).collect();
    let own = own.join(", ");
    let text = format!("behind a router: {address} is on no network of this machine ({own}), and routers drop magic packets");
    Line::fault_unless(found.wake_url.is_some(), text, way_out)
}

fn trial_line(trial: &Trial) -> Line {
    const FIREWALL: &str = "allow outgoing UDP to ports 9 and 7 in this machine's firewall, and look whether the interface is up";
    let by = trial.interfaces.join(", ");
    match (&trial.sent, &trial.rose) {
        (Err(why), _) => Line::fault(format!("no packet could be sent ({why})"), FIREWALL),
        (Ok(0), _) => Line::fault(
            "there is nowhere to send a packet to",
            "set --wake-broadcast, or connect this machine to the PC's network",
        ),
        (Ok(sent), None) => {
            Line::note(format!("the system took {sent} trial packets by {by}; it shows no counters to see them leave"))
        }
        (Ok(sent), Some(rose)) if rose.is_empty() => Line::fault(
            format!("the system took {sent} trial packets, but no counter of {by} rose: they did not leave"),
            FIREWALL,
        ),
        (Ok(sent), Some(rose)) => {
            Line::ok(format!("{sent} trial packets, for a card that nobody has, were seen leaving by {}", rose.join(", ")))
        }
    }
}

fn url_lines(url: &UrlFound) -> Vec<Line> {
    let shown = &url.shown;
    let Some(answer) = &url.answer else {
        return vec![match &url.server {
            Some(Err(why)) => Line::fault(
                format!("the server of the wake URL {shown} cannot be reached ({why})"),
                "start the wake service, or correct --wake-url (inside a container localhost is the container)",
            ),
            Some(Ok(())) => Line::ok(format!("the server of the wake URL {shown} takes connections"))
                .with_way_out("it was not called, since that wakes the PC: --call-wake-url does"),
            None => Line::note(format!("the wake URL {shown} was not called, since that wakes the PC: --call-wake-url does")),
        }];
    };
    let mut lines = vec![match &answer.result {
        Ok(()) => Line::ok(format!("the wake URL {shown} was called and accepted")),
        Err(why) => Line::fault(
            format!("the wake URL {shown} failed: {why}"),
            "correct --wake-url and --wake-key, or look into the log of its service",
        ),
    }];
    lines.push(match answer.ahead {
        Some(ahead) if ahead.abs() > CLOCKS => {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            Line::note(format!("its clock is {} s {side} ours; the proxy allows for it", ahead.abs()))
                .with_way_out("set both clocks by the network (NTP)")
        }
        Some(_) => Line::ok("its clock and ours agree"),
        None => Line::note("it does not tell its time, so the clocks cannot be compared"),
    });
    lines
}
