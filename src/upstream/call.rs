//! Our own small calls to a node: lists, version, preload. Always a fresh connection, always bounded.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use tokio::time::{Instant, timeout};

use super::{Link, Ready, RequestHead, Trouble, connect, exchange};

/// The largest answer we read for ourselves; a verbose show has a few MiB.
const LARGEST: usize = 16 * 1024 * 1024;

/// One own call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path with the node's prefix.
    pub path: String,
    /// The node's `host:port`.
    pub host: HeaderValue,
    /// JSON, or empty.
    pub body: Bytes,
}

/// A whole answer to an own call.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Whole body, at most 16 MiB.
    pub body: Bytes,
    /// Who answered.
    pub peer: SocketAddr,
    /// When the connection stood.
    pub connected: Instant,
}

/// Makes one call: connect within `dial`, whole answer within `limit`.
///
/// # Errors
/// What was observed; `Silent` when the limit passed.
pub async fn call(addresses: &[SocketAddr], dial: Duration, limit: Duration, call: Call) -> Result<Reply, Trouble> {
    call_over(connect(addresses, dial).await?, limit, call).await
}

/// As [`call`], over a connection that stands.
///
/// # Errors
/// What was observed; `Silent` when the limit passed.
pub async fn call_over(link: Link, limit: Duration, call: Call) -> Result<Reply, Trouble> {
    let (peer, connected) = (link.peer, Instant::now());
    let whole = async {
        let target: Uri = call.path.parse().map_err(|_| Trouble::Broken(format!("{} is no path", call.path)))?;
        let mut head = RequestHead::new(&call.method, &target);
        head.header(&header::HOST, &call.host);
        head.header(&header::CONNECTION, &HeaderValue::from_static("close"));
        let answer = exchange(Ready::over(link, None), head.with(call.body)).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| Trouble::Broken(error.to_string()))?.to_bytes();
        Ok(Reply { status, body, peer, connected })
    };
    timeout(limit, whole).await.unwrap_or(Err(Trouble::Silent))
}
