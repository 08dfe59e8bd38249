//! Which cloud providers the user has, and by what key each lets us in.

use hyper::Uri;

use crate::config::layers::Layers;
use crate::config::settings::{self, Setting};
use crate::config::{HostPort, Listen, address};
use crate::values;

/// A provider that can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    /// Whose it is.
    pub kind: ProviderKind,
    /// Its address without a slash at the end, as its own SDK takes it.
    pub base: String,
    /// What it lets us in by; local servers that speak a provider's dialect may want none.
    pub key: Option<Secret>,
    /// Names that the user says it has (Azure's deployments); others it lists itself.
    pub models: Vec<String>,
    /// Azure's `api-version`; `None`: its `v1`, which needs none.
    pub api_version: Option<String>,
}

/// Whose models a provider serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// OpenAI, or any server that speaks its dialect.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// OpenAI's models in Azure.
    Azure,
}

impl ProviderKind {
    /// The word in front of its models' names, and in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Azure => "azure",
        }
    }
}

/// A key. It shows itself to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a key.
    pub(super) fn new(key: String) -> Self {
        Self(key)
    }

    /// The key itself, to be sent to its provider and nowhere else.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// The providers that the settings name, in the order in which a model's name is sought.
pub(super) fn providers(layers: &mut Layers<'_>, listen: &Listen) -> Vec<ProviderConfig> {
    let openai = simple(layers, listen, ProviderKind::OpenAi, &settings::OPENAI_API_KEY, &settings::OPENAI_BASE_URL);
    let anthropic = simple(layers, listen, ProviderKind::Anthropic, &settings::ANTHROPIC_API_KEY, &settings::ANTHROPIC_BASE_URL);
    let azure = azure(layers, listen);
    [openai, anthropic, azure].into_iter().flatten().collect()
}

/// There when its key is set, or an address of its own.
fn simple(
    layers: &mut Layers<'_>,
    listen: &Listen,
    kind: ProviderKind,
    key: &'static Setting,
    base: &'static Setting,
) -> Option<ProviderConfig> {
    let key = layers.read_optional(key, secret);
    let url = layers.read_optional(base, url)?;
    if key.is_none() && !layers.asked(base) {
        return None;
    }
    let base = elsewhere(layers, listen, base, &url)?;
    Some(ProviderConfig { kind, base, key, models: Vec::new(), api_version: None })
}

fn azure(layers: &mut Layers<'_>, listen: &Listen) -> Option<ProviderConfig> {
    let key = layers.read_optional(&settings::AZURE_OPENAI_API_KEY, secret);
    let url = layers.read_optional(&settings::AZURE_OPENAI_ENDPOINT, url);
    let models = layers.read_list(&settings::AZURE_OPENAI_DEPLOYMENTS, |name| Ok(name.to_owned()));
    let api_version = layers.read(&settings::AZURE_OPENAI_API_VERSION, version);
    match (key, url) {
        (Some(key), Some(url)) => {
            if models.is_empty() {
                let note =
                    "--azure-openai-deployments names none: azure/<deployment> works, but none is listed; Azure tells no list";
                layers.notes.push(note.to_owned());
            }
            let base = elsewhere(layers, listen, &settings::AZURE_OPENAI_ENDPOINT, &url)?;
            Some(ProviderConfig { kind: ProviderKind::Azure, base, key: Some(key), models, api_version })
        }
        (None, None) => None,
        _ => {
            let note = "Azure is not used: it needs both --azure-openai-api-key and --azure-openai-endpoint";
            layers.notes.push(note.to_owned());
            None
        }
    }
}

/// An address that is not our own: SDKs in the same shell may be pointed at this proxy by the same variable.
fn elsewhere(layers: &mut Layers<'_>, listen: &Listen, setting: &Setting, url: &Uri) -> Option<String> {
    let (_, host, port) = values::server_of(url);
    let at = HostPort { host: host.to_owned(), port };
    if address::is_own(listen, &at) {
        layers.notes.push(format!("--{} is ignored: {at} is this proxy itself", setting.flag));
        return None;
    }
    Some(url.to_string().trim_end_matches('/').to_owned())
}

