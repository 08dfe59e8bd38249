//! What can be observed of a node that does not answer as hoped. Facts, not judgements: `fleet::power` judges.

use std::io;
use std::time::Duration;

/// One observed fact about a node that did not answer.
#[derive(Debug)]
pub enum Trouble {
    /// A RST to our SYN, after this long. Within 300 ms on a LAN: the host is up and nobody listens.
    Refused(Duration),
    /// The kernel says the host cannot be reached (no ARP answer, no route).
    Unreachable(io::Error),
    /// No SYN-ACK within the connect limit: what a sleeping host looks like most of the time.
    NoAnswer,
    /// The name did not resolve and no last good address is known.
    NoAddress(io::Error),
    /// The connection stood and its other end closed or reset it: the host is up.
    Broken(String),
    /// The connection stood and the host fell silent under it: keep-alive or the user timeout ended it.
    Lost(String),
    /// The connection stood, and nothing came within the limit of an own call.
    Silent,
    /// An answer came, and not the one that was asked for.
    Unfit(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(_) => f.write_str("connection refused"),
            Self::Unreachable(error) => write!(f, "host unreachable ({error})"),
            Self::NoAnswer => f.write_str("no answer to the connect"),
            Self::NoAddress(error) => write!(f, "its name does not resolve ({error})"),
            Self::Broken(why) => write!(f, "the connection broke ({why})"),
            Self::Lost(why) => write!(f, "the host fell silent ({why})"),
            Self::Silent => f.write_str("connected, but no answer"),
            Self::Unfit(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trouble {}

impl Trouble {
    /// What a failed connect says, `after` being how long it took.
    pub fn of_connect(error: io::Error, after: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused(after),
            _ => Self::Unreachable(error),
        }
    }
}
