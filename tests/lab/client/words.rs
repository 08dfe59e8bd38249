//! What the tests and the client program say to each other, one JSON object per line.

use std::collections::BTreeMap;

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
    /// Make the same request many times over.
    Load(Load),
    /// Close the connection of this request at once, as a client does that has lost patience.
    Leave {
        /// The request's number.
        id: u64,
    },
}

/// One request many times over, each answer looked at as it comes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// Chosen by the tests; every report carries it.
    pub id: u64,
    /// Address and port.
    pub to: String,
    /// The whole request.
    pub request: String,
    /// How often.
    pub count: u64,
    /// How many at a time, each on a connection that is kept.
    pub at_once: usize,
    /// What only a whole answer has.
    pub end: String,
    /// The marks of all nodes: an answer must hold that of the node it names, and no other.
    pub marks: Vec<String>,
}

/// What came of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many answers each status and node had, such as `200 node1`; an answer that names no node has only its status.
    pub answers: BTreeMap<String, u64>,
    /// Answers that broke off, or were not of one node: the first few of them in words.
    pub faults: Vec<String>,
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
    /// So many answers of a load have come.
    Answered(u64),
    /// A load is over.
    Tally(Tally),
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
