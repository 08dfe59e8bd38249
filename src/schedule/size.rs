//! How large a model really is, and whether a node is meant for that size.

use std::cell::OnceCell;

use crate::catalog::Model;
use crate::config::{ModelRange, SizeRules};
use crate::values::{ModelKey, ModelName, ModelSize};

#[cfg(test)]
mod tests;

/// The size of a model with where it was learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// The size.
    pub size: ModelSize,
    /// Its source.
    pub source: Source,
}

/// Where a size was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `details.parameter_size` of a list.
    List,
    /// `model_name_mapping` of the node file.
    Mapping,
    /// `model_name_patterns` of the node file.
    Pattern,
    /// Digits in the name.
    Name,
}

impl Source {
    /// The words in explanations.
    pub fn words(self) -> &'static str {
        match self {
            Self::List => "the model list",
            Self::Mapping => "model_name_mapping",
            Self::Pattern => "model_name_patterns",
            Self::Name => "its name",
        }
    }
}

/// A model that is asked for, read once for all nodes.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    text: &'a str,
    rules: &'a SizeRules,
    key: ModelKey,
    /// By Ollama's rules; `None` for what Ollama would refuse. Read when it is asked for, as is the next.
    name: OnceCell<Option<ModelName>>,
    /// What the node file or the name says of its size.
    named: OnceCell<Option<Size>>,
}

impl<'a> Asked<'a> {
    /// Reads a name as it was sent.
    pub fn of(text: &'a str, rules: &'a SizeRules) -> Self {
        Self::by(ModelKey::of(text), text, rules)
    }

    /// The same of a name whose key is known.
    pub fn by(key: ModelKey, text: &'a str, rules: &'a SizeRules) -> Self {
        Self { text, rules, key, name: OnceCell::new(), named: OnceCell::new() }
    }

    fn name(&self) -> Option<&ModelName> {
        self.name.get_or_init(|| ModelName::parse(self.text)).as_ref()
    }

    /// For looking it up in lists.
    pub fn key(&self) -> &ModelKey {
        &self.key
    }

    /// Whether it runs in the cloud and needs no memory here.
    pub(super) fn is_cloud(&self) -> bool {
        // All such names end so, and most names do not.
        self.key.as_str().ends_with("cloud") && self.name().is_some_and(ModelName::is_cloud)
    }

    /// Whether a name of the node file means it.
    pub(super) fn is_called(&self, known: &str) -> bool {
        match (self.name(), ModelName::parse(known)) {
            (Some(name), Some(known)) => *name == known,
            _ => known.trim().eq_ignore_ascii_case(self.text.trim()),
        }
    }

    /// The real size: as a node lists it, then as the node file maps it, then by the node file's patterns, then by the
    /// digits in its name. `None` when nobody knows; such a model fits everywhere, as do models that run in the cloud.
    pub fn size(&self, listed: Option<&Model>) -> Option<Size> {
        if self.is_cloud() || listed.is_some_and(|model| model.is_remote) {
            return None;
        }
        let stated = listed.and_then(|model| model.parameters).map(|size| Size { size, source: Source::List });
        stated.or_else(|| *self.named.get_or_init(|| self.named_size()))
    }

    fn named_size(&self) -> Option<Size> {
        let rules = self.rules;
        let found = |size, source| Some(Size { size, source });
        if let Some((_, billions)) = rules.mapping.iter().find(|(known, _)| self.is_called(known)) {
            return found(ModelSize(*billions), Source::Mapping);
        }
        let lower = self.text.to_ascii_lowercase();
        let matching = rules.patterns.iter().filter(|(pattern, _)| contains(&lower, &pattern.to_ascii_lowercase()));
        // The largest first, so that a mixture is not taken for its active part.
        if let Some((_, billions)) = matching.max_by(|a, b| a.1.total_cmp(&b.1)) {
            return found(ModelSize(*billions), Source::Pattern);
        }
        ModelSize::from_name(self.text).and_then(|size| found(size, Source::Name))
    }
}

/// Whether a pattern occurs in a name. One that begins with a digit must not begin within a number: `8b` is no part of
/// `48b`, `1.8b` or `8x8b`. One that ends with a letter behind digits must end a word: `8b` is no part of `8bit`.
fn contains(name: &str, pattern: &str) -> bool {
    let numeric = pattern.starts_with(|c: char| c.is_ascii_digit());
    !pattern.is_empty()
        && name.match_indices(pattern).any(|(at, _)| {
            let before = name[..at].chars().next_back();
            let after = name[at + pattern.len()..].chars().next();
            let within = before.is_some_and(|c| c.is_ascii_digit() || matches!(c, '.' | 'x'));
            !numeric || (!within && !after.is_some_and(|c| c.is_ascii_alphanumeric()))
        })
}

/// The range of a node that takes a size, both ends included; a node without ranges takes everything.
///
/// Returns the width of the narrowest such range, infinite without any; `None`: the node is not meant for that size.
pub fn fit(size: Option<Size>, ranges: &[ModelRange]) -> Option<f64> {
    let Some(Size { size: ModelSize(billions), .. }) = size.filter(|_| !ranges.is_empty()) else {
        return Some(f64::INFINITY);
    };
    let takes = |range: &&ModelRange| range.min_params_b <= billions && range.max_params_b.is_none_or(|max| billions <= max);
    let width = |range: &ModelRange| range.max_params_b.map_or(f64::INFINITY, |max| max - range.min_params_b);
    ranges.iter().filter(takes).map(width).min_by(f64::total_cmp)
}
