//! `check`: looks for faults in settings, network and nodes, and says the way out of each.
//!
//! `gather` and `visit` look, `machine`, `node` and `sizes` judge what they found, `report` prints it.

mod gather;
mod hints;
mod machine;
mod node;
mod report;
mod sizes;
mod visit;

use std::time::SystemTime;

use tokio::task::JoinSet;

use super::running::{ListedNode, Running};
use super::{quiet, runtime, say, settings, working_dir};
use crate::app::Failure;
use crate::config::{self, CheckArgs, Config, Env, NodeConfig, Origin, Secret};
use crate::fleet::Fleet;
use report::Line;
use visit::Visit;

pub(super) fn run(args: &CheckArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load_of_role(&args.serve, env, &working_dir()).map_err(|faults| settings(&faults))?;
    say(&format!("{}\n", announcement(args.call_wake_url)));
    say(&format!("\nSettings\n{}\n", table(&config.origins)));
    let key = config::load_key(&args.serve, env, &working_dir());
    let faults = runtime()?.block_on(examine(&config, key.as_ref(), args.call_wake_url, env))?;
    if config.nodes.iter().any(|node| node.enabled && !node.always_on) {
        say(&format!("\n{}\n", hints::HINTS));
    }
    match faults {
        0 => drop(say("\nNo fault was found.\n")),
        1 => return Err(Failure::Other(anyhow::anyhow!("check found 1 fault"))),
        many => return Err(Failure::Other(anyhow::anyhow!("check found {many} faults"))),
    }
    Ok(())
}

/// A person decides whether a sleeping PC may be touched.
fn announcement(calls_wake_urls: bool) -> &'static str {
    if calls_wake_urls {
        "This connects to every node and calls every wake URL, which wakes the PCs."
    } else {
        "This connects to every node and sends packets for a card that nobody has. It calls no wake URL and sends no packet \
         that names a node's card;\na PC that is set to wake on any packet may wake all the same."
    }
}

/// Prints all findings; returns how many are faults.
async fn examine(config: &Config, key: Option<&Secret>, call_wake_url: bool, env: &Env) -> anyhow::Result<usize> {
    let mut keepers = JoinSet::new();
    let (fleet, note) = quiet::fleet(config, &config.nodes, &mut keepers)?;
    let notes: Vec<Line> = config.notes.iter().cloned().chain(note).map(Line::note).collect();
    let mut faults = if notes.is_empty() { 0 } else { report::print("About the settings", &notes) };
    let machine = gather::machine(env);
    let ports = gather::ports(&config.listen, key).await;
    let needs_packets = config.nodes.iter().any(|node| node.enabled && !node.always_on && node.wake.url.is_none());
    let told = Running::at(None, &config.listen).with_key(key).nodes().await.unwrap_or_default();
    let mut here = machine::lines(&machine, &ports, needs_packets);
    here.extend(gather::expiry(&config.listen).map(|expiry| machine::certificate_line(expiry, SystemTime::now())));
    // Workers are in nobody's settings.
    if config.registration.is_none() {
        here.extend(other_settings(&config.nodes, &told));
    }
    faults += report::print("This machine", &here);
    for node in &config.nodes {
        let heading = format!("Node {} at {}", node.name, node.hosts.first().map(ToString::to_string).unwrap_or_default());
        let housing = machine::housing(&machine);
        let lines = match visit(config, &fleet, &told, node, call_wake_url) {
            Some(visit) => node::lines(&visit.find().await?, &machine.networks, housing),
            None => vec![Line::note("not enabled")],
        };
        faults += report::print(&heading, &lines);
    }
    let sizes = sizes::lines(&config.nodes, config.fallback);
    if !sizes.is_empty() {
        faults += report::print("Sizes of models", &sizes);
    }
    if config.nodes.is_empty() {
        faults += report::print("Nodes", &[no_nodes(config.registration.is_some(), &told)]);
    }
    Ok(faults)
}

/// A controller gets its nodes from workers, and knows them only while it runs.
fn no_nodes(is_controller: bool, told: &[ListedNode]) -> Line {
    if !is_controller {
        return Line::fault("no node is set", "set --ollama-url (OLLAMA_URL) to the PC, such as http://192.168.1.20:11434");
    }
    let names: Vec<&str> = told.iter().map(|node| node.name.as_str()).collect();
    match names.len() {
        0 => Line::note("no node is set, and no controller with workers runs here: workers register by CONTROLLER_URL"),
        _ => Line::note(format!("no node is set; the controller that runs here has {}", names.join(", "))),
    }
}

fn visit<'a>(
    config: &'a Config,
    fleet: &'a Fleet,
    told: &'a [ListedNode],
    node: &NodeConfig,
    call_wake_url: bool,
) -> Option<Visit<'a>> {
    let name = node.name.as_str();
    Some(Visit {
        node: fleet.find(name).filter(|node| node.config().enabled)?,
        config,
        told: told.iter().find(|told| is_same(told, node)),
        call_wake_url,
    })
}

/// A running proxy with other settings may have another node of that name.
fn is_same(told: &ListedNode, node: &NodeConfig) -> bool {
    told.name == node.name.as_str() && node.hosts.iter().any(|host| told.hosts.contains(&host.host))
}

/// The proxy that runs here has none of the nodes of these settings: a service or a container has settings of its own.
fn other_settings(nodes: &[NodeConfig], told: &[ListedNode]) -> Option<Line> {
    let common = told.iter().any(|told| nodes.iter().any(|node| is_same(told, node)));
    if told.is_empty() || common || nodes.iter().any(|node| node.discovered) {
        return None;
    }
    let theirs: Vec<String> = told.iter().map(|node| format!("{} at {}", node.name, node.hosts.join(" "))).collect();
    let text = format!("the proxy that runs here has other nodes than this check: {}", theirs.join(", "));
    let way_out = "check with the proxy's own settings: in its folder where it reads .env, in its container by \
                   `docker exec ollama-proxy /ollama-proxy check`, beside its systemd service as README.md says (Without Docker)";
    Some(Line::note(text).with_way_out(way_out))
}

/// Each effective setting with where it came from.
fn table(origins: &[Origin]) -> String {
    let width = |cell: fn(&Origin) -> &str| origins.iter().map(|origin| cell(origin).chars().count()).max().unwrap_or_default();
    let (names, values) = (width(|origin| &origin.setting), width(|origin| &origin.value).min(60));
    let row = |origin: &Origin| format!("  {:names$}  {:values$}  ({})", origin.setting, origin.value, origin.origin);
    origins.iter().map(row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_stands_with_its_origin() {
        let origin = |setting: &str, value: &str, origin: &str| Origin {
            setting: setting.to_owned(),
            value: value.to_owned(),
            origin: origin.to_owned(),
        };
        let text = table(&[origin("port", "11434", "default"), origin("ollama-url", "http://pc:1", "environment OLLAMA_URL")]);
        assert_eq!(text, "  port        11434        (default)\n  ollama-url  http://pc:1  (environment OLLAMA_URL)");
    }

    #[test]
    fn the_first_words_say_what_is_touched() {
        assert!(announcement(false).contains("connects to every node") && announcement(false).contains("calls no wake URL"));
        assert!(announcement(true).contains("wakes the PCs"));
    }
}
