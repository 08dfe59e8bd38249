//! Whom a request goes to, as far as its words depend on it.

/// The model that is asked, and what is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name at the provider.
    pub model: String,
    /// Whose server it is.
    pub flavour: Flavour,
    /// What the provider says it can do.
    pub abilities: Abilities,
}

/// Servers of one dialect that differ in what they refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavour {
    /// OpenAI itself.
    #[default]
    OpenAi,
    /// OpenAI's models in Azure.
    Azure,
    /// Some other server that speaks OpenAI's dialect.
    Compatible,
}

/// What a provider's list tells of a model; nothing where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// The longest answer.
    pub max_tokens: Option<u64>,
    /// The longest conversation.
    pub context: Option<u64>,
    /// It decides by itself how much to think.
    pub adaptive_thinking: Option<bool>,
    /// It thinks within a budget.
    pub budgeted_thinking: Option<bool>,
    /// It can be told how hard to think.
    pub effort: Option<bool>,
    /// It sees pictures.
    pub images: Option<bool>,
}

impl Target {
    /// OpenAI's models that think before they answer refuse what others take. Names are all there is to go by.
    pub(crate) fn reasons(&self) -> bool {
        let name = self.name();
        let o_series = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        self.flavour != Flavour::Compatible && (o_series || self.gpt5().is_some())
    }

    /// The number behind the point of a GPT-5 that reasons: 0 for `gpt-5`, 1 for `gpt-5.1-mini`.
    pub(crate) fn gpt5(&self) -> Option<u32> {
        let rest = self.name().strip_prefix("gpt-5")?;
        let digits: String = rest.strip_prefix('.').unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
        (!rest.starts_with("-chat")).then(|| digits.parse().unwrap_or(0))
    }

    /// Without the vendor that some gateways put in front.
    fn name(&self) -> &str {
        self.model.rsplit('/').next().unwrap_or(&self.model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_reason_are_told_by_their_names() {
        let target = |model: &str| Target { model: model.to_owned(), ..Target::default() };
        for model in ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5-mini", "gpt-5.1", "gpt-5.2-codex"] {
            assert!(target(model).reasons(), "{model}");
        }
        for model in ["gpt-4o", "gpt-4.1-mini", "gpt-5-chat-latest", "omni-moderation", "chatgpt-4o-latest", ""] {
            assert!(!target(model).reasons(), "{model}");
        }
        assert_eq!((target("gpt-5").gpt5(), target("gpt-5.2-codex").gpt5(), target("o3").gpt5()), (Some(0), Some(2), None));
        assert!(!Target { flavour: Flavour::Compatible, ..target("gpt-5") }.reasons());
    }
}
