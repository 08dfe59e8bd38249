//! JSON read with places: every fault says its line and column, and reading goes on to find the others.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::layers::shown_url;
use crate::values::sort_by_key;

/// A JSON text being read, with what was found wrong or worth a note.
pub(super) struct Document<'a> {
    text: &'a str,
    /// The file's name as the user knows it.
    file: String,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// Each with the offset at which it stands.
    faults: Vec<(usize, String)>,
    notes: Vec<String>,
}

/// An object whose keys are taken out one after the other; what is left in the end is unknown.
pub(super) struct Object<'a> {
    /// Where it stands.
    pub(super) at: &'a RawValue,
    members: Vec<(String, &'a RawValue)>,
    known: Vec<&'static str>,
}

impl<'a> Object<'a> {
    /// Takes the value of a key out; `null` is as good as absent.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'a RawValue> {
        self.known.push(key);
        let at = self.members.iter().position(|(name, _)| name == key)?;
        Some(self.members.remove(at).1).filter(|value| value.get() != "null")
    }

    /// The same for a key that has no effect here: nobody is told to use it.
    pub(super) fn take_idle(&mut self, key: &'static str) -> Option<&'a RawValue> {
        let value = self.take(key);
        self.known.pop();
        value
    }
}

impl<'a> Document<'a> {
    /// `variable` gives the value of `${NAME}`.
    pub(super) fn new(text: &'a str, file: String, variable: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self { text, file, variable, faults: Vec::new(), notes: Vec::new() }
    }

    /// What was found: faults in the order of the text, and notes.
    pub(super) fn findings(mut self) -> (Vec<String>, Vec<String>) {
        sort_by_key(&mut self.faults, |(offset, _)| *offset);
        (self.faults.into_iter().map(|(_, fault)| fault).collect(), self.notes)
    }

    /// The whole text as one value; a fault when it is no JSON.
    pub(super) fn root(&mut self) -> Option<&'a RawValue> {
        match serde_json::from_str(self.text) {
            Ok(root) => Some(root),
            Err(why) => {
                let early = if self.text.trim().is_empty() {
                    " (it is empty)"
                } else if why.is_eof() {
                    " (a closing bracket or quote is missing)"
                } else {
                    ""
                };
                self.faults.push((0, format!("{}: no valid JSON: {why}{early}", self.file)));
                None
            }
        }
    }

    /// Line and column of a value, such as `node_config.json line 4, column 12`.
    pub(super) fn place(&self, at: &RawValue) -> String {
        self.place_of(self.offset(at))
    }

    /// Keeps a fault of a value.
    pub(super) fn fault(&mut self, at: &RawValue, why: &str) {
        self.faults.push((self.offset(at), format!("{}: {why}", self.place(at))));
    }

    /// Keeps a note about a value.
    pub(super) fn note(&mut self, at: &RawValue, what: &str) {
        self.notes.push(format!("{}: {what}", self.place(at)));
    }

    /// An object; `what` names it in the fault otherwise.
    pub(super) fn object(&mut self, at: &'a RawValue, what: &str) -> Option<Object<'a>> {
        let Ok(Members(members)) = serde_json::from_str(at.get()) else {
            self.fault(at, &format!("{what} must be an object {{…}}"));
            return None;
        };
        for (index, (key, value)) in members.iter().enumerate() {
            if members[..index].iter().any(|(earlier, _)| earlier == key) {
                self.fault(value, &format!("`{key}` is given twice in {what}: remove one"));
            }
        }
        Some(Object { at, members, known: Vec::new() })
    }

    /// All members of an object whose keys are free, in order.
    pub(super) fn members(&mut self, at: &'a RawValue, what: &str) -> Vec<(String, &'a RawValue)> {
        self.object(at, what).map(|object| object.members).unwrap_or_default()
    }

    /// The items of a list.
    pub(super) fn list(&mut self, at: &'a RawValue, what: &str) -> Vec<&'a RawValue> {
        serde_json::from_str(at.get()).unwrap_or_else(|_| {
            self.fault(at, &format!("{what} must be a list […]"));
            Vec::new()
        })
    }

    /// The items of a list, or a single value for a list of one.
    pub(super) fn one_or_list(&mut self, at: &'a RawValue, what: &str) -> Vec<&'a RawValue> {
        if at.get().starts_with('[') { self.list(at, what) } else { vec![at] }
    }

    /// A text with its `${NAME}` filled in.
    pub(super) fn text(&mut self, at: &RawValue, what: &str) -> Option<String> {
        let Ok(text) = serde_json::from_str::<String>(at.get()) else {
            self.fault(at, &format!("`{what}` must be a text \"…\""));
            return None;
        };
        match expanded(&text, self.variable) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(why) => {
                self.fault(at, &format!("`{what}` {why}"));
                None
            }
        }
    }

    /// A number of at least `least`, also as a text, so that `${NAME}` may stand for it.
    pub(super) fn number(&mut self, at: &RawValue, what: &str, least: f64) -> Option<f64> {
        let text = if at.get().starts_with('"') { self.text(at, what)? } else { at.get().to_owned() };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= least);
        if number.is_none() {
            self.fault(at, &format!("`{what}` must be a number from {least} on, not `{text}`"));
        }
        number
    }

    /// `true` or `false`, also as a text.
    pub(super) fn boolean(&mut self, at: &RawValue, what: &str) -> Option<bool> {
        let text = if at.get().starts_with('"') { self.text(at, what)? } else { at.get().to_owned() };
        let value = text.parse().ok();
        if value.is_none() {
            self.fault(at, &format!("`{what}` must be true or false, not `{text}`"));
        }
        value
    }

    /// A text or bare number that `parse` understands.
    pub(super) fn parsed<T>(&mut self, at: &RawValue, what: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let bare = at.get().starts_with(|c: char| c.is_ascii_digit() || c == '-');
        let text = if bare { at.get().to_owned() } else { self.text(at, what)? };
        let shown = if what == "secure_on" { "…".to_owned() } else { shown_url(&text) };
        parse(&text).map_err(|why| self.fault(at, &format!("`{what}`: `{shown}` {why}"))).ok()
    }

    /// Refuses every key that was not taken: a misspelt one would silently have no effect.
    pub(super) fn refuse_rest(&mut self, object: &Object<'_>, what: &str) {
        for (key, value) in &object.members {
            if !object.known.contains(&key.as_str()) {
                let offset = self.key_offset(value);
                let (place, known) = (self.place_of(offset), object.known.join(", "));
                self.faults.push((offset, format!("{place}: unknown key `{key}` in {what}: known are {known}")));
            }
        }
    }

    /// Raw values are slices of the text, so their addresses tell where they stand.
    fn offset(&self, at: &RawValue) -> usize {
        (at.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize).min(self.text.len())
    }

    fn key_offset(&self, value: &RawValue) -> usize {
        let before = self.text.get(..self.offset(value)).unwrap_or_default().trim_end_matches([' ', '\t', '\r', '\n', ':', '"']);
        before.rfind('"').unwrap_or(before.len())
    }

    fn place_of(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("{} line {line}, column {column}", self.file)
    }
}

