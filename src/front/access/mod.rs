//! Who may do what. The decisions stand in `Access::admit`, one after the other; SECURITY.md holds them as a table.

mod addresses;
mod failures;
mod hosts;
mod keyring;
mod limits;
mod passes;
mod sessions;

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::sync::watch;

use super::cors::{self, Origin};
use crate::config::{AccessConfig, Cidr, KeyRules};
use crate::http::headers::is_forwarded;
use crate::proxy::{Caller, Metrics, Refusal};
use crate::server::Peer;
use crate::values::{ClientId, Fault, Kind};
use failures::Failures;
pub(super) use hosts::Hosts;
use keyring::{Keyring, Shown};
use limits::Limits;
pub(super) use limits::Running;
use sessions::Sessions;

/// All rules of the settings, with what must be remembered to keep them.
pub(super) struct Access {
    allow: Vec<Cidr>,
    deny: Vec<Cidr>,
    trusted_proxies: Vec<Cidr>,
    open_metrics: bool,
    hosts: Hosts,
    /// A request keeps the keys that it came in with.
    keyring: RwLock<Arc<Keyring>>,
    sessions: Sessions,
    /// Tells that keys or sessions are others than before.
    changes: watch::Sender<()>,
    limits: Limits,
    failures: Failures,
    metrics: Metrics,
}

/// What a request wants, as far as it matters who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// What everybody may have.
    Open,
    /// To read what we tell of ourselves.
    Look,
    /// To change something by hand: wake, sleep, refresh.
    Act,
    /// To use Ollama or a cloud provider.
    Use,
}

/// Why somebody stays outside.
#[derive(Debug)]
pub(super) enum Denied {
    /// Told in the client's dialect.
    Fault(Fault),
    /// A browser is shown where to log in.
    LogIn,
}

/// How a browser stands, for what the pages offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is nothing to log in for.
    Open,
    /// It could log in.
    Outside,
    /// It has.
    Inside,
}

/// Who logs in or out.
pub(super) struct Visitor<'a> {
    /// Where it is.
    pub(super) address: SocketAddr,
    /// Whether nobody on the way can read what it sends.
    pub(super) by_tls: bool,
    /// Whose page sent it.
    pub(super) origin: &'a Origin,
}

/// The key of a request.
#[derive(Clone, Copy)]
struct Held {
    number: u32,
    /// A browser adds a cookie to whatever a page asks for; a key in a header is the sender's own will.
    by_cookie: bool,
}

impl Access {
    pub(super) fn new(config: &AccessConfig, metrics: Metrics) -> Self {
        Self {
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            trusted_proxies: config.trusted_proxies.clone(),
            open_metrics: config.open_metrics,
            hosts: Hosts::new(&config.hosts),
            keyring: RwLock::new(Arc::new(Keyring::new(&config.keys))),
            sessions: Sessions::default(),
            changes: watch::Sender::default(),
            limits: Limits::new(config),
            failures: Failures::default(),
            metrics,
        }
    }

