//! Who may use the internal routes: whoever shows the key; without a key this machine alone.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderValue};
use ring::digest::{SHA256, digest};

use crate::config::Secret;
use crate::http::headers::is_forwarded;

/// What is asked of callers.
pub struct Access(Option<Secret>);

/// Why a caller is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// There is a key, and it showed none or another one.
    WithoutKey,
    /// There is no key, and it calls from another machine.
    FromElsewhere,
    /// A browser sent it: no worker has an origin.
    Browser,
}

impl Stranger {
    /// What happened and what to do.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::WithoutKey => {
                "the key is missing or not this controller's: set the same INTERNAL_API_KEY here and on every worker, and send it as \
                 `Authorization: Bearer …`"
            }
            Self::FromElsewhere => {
                "this controller has no INTERNAL_API_KEY, so it answers here only to its own machine: set one key on it and on \
                 every worker"
            }
            Self::Browser => "this is not for web pages",
        }
    }
}

impl Access {
    /// Without a key only this machine itself may call.
    pub fn new(key: Option<Secret>) -> Self {
        Self(key)
    }

    /// Whether callers from other machines can be let in at all.
    pub fn has_key(&self) -> bool {
        self.0.is_some()
    }

    /// # Errors
    /// Why the caller may not.
    pub(super) fn admit(&self, headers: &HeaderMap, caller: IpAddr) -> Result<(), Stranger> {
        if headers.contains_key(header::ORIGIN) {
            return Err(Stranger::Browser);
        }
        match &self.0 {
            Some(key) if shown(headers).is_some_and(|shown| same(shown, key.reveal().as_bytes())) => Ok(()),
            Some(_) => Err(Stranger::WithoutKey),
            // A proxy on this machine speaks for anybody.
            None if caller.to_canonical().is_loopback() && !is_forwarded(headers) => Ok(()),
            None => Err(Stranger::FromElsewhere),
        }
    }
}

/// The header that shows a key.
pub(super) fn bearer(key: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

/// In a time that tells nothing of how much is right: the digests are compared whole, whatever the lengths.
fn same(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (digest(&SHA256, a), digest(&SHA256, b));
    a.as_ref().iter().zip(b.as_ref()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Command, Env, load_controller, parse_cli};

    fn access(key: &str) -> Access {
        let line = ["ollama-proxy", "controller", "--internal-api-key", key];
        let Command::Controller(args) = parse_cli(line).unwrap().command() else { panic!() };
        let nowhere = std::path::Path::new("/nowhere/at/all");
        let env = Env::from([("STATE_DIRECTORY".to_owned(), "/nowhere/at/all".to_owned())]);
        Access::new(load_controller(&args, &env, nowhere).unwrap().registration.unwrap().key)
    }

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        }
        headers
    }

    #[test]
    fn with_a_key_everybody_must_show_it_this_machine_too() {
        let access = access("secret");
        for caller in ["127.0.0.1", "192.168.1.9", "::1"] {
            let admit = |authorization| access.admit(&headers(authorization), caller.parse().unwrap());
            assert_eq!(admit("Bearer secret"), Ok(()));
            assert_eq!(admit("bearer  secret "), Ok(()));
            for wrong in ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer SECRET", "Basic secret", "secret"] {
                assert_eq!(admit(wrong), Err(Stranger::WithoutKey), "{wrong:?}");
            }
        }
    }

    #[test]
    fn without_a_key_only_this_machine_may_call() {
        let access = access("");
        let admit = |caller: &str| access.admit(&headers("Bearer x"), caller.parse().unwrap());
        assert!(["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"].into_iter().all(|caller| admit(caller).is_ok()));
        for caller in ["192.168.1.9", "10.0.0.1", "::ffff:192.168.1.9", "fd00::1", "0.0.0.0"] {
            assert_eq!(admit(caller), Err(Stranger::FromElsewhere), "{caller}");
        }
    }

    #[test]
    fn without_a_key_whom_a_proxy_on_this_machine_speaks_for_may_not() {
        for name in ["x-forwarded-for", "x-real-ip", "forwarded"] {
            let mut from_proxy = headers("");
            from_proxy.insert(name, HeaderValue::from_static("127.0.0.1"));
            let admitted = access("").admit(&from_proxy, "127.0.0.1".parse().unwrap());
            assert_eq!(admitted, Err(Stranger::FromElsewhere), "{name}");
        }
    }

    #[test]
    fn a_page_in_a_browser_may_not_even_from_this_machine() {
        let mut from_page = headers("");
        from_page.insert(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        assert_eq!(access("").admit(&from_page, "127.0.0.1".parse().unwrap()), Err(Stranger::Browser));
    }
}
