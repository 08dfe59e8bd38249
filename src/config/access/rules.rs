//! Who may come in and how much each may take, as the settings say.

use std::path::Path;

use crate::config::layers::Layers;
use crate::config::merge::count;
use crate::config::settings::{self, Setting};
use crate::config::{Cidr, KeyRules};

/// Everything about who may do what. Empty: whoever reaches us may use us.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccessConfig {
    /// Keys; without any, none is asked for.
    pub keys: Vec<KeyRules>,
    /// Whether `/metrics` needs no key.
    pub open_metrics: bool,
    /// Only these clients may connect; empty: all.
    pub allow: Vec<Cidr>,
    /// These may not.
    pub deny: Vec<Cidr>,
    /// Proxies in front of us, which say who their client is.
    pub trusted_proxies: Vec<Cidr>,
    /// Names by which we are called, beside those that only a home network has.
    pub hosts: Vec<String>,
    /// Requests per minute of one client.
    pub rate: Option<u32>,
    /// Requests at once of one client.
    pub concurrent: Option<u32>,
    /// Wakes per hour that one client may cause; `None`: without end.
    pub wakes_per_hour: Option<u32>,
}

pub(in crate::config) fn rules(layers: &mut Layers<'_>, working_dir: &Path, origins: &[String]) -> AccessConfig {
    let mut hosts = layers.read_list(&settings::ALLOWED_HOSTS, host);
    // Who names a page as an origin of ours has said that the name is good.
    hosts.extend(origins.iter().filter_map(|origin| host(origin.split_once("://")?.1).ok()));
    AccessConfig {
        keys: super::keys::keys(layers, working_dir),
        open_metrics: layers.read(&settings::OPEN_METRICS, crate::config::merge::yes_or_no),
        allow: ranges(layers, &settings::ALLOW),
        deny: ranges(layers, &settings::DENY),
        trusted_proxies: ranges(layers, &settings::TRUSTED_PROXY),
        hosts,
        rate: layers.read(&settings::CLIENT_RATE, count_or_none),
        concurrent: layers.read(&settings::CLIENT_CONCURRENT, count_or_none),
        wakes_per_hour: layers.read(&settings::WAKE_BUDGET, count_or_none),
    }
}

fn ranges(layers: &mut Layers<'_>, setting: &Setting) -> Vec<Cidr> {
    layers.read_list(setting, |text| text.parse().map_err(|why| format!("is no range of addresses: {why}")))
}

/// A name without its port; `*.example.org` stands for all below it.
fn host(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('/').split(':').next().unwrap_or_default().to_ascii_lowercase();
    let below = name.strip_prefix("*.").unwrap_or(&name);
    let fits = !below.is_empty() && below.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if fits { Ok(name) } else { Err("is no host name: write ollama.example.org or *.example.org".to_owned()) }
}

fn count_or_none(text: &str) -> Result<Option<u32>, String> {
    if matches!(text, "none" | "0" | "off") { Ok(None) } else { count(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use crate::config::fixture::remote;

    #[test]
    fn by_default_nothing_is_asked_for_and_only_wakes_are_counted() {
        let access = remote().config().access;
        let wakes = access.wakes_per_hour;
        assert_eq!(access, super::AccessConfig { wakes_per_hour: wakes, ..Default::default() });
        assert_eq!(wakes, Some(30));
    }

    #[test]
    fn faulty_ranges_counts_and_names_are_told_all_at_once() {
        let place =
            remote().flag("allow", "lan").flag("client-rate", "many").flag("allowed-hosts", "a b").flag("wake-budget", "-1");
        let faults = place.faults();
        for part in ["--allow", "--client-rate", "--allowed-hosts", "--wake-budget"] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }

    #[test]
    fn the_names_of_allowed_origins_are_ours_too() {
        let config = remote()
            .flag("cors-origins", "https://chat.example.org,https://*.home.example:8443")
            .flag("allowed-hosts", "Pi.Example.net")
            .config();
        assert_eq!(config.access.hosts, ["pi.example.net", "chat.example.org", "*.home.example"]);
    }
}
