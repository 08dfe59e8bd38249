//! A client that says exactly the bytes it is given.

use std::net::SocketAddr;

use crate::wire::{End, Head, Wire};

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
    pub end: End,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|bad| panic!("{bad}: {:?}", self.text()))
    }

    /// The text of an error in any dialect.
    pub fn error(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        error.as_str().or(error["message"].as_str()).unwrap_or_else(|| panic!("no error in {json}")).to_owned()
    }
}

/// The bytes of a request. `asked` is method and target; a body brings its `Content-Length` with it.
pub fn request(asked: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut lines = vec![format!("{asked} HTTP/1.1"), "Host: proxy.lan:11434".to_owned()];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    if !body.is_empty() {
        lines.push(format!("Content-Length: {}", body.len()));
    }
    [lines.join("\r\n").as_bytes(), b"\r\n\r\n", body].concat()
}

impl Wire {
    /// Reads a whole answer. `asked` tells whether it may have a body.
    pub async fn answer(&mut self, asked: &str) -> Answer {
        let head = self.head().await.expect("the connection ends without an answer");
        let bodiless = asked.starts_with("HEAD") || matches!(head.status(), 204 | 304);
        let (body, end) = if bodiless { (Vec::new(), End::Whole) } else { self.body(&head).await };
        Answer { head, body, end }
    }
}

/// One request on a connection of its own.
pub async fn ask(address: SocketAddr, asked: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
    let mut wire = Wire::connect(address).await;
    wire.say(request(asked, headers, body)).await;
    wire.answer(asked).await
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, &format!("GET {path}"), &[], "").await
}

pub async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    ask(address, &format!("POST {path}"), &[], body).await
}