    fn keyring(&self) -> Arc<Keyring> {
        self.keyring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are the keys from now on. Sessions of keys that are gone end with them.
    pub(super) fn renew(&self, keys: &[KeyRules]) {
        let mut keyring = self.keyring.write().unwrap_or_else(PoisonError::into_inner);
        *keyring = Arc::new(keyring.renewed(keys));
        self.sessions.keep_those_of(|number| keyring.get(number).is_some());
        drop(keyring);
        self.changes.send_replace(());
    }

    /// The client of a request, if its address may come in. This machine always may, as long as it speaks for itself.
    pub(super) fn client(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<SocketAddr, Fault> {
        let mut client = peer;
        if !self.trusted_proxies.is_empty() {
            client.set_ip(addresses::client(peer.ip(), headers, &self.trusted_proxies));
        }
        if self.allow.is_empty() && self.deny.is_empty() {
            return Ok(client);
        }
        let address = client.ip().to_canonical();
        let among = |ranges: &[Cidr]| ranges.iter().any(|range| range.contains(address));
        let own = || address.is_loopback() && !is_forwarded(headers);
        if among(&self.deny) || !(self.allow.is_empty() || among(&self.allow) || own()) {
            self.metrics.refused(Refusal::Address);
            return Err(Fault::client(Kind::Forbidden, format!("{address} may not use this proxy (--allow, --deny)")));
        }
        Ok(client)
    }

    /// Whether a request came by TLS: to us, or to a proxy before us that is trusted to say so.
    pub(super) fn is_by_tls(&self, peer: Peer, headers: &HeaderMap) -> bool {
        let is_trusted = || self.trusted_proxies.iter().any(|range| range.contains(peer.address.ip()));
        peer.by_tls || (is_trusted() && addresses::is_by_tls(headers))
    }

    /// Whose page sent a request. A page that has our name counts as our own only if that name can be ours, or where keys
    /// are asked for, which a page under another name does not have.
    pub(super) fn is_called_by_its_name(&self, headers: &HeaderMap) -> bool {
        self.keyring().of_clients || self.hosts.know(headers)
    }

    /// What `/metrics` is: who needs no key for the rest needs none for it.
    pub(super) fn metrics_door(&self) -> Door {
        if self.open_metrics || !self.keyring().of_clients { Door::Open } else { Door::Look }
    }

    /// Lets a request in, or tells why not. Our own keys are taken out of it.
    pub(super) async fn admit(
        &self,
        door: Door,
        client: SocketAddr,
        headers: &mut HeaderMap,
        origin: &Origin,
    ) -> Result<Caller, Denied> {
        let keyring = self.keyring();
        if !keyring.asks() {
            return self.admit_without_keys(door, client, headers, origin);
        }
        let shown = keyring.take(headers);
        let held = match shown {
            Shown::Key(number) => Some(Held { number, by_cookie: false }),
            Shown::None | Shown::Wrong => self.session(&keyring, headers).map(|number| Held { number, by_cookie: true }),
        };
        let needs_key = match door {
            Door::Open => false,
            Door::Look | Door::Use => keyring.of_clients,
            Door::Act => true,
        };
        match held {
            Some(held) => self.admit_with(&keyring, held, door, client, headers, origin),
            None if needs_key && shown == Shown::Wrong => Err(Denied::Fault(self.wrong_key(client).await)),
            None if needs_key => {
                self.metrics.refused(Refusal::Key);
                Err(if wants_page(headers) { Denied::LogIn } else { Denied::Fault(no_key(door)) })
            }
            // Only the owner's acts need a key: the rest is as without any.
            None => self.admit_without_keys(door, client, headers, origin),
        }
    }

    /// Whoever reaches us may use us; but a page from elsewhere may neither look nor act, and only who is at home may act.
    fn admit_without_keys(&self, door: Door, client: SocketAddr, headers: &HeaderMap, origin: &Origin) -> Result<Caller, Denied> {
        match door {
            // Of what a page reads without a word of its origin, only the name that it called us by tells whose page it is.
            Door::Use if cors::may_be_a_silent_page(headers) && !self.is_called_by_its_name(headers) => {
                return Err(self.deny(Refusal::Host, strange_name()));
            }
            Door::Open | Door::Use => {}
            // A browser says where a request comes from only over TLS or on this machine, and there no name is turned.
            Door::Look if headers.contains_key("sec-fetch-site") || self.is_called_by_its_name(headers) => {}
            Door::Look => return Err(self.deny(Refusal::Host, strange_name())),
            Door::Act => {
                self.refuse_other_pages(headers, origin)?;
                if !self.is_called_by_its_name(headers) && !cors::is_same_origin(headers) {
                    return Err(self.deny(Refusal::Host, strange_name()));
                }
                if !addresses::is_at_home(client.ip(), headers) {
                    let text = "without a key this is for this machine and its network alone: set --admin-key, and --trusted-proxy if \
                                a proxy stands in front";
                    return Err(self.deny(Refusal::Address, Fault::client(Kind::Forbidden, text)));
                }
            }
        }
        Ok(Caller::open(client))
    }

    fn admit_with(
        &self,
        keyring: &Keyring,
        held: Held,
        door: Door,
        client: SocketAddr,
        headers: &HeaderMap,
        origin: &Origin,
    ) -> Result<Caller, Denied> {
        let Some(key) = keyring.get(held.number) else { return Err(Denied::LogIn) };
        if held.by_cookie && matches!(door, Door::Act | Door::Use) {
            self.refuse_other_pages(headers, origin)?;
        }
        // Without a key of the owner's own, every key that may wake is as good.
        let may_act = key.admin || (!keyring.of_owner && key.may_wake);
        if door == Door::Act && !may_act {
            let text = format!("the key {:?} does not open this: it takes the owner's key (--admin-key)", key.name);
            return Err(self.deny(Refusal::Key, Fault::client(Kind::Forbidden, text)));
        }
        Ok(Caller { address: client, id: ClientId::Key(held.number), key: Some(key.clone()) })
    }

    /// A browser sends what another site's page asks for, too, and a page on another port of ours.
    fn refuse_other_pages(&self, headers: &HeaderMap, origin: &Origin) -> Result<(), Denied> {
        if *origin != Origin::Same || cors::is_cross_site(headers) {
            return Err(self.deny(Refusal::Origin, Fault::client(Kind::Forbidden, "another site may not do this")));
        }
        if cors::may_be_a_form(headers) {
            let text =
                "this may be another site's form: send it as JSON, with `Content-Type: application/json`, or without a body";
            return Err(self.deny(Refusal::Origin, Fault::client(Kind::Forbidden, text)));
        }
        Ok(())
    }

    fn deny(&self, reason: Refusal, fault: Fault) -> Denied {
        self.metrics.refused(reason);
        Denied::Fault(fault)
    }

    async fn wrong_key(&self, client: SocketAddr) -> Fault {
        self.metrics.refused(Refusal::WrongKey);
        self.failures.one(client.ip()).await
    }

    /// Whether the name that a request called us by can be ours.
    ///
    /// # Errors
    /// It cannot.
    pub(super) fn is_at_our_name(&self, headers: &HeaderMap) -> Result<(), Fault> {
        if self.hosts.know(headers) {
            return Ok(());
        }
        self.metrics.refused(Refusal::Host);
        Err(strange_name())
    }

    /// Counts whom the internal routes turned away; whoever guesses too often is slowed and told so instead.
    pub(super) async fn turned_away(&self, status: StatusCode, reason: Refusal, client: SocketAddr) -> Option<Fault> {
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return None;
        }
        if reason == Refusal::WrongKey {
            return Some(self.wrong_key(client).await).filter(|fault| fault.kind == Kind::Limited);
        }
        self.metrics.refused(reason);
        None
    }

    /// Leave for one more request to Ollama.
    pub(super) fn enter(&self, caller: &Caller) -> Result<Option<Running>, Fault> {
        self.limits.enter(caller).map_err(|(refusal, fault)| {
            self.metrics.refused(refusal);
            fault
        })
    }

    /// Whether there is something to log in for.
    pub(super) fn has_keys(&self) -> bool {
        self.keyring().asks()
    }

    /// The key of a request's session, if that still is one.
    fn session(&self, keyring: &Keyring, headers: &HeaderMap) -> Option<u32> {
        self.sessions.key(headers).filter(|number| keyring.get(*number).is_some())
    }

    /// How a browser stands.
    pub(super) fn standing(&self, headers: &HeaderMap) -> Standing {
        let keyring = self.keyring();
        match keyring.asks().then(|| self.session(&keyring, headers)) {
            None => Standing::Open,
            Some(Some(_)) => Standing::Inside,
            Some(None) => Standing::Outside,
        }
    }

    /// Opens a session with a key; the cookie to set.
    ///
    /// # Errors
    /// A wrong key, or one too many of them; another site's form.
    pub(super) async fn log_in(&self, key: &[u8], headers: &HeaderMap, visitor: &Visitor<'_>) -> Result<HeaderValue, Fault> {
        self.refuse_strange_form(headers, visitor.origin)?;
        let keyring = self.keyring();
        let Some(number) = keyring.find(key) else { return Err(self.wrong_key(visitor.address).await) };
        let name = keyring.get(number).map(|key| key.name.clone()).unwrap_or_default();
        tracing::info!(client = %visitor.address.ip().to_canonical(), key = %name, "logged in");
        let none = || Fault::ours(Kind::Busy, crate::values::Retry::Never, "no random numbers can be had for a session");
        let cookie = self.sessions.open(number, visitor.by_tls).ok_or_else(none);
        // The oldest session may have made room.
        self.changes.send_replace(());
        cookie
    }

    /// Ends the session of a request; the cookie that takes its own away.
    ///
    /// # Errors
    /// Another site's form.
    pub(super) fn log_out(&self, headers: &HeaderMap, visitor: &Visitor<'_>) -> Result<Option<HeaderValue>, Fault> {
        self.refuse_strange_form(headers, visitor.origin)?;
        let cookie = self.sessions.end(headers);
        self.changes.send_replace(());
        Ok(cookie)
    }

    fn refuse_strange_form(&self, headers: &HeaderMap, origin: &Origin) -> Result<(), Fault> {
        if *origin == Origin::Same && !cors::is_cross_site(headers) {
            return Ok(());
        }
        self.metrics.refused(Refusal::Origin);
        Err(Fault::client(Kind::Forbidden, "another site may not do this"))
    }
}

fn wants_page(headers: &HeaderMap) -> bool {
    super::accepts(headers, "text/html")
}

fn no_key(door: Door) -> Fault {
    let text = match door {
        Door::Act => "this takes the owner's key: send it as `Authorization: Bearer KEY`, or log in at /login",
        Door::Open | Door::Look | Door::Use => {
            "this proxy asks for a key: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
        }
    };
    Fault::client(Kind::Unauthorized, text)
}

fn strange_name() -> Fault {
    let text = "this proxy is not known by the name in `Host`, and a page from elsewhere may be behind it: use its address, or add the \
                name to --allowed-hosts";
    Fault::client(Kind::Forbidden, text)
}
