//! A look at the top level of a JSON body, without copying what is large and without judging its types.
//!
//! As Ollama's reader does: only the first value counts, the last of repeated keys wins, `/api` keys match without
//! case. Values stay raw text until somebody asks, so that a wrong type spoils only itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How keys are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// `/api`
    WithoutCase,
    /// `/v1`
    Exact,
}

const KNOWN: [&str; 14] = [
    "model",
    "name",
    "stream",
    "keep_alive",
    "prompt",
    "messages",
    "options",
    "shift",
    "system",
    "verbose",
    "source",
    "destination",
    "from",
    "input",
];

/// The known top-level values of an object.
#[derive(Default)]
pub(super) struct Fields<'a> {
    known: [Option<&'a RawValue>; KNOWN.len()],
    /// The last `model` that is spelled in another case than its route asks for.
    twin: Option<&'a RawValue>,
}

/// A body as text; bytes that are no UTF-8 are replaced, as Ollama does.
pub(super) fn text(body: &[u8]) -> Cow<'_, str> {
    // Nearly all are UTF-8, and a plain look at them is much faster than the search for what to replace.
    std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed)
}

/// The same of bytes that are ours, without a copy in the usual case.
pub(super) fn owned_text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap_or_else(|bad| text(bad.as_bytes()).into_owned())
}

/// Looks at the first JSON value of `text`. No fields if there is only white space; `None` if it is no object.
pub(super) fn look(text: &str, keys: Keys) -> Option<Fields<'_>> {
    if text.trim_ascii().is_empty() {
        return Some(Fields::default());
    }
    serde_json::Deserializer::from_str(text).deserialize_map(TopLevel(keys)).ok()
}

impl<'a> Fields<'a> {
    /// The value as it stands in the body; `None` when absent or `null`.
    pub(super) fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let at = KNOWN.iter().position(|known| *known == key)?;
        self.known[at].filter(|raw| raw.get() != "null")
    }

    /// A text that is there and not empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        serde_json::from_str::<String>(self.raw(key)?.get()).ok().filter(|text| !text.is_empty())
    }

    /// The model for readers that do not mind the case of a key, where others do: Ollama's is one on `/v1`, too.
    pub(super) fn twin(&self) -> Option<String> {
        serde_json::from_str::<String>(self.twin?.get()).ok().filter(|text| !text.is_empty())
    }

    /// A truth value.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        serde_json::from_str(self.raw(key)?.get()).ok()
    }

    /// Whether the value is absent, `null`, or an empty text, list or object.
    pub(super) fn is_empty(&self, key: &str) -> bool {
        let Some(raw) = self.raw(key).map(RawValue::get) else { return true };
        let inside = raw.get(1..raw.len() - 1).unwrap_or(raw);
        match raw.as_bytes()[0] {
            b'"' => inside.is_empty(),
            b'[' | b'{' => inside.trim_ascii().is_empty(),
            _ => false,
        }
    }

    /// The values of the object at `key` whose names are `wanted` (exactly), in that order; the last of repeated ones.
    pub(super) fn inner<const N: usize>(&self, key: &str, wanted: [&str; N]) -> [Option<&'a RawValue>; N] {
        let mut found = [None; N];
        if let Some(raw) = self.raw(key) {
            let mut reader = serde_json::Deserializer::from_str(raw.get());
            let _ = reader.deserialize_map(Inner { wanted: &wanted, found: &mut found });
        }
        found
    }
}

struct TopLevel(Keys);

impl<'de> Visitor<'de> for TopLevel {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key_seed(Key { wanted: &KNOWN })? {
            let Some((at, exact)) = key else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value: &RawValue = map.next_value()?;
            if self.0 == Keys::Exact && !exact {
                if KNOWN[at] == "model" && value.get() != "null" {
                    fields.twin = Some(value);
                }
                continue;
            }
            // In Ollama's reader a null leaves a text as it was, and empties a list or an object.
            let keeps = value.get() == "null" && fields.known[at].is_some_and(|old| old.get().starts_with('"'));
            if !keeps || KNOWN[at] == "keep_alive" {
                fields.known[at] = Some(value);
            }
        }
        Ok(fields)
    }
}

struct Inner<'w, 'a> {
    wanted: &'w [&'w str],
    found: &'w mut [Option<&'a RawValue>],
}

impl<'de> Visitor<'de> for Inner<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key { wanted: self.wanted })? {
            match key {
                Some((at, true)) => self.found[at] = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Finds a key's place among the wanted ones without copying it, and whether it is spelled as there.
struct Key<'w> {
    wanted: &'w [&'w str],
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<(usize, bool)>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        // As bytes: half a surrogate pair in some key must not spoil the whole look.
        reader.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<(usize, bool)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Self::Value, E> {
        let at = self.wanted.iter().position(|wanted| key.eq_ignore_ascii_case(wanted.as_bytes()));
        Ok(at.map(|at| (at, key == self.wanted[at].as_bytes())))
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        self.visit_bytes(key.as_bytes())
    }
}
