//! Model names by Ollama's rules, and the sizes of models.
//!
//! Names decide whether a node has a model, so a wrong "no" must not happen: everything Ollama takes for the same
//! name is equal here.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

mod size;
#[cfg(test)]
mod tests;

pub use size::ModelSize;

const DEFAULT_HOST: &str = "registry.ollama.ai";
const DEFAULT_NAMESPACE: &str = "library";
const DEFAULT_TAG: &str = "latest";
const CLOUD: &str = "cloud";

/// A model name in canonical form: every part is present, equality and hash ignore case part by part, and the
/// spelling of the parts is kept for showing.
#[derive(Clone)]
pub struct ModelName {
    host: Cow<'static, str>,
    namespace: Cow<'static, str>,
    model: String,
    tag: Cow<'static, str>,
    cloud: bool,
}

impl ModelName {
    /// Reads `[scheme://]host/namespace/model:tag` with Ollama's defaults. A final `:local` is dropped; a final
    /// `:cloud` becomes the tag that a pulled stub of that model carries. `None` if Ollama would refuse the name.
    pub fn parse(text: &str) -> Option<Self> {
        let (base, source) = split_source(text.trim());
        if source != Source::Unsaid && split_source(base).1 != Source::Unsaid {
            return None;
        }
        let mut name = Self::parse_bare(if source == Source::CloudTag { text.trim() } else { base })?;
        name.cloud = matches!(source, Source::Cloud | Source::CloudTag);
        if source == Source::Cloud {
            name.tag = if tag_of(base).is_some() { format!("{}-{CLOUD}", name.tag).into() } else { CLOUD.into() };
            return name.is_valid().then_some(name);
        }
        Some(name)
    }

    fn parse_bare(text: &str) -> Option<Self> {
        let tag = tag_of(text);
        let path = tag.map_or(text, |tag| &text[..text.len() - tag.len() - 1]);
        let (front, model) = split_last(path);
        let (host, namespace) = front.map_or((None, None), |front| {
            let (host, namespace) = split_last(front);
            (host.map(|host| host.split_once("://").map_or(host, |(_, host)| host)), Some(namespace))
        });
        let name = Self {
            host: stated_or(host, DEFAULT_HOST),
            namespace: stated_or(namespace, DEFAULT_NAMESPACE),
            model: model.to_owned(),
            tag: stated_or(tag, DEFAULT_TAG),
            cloud: false,
        };
        name.is_valid().then_some(name)
    }

    fn is_valid(&self) -> bool {
        let part = |text: &str, longest: usize, also: &[u8]| {
            text.len() <= longest
                && text.bytes().next().is_some_and(is_word)
                && text.bytes().all(|b| is_word(b) || b == b'-' || also.contains(&b))
        };
        // Defaults are borrowed and need no look.
        let stated = |text: &Cow<'static, str>, longest, also| matches!(text, Cow::Borrowed(_)) || part(text, longest, also);
        stated(&self.host, 350, b".:")
            && stated(&self.namespace, 80, b"")
            && part(&self.model, 80, b".")
            && stated(&self.tag, 80, b".")
    }

    /// The registry, such as `registry.ollama.ai` or `hf.co`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The owner within the registry, such as `library`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The model itself, such as `llama3`.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The tag, such as `latest`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Whether the name asks for a model in the cloud (`:cloud`, or a tag that ends with `-cloud`), which needs no GPU.
    pub fn is_cloud(&self) -> bool {
        self.cloud
    }

    /// The shortest form that Ollama itself prints: the tag always, host and namespace only where they are not the defaults.
    pub fn display(&self) -> String {
        let default_host = self.host.eq_ignore_ascii_case(DEFAULT_HOST);
        let (model, tag, namespace) = (&self.model, &self.tag, &self.namespace);
        if !default_host {
            format!("{}/{namespace}/{model}:{tag}", self.host)
        } else if namespace.eq_ignore_ascii_case(DEFAULT_NAMESPACE) {
            format!("{model}:{tag}")
        } else {
            format!("{namespace}/{model}:{tag}")
        }
    }

    /// All four parts in lower case: equal texts for equal names, fit for keys.
    pub fn canonical(&self) -> String {
        // Put together by hand: every request needs it, and formatting costs several times as much.
        let mut text = String::with_capacity(self.parts().iter().map(|part| part.len() + 1).sum());
        for (part, end) in self.parts().into_iter().zip(["/", "/", ":", ""]) {
            text.push_str(part);
            text.push_str(end);
        }
        text.make_ascii_lowercase();
        text
    }

    fn parts(&self) -> [&str; 4] {
        [&self.host, &self.namespace, &self.model, &self.tag]
    }
}

impl PartialEq for ModelName {
    fn eq(&self, other: &Self) -> bool {
        self.parts().iter().zip(other.parts()).all(|(mine, theirs)| mine.eq_ignore_ascii_case(theirs))
    }
}

impl Eq for ModelName {}

impl Hash for ModelName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.parts() {
            part.bytes().for_each(|b| state.write_u8(b.to_ascii_lowercase()));
            state.write_u8(b'/');
        }
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display())
    }
}

impl fmt::Debug for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelName({})", self.display())
    }
}

/// A name made ready for looking it up: reading it costs more than the look. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelKey(Arc<str>);

impl ModelKey {
    /// Equal for names that Ollama takes for the same.
    pub fn of(text: &str) -> Self {
        Self::of_parsed(ModelName::parse(text).as_ref(), text)
    }

    /// The same of a text that was read already. What Ollama would refuse as a name is still compared without case: other
    /// servers list such.
    pub fn of_parsed(name: Option<&ModelName>, text: &str) -> Self {
        Self(name.map_or_else(|| text.trim().to_lowercase(), ModelName::canonical).into())
    }

    /// The name in full and in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn stated_or(part: Option<&str>, default: &'static str) -> Cow<'static, str> {
    part.map_or(Cow::Borrowed(default), |part| Cow::Owned(part.to_owned()))
}

/// Where a name says its model runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Unsaid,
    Local,
    /// A final `:cloud`.
    Cloud,
    /// A tag that ends with `-cloud`; it stays part of the tag, as on disk.
    CloudTag,
}

/// Takes the word about the source off the end of a name.
fn split_source(text: &str) -> (&str, Source) {
    let Some(tag) = tag_of(text) else { return (text, Source::Unsaid) };
    let base = &text[..text.len() - tag.len() - 1];
    let dashed = tag.len().checked_sub(CLOUD.len() + 1).and_then(|at| tag.split_at_checked(at));
    if tag.eq_ignore_ascii_case(CLOUD) {
        (base, Source::Cloud)
    } else if tag.eq_ignore_ascii_case("local") {
        (base, Source::Local)
    } else if dashed.is_some_and(|(_, end)| end.eq_ignore_ascii_case("-cloud")) {
        (&text[..text.len() - CLOUD.len() - 1], Source::CloudTag)
    } else {
        (text, Source::Unsaid)
    }
}

/// What follows the last colon, unless that colon belongs to a host's port.
fn tag_of(text: &str) -> Option<&str> {
    split_at_last(text, b':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

fn split_last(path: &str) -> (Option<&str>, &str) {
    split_at_last(path, b'/').map_or((None, path), |(front, last)| (Some(front), last))
}

/// As `rsplit_once` at an ASCII sign; names are short, and its search costs more than the look at each byte.
fn split_at_last(text: &str, sign: u8) -> Option<(&str, &str)> {
    let at = text.bytes().rposition(|byte| byte == sign)?;
    Some((&text[..at], &text[at + 1..]))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
