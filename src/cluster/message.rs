//! What workers tell controllers. Fields are added and none is required but the name: versions may differ.

use std::net::IpAddr;

use hyper::Uri;
use serde::{Deserialize, Serialize};

use super::name::is_plain;
use crate::values::Mac;

/// More interfaces than this no machine needs to be woken by.
const INTERFACES: usize = 32;

/// Of so many loaded models is told.
const LOADED: usize = 64;

/// Longer words are cut.
const WORDS: usize = 256;

/// A worker says who it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Registration {
    /// Its own name among all workers.
    pub worker_id: String,
    /// The only model that it serves.
    pub model_id: Option<String>,
    /// Where it listens. Only the port counts: the address is the one that the controller sees.
    pub endpoint: Option<String>,
    /// Requests at once.
    pub capacity: Option<u32>,
    /// The node's name on pages and in metrics.
    pub node_name: Option<String>,
    /// Tells one process from the next.
    pub instance: Option<String>,
    /// The hardware address that wakes it, when none of `interfaces` has the address that the controller sees.
    pub mac: Option<String>,
    /// Its network interfaces.
    pub interfaces: Vec<Interface>,
    /// Its operating system and processor.
    pub os: Option<String>,
    /// Its program's version.
    pub version: Option<String>,
    /// Its power.
    pub power: PowerWord,
    /// Models in its memory.
    pub loaded_models: Vec<String>,
    /// Its places.
    pub slots: Slots,
    /// Changes whenever its list of models does.
    pub list: Option<String>,
}

/// A network interface with its own hardware address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// Its hardware address.
    pub mac: String,
    /// Its network address.
    pub address: Option<IpAddr>,
}

/// What a worker says of its machine's power.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerWord {
    /// It never sleeps.
    pub always_on: bool,
    /// `awake` or `sleeping`.
    pub state: Option<String>,
    /// Seconds that it slept before it woke.
    pub gap: Option<f64>,
    /// It holds its machine awake now.
    pub held: bool,
    /// It can be asked to put its machine to sleep.
    pub can_sleep: bool,
    /// Seconds since it last had work.
    pub unused: Option<f64>,
    /// Why its machine is awake although nobody uses it.
    pub why_awake: Option<String>,
}

/// The places of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slots {
    /// All; unknown when nobody has set it.
    pub total: Option<u32>,
    /// Those not taken now.
    pub free: Option<u32>,
}

/// A worker says how it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heartbeat {
    /// The name that it registered under.
    pub worker_id: String,
    /// Tells one process from the next.
    pub instance: Option<String>,
    /// Counts the words of one process: one that comes late, over a connection that stood still while its machine slept, is
    /// no news.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Requests that it has in hand.
    pub current_load: u32,
    /// `healthy`, `unhealthy`, `draining` or `sleeping`.
    pub status: Option<String>,
    /// Its power.
    pub power: PowerWord,
    /// Models in its memory; absent when its Ollama did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loaded_models: Option<Vec<String>>,
    /// Its places.
    pub slots: Slots,
    /// Changes whenever its list of models does.
    pub list: Option<String>,
}

/// How a worker is, by its own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It serves.
    #[default]
    Healthy,
    /// It runs, and its Ollama does not answer.
    Unhealthy,
    /// It ends what runs and takes nothing new.
    Draining,
    /// Its machine is about to sleep.
    Sleeping,
}

impl Status {
    /// The word in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Draining => "draining",
            Self::Sleeping => "sleeping",
        }
    }
}

impl PowerWord {
    /// Whether it says that it sleeps.
    fn is_sleeping(&self) -> bool {
        self.state.as_deref() == Some("sleeping")
    }
}

impl Heartbeat {
    /// How the worker is. A word of a later version is taken for health.
    pub fn status(&self) -> Status {
        match self.status.as_deref() {
            Some("draining") => Status::Draining,
            Some("sleeping") => Status::Sleeping,
            _ if self.power.is_sleeping() => Status::Sleeping,
            Some("unhealthy") => Status::Unhealthy,
            _ => Status::Healthy,
        }
    }

