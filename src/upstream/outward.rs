//! Our own calls of services outside: wake URLs, notifications, cloud providers. No proxy from the environment, no
//! redirects, which would carry keys away.

use std::future::Future;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use super::{AnswerBody, Idle, Link, Ready, RequestHead, Trouble, Upload, connect, exchange};
use crate::values::{decoded, server_of};

/// Until the server must have taken the connection, its name and TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// More addresses of one name than this are not tried.
const ADDRESSES: usize = 4;

/// A short answer, read to its end or as far as anybody cares.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, or the beginning of it.
    pub body: Bytes,
}

/// Makes one call over a connection of its own, all of it within `limit`. Of the body no more is read than `most` bytes and
/// what came along with them.
///
/// # Errors
/// What was observed; `Silent` when the limit passed.
pub async fn tell(request: Request<Bytes>, limit: Duration, most: usize) -> Result<Told, Trouble> {
    let call = async {
        let (head, mut rest) = send(request, None).await?.into_parts();
        let mut body = Vec::new();
        while body.len() < most {
            let Some(frame) = rest.frame().await else { break };
            body.extend_from_slice(&frame?.into_data().unwrap_or_default());
        }
        Ok(Told { status: head.status, headers: head.headers, body: body.into() })
    };
    timeout(limit, call).await.unwrap_or(Err(Trouble::Silent))
}

/// Sends a request to the server that its address names, and waits for the head of the answer, for as long as it takes. With
/// a `home` the connection rests there afterwards and serves the next call; that must be one of the same server.
///
/// # Errors
/// What was observed.
pub async fn send(request: Request<Bytes>, home: Option<&Idle>) -> Result<Response<AnswerBody>, Trouble> {
    let (_, host, _) = server_of(request.uri());
    if host.is_empty() {
        return Err(Trouble::Broken("its address has no host".to_owned()));
    }
    let ready = match home.and_then(Idle::take) {
        Some(ready) => ready,
        None => Ready::over(within(CONNECT, reach(request.uri())).await?, home.cloned()),
    };
    exchange(ready, upload(request, home.is_some())).await
}

async fn within<T>(limit: Duration, reaching: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(limit, reaching).await.unwrap_or(Err(Trouble::NoAnswer))
}

async fn reach(url: &Uri) -> Result<Link, Trouble> {
    let (tls, host, port) = server_of(url);
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await.map_err(Trouble::NoAddress)?.take(ADDRESSES).collect();
    let link = connect(&addresses, CONNECT).await?.far_away();
    if tls { link.secured(host)?.shaken().await } else { Ok(link) }
}

fn upload(request: Request<Bytes>, stays: bool) -> Upload {
    let (mut parts, body) = request.into_parts();
    let mut head = RequestHead::new(&parts.method, &parts.uri);
    // How long it is says the codec.
    for ours in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        parts.headers.remove(ours);
    }
    if !stays {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let others = [(header::HOST, host(&parts.uri)), (header::ACCEPT, Some(HeaderValue::from_static("*/*")))];
    for (name, value) in others.into_iter().chain([(header::AUTHORIZATION, user(&parts.uri))]) {
        if let Some(value) = value.filter(|_| !parts.headers.contains_key(&name)) {
            head.header(&name, &value);
        }
    }
    for (name, value) in &parts.headers {
        head.header(name, value);
    }
    head.with(body)
}

/// The server as the address has it, without the user.
fn host(url: &Uri) -> Option<HeaderValue> {
    let whole = url.authority()?.as_str();
    HeaderValue::from_str(whole.rsplit('@').next().unwrap_or(whole)).ok()
}

/// What a user in the address stands for: home automation and routers are called so.
fn user(url: &Uri) -> Option<HeaderValue> {
    let (user, _) = url.authority()?.as_str().rsplit_once('@')?;
    let text = if user.contains(':') { decoded(user) } else { format!("{}:", decoded(user)) };
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const LIMIT: Duration = Duration::from_secs(20);

    async fn service() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        (listener, url)
    }

    /// Reads one request as far as its head goes and answers.
    async fn answer(stream: &mut TcpStream, said: &str) -> String {
        let mut read = Vec::new();
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(said.as_bytes()).await.unwrap();
        String::from_utf8(read).unwrap()
    }

    fn get(url: &str) -> Request<Bytes> {
        Request::get(url).body(Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn a_call_names_its_host_and_its_user_and_closes() {
        let (listener, url) = service().await;
        let at = url.replace("http://", "http://me:p%40ss@") + "/wake?a=1";
        let asking = tokio::spawn(async move { tell(get(&at), LIMIT, 1024).await });
        let head = answer(&mut listener.accept().await.unwrap().0, "HTTP/1.1 202 Accepted\r\ndate: x\r\n\r\nyes").await;
        let told = asking.await.unwrap().unwrap();
        assert_eq!(
            (told.status.as_u16(), &told.headers["date"], &told.body[..]),
            (202, &HeaderValue::from_static("x"), &b"yes"[..])
        );
        let host = url.trim_start_matches("http://");
        let basic = STANDARD.encode("me:p@ss");
        for line in
            ["GET /wake?a=1 HTTP/1.1", &format!("host: {host}"), &format!("authorization: Basic {basic}"), "connection: close"]
        {
            assert!(head.lines().any(|found| found == line), "{line}: {head}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_the_answer_and_is_not_followed() {
        let (listener, url) = service().await;
        let (elsewhere, other) = service().await;
        let asking = tokio::spawn(async move { tell(get(&url), LIMIT, 1024).await });
        let said = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {other}/\r\ncontent-length: 0\r\n\r\n");
        answer(&mut listener.accept().await.unwrap().0, &said).await;
        assert_eq!(asking.await.unwrap().unwrap().status, 307);
        assert!(timeout(Duration::from_millis(50), elsewhere.accept()).await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_silent_and_a_closed_port_refuses() {
        let (listener, url) = service().await;
        let asked = tell(get(&url), Duration::from_millis(100), 1024).await;
        assert!(matches!(asked, Err(Trouble::Silent)), "{asked:?}");
        drop(listener);
        let asked = tell(get(&url), LIMIT, 1024).await;
        assert!(matches!(asked, Err(Trouble::Refused(_))), "{asked:?}");
    }

    #[tokio::test]
    async fn a_connection_with_a_home_serves_the_next_call() {
        let (listener, url) = service().await;
        let home = Idle::default();
        let serving = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            for _ in 0..2 {
                answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
            }
        });
        for _ in 0..2 {
            let answer = timeout(LIMIT, send(get(&url), Some(&home))).await.unwrap().unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hi");
        }
        serving.await.unwrap();
    }
}
