//! `wake`: wakes a node and waits. The running proxy does it where there is one, since it learns from each wake; without
//! one the same keeper does it here, by the settings and the state file.

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::quiet;
use super::running::{ListedNode, Running, Unasked};
use super::{runtime, say, settings, trust_for, working_dir};
use crate::app::Failure;
use crate::config::{self, Env, NodeConfig, WakeArgs};
use crate::fleet::power::Power;
use crate::fleet::{self, Node, Want};
use crate::telemetry::journal::Cause;

pub(super) fn run(args: &WakeArgs, env: &Env) -> Result<(), Failure> {
    let listen = config::load_running(&args.serve, env, &working_dir()).map_err(|faults| settings(&faults))?;
    trust_for(args.proxy.url.as_ref(), &args.serve, env)?;
    let key = config::load_key(&args.serve, env, &working_dir());
    let running = Running::at(args.proxy.url.as_ref(), &listen).with_key(key.as_ref());
    runtime()?.block_on(async {
        match by_proxy(&running, args.node.as_deref()).await {
            Err(Refused::Unasked(Unasked::NoProxy(why))) => {
                say(&format!("{why}; waking from here, by the settings.\n"));
                by_settings(args, env).await
            }
            Err(Refused::Unasked(Unasked::Failed(why))) => Err(no(why)),
            Err(Refused::Failure(failure)) => Err(failure),
            Ok(()) => Ok(()),
        }
    })
}

enum Refused {
    Unasked(Unasked),
    Failure(Failure),
}

impl From<Unasked> for Refused {
    fn from(unasked: Unasked) -> Self {
        Self::Unasked(unasked)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

async fn by_proxy(running: &Running, wanted: Option<&str>) -> Result<(), Refused> {
    let nodes = running.nodes().await?;
    let class = |node: &ListedNode| Class::of(node.power.state != "disabled", node.power.always_on);
    let known: Vec<(&str, Class)> = nodes.iter().map(|node| (node.name.as_str(), class(node))).collect();
    if known.is_empty() {
        return Err(Unasked::Failed(format!("{running} has no node: its own page says what to set")).into());
    }
    let name = choose(wanted, &known)?;
    let usual = nodes.iter().find(|node| node.name == name).and_then(usual_wake);
    say(&format!("{running} wakes {name} …{}\n", usual.unwrap_or_default()));
    match running.wake(name).await? {
        Ok(woken) => {
            tell(name, woken.seconds.unwrap_or_default());
            Ok(())
        }
        Err(woken) => Err(failed(name, woken.seconds, &woken.why()).into()),
    }
}

fn usual_wake(node: &ListedNode) -> Option<String> {
    node.power.wake_seconds.map(|seconds| format!(" (usually {seconds:.0} s)"))
}

/// Whether a wake of a node makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Sleeper,
    AlwaysOn,
    Disabled,
}

impl Class {
    fn of(is_enabled: bool, is_always_on: bool) -> Self {
        match (is_enabled, is_always_on) {
            (false, _) => Self::Disabled,
            (true, true) => Self::AlwaysOn,
            (true, false) => Self::Sleeper,
        }
    }
}

/// The node that is meant: the named one, else the only one that can sleep.
///
/// # Errors
/// What to write instead; a matter of usage.
fn choose<'a>(wanted: Option<&str>, known: &[(&'a str, Class)]) -> Result<&'a str, Failure> {
    let of = |class: Class| known.iter().filter(|(_, known)| *known == class).map(|(name, _)| *name).collect::<Vec<_>>();
    let (sleepers, always_on) = (of(Class::Sleeper), of(Class::AlwaysOn).join(", "));
    let named = wanted.map(|wanted| known.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).ok_or(wanted));
    let usage = match (named, &sleepers[..]) {
        (_, _) if known.is_empty() => "no node is set: set --ollama-url (OLLAMA_URL)".to_owned(),
        (Some(Ok((name, Class::Disabled))), _) => format!("{name} is disabled in the node file, and never contacted"),
        (Some(Ok((name, _))), _) | (None, [name]) => return Ok(name),
        (Some(Err(wanted)), _) => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            format!("there is no node {wanted:?}; there are: {}", names.join(", "))
        }
        (None, []) if always_on.is_empty() => "every node is disabled in the node file".to_owned(),
        (None, []) => format!("no node can sleep; these are always on: {always_on}; name one to wake it all the same"),
        (None, _) => format!("several nodes can be woken, name one of them: {}", sleepers.join(", ")),
    };
    Err(Failure::Settings(usage))
}