    /// As much of it as is kept.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.loaded_models.iter_mut().for_each(bound_models);
        self.list = self.list.filter(|list| list.len() <= WORDS);
        let is_time = |seconds: &f64| seconds.is_finite() && *seconds >= 0.0;
        self.power.gap = self.power.gap.filter(is_time);
        self.power.unused = self.power.unused.filter(is_time);
        self.power.why_awake = self.power.why_awake.filter(|why| why.len() <= WORDS && !why.chars().any(char::is_control));
        self
    }
}

/// Why a registration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no registration.
    Bad(&'static str),
    /// It names a machine other than the caller's.
    Foreign(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(why) => f.write_str(why),
            Self::Foreign(host) => write!(
                f,
                "`endpoint` names {host}, and a worker can register only the machine that it calls from: leave the address out \
                 (http://localhost:8001), the controller takes the one that it sees"
            ),
        }
    }
}

impl Registration {
    /// The port that a caller from `peer` may be reached at, and as much of the rest as is kept.
    ///
    /// # Errors
    /// For names that do not fit, and for any machine but the caller's own.
    pub fn checked(mut self, peer: IpAddr) -> Result<(Self, u16), Refusal> {
        if !is_plain(&self.worker_id) {
            return Err(Refusal::Bad("`worker_id` must be 1 to 128 letters, digits and `-_.:`"));
        }
        if self.node_name.as_deref().is_some_and(|name| !is_plain(name)) {
            return Err(Refusal::Bad("`node_name` must be 1 to 128 letters, digits and `-_.:`"));
        }
        self.model_id = self.model_id.filter(|model| !model.is_empty());
        if self.model_id.as_ref().is_some_and(|model| model.len() > WORDS || model.chars().any(char::is_control)) {
            return Err(Refusal::Bad("`model_id` is no name of a model"));
        }
        if self.capacity.is_some_and(|places| !(1..=10_000).contains(&places)) {
            return Err(Refusal::Bad("`capacity` must be from 1 to 10000"));
        }
        let port = port(self.endpoint.as_deref(), peer)?;
        self.endpoint = None;
        self.interfaces.truncate(INTERFACES);
        self.interfaces.retain(|interface| interface.name.len() <= WORDS && interface.mac.len() <= WORDS);
        for words in [&mut self.os, &mut self.version, &mut self.instance, &mut self.mac, &mut self.list] {
            *words = words.take().filter(|words| words.len() <= WORDS && !words.chars().any(char::is_control));
        }
        bound_models(&mut self.loaded_models);
        Ok((self, port))
    }

    /// The hardware address that wakes the machine of this address: that of the interface which has it.
    pub(super) fn mac_of(&self, address: IpAddr) -> Option<Mac> {
        let has_it = |interface: &&Interface| interface.address.is_some_and(|own| own.to_canonical() == address);
        let of_interface = self.interfaces.iter().find(has_it).and_then(|interface| interface.mac.parse().ok());
        of_interface.or_else(|| self.mac.as_deref()?.parse().ok())
    }

    /// Whether it says that its machine is about to sleep.
    pub(super) fn is_sleeping(&self) -> bool {
        self.power.is_sleeping()
    }
}

fn bound_models(models: &mut Vec<String>) {
    models.truncate(LOADED);
    models.retain(|model| model.len() <= WORDS && !model.chars().any(char::is_control));
}

