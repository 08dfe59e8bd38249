//! Cloud providers: which of them has a model, what they list, and how they are called. Keys stay in here.

use std::sync::Arc;

use crate::config::{ProviderConfig, ProviderKind, Secret};
use crate::http::outward;
use crate::translate::{Abilities, Flavour, Listed, Talk, Target, Thoughts, Tongue};
use crate::upstream::Idle;

mod call;
mod guard;
mod lists;
mod refusals;
mod thoughts;

pub use call::{Answer, AnswerBody, Call, NoTls, broke_off};
pub use guard::KeyGuard;
pub use refusals::Refusals;

/// The address of OpenAI itself: others that speak its dialect know less.
const OPENAI: &str = "://api.openai.com";

/// All providers, in the order in which names are sought. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Providers(Arc<[Provider]>);

/// One provider. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Provider(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: ProviderConfig,
    /// Connections that rest between calls: without them each call would begin with a handshake.
    home: Idle,
    lists: lists::Lists,
    refusals: Refusals,
    thoughts: thoughts::Kept,
}

/// A model at a provider.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Who has it.
    pub provider: Provider,
    /// What is known of it, under the provider's name for it.
    pub target: Target,
}

impl Providers {
    /// Sends nothing yet.
    ///
    /// # Errors
    /// There is a provider, and TLS cannot be set up for it.
    pub fn new(configs: &[ProviderConfig]) -> Result<Self, NoTls> {
        if configs.is_empty() {
            return Ok(Self(Arc::new([])));
        }
        if configs.iter().any(|config| config.base.starts_with("https:")) {
            outward::tls().map_err(NoTls)?;
        }
        let provider = |config: &ProviderConfig| {
            let lists = lists::Lists::of(&config.models);
            Provider(Arc::new(Shared {
                config: config.clone(),
                home: Idle::default(),
                lists,
                refusals: Refusals::default(),
                thoughts: thoughts::Kept::default(),
            }))
        };
        Ok(Self(configs.iter().map(provider).collect()))
    }

    /// Every provider.
    pub fn all(&self) -> &[Provider] {
        &self.0
    }

    /// The provider by its word, such as `openai`.
    pub fn find(&self, word: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.word().eq_ignore_ascii_case(word))
    }

    /// Who has the model: by the provider's word in front of a slash, else by the exact name in a provider's list. Any
    /// other name is Ollama's, and its slashes are its own. Some clients append `:latest` to what has no tag.
    pub fn choose(&self, name: &str) -> Option<Choice> {
        let bare = name.strip_suffix(":latest").unwrap_or(name);
        if let Some((word, model)) = bare.split_once('/') {
            if let Some(provider) = self.find(word).filter(|_| !model.is_empty()) {
                return Some(provider.choice(model));
            }
        }
        self.0.iter().find_map(|provider| provider.lists(bare).map(|_| provider.choice(bare)))
    }
}

impl Provider {
    /// The word in front of its models' names.
    pub fn word(&self) -> &'static str {
        self.0.config.kind.word()
    }

    /// How it talks.
    pub fn tongue(&self) -> Tongue {
        match self.0.config.kind {
            ProviderKind::OpenAi | ProviderKind::Azure => Tongue::OpenAi,
            ProviderKind::Anthropic => Tongue::Anthropic,
        }
    }

    /// Its address, as it may be shown.
    pub fn host(&self) -> &str {
        &self.0.config.base
    }

    /// Its models as last listed, and when the list is old, a new one soon: the caller never waits.
    pub fn models(&self) -> Arc<[Listed]> {
        self.0.lists.now()
    }

    /// Keeps its key out of what it says.
    pub fn guard(&self) -> KeyGuard {
        KeyGuard::new(self.0.config.key.as_ref().map(Secret::reveal))
    }

    /// Parameters that a model of its was found not to take.
    pub fn refused_by(&self, model: &str) -> Vec<&'static str> {
        self.0.refusals.of(model)
    }

    /// The model does not take this parameter.
    pub fn learn_refusal(&self, model: &str, key: &'static str) {
        self.0.refusals.learn(model, key);
    }

    /// Keeps what a model thought before it called tools.
    pub fn keep_thoughts(&self, model: &str, thoughts: Thoughts) {
        self.0.thoughts.keep(model, thoughts);
    }

    /// Puts back what the model thought before the calls of a conversation.
    pub fn recall_thoughts(&self, model: &str, talk: &mut Talk) {
        self.0.thoughts.recall(model, talk);
    }

    fn lists(&self, model: &str) -> Option<Listed> {
        self.models().iter().find(|listed| listed.id == model).cloned()
    }

    fn choice(&self, model: &str) -> Choice {
        let abilities = self.lists(model).map_or(Abilities::default(), |listed| listed.abilities);
        let target = Target { model: model.to_owned(), flavour: self.flavour(), abilities };
        Choice { provider: self.clone(), target }
    }

    fn flavour(&self) -> Flavour {
        match self.0.config.kind {
            ProviderKind::Azure => Flavour::Azure,
            ProviderKind::OpenAi if self.0.config.base.contains(OPENAI) => Flavour::OpenAi,
            ProviderKind::OpenAi | ProviderKind::Anthropic => Flavour::Compatible,
        }
    }
}

