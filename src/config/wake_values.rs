//! The small values of waking, read alike from flags and from the node file.

use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::values::{Mac, SecureOn};

/// A MAC.
///
/// # Errors
/// What a MAC looks like.
pub(super) fn mac(text: &str) -> Result<Mac, String> {
    Mac::from_str(text).map_err(|why| format!("is no MAC address: {why}"))
}

/// A SecureOn password.
///
/// # Errors
/// What one looks like.
pub(super) fn secure_on(text: &str) -> Result<SecureOn, String> {
    SecureOn::from_str(text).map_err(|why| format!("is no SecureOn password: {why}"))
}

/// An IPv4 address for magic packets.
///
/// # Errors
/// What one looks like.
pub(super) fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| "is no IPv4 address: write for example 192.168.1.255".to_owned())
}

/// An HTTP method in capitals.
///
/// # Errors
/// For anything but letters.
pub(super) fn method(text: &str) -> Result<String, String> {
    let letters = !text.is_empty() && text.len() <= 16 && text.bytes().all(|b| b.is_ascii_alphabetic());
    if letters { Ok(text.to_ascii_uppercase()) } else { Err("is no HTTP method: write GET or POST".to_owned()) }
}

/// The method when none is stated.
pub(super) fn usual_method(body: Option<&str>) -> String {
    if body.is_some() { "POST" } else { "GET" }.to_owned()
}

/// `Name: value`; the fault does not repeat the value, which is often a key.
///
/// # Errors
/// When the name or the value cannot stand in HTTP.
pub(super) fn header(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once(':').ok_or("a header lacks its `:`: write `Name: value`")?;
    let (name, value) = (name.trim(), value.trim());
    hyper::header::HeaderName::from_str(name).map_err(|_| format!("`{name}` is no name of a header"))?;
    hyper::header::HeaderValue::from_str(value).map_err(|_| format!("the value of header `{name}` cannot be sent"))?;
    Ok((name.to_owned(), value.to_owned()))
}
