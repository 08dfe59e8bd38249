//! One body type, its constructors, and the bounded reading of request bodies.

use std::pin::Pin;
use std::sync::Arc;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::values::{Fault, Kind, Retry};

/// What a body may fail with; hyper only prints it and aborts the connection.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Every body this program sends. `Unsync`, because hyper asks only for `Send`.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// All bytes at once; hyper adds `Content-Length`.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A slow sender gets this much time, plus one second per [`SLOWEST`] bytes that did arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes per second below which a sender counts as stalled.
const SLOWEST: u32 = 8 * 1024;

/// One kibibyte is the unit of the budget, so that it fits a semaphore.
const UNIT: usize = 1024;

/// Bytes of request bodies that may be buffered at once, over all requests.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// A budget of so many bytes, rounded up to KiB.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.0.available_permits() * UNIT
    }
}

/// A request body in memory. Its share of the budget is given back on drop.
#[derive(Debug)]
pub struct Buffered {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Buffered {
    /// A body made of one whose share is still held.
    pub fn beside(bytes: Bytes) -> Self {
        Self { bytes, _share: None }
    }

    /// The bytes; cloning them is free, so a replay costs nothing.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Reads a whole request body of at most `limit` bytes within the budget.
///
/// It is read whole before any wait: only then does hyper notice a departed client, and only then can the request be
/// classified and replayed.
///
/// # Errors
/// `TooLarge` over the limit, `Busy` over the budget, `SlowClient` when bytes come too slowly, `BadRequest` when the
/// body breaks off.
pub async fn read<B>(body: B, limit: usize, budget: &Budget) -> Result<Buffered, Fault>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    if body.size_hint().exact().is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let body = std::pin::pin!(body);
    Ok(read_until(body, limit, budget, |_| false).await?.0)
}

/// As [`read`], but only until what has come is `enough`. Says whether that was all.
///
/// # Errors
/// As [`read`]; the limit holds only for what is read here.
pub async fn read_until<B>(
    mut body: Pin<&mut B>,
    limit: usize,
    budget: &Budget,
    mut enough: impl FnMut(&[u8]) -> bool,
) -> Result<(Buffered, bool), Fault>
where
    B: hyper::body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let started = Instant::now();
    let mut ended = true;
    let mut share: Option<OwnedSemaphorePermit> = None;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let so_far = first.len() + all.len();
        let deadline = started + PATIENCE + Duration::from_secs(1) * (u32::try_from(so_far).unwrap_or(u32::MAX) / SLOWEST);
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(Fault::client(Kind::SlowClient, "the request body came too slowly; send it again")),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(Fault::client(Kind::BadRequest, format!("the request body broke off: {error}"))),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        if so_far + data.len() > limit {
            return Err(too_large(limit));
        }
        take_share(budget, &mut share, so_far + data.len())?;
        // Most bodies come in one piece: keep it without copying.
        if so_far == 0 {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&first);
                first = Bytes::new();
            }
            all.extend_from_slice(&data);
        }
        if enough(if all.is_empty() { &first } else { &all }) {
            ended = body.is_end_stream();
            break;
        }
    }
    let bytes = if all.is_empty() { first } else { all.freeze() };
    Ok((Buffered { bytes, _share: share }, ended))
}

fn take_share(budget: &Budget, share: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), Fault> {
    let wanted = bytes.div_ceil(UNIT);
    let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    if wanted <= held {
        return Ok(());
    }
    let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
    let Ok(permit) = budget.0.clone().try_acquire_many_owned(more) else {
        return Err(Fault::ours(
            Kind::Busy,
            Retry::After(Duration::from_secs(5)),
            "the proxy holds as many request bytes as it may (--max-buffer); try again in a few seconds",
        ));
    };
    match share {
        Some(held) => held.merge(permit),
        None => *share = Some(permit),
    }
    Ok(())
}

fn too_large(limit: usize) -> Fault {
    Fault::client(Kind::TooLarge, format!("the request body is larger than {limit} bytes; raise --max-body if that is intended"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let budget = Budget::new(1 << 20);
        assert_eq!(read(full("x".repeat(100)), 100, &budget).await.unwrap().bytes().len(), 100);
        assert_eq!(read(full("x".repeat(101)), 100, &budget).await.unwrap_err().kind, Kind::TooLarge);
    }

    #[tokio::test]
    async fn the_budget_is_shared_by_all_and_given_back_on_drop() {
        let budget = Budget::new(4096);
        let held = read(full("x".repeat(3000)), 10_000, &budget).await.unwrap();
        assert_eq!(read(full("x".repeat(3000)), 10_000, &budget).await.unwrap_err().kind, Kind::Busy);
        drop(held);
        assert!(read(full("x".repeat(3000)), 10_000, &budget).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_given_up() {
        let budget = Budget::new(4096);
        let (_sender, body) = http_body_util::channel::Channel::<Bytes, std::convert::Infallible>::new(1);
        assert_eq!(read(body, 100, &budget).await.unwrap_err().kind, Kind::SlowClient);
    }
}
