//! What the tests and the client program say to each other, one JSON object per line.

use serde::{Deserialize, Serialize};

/// From the tests: make a request, or leave one.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// Connect, send, report.
    Ask {
        /// Chosen by the tests; every report carries it.
        id: u64,
        /// Address and port.
        to: String,
        /// The whole request, head and body, as it goes on the wire.
        request: String,
        /// How long connecting may take, in milliseconds.
        connect_ms: u64,
    },
    /// Close the connection of this request at once, as a client does that has lost patience.
    Leave {
        /// The request's number.
        id: u64,
    },
}

/// From the client: what has happened to a request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The request's number.
    pub id: u64,
    /// Microseconds since the client began to connect.
    pub after_us: u64,
    /// What happened.
    pub news: News,
}

/// What has happened to a request.
#[derive(Debug, Serialize, Deserialize)]
pub enum News {
    /// The head of the answer is complete.
    Head {
        /// Status code.
        status: u16,
        /// Names in lower case, in order.
        headers: Vec<(String, String)>,
    },
    /// A piece of the body: one chunk, or what one read gave.
    Data(String),
    /// Nothing more will come.
    End(Ended),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By the rules: last chunk, whole length, or (without either) a closed connection.
    Clean,
    /// The connection closed before the body was whole.
    Cut,
    /// The connection broke: the operating system's words.
    Broken(String),
    /// No connection: the kind of error.
    NoConnection(String),
    /// The tests told the client to leave.
    Left,
}