/// The port of an endpoint, which must be on the caller's own machine.
fn port(endpoint: Option<&str>, peer: IpAddr) -> Result<u16, Refusal> {
    const FORM: Refusal = Refusal::Bad("`endpoint` must be http://localhost:PORT");
    let uri: Uri = endpoint.ok_or(FORM)?.parse().map_err(|_| FORM)?;
    let (Some(host), Some("http"), "" | "/", None) = (uri.host(), uri.scheme_str(), uri.path(), uri.query()) else {
        return Err(FORM);
    };
    let named: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_callers = match named {
        Some(named) => {
            let named = named.to_canonical();
            named.is_loopback() || named.is_unspecified() || named == peer
        }
        None => host.eq_ignore_ascii_case("localhost"),
    };
    if !is_callers {
        return Err(Refusal::Foreign(host.chars().take(WORDS).collect()));
    }
    uri.port_u16().filter(|port| *port > 0).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.168.1.20";

    fn registered(json: &str) -> Result<(Registration, u16), Refusal> {
        serde_json::from_str::<Registration>(json).unwrap().checked(PEER.parse().unwrap())
    }

    fn at(endpoint: &str) -> Result<u16, Refusal> {
        registered(&format!(r#"{{"worker_id":"w","endpoint":"{endpoint}"}}"#)).map(|(_, port)| port)
    }

    #[test]
    fn the_first_worker_s_registration_is_understood_and_unknown_fields_do_no_harm() {
        let text = r#"{"worker_id":"llama3-gpu-001","model_id":"llama3","endpoint":"http://localhost:8001","capacity":10,
            "metadata":{"gpu":"a"},"colour":"red"}"#;
        let (told, port) = registered(text).unwrap();
        assert_eq!(
            (told.worker_id.as_str(), told.model_id.as_deref(), told.capacity),
            ("llama3-gpu-001", Some("llama3"), Some(10))
        );
        assert_eq!(port, 8001);
        assert!(!told.power.always_on && told.mac.is_none());
    }

    #[test]
    fn nothing_but_the_caller_s_own_machine_can_be_registered() {
        for own in [
            "http://localhost:8001",
            "http://127.0.0.1:8001/",
            "http://0.0.0.0:8001",
            "http://[::]:8001",
            "http://192.168.1.20:8001",
        ] {
            assert_eq!(at(own), Ok(8001), "{own}");
        }
        for foreign in ["http://192.168.1.21:8001", "http://169.254.169.254:80", "http://router.lan:80", "http://[fd00::1]:8001"]
        {
            assert!(matches!(at(foreign), Err(Refusal::Foreign(_))), "{foreign}");
        }
        for bad in [
            "",
            "localhost:8001",
            "http://localhost",
            "http://localhost:0",
            "https://localhost:8001",
            "http://localhost:8001/x",
            "http://localhost:8001?x",
            "file:///etc",
            "http://localhost:99999",
        ] {
            assert!(matches!(at(bad), Err(Refusal::Bad(_))), "{bad}");
        }
    }

    #[test]
    fn names_and_numbers_that_do_not_fit_are_refused() {
        for bad in [
            r#"{"endpoint":"http://localhost:1"}"#,
            r#"{"worker_id":"a/b","endpoint":"http://localhost:1"}"#,
            r#"{"worker_id":"w","node_name":"a b","endpoint":"http://localhost:1"}"#,
            r#"{"worker_id":"w","capacity":0,"endpoint":"http://localhost:1"}"#,
            r#"{"worker_id":"w"}"#,
        ] {
            assert!(matches!(registered(bad), Err(Refusal::Bad(_))), "{bad}");
        }
    }

    #[test]
    fn it_is_woken_by_the_card_that_has_the_address_which_the_controller_sees() {
        let text = r#"{"worker_id":"w","endpoint":"http://localhost:1","mac":"a8:a1:59:00:00:01","interfaces":[
            {"name":"wlan0","mac":"a8:a1:59:00:00:02","address":"192.168.1.30"},{"name":"eth0","mac":"a8:a1:59:00:00:03","address":"192.168.1.20"}]}"#;
        let (told, _) = registered(text).unwrap();
        let mac = |address: &str| told.mac_of(address.parse().unwrap()).unwrap().to_string();
        assert_eq!([mac(PEER), mac("10.0.0.1")], ["a8:a1:59:00:00:03", "a8:a1:59:00:00:01"]);
    }

    #[test]
    fn a_heartbeat_says_sleeping_by_its_status_or_by_its_power() {
        let status = |json: &str| serde_json::from_str::<Heartbeat>(json).unwrap().status();
        assert_eq!(status(r#"{"worker_id":"w","current_load":1,"status":"healthy"}"#), Status::Healthy);
        assert_eq!(status(r#"{"worker_id":"w","status":"sleeping"}"#), Status::Sleeping);
        assert_eq!(status(r#"{"worker_id":"w","status":"healthy","power":{"state":"sleeping","later":1}}"#), Status::Sleeping);
        assert_eq!(status(r#"{"worker_id":"w","status":"a later word"}"#), Status::Healthy);
        assert_eq!(status(r#"{"worker_id":"w","status":"draining"}"#), Status::Draining);
    }
}
