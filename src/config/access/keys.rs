//! Keys of clients and of the owner, from flags and from a file with rules for each. Only their digests are kept.

use std::fmt;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use serde_json::value::RawValue;

use crate::config::document::{Document, Object};
use crate::config::layers::Layers;
use crate::config::settings::{self, Setting};
use crate::config::{Env, Glob, Secret, ServeArgs, files, merge};

/// Below this a key can be guessed.
const SHORT: usize = 16;

/// As many as fit the number of a key.
const MOST: usize = 1000;

/// The SHA-256 digest of a key.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Of what somebody gives for a key.
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, key).as_ref());
        Self(bytes)
    }

    /// Whether both are of the same key, in a time that tells nothing about either.
    pub fn matches(&self, other: &Self) -> bool {
        black_box(self.0.iter().zip(&other.0).fold(0, |differs, (one, two)| black_box(differs | (one ^ two)))) == 0
    }

    fn from_hex(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        let digits = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        for (at, byte) in bytes.iter_mut().enumerate().filter(|_| digits) {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|why| why.to_string())?;
        }
        if digits { Ok(Self(bytes)) } else { Err("must be the 64 hex digits that `sha256sum` writes".to_owned()) }
    }
}

impl fmt::Debug for KeyDigest {
    /// A short key could be found from its digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl PartialEq for KeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other)
    }
}

/// A key and what it opens.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRules {
    /// Its name in logs, in the journal and on pages.
    pub name: Arc<str>,
    /// Instead of the key.
    pub digest: KeyDigest,
    /// Whether it is the owner's: it may do everything.
    pub admin: bool,
    /// Models that it may use; empty: all.
    pub models: Vec<Glob>,
    /// Nodes and providers that may serve it, by name; empty: all.
    pub nodes: Vec<String>,
    /// Whether its requests may wake a PC.
    pub may_wake: bool,
    /// Requests per minute; `None`: as for all clients.
    pub rate: Option<u32>,
    /// Requests at once; `None`: as for all clients.
    pub concurrent: Option<u32>,
}

impl KeyRules {
    fn open(name: &str, key: &str, admin: bool) -> Self {
        let digest = KeyDigest::of(key.as_bytes());
        Self { name: name.into(), digest, admin, models: vec![], nodes: vec![], may_wake: true, rate: None, concurrent: None }
    }

    /// Whether it may use the model of that name.
    pub fn opens_model(&self, name: &str) -> bool {
        let whole = || if name.contains(':') { name.to_owned() } else { format!("{name}:latest") };
        self.models.is_empty() || self.models.iter().any(|glob| glob.matches(name) || glob.matches(&whole()))
    }