pub(super) fn secret(text: &str) -> Result<Secret, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| Secret(text.to_owned())).ok_or_else(|| "holds letters that no key has: copy it anew".to_owned())
}

fn url(text: &str) -> Result<Uri, String> {
    let url = values::url(text).map_err(|why| format!("is no URL ({why}): write https://host/path"))?;
    if url.authority().is_some_and(|whole| whole.as_str().contains('@')) || text.contains(['?', '#']) {
        return Err("must be a plain address: no user, no `?` and no `#`".to_owned());
    }
    Ok(url)
}

fn version(text: &str) -> Result<Option<String>, String> {
    let fits = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    match text {
        "v1" => Ok(None),
        _ if fits => Ok(Some(text.to_owned())),
        _ => Err("is no api-version: write v1, or a date such as 2025-04-01-preview".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::{origin, remote};

    #[test]
    fn a_key_alone_is_enough_and_is_never_shown() {
        let config = remote().env("OPENAI_API_KEY", "sk-canary").env("ANTHROPIC_API_KEY", "sk-ant-canary").config();
        let bases: Vec<_> = config.providers.iter().map(|provider| (provider.kind.word(), provider.base.as_str())).collect();
        assert_eq!(bases, [("openai", "https://api.openai.com/v1"), ("anthropic", "https://api.anthropic.com")]);
        assert_eq!(config.providers[0].key.as_ref().unwrap().reveal(), "sk-canary");
        assert!(!format!("{config:?}").contains("canary"));
        assert_eq!(origin(&config, "openai-api-key"), ("…".to_owned(), "environment OPENAI_API_KEY".to_owned()));
    }

    #[test]
    fn without_a_key_or_an_address_there_is_no_provider() {
        assert_eq!(remote().config().providers, []);
        let config = remote().env("AZURE_OPENAI_API_KEY", "k").config();
        assert_eq!(config.providers, []);
        assert!(config.notes.iter().any(|note| note.contains("--azure-openai-endpoint")), "{:?}", config.notes);
    }

    #[test]
    fn a_local_server_needs_no_key() {
        let config = remote().env("OPENAI_BASE_URL", "http://192.168.1.9:1234/v1/").config();
        assert_eq!(config.providers[0].base, "http://192.168.1.9:1234/v1");
        assert_eq!(config.providers[0].key, None);
    }

    #[test]
    fn an_address_that_is_our_own_is_ignored_with_a_note() {
        let place = remote().flag("port", "11434").env("OPENAI_BASE_URL", "http://localhost:11434/v1").env("OPENAI_API_KEY", "k");
        let config = place.config();
        assert_eq!(config.providers, []);
        assert!(config.notes.iter().any(|note| note.contains("--openai-base-url is ignored")), "{:?}", config.notes);
    }

    #[test]
    fn azure_has_deployments_and_a_version() {
        let place = remote().env("AZURE_OPENAI_API_KEY", "k").env("AZURE_OPENAI_ENDPOINT", "https://me.openai.azure.com/");
        let config =
            place.env("AZURE_OPENAI_DEPLOYMENTS", "mini, big").env("AZURE_OPENAI_API_VERSION", "2025-04-01-preview").config();
        let azure = &config.providers[0];
        assert_eq!((azure.kind, azure.base.as_str()), (ProviderKind::Azure, "https://me.openai.azure.com"));
        assert_eq!(
            (azure.models.as_slice(), azure.api_version.as_deref()),
            (&["mini".into(), "big".into()][..], Some("2025-04-01-preview"))
        );
    }

    #[test]
    fn faulty_values_are_told_without_the_key() {
        let place = remote().env("OPENAI_API_KEY", "sk canary").env("ANTHROPIC_BASE_URL", "https://me:canary@host/");
        let faults = place.env("ANTHROPIC_API_KEY", "k").faults();
        assert!(faults.contains("--openai-api-key") && faults.contains("no user"), "{faults}");
        assert!(!faults.contains("canary"), "{faults}");
    }
}
