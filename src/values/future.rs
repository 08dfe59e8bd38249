//! Futures of one type. For every type of future that is spawned, tokio's task is built anew, 4 KiB of code each: what is
//! spawned seldom is boxed, so that all of it shares one.

use std::pin::Pin;

/// A future of which only the outcome is known.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// For a task that is not born with every request: it costs an allocation.
pub fn boxed<T>(future: impl Future<Output = T> + Send + 'static) -> BoxFuture<T> {
    Box::pin(future)
}
