//! Which layer speaks for a setting: flag > environment > `.env` > default. Gathers faults, notes and origins on the way.

use std::net::IpAddr;

use crate::config::role::Role;
use crate::config::settings::{self, Setting};
use crate::config::{Env, Origin, ServeArgs};
use crate::values::sort_by_key;

/// The layers above the node file, and what was found out while reading them.
pub(super) struct Layers<'a> {
    args: &'a ServeArgs,
    env: &'a Env,
    /// The settings of the `.env` file; set once it is known where that lies.
    pub(super) dotenv: Env,
    /// What keeps us from starting.
    pub(super) faults: Vec<String>,
    /// What the operator should know.
    pub(super) notes: Vec<String>,
    /// Where each setting came from, in the order of reading.
    pub(super) origins: Vec<Origin>,
}

/// The text of a setting and its layer.
pub(super) struct Given {
    pub(super) text: String,
    /// `flag`, `environment X`, `.env X` or `default`.
    pub(super) origin: String,
}

const DEFAULT: &str = "default";
const ENVIRONMENT: &str = "environment";
const DOTENV: &str = ".env";

impl<'a> Layers<'a> {
    pub(super) fn new(args: &'a ServeArgs, env: &'a Env) -> Self {
        Self { args, env, dotenv: Env::new(), faults: Vec::new(), notes: Vec::new(), origins: Vec::new() }
    }

    /// Whose flags are read.
    pub(super) fn role(&self) -> Role {
        self.args.role()
    }

    /// The value of a name that is no setting of ours, with its layer.
    pub(super) fn variable(&self, name: &str) -> Option<(&str, &'static str)> {
        let here = self.env.get(name).map(|text| (text.trim(), ENVIRONMENT));
        here.or_else(|| self.dotenv.get(name).map(|text| (text.trim(), DOTENV)))
    }

    /// Whether the user said anything about a setting that was read before.
    pub(super) fn asked(&self, setting: &Setting) -> bool {
        self.origins.iter().any(|origin| origin.setting == setting.flag && origin.origin != DEFAULT)
    }

    /// The text that counts for a setting; the default may be empty. Call once per setting.
    pub(super) fn take(&mut self, setting: &Setting) -> Given {
        let given = self.find(setting);
        let default = self.args.role().own(setting).unwrap_or(setting).default;
        let given = given.unwrap_or_else(|| Given { text: default.to_owned(), origin: DEFAULT.to_owned() });
        let value = if given.text.is_empty() { "none".to_owned() } else { shown(setting, &given.text) };
        self.origins.push(Origin { setting: setting.flag.to_owned(), value, origin: given.origin.clone() });
        given
    }

    /// The value of a setting. When it is faulty the fault is kept and some value returned that never comes into use.
    pub(super) fn read<T: Default>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let given = self.take(setting);
        parse(given.text.trim()).unwrap_or_else(|why| {
            self.fault(setting, &given.origin, &given.text, &why);
            T::default()
        })
    }

    /// As [`Self::read`] for a setting that may be absent.
    pub(super) fn read_optional<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let given = self.take(setting);
        if given.text.is_empty() {
            return None;
        }
        parse(given.text.trim()).map_err(|why| self.fault(setting, &given.origin, &given.text, &why)).ok()
    }

    /// The items of a list without blanks, each fault on its own.
    pub(super) fn read_list<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.read_positions(setting, parse).into_iter().flatten().collect()
    }

    /// The items of a list by position; a blank one is `None`, an empty list has no positions.
    pub(super) fn read_positions<T>(&mut self, setting: &Setting, parse: impl Fn(&str) -> Result<T, String>) -> Vec<Option<T>> {
        let given = self.take(setting);
        if given.text.is_empty() {
            return Vec::new();
        }
        let mut items = Vec::new();
        for item in given.text.split([',', '\n']).map(str::trim) {
            items.push(if item.is_empty() {
                None
            } else {
                parse(item).map_err(|why| self.fault(setting, &given.origin, item, &why)).ok()
            });
        }
        items
    }

    /// Keeps a fault of one setting.
    pub(super) fn fault(&mut self, setting: &Setting, origin: &str, text: &str, why: &str) {
        self.faults.push(format!("--{} ({origin}): `{}` {why}", setting.flag, shown(setting, text)));
    }

    fn find(&mut self, setting: &Setting) -> Option<Given> {
        if let Some(text) = self.args.get(setting.flag).filter(|text| !text.trim().is_empty()) {
            return Some(Given { text: text.to_owned(), origin: "flag".to_owned() });
        }
        let own = self.args.role().own(setting);
        let own = own.and_then(|own| self.find_in(ENVIRONMENT, own).or_else(|| self.find_in(DOTENV, own)));
        own.or_else(|| self.find_in(ENVIRONMENT, setting)).or_else(|| self.find_in(DOTENV, setting))
    }

    /// Whether the environment or `.env` names a port or an address of this command by its own name.
    pub(super) fn speaks_of(&mut self, role: Role) -> bool {
        let mut named = |setting| {
            let own = role.own(setting);
            own.is_some_and(|own| self.find_in(ENVIRONMENT, own).or_else(|| self.find_in(DOTENV, own)).is_some())
        };
        named(&settings::PORT) || named(&settings::HOST)
    }

    /// The first name in one layer that is set; an empty value, as Compose writes for an unset variable, is none.
    fn find_in(&mut self, layer: &str, setting: &Setting) -> Option<Given> {
        let values = if layer == DOTENV { &self.dotenv } else { self.env };
        let mut first: Option<(&str, &str)> = None;
        for &name in setting.env {
            let Some(text) = values.get(name).map(|text| text.trim()).filter(|text| !text.is_empty()) else { continue };
            if let Some(why) = foreign(setting, text) {
                self.notes.push(format!("{layer} {name}: `{text}` is ignored: {why}"));
            } else if let Some((other, value)) = first {
                if value != text {
                    let (value, text) = (shown(setting, value), shown(setting, text));
                    self.faults.push(format!(
                        "{layer}: {other}=`{value}` and {name}=`{text}` both set --{} and differ: remove one",
                        setting.flag
                    ));
                }
            } else {
                first = Some((name, text));
            }
        }
        first.map(|(name, text)| Given { text: text.to_owned(), origin: format!("{layer} {name}") })
    }

    /// The origins in the order of the table of settings; rows that are no settings come last.
    pub(super) fn sorted_origins(&mut self) -> Vec<Origin> {
        let mut origins = std::mem::take(&mut self.origins);
        let place = |origin: &Origin| settings::all().position(|setting| setting.flag == origin.setting).unwrap_or(usize::MAX);
        sort_by_key(&mut origins, place);
        origins
    }
}

/// Why a value of the environment was not meant for us, although its name is ours.
fn foreign(setting: &Setting, text: &str) -> Option<&'static str> {
    if ["tcp://", "udp://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Some("an orchestrator sets it for a service of that name");
    }
    let host = setting.flag == settings::HOST.flag && text != "localhost" && text.parse::<IpAddr>().is_err();
    host.then_some("it is no IP address, some shells keep the machine's name there")
}

/// A value as it may be logged: no secrets, and of URLs neither user nor query.
pub(super) fn shown(setting: &Setting, text: &str) -> String {
    if setting.secret {
        return "…".to_owned();
    }
    text.split(',').map(shown_url).collect::<Vec<_>>().join(",")
}

/// A URL without user and query; any other text as it is.
pub(super) fn shown_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?…"));
    let end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}{query}", &rest[host..])
}