    /// Whether the node or provider of that name may serve it.
    pub fn opens_node(&self, name: &str) -> bool {
        self.nodes.is_empty() || self.nodes.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The key that a command shows to a running proxy: the owner's, else a client's. Faults are for the proxy to tell.
pub fn load_key(cli: &ServeArgs, env: &Env, working_dir: &Path) -> Option<Secret> {
    let mut layers = Layers::new(cli, env);
    merge::open_layers(&mut layers, env, working_dir);
    let mut first = |setting| {
        let keys = layers.read_list(setting, |text| sendable(named(text).1).map(|()| named(text).1.to_owned()));
        keys.into_iter().next()
    };
    first(&settings::ADMIN_KEY).or_else(|| first(&settings::API_KEY)).map(Secret::new)
}

/// All keys: those of the flags, then those of the file.
pub(super) fn keys(layers: &mut Layers<'_>, working_dir: &Path) -> Vec<KeyRules> {
    let mut keys = of_flag(layers, &settings::API_KEY, false, "key");
    keys.extend(of_flag(layers, &settings::ADMIN_KEY, true, "admin"));
    if let Some(path) = layers.read_optional(&settings::API_KEY_FILE, |text| Ok(text.to_owned())) {
        keys.extend(of_file(layers, &working_dir.join(path), working_dir));
    }
    for (at, key) in keys.iter().enumerate() {
        let same_name = keys[..at].iter().any(|other| other.name == key.name);
        if same_name || keys[..at].iter().any(|other| other.digest.matches(&key.digest)) {
            let what = if same_name { "two keys have this name" } else { "another name has the same key" };
            layers.faults.push(format!("key `{}`: {what}: change one", key.name));
        }
    }
    if keys.len() > MOST {
        layers.faults.push(format!("{} keys are set; {MOST} are the most", keys.len()));
    }
    keys
}

fn of_flag(layers: &mut Layers<'_>, setting: &Setting, admin: bool, usual: &str) -> Vec<KeyRules> {
    let given = layers.read_list(setting, |text| {
        let (name, key) = named(text);
        sendable(key).map(|()| (name.map(str::to_owned), key.to_owned()))
    });
    let alone = given.len() == 1;
    let mut keys = Vec::new();
    for (at, (name, key)) in given.into_iter().enumerate() {
        let name = name.unwrap_or_else(|| if alone { usual.to_owned() } else { format!("{usual}{}", at + 1) });
        note_short(layers, &name, &key);
        keys.push(KeyRules::open(&name, &key, admin));
    }
    keys
}

fn note_short(layers: &mut Layers<'_>, name: &str, key: &str) {
    if key.len() < SHORT {
        layers
            .notes
            .push(format!("key `{name}` is short and can be guessed: take {SHORT} letters or more (`openssl rand -hex 24`)"));
    }
}

/// `name=key`, or a key alone. A key may end with `=`, as base64 does.
fn named(text: &str) -> (Option<&str>, &str) {
    let (name, key) = text.split_once('=').unwrap_or(("", text));
    let is_name = |name: &str| name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let both = !name.is_empty() && is_name(name) && !key.trim_matches('=').is_empty();
    if both { (Some(name), key) } else { (None, text) }
}

fn sendable(key: &str) -> Result<(), String> {
    let fits = !key.is_empty() && key.len() <= 512 && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(()) } else { Err("is no key: take up to 512 letters, digits and signs without blanks".to_owned()) }
}

fn of_file(layers: &mut Layers<'_>, path: &Path, working_dir: &Path) -> Vec<KeyRules> {
    let name = merge::shown(path, working_dir);
    let text = match files::read_text(path) {
        Ok(Some(text)) => text,
        Ok(None) => {
            layers.faults.push(format!("--api-key-file: {name} is no file: correct the path or leave the setting out"));
            return Vec::new();
        }
        Err(why) => {
            layers.faults.push(format!("--api-key-file: {name} cannot be read ({why}): correct its rights"));
            return Vec::new();
        }
    };
    let variable = |name: &str| layers.variable(name).map(|(text, _)| text.to_owned());
    let (keys, mut faults) = parse(&text, &name, &variable);
    if keys.is_empty() && faults.is_empty() {
        layers.notes.push(format!("--api-key-file: {name} holds no key: by it nobody is asked for one"));
    }
    layers.faults.append(&mut faults);
    keys
}

/// `{"keys": [{"name": …, "key" or "sha256": …, rules}, …]}`
fn parse(text: &str, file: &str, variable: &dyn Fn(&str) -> Option<String>) -> (Vec<KeyRules>, Vec<String>) {
    let mut document = Document::new(text, file.to_owned(), variable);
    let mut keys = Vec::new();
    if let Some(mut top) = document.root().and_then(|root| document.object(root, "the key file")) {
        let listed = top.take("keys").map(|at| document.list(at, "`keys`")).unwrap_or_default();
        for at in listed {
            keys.extend(document.object(at, "a key").and_then(|object| one(&mut document, object)));
        }
        document.refuse_rest(&top, "the key file");
    }
    (keys, document.findings().0)
}

fn one<'a>(document: &mut Document<'a>, mut object: Object<'a>) -> Option<KeyRules> {
    let name = object.take("name").and_then(|at| document.text(at, "name"));
    let (key, sha256) = (object.take("key"), object.take("sha256"));
    let digest = match (key, sha256) {
        (Some(at), None) => document.text(at, "key").and_then(|key| match sendable(&key) {
            Ok(()) => Some(KeyDigest::of(key.as_bytes())),
            Err(why) => {
                document.fault(at, &format!("`key` {why}"));
                None
            }
        }),
        (None, Some(at)) => document.parsed(at, "sha256", KeyDigest::from_hex),
        _ => {
            document.fault(object.at, "a key needs either `key` or `sha256`");
            None
        }
    };
    let texts = |document: &mut Document<'a>, at: Option<&'a RawValue>, what: &str| -> Vec<String> {
        let items = at.map(|at| document.one_or_list(at, what)).unwrap_or_default();
        items.into_iter().filter_map(|at| document.text(at, what)).collect()
    };
    let models = texts(document, object.take("models"), "models");
    let nodes = texts(document, object.take("nodes"), "nodes");
    let may_wake = object.take("may_wake").and_then(|at| document.boolean(at, "may_wake")).unwrap_or(true);
    let admin = object.take("admin").and_then(|at| document.boolean(at, "admin")).unwrap_or(false);
    let rate = object.take("requests_per_minute").and_then(|at| document.parsed(at, "requests_per_minute", merge::count));
    let concurrent = object.take("concurrent_requests").and_then(|at| document.parsed(at, "concurrent_requests", merge::count));
    document.refuse_rest(&object, "a key");
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        document.fault(object.at, "a key needs a `name`");
        return None;
    };
    let models = models.iter().map(|glob| Glob::new(glob)).collect();
    Some(KeyRules { name: name.into(), digest: digest?, admin, models, nodes, may_wake, rate, concurrent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture::{origin, remote};

    #[test]
    fn keys_have_names_and_are_never_shown() {
        let place =
            remote().flag("api-key", "alice=canary-of-alice-1234,canary-without-name==").flag("admin-key", "canary-of-the-owner");
        let config = place.config();
        let names: Vec<_> = config.access.keys.iter().map(|key| (&*key.name, key.admin)).collect();
        assert_eq!(names, [("alice", false), ("key2", false), ("admin", true)]);
        assert!(config.access.keys[1].digest.matches(&KeyDigest::of(b"canary-without-name==")));
        assert!(!config.access.keys[0].digest.matches(&KeyDigest::of(b"canary-of-alice-1235")));
        assert!(!format!("{config:?}").contains("canary"));
        assert_eq!(origin(&config, "api-key").0, "…");
    }

    #[test]
    fn a_key_file_says_what_each_key_opens() {
        let text = r#"{"keys": [
            {"name": "kids", "key": "${KIDS}", "models": ["llama3.2:*"], "nodes": "gpu1", "may_wake": false,
             "requests_per_minute": 6, "concurrent_requests": 1},
            {"name": "owner", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "admin": true}]}"#;
        let config =
            remote().file("keys.json", text).env("KIDS", "a-key-for-the-kids").flag("api-key-file", "keys.json").config();
        let [kids, owner] = &config.access.keys[..] else { panic!("{:?}", config.access.keys) };
        assert!(kids.opens_model("llama3.2") && kids.opens_model("llama3.2:3b") && !kids.opens_model("qwen3:8b"));
        assert!(kids.opens_node("GPU1") && !kids.opens_node("gpu2") && !kids.may_wake);
        assert_eq!((kids.rate, kids.concurrent), (Some(6), Some(1)));
        assert!(owner.admin && owner.may_wake && owner.digest.matches(&KeyDigest::of(b"test")));
    }

    #[test]
    fn every_fault_of_the_keys_is_told_with_its_place_and_without_the_key() {
        let text = r#"{"keys": [{"name": "a"}, {"key": "canary-canary-can"}, {"name": "b", "sha256": "12"}, {"name": "c", "key": "k", "model": []}]}"#;
        let faults =
            remote().file("keys.json", text).flag("api-key-file", "keys.json").flag("admin-key", "canary blank").faults();
        for part in ["either `key` or `sha256`", "needs a `name`", "64 hex digits", "unknown key `model`", "--admin-key"] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
        assert!(!faults.contains("canary"), "{faults}");
    }

    #[test]
    fn two_keys_of_one_name_and_a_file_that_is_not_there_are_faults() {
        let faults = remote().flag("api-key", "a=first-key,a=second-key").flag("api-key-file", "none.json").faults();
        assert!(faults.contains("two keys have this name") && faults.contains("none.json is no file"), "{faults}");
    }

    #[test]
    fn a_short_key_is_worth_a_note() {
        let config = remote().flag("api-key", "1234").config();
        assert!(config.notes.iter().any(|note| note.contains("can be guessed") && !note.contains("1234")), "{:?}", config.notes);
    }
}