async fn by_settings(args: &WakeArgs, env: &Env) -> Result<(), Failure> {
    let config = config::load(&args.serve, env, &working_dir()).map_err(|faults| settings(&faults))?;
    let class = |node: &NodeConfig| Class::of(node.enabled, node.always_on);
    let known: Vec<(&str, Class)> = config.nodes.iter().map(|node| (node.name.as_str(), class(node))).collect();
    let name = choose(args.node.as_deref(), &known)?;
    let mut keepers = JoinSet::new();
    let only: Vec<_> = config.nodes.iter().filter(|node| node.name.as_str() == name).cloned().collect();
    let (fleet, note) = quiet::fleet(&config, &only, &mut keepers)?;
    if let Some(note) = note {
        say(&format!("{note}\n"));
    }
    let node = fleet.find(name).ok_or_else(|| no(format!("there is no node {name}")))?;
    if !node.view().means.any() {
        return Err(failed(name, None, "its MAC is unknown and no wake URL is set: set --wake-mac or --wake-url"));
    }
    wake(&node).await
}

async fn wake(node: &Node) -> Result<(), Failure> {
    let name = node.name().as_str();
    let usual = node.view().usual_wake().map(|usual| format!(" (usually {} s)", usual.as_secs()));
    say(&format!("Waking {name} by {} …{}\n", fleet::wake_path(node), usual.unwrap_or_default()));
    let started = Instant::now();
    let mut watch = node.watch();
    node.want(Want { cause: Cause::manual(None, None), ..Want::default() }).await;
    // The campaign ends by itself at its deadline.
    let _ = watch.wait_for(|view| !view.power.in_progress()).await;
    let (view, seconds) = (node.view(), started.elapsed().as_secs_f64());
    if view.power == Power::Awake {
        tell(name, seconds);
        return Ok(());
    }
    let why: Vec<&str> = [&view.hindrance, &view.trouble].into_iter().flatten().map(String::as_str).collect();
    Err(failed(name, Some(seconds), &why.join("; ")))
}

fn tell(name: &str, seconds: f64) {
    say(&format!("{name} is awake: it answered after {seconds:.1} s.\n"));
}

fn failed(name: &str, seconds: Option<f64>, why: &str) -> Failure {
    let after = seconds.map(|seconds| format!(" within {seconds:.0} s")).unwrap_or_default();
    no(format!("{name} did not come up{after}: {why}\n`ollama-proxy check` looks for the reason."))
}

fn no(why: String) -> Failure {
    Failure::Other(anyhow::Error::msg(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAS: (&str, Class) = ("nas", Class::AlwaysOn);
    const PC: (&str, Class) = ("pc", Class::Sleeper);
    const OLD: (&str, Class) = ("old", Class::Disabled);

    fn chosen(wanted: Option<&str>, known: &[(&'static str, Class)]) -> Result<&'static str, String> {
        choose(wanted, known).map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_only_sleeper_need_not_be_named() {
        assert_eq!(chosen(None, &[PC]), Ok("pc"));
        assert_eq!(chosen(None, &[NAS, OLD, PC]), Ok("pc"));
        assert_eq!(chosen(Some("NAS"), &[NAS, PC]), Ok("nas"));
    }

    #[test]
    fn whoever_is_unclear_gets_the_names() {
        let told = |wanted, known: &[_]| chosen(wanted, known).unwrap_err();
        assert!(told(None, &[PC, ("other", Class::Sleeper), OLD]).ends_with("pc, other"));
        assert!(told(Some("c"), &[PC]).contains("there are: pc"));
        assert!(told(None, &[]).contains("OLLAMA_URL") && told(Some("c"), &[]).contains("OLLAMA_URL"));
        assert!(told(None, &[NAS]).contains("nas"));
        assert_eq!(choose(None, &[]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_disabled_node_is_not_said_to_be_unknown_nor_always_on() {
        assert_eq!(chosen(Some("Old"), &[OLD, PC]).unwrap_err(), "old is disabled in the node file, and never contacted");
        assert_eq!(chosen(None, &[OLD]).unwrap_err(), "every node is disabled in the node file");
    }
}
