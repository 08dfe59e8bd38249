//! What all calls of our own to the outside have in common: wake URLs, notifications, cloud providers.

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

/// A client in the making: rustls with ring, no proxy from the environment, no redirects, which would carry keys away.
pub fn client() -> ClientBuilder {
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(Policy::none())
}

/// Why a call failed, without its URL, which may hold a key.
pub fn reason(error: reqwest::Error) -> String {
    innermost(&error.without_url())
}

/// The operating system's own words: the outer ones say no more than that a request failed.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