impl Choice {
    /// The model's name for a metric: never a word that only a client said.
    pub fn label(&self) -> &str {
        if self.provider.lists(&self.target.model).is_some() { &self.target.model } else { "other" }
    }

    /// The model as it is listed, or as much as its name tells.
    pub fn listed(&self) -> Listed {
        let unlisted = || Listed { id: self.target.model.clone(), ..Listed::default() };
        self.provider.lists(&self.target.model).unwrap_or_else(unlisted)
    }
}

/// 64 hex digits that stand for a name, as a digest does for a model's bytes.
pub fn digest(name: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(kind: ProviderKind, base: &str, models: &[&str]) -> ProviderConfig {
        let models = models.iter().map(ToString::to_string).collect();
        ProviderConfig { kind, base: base.to_owned(), key: None, models, api_version: None }
    }

    fn chosen(providers: &Providers, name: &str) -> Option<(&'static str, String)> {
        providers.choose(name).map(|choice| (choice.provider.word(), choice.target.model))
    }

    #[test]
    fn a_model_is_chosen_by_prefix_then_by_its_exact_listed_name_else_it_is_ollamas() {
        let openai = config(ProviderKind::OpenAi, "https://api.openai.com/v1", &["gpt-4o-mini", "vendor/model"]);
        let azure = config(ProviderKind::Azure, "https://me.openai.azure.com", &["mini", "gpt-4o-mini"]);
        let providers = Providers::new(&[openai, azure]).unwrap();
        for (name, expected) in [
            ("openai/gpt-4o-mini", Some(("openai", "gpt-4o-mini"))),
            ("OpenAI/gpt-4o-mini:latest", Some(("openai", "gpt-4o-mini"))),
            ("openai/ft:gpt-4o:me::1", Some(("openai", "ft:gpt-4o:me::1"))),
            ("openai/vendor/other", Some(("openai", "vendor/other"))),
            ("azure/unlisted", Some(("azure", "unlisted"))),
            ("gpt-4o-mini", Some(("openai", "gpt-4o-mini"))),
            ("gpt-4o-mini:latest", Some(("openai", "gpt-4o-mini"))),
            ("mini", Some(("azure", "mini"))),
            ("vendor/model", Some(("openai", "vendor/model"))),
            // No provider of that word is configured, so the name is Ollama's.
            ("anthropic/claude", None),
            ("hf.co/openai/gpt-oss:20b", None),
            ("registry.ollama.ai/openai/gpt-oss", None),
            ("gpt-4o-mini:8b", None),
            ("llama3.2:3b", None),
            ("openai/", None),
            ("", None),
        ] {
            assert_eq!(chosen(&providers, name), expected.map(|(word, model)| (word, model.to_owned())), "{name}");
        }
    }

    #[test]
    fn only_openai_itself_is_told_what_only_openai_knows() {
        for (base, expected) in [("https://api.openai.com/v1", Flavour::OpenAi), ("http://pc:1234/v1", Flavour::Compatible)] {
            let providers = Providers::new(&[config(ProviderKind::OpenAi, base, &[])]).unwrap();
            assert_eq!(providers.choose("openai/x").unwrap().target.flavour, expected);
        }
    }

    #[test]
    fn a_digest_is_that_of_the_name() {
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
