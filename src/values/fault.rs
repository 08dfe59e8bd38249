//! What went wrong: whose fault it is, whether trying again helps, and what to tell the client.
//!
//! Rooms make faults; only `http::reply` turns one into a status and a body.

use std::borrow::Cow;
use std::time::Duration;

/// Whose fault a failure is. Only a node's own fault may count against the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The request cannot be served as it stands.
    Client,
    /// The node or its host.
    Node,
    /// A cloud provider, or what it thinks of us.
    Provider,
    /// This proxy: a limit, or it is shutting down.
    Us,
}

/// Whether the same request may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Trying again will not help.
    Never,
    /// We may replay it ourselves now (on this node after a wake, or on another), if it is replayable.
    Now,
    /// The client may try again after this long; SDKs must not do so by themselves.
    After(Duration),
}

/// What happened. Each kind has one status and one name per dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400
    BadRequest,
    /// 401: a key is needed, and none of ours came.
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    Method,
    /// 408: the client did not send its request in time.
    SlowClient,
    /// 409
    Conflict,
    /// 413
    TooLarge,
    /// 503: one of our bounds is reached.
    Busy,
    /// 503: the node sleeps and this request may not, or cannot, wake it.
    Asleep,
    /// 504: woken in vain until the deadline.
    WakeFailed,
    /// 502: the host is up and refuses the connection.
    Refusing,
    /// 502: the node went away, or spoke no HTTP.
    Died,
    /// 504: a metadata answer took too long, or `--request-limit` was reached.
    Timeout,
    /// 503: no node is configured, or none can serve.
    NoNode,
    /// 503: this proxy is shutting down.
    Draining,
    /// 508: the request came back to us.
    Loop,
    /// 502: a provider refused our key. Never 401: Ollama's own clients would sign in at ollama.com.
    Credentials,
    /// 429: a provider limits us, or we limit this client.
    Limited,
    /// 503: a provider has more to do than it can.
    Overloaded,
}

/// A failure on its way to becoming a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: Kind,
    /// Whose fault it is.
    pub whose: Whose,
    /// Whether to try again.
    pub retry: Retry,
    /// What happened, what we did, what the user can do. Goes to the client as it stands.
    pub text: Cow<'static, str>,
}

impl Fault {
    /// A fault of the client that trying again does not mend.
    pub fn client(kind: Kind, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, whose: Whose::Client, retry: Retry::Never, text: text.into() }
    }

    /// A fault of a node.
    pub fn node(kind: Kind, retry: Retry, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, whose: Whose::Node, retry, text: text.into() }
    }

    /// The same, to be tried again after this time.
    pub fn after(self, wait: Duration) -> Self {
        Self { retry: Retry::After(wait), ..self }
    }

    /// One of our own limits, or our own end.
    pub fn ours(kind: Kind, retry: Retry, text: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, whose: Whose::Us, retry, text: text.into() }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}
