//! The settings of `exporter`: its own few, by flag, environment and `.env` file.

use std::net::IpAddr;
use std::path::Path;

use crate::config::layers::Layers;
use crate::config::merge::{checked, listen_port, log, open_layers};
use crate::config::settings::{self, Setting, setting};
use crate::config::{Env, ExporterArgs, Faults, Listen, Log, address};

static PORT: Setting = setting("port", &["EXPORTER_PORT"], "9101", "Port to listen on");
static NODE_NAME: Setting =
    setting("node-name", &["NODE_NAME"], "node1", "Name of this machine in the metrics, best the one that the proxy has for it");
static OLLAMA_PORT: Setting = setting("ollama-port", &["OLLAMA_PORT"], "11434", "Port of the Ollama on this machine");

/// The flags of `exporter`.
pub(super) static SETTINGS: [&Setting; 7] =
    [&PORT, &NODE_NAME, &OLLAMA_PORT, &settings::HOST, &settings::CORS_ORIGINS, &settings::LOG_FORMAT, &settings::LOG];

/// Everything that `exporter` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExporterConfig {
    /// Where to listen.
    pub listen: Listen,
    /// The name in the label `node`.
    pub node: String,
    /// The port whose connections are counted.
    pub ollama_port: u16,
    /// Further origins that may read the answers.
    pub cors_origins: Vec<String>,
    /// Log form and level.
    pub log: Log,
}

/// Merges and checks the settings of `exporter`.
///
/// # Errors
/// All faults of these settings; others are not looked at.
pub fn load_exporter(args: &ExporterArgs, env: &Env, working_dir: &Path) -> Result<ExporterConfig, Faults> {
    let mut layers = Layers::new(&args.0, env);
    open_layers(&mut layers, env, working_dir);
    let port = layers.read(&PORT, listen_port);
    let host: Option<IpAddr> = layers.read_optional(&settings::HOST, address::listen_host);
    let config = ExporterConfig {
        listen: Listen { host, ports: vec![port], port_asked: true, tls: None },
        node: layers.read(&NODE_NAME, node_name),
        ollama_port: layers.read(&OLLAMA_PORT, watched_port),
        cors_origins: layers.read_list(&settings::CORS_ORIGINS, |text| Ok(text.to_owned())),
        log: log(&mut layers),
    };
    checked(config, layers.faults)
}

/// A label of every series, so it stays short.
fn node_name(text: &str) -> Result<String, String> {
    let plain = (1..=128).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if plain { Ok(text.to_owned()) } else { Err("is no name: write up to 128 characters".to_owned()) }
}

fn watched_port(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| "is no port: write a number from 1 to 65535".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Command, parse_cli};

    fn loaded(line: &[&str], env: &[(&str, &str)]) -> Result<ExporterConfig, Faults> {
        let line = ["ollama-proxy"].iter().chain(line);
        let Command::Exporter(args) = parse_cli(line).unwrap().command() else { panic!() };
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load_exporter(&args, &env, Path::new("/nowhere/at/all"))
    }

    #[test]
    fn the_first_exporter_s_names_and_defaults_hold() {
        let config = loaded(&["exporter"], &[]).unwrap();
        assert_eq!((config.listen.ports, config.node.as_str(), config.ollama_port), (vec![9101], "node1", 11434));
        let env = [("NODE_NAME", "gpu"), ("OLLAMA_PORT", "11500"), ("PORT", "80"), ("EXPORTER_PORT", "9102")];
        let config = loaded(&["exporter"], &env).unwrap();
        assert_eq!((config.listen.ports, config.node.as_str(), config.ollama_port), (vec![9102], "gpu", 11500));
        let config = loaded(&["--port", "1", "exporter", "--port", "2", "--node-name", "n"], &env).unwrap();
        assert_eq!((config.listen.ports, config.node.as_str()), (vec![2], "n"));
    }

    #[test]
    fn an_address_that_an_orchestrator_sets_is_no_port() {
        assert_eq!(loaded(&["exporter"], &[("OLLAMA_PORT", "tcp://10.0.0.1:11434")]).unwrap().ollama_port, 11434);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = loaded(&["exporter", "--port", "x", "--ollama-port", "0"], &[("NODE_NAME", "a\u{7}")]).unwrap_err();
        assert_eq!(faults.0.len(), 3, "{faults}");
    }
}
