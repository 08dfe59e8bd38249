//! Judging one node: what was found about it becomes findings with their ways out. Pure.

mod waking;

use std::net::IpAddr;
use std::time::Duration;

use super::machine::Housing;
use super::report::Line;
use crate::fleet::survey::{Network, Trial, WakeUrlAnswer};
use crate::values::Mac;

/// What was found about one node.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Its first `host:port`.
    pub(super) at: String,
    /// Its TCP port.
    pub(super) port: u16,
    pub(super) always_on: bool,
    /// The addresses of its name; `None` when the settings give an address. `Err`: why there are none.
    pub(super) resolved: Option<Result<Vec<IpAddr>, String>>,
    /// The address that counts: that which answered, else that of the name, else the last good one.
    pub(super) address: Option<IpAddr>,
    /// Whether that address is this machine's.
    pub(super) is_here: bool,
    pub(super) contact: Contact,
    /// What the node is, if it is a proxy.
    pub(super) chain: Option<Chain>,
    /// The MAC that a wake would use, with its source in words.
    pub(super) mac: Option<(Mac, &'static str)>,
    /// The MAC that has just answered.
    pub(super) seen_mac: Option<Mac>,
    /// Addresses that `--wake-broadcast` sets.
    pub(super) broadcast: Vec<std::net::Ipv4Addr>,
    /// What became of a trial of its packets.
    pub(super) trial: Option<Trial>,
    pub(super) wake_url: Option<UrlFound>,
}

/// How the node met us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// It speaks the API that it should.
    Answered { version: String, models: Option<usize>, after: Duration },
    /// It speaks HTTP and something else, in words.
    Stranger(String),
    /// The host is up and nobody listens.
    Refused,
    /// Nothing came back, in words.
    NoAnswer(String),
    /// It takes connections and does not answer, in words.
    Mute(String),
    /// Its name has no address.
    Nowhere,
}

/// What a node is that is a proxy like this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// This one, by its address or because a request came back.
    Ourselves,
    /// Some other one.
    Another,
}

/// What was found about its wake URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UrlFound {
    /// Without secrets.
    pub(super) shown: String,
    /// Whether its server takes connections; `None`: which server it is depends on a placeholder.
    pub(super) server: Option<Result<(), String>>,
    /// Its answer, if it was called.
    pub(super) answer: Option<WakeUrlAnswer>,
}

impl Found {
    fn answers(&self) -> bool {
        matches!(self.contact, Contact::Answered { .. } | Contact::Stranger(_))
    }
}

/// The findings about a node on a machine with these networks.
pub(super) fn lines(found: &Found, networks: &[Network], housing: Housing) -> Vec<Line> {
    let mut lines = Vec::new();
    lines.extend(name_line(found));
    lines.extend(contact_line(found));
    lines.extend(chain_line(found));
    if !found.always_on {
        lines.extend(waking::lines(found, networks, housing));
    }
    lines
}

fn name_line(found: &Found) -> Option<Line> {
    const FIXED: &str =
        "give the PC a fixed address in the router (DHCP reservation) and name that: a sleeping PC answers no mDNS (.local)";
    Some(match (found.resolved.as_ref()?, found.address) {
        (Ok(addresses), _) => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            Line::ok(format!("its name is known: {}", addresses.join(", ")))
        }
        (Err(why), Some(last)) => {
            Line::note(format!("its name does not resolve ({why}); the last good address {last} is used")).with_way_out(FIXED)
        }
        (Err(why), None) => Line::fault(format!("its name does not resolve ({why})"), FIXED),
    })
}

fn contact_line(found: &Found) -> Option<Line> {
    let port = found.port;
    Some(match &found.contact {
        Contact::Answered { version, models: Some(0), .. } => {
            Line::note(format!("answers ({version}), but holds no model")).with_way_out("on the PC: ollama pull llama3.2")
        }
        Contact::Answered { version, models, after } => {
            let models = models.map(|count| format!(" with {count} model(s)")).unwrap_or_default();
            Line::ok(format!("answers: {version}{models}, after {} ms", after.as_millis()))
        }
        Contact::Stranger(what) => Line::fault(
            format!("something answers at {} that is no Ollama ({what})", found.at),
            "correct the address or port of the node (Ollama's own port is 11434)",
        ),
        Contact::Refused => Line::fault(
            format!("the machine is on, but nothing listens on port {port}"),
            "start Ollama there, and let it listen on the network: set OLLAMA_HOST=0.0.0.0 in its environment (alone it listens on \
             127.0.0.1 only)",
        ),
        Contact::Mute(why) => {
            Line::fault(format!("takes connections, but does not answer ({why})"), "restart Ollama there, or look into its log")
        }
        Contact::NoAnswer(why) if found.always_on => Line::fault(
            format!("does not answer ({why}), though it is declared always on"),
            format!("switch it on, open TCP port {port} in its firewall, or let it count as one that sleeps (--always-on=false)"),
        ),
        Contact::NoAnswer(why) => Line::note(format!("does not answer ({why}): it sleeps or is off, as it may")).with_way_out(
            format!(
                "if it is on, its address is another, or its firewall drops us (open TCP port {port}); check again while it is on \
                 to see more"
            ),
        ),
        Contact::Nowhere => return None,
    })
}

fn chain_line(found: &Found) -> Option<Line> {
    Some(match found.chain? {
        Chain::Ourselves => Line::fault(
            "the node's address leads back to this proxy",
            "set OLLAMA_URL to the PC that runs Ollama (inside a container localhost is the container)",
        ),
        Chain::Another => Line::note("the node is an ollama-proxy itself: two in a row only add waiting")
            .with_way_out("name the Ollama behind it instead"),
    })
}

#[cfg(test)]
mod tests;
