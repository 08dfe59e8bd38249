//! The flags that say how the nodes named by `--ollama-url` are woken, and how they pair with these nodes.

use crate::config::layers::Layers;
use crate::config::wake_values::{header, ipv4, mac, method, secure_on, usual_method};
use crate::config::{WakeConfig, WakeUrl, address, settings};
use crate::values::Mac;

/// What was given, not yet paired.
pub(super) struct WakeFlags {
    macs: Vec<Option<Mac>>,
    /// One for all, or one per node.
    urls: Vec<Option<WakeUrl>>,
    /// SecureOn, broadcast addresses and ports.
    packet: WakeConfig,
}

impl WakeFlags {
    /// Reads all of them.
    pub(super) fn read(layers: &mut Layers<'_>) -> Self {
        let macs = layers.read_positions(&settings::WAKE_MAC, mac);
        let packet = WakeConfig {
            mac: None,
            broadcast: layers.read_list(&settings::WAKE_BROADCAST, ipv4),
            ports: layers.read_list(&settings::WAKE_PORT, address::tcp_port),
            secure_on: layers.read_optional(&settings::WAKE_SECURE_ON, secure_on),
            url: None,
        };
        let templates = layers.read_positions(&settings::WAKE_URL, |text| address::wake_target(text).map(|_| text.to_owned()));
        let stated = layers.read_optional(&settings::WAKE_METHOD, method);
        let headers = layers.read_optional(&settings::WAKE_HEADERS, headers).unwrap_or_default();
        let body = layers.read_optional(&settings::WAKE_BODY, |text| Ok(text.to_owned()));
        let key = layers.read_optional(&settings::WAKE_KEY, |text| Ok(text.to_owned()));
        if templates.is_empty() && (stated.is_some() || !headers.is_empty() || body.is_some() || key.is_some()) {
            layers
                .notes
                .push("--wake-method, --wake-headers, --wake-body and --wake-key have no effect without --wake-url".to_owned());
        }
        let method = stated.unwrap_or_else(|| usual_method(body.as_deref()));
        let call = |template| WakeUrl {
            template,
            method: method.clone(),
            headers: headers.clone(),
            body: body.clone(),
            key: key.clone(),
        };
        let urls = templates.into_iter().map(|template| template.map(call)).collect();
        Self { macs, urls, packet }
    }

    /// Whether the lists can be paired with `nodes` nodes named by URL; a fault when they cannot. With no node at all there is
    /// nothing to pair, and that is said elsewhere.
    pub(super) fn fit(&self, layers: &mut Layers<'_>, nodes: usize, nobody: bool) -> bool {
        if nobody {
            return false;
        }
        let way_out =
            "give one per node, in the same order, a blank one for none; nodes of the node file have their own `wake` key";
        let mut fits = true;
        for (flag, count, one_for_all) in [("--wake-mac", self.macs.len(), false), ("--wake-url", self.urls.len(), true)] {
            if count != 0 && count != nodes && !(one_for_all && count == 1) {
                layers.faults.push(format!("{flag}: `{count}` given for {nodes} node(s) named by --ollama-url: {way_out}"));
                fits = false;
            } else if count == 1 && nodes == 0 {
                layers
                    .notes
                    .push(format!("{flag} has no effect: no node is named by --ollama-url; use the `wake` key of the node file"));
            }
        }
        fits
    }

    /// Gives the node at this position its means of waking; they go before those of the node file.
    pub(super) fn apply(&self, index: usize, wake: &mut WakeConfig) {
        wake.mac = self.macs.get(index).copied().flatten().or(wake.mac);
        let url = if self.urls.len() == 1 { self.urls.first() } else { self.urls.get(index) };
        if let Some(Some(url)) = url {
            wake.url = Some(url.clone());
        }
        if self.packet.secure_on.is_some() {
            wake.secure_on.clone_from(&self.packet.secure_on);
        }
    }

    /// Broadcast addresses and ports belong to the network: they serve every node that has none of its own.
    pub(super) fn spread_packet(&self, wake: &mut WakeConfig) {
        if wake.broadcast.is_empty() {
            wake.broadcast.clone_from(&self.packet.broadcast);
        }
        if wake.ports.is_empty() {
            wake.ports.clone_from(&self.packet.ports);
        }
    }
}

/// Headers by line, or separated by `;`. A piece without `:` belongs to the value before it, as in `text/plain; charset=utf-8`.
fn headers(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        for (index, piece) in line.split(';').enumerate() {
            match lines.last_mut() {
                Some(before) if index > 0 && !piece.contains(':') => {
                    before.push(';');
                    before.push_str(piece);
                }
                _ => lines.push(piece.to_owned()),
            }
        }
    }
    lines.iter().map(|line| line.trim().trim_end_matches(';')).filter(|line| !line.is_empty()).map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_separated_by_lines_or_semicolons() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(headers("A: 1; B: 2").unwrap(), [pair("A", "1"), pair("B", "2")]);
        assert_eq!(headers("A: x; y=1\nB: 2;").unwrap(), [pair("A", "x; y=1"), pair("B", "2")]);
        assert_eq!(headers("Authorization: Bearer a:b").unwrap(), [pair("Authorization", "Bearer a:b")]);
        assert!(headers("secret").unwrap_err().contains("`Name: value`"));
        assert!(!headers("secret").unwrap_err().contains("secret"));
    }
}