/// Fills in `${NAME}` and `${NAME:-default}`.
fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        let Some(length) = rest[at..].find('}') else { break };
        let inner = &rest[at + 2..at + length];
        let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
        let value = variable(name).filter(|value| !value.is_empty()).or_else(|| default.map(str::to_owned));
        out.push_str(
            &value.ok_or_else(|| format!("needs ${{{name}}}, which is not set: set {name} in the environment or .env"))?,
        );
        rest = &rest[at + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

/// An object as its members in order, duplicates included, values unread.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_and_missing_ones_named() {
        let variable = |name: &str| (name == "MAC").then(|| "a8".to_owned());
        for (text, expected) in [
            ("${MAC}", "a8"),
            ("x${MAC}y${MAC}", "xa8ya8"),
            ("${NO:-7}", "7"),
            ("$MAC", "$MAC"),
            ("${open", "${open"),
            ("{mac}", "{mac}"),
        ] {
            assert_eq!(expanded(text, &variable).unwrap(), expected, "{text}");
        }
        assert!(expanded("${KEY}", &variable).unwrap_err().contains("set KEY"));
    }

    #[test]
    fn a_place_counts_lines_and_letters() {
        let text = "\u{feff}{\n  \"ä\": {\"öl\": 1, \"x\": 2}}";
        let none = |_: &str| None;
        let mut document = Document::new(text, "f.json".into(), &none);
        let root = document.root().unwrap();
        let mut object = document.object(root, "the file").unwrap();
        let inner = object.take("ä").unwrap();
        assert_eq!(document.place(inner), "f.json line 2, column 8");
        let mut inner = document.object(inner, "ä").unwrap();
        inner.take("x").unwrap();
        document.refuse_rest(&inner, "ä");
        assert_eq!(document.findings().0, ["f.json line 2, column 9: unknown key `öl` in ä: known are x"]);
    }

    #[test]
    fn text_that_is_no_json_is_one_fault_with_its_place() {
        let none = |_: &str| None;
        let mut document = Document::new("{\n  \"a\": 1,\n}", "f.json".into(), &none);
        assert!(document.root().is_none());
        assert!(document.findings().0[0].contains("line 3"));
    }
}
