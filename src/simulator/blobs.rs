//! Uploads of blobs: counted, not kept, and answered early when the blob is there already.

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONNECTION;
use hyper::{Response, StatusCode};

use super::Ollama;
use super::body::{Body, Cut};
use super::connection::Link;
use super::reply::{self, Refusal, Shape};

impl Ollama {
    /// The answer to a HEAD has no length, as Go gives it none.
    pub(super) fn has_blob(&self, digest: &str) -> Result<Response<Body>, Refusal> {
        let digest = checked(digest)?;
        let found = self.shelf().has_blob(&digest);
        Ok(reply::head(if found { StatusCode::OK } else { StatusCode::NOT_FOUND }))
    }

    /// A blob that is there is answered at once, its body unread: the client may be in the middle of sending gigabytes.
    pub(super) async fn take_blob(&self, digest: &str, mut body: Incoming, link: &Link) -> Result<Response<Body>, Cut> {
        let digest = match checked(digest) {
            Ok(digest) => digest,
            Err(refusal) => return Ok(unread(refusal.reply(Shape::Native), &body, link)),
        };
        if self.shelf().has_blob(&digest) {
            return Ok(unread(reply::empty(StatusCode::OK), &body, link));
        }
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            if let Ok(bytes) = frame.map_err(|_| Cut)?.into_data() {
                size += bytes.len() as u64;
                self.tally().note(|c| c.blob_bytes += bytes.len() as u64);
            }
        }
        self.shelf().put_blob(&digest, size);
        Ok(reply::empty(StatusCode::CREATED))
    }
}

/// Says that the connection ends with this answer unless there is nothing left to read.
fn unread(mut reply: Response<Body>, body: &Incoming, link: &Link) -> Response<Body> {
    if !body.is_end_stream() {
        reply.headers_mut().insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
        link.linger_at_end();
    }
    reply
}

/// `sha256:…` or `sha256-…` with 64 hex digits, in its first form.
fn checked(digest: &str) -> Result<String, Refusal> {
    let hex = digest.strip_prefix("sha256:").or_else(|| digest.strip_prefix("sha256-"));
    let good = |hex: &&str| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    hex.filter(good).map(|hex| format!("sha256:{hex}")).ok_or_else(|| Refusal::bad("invalid digest format"))
}
