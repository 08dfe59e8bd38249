//! The pages for browsers: what they hold is said by the server in the reader's language, so that they can be read without
//! JavaScript; the modules in `ui/` keep them current. Relative URLs only: they work behind a path prefix.

mod assets;
mod table;
mod template;
mod words;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use crate::fleet::Fleet;
use crate::http::{Body, reply};
use template::{escaped, fill};
use words::Words;

pub use assets::asset;

const HEAD: &str = include_str!("ui/head.html");
const SHAPES: &str = include_str!("ui/shapes.html");
const STATUS: &str = include_str!("ui/status.html");
const TOPOLOGY: &str = include_str!("ui/topology.html");

/// `/`: the nodes, what they do, and what wakes them. `notices` are what the owner should know.
pub fn status(fleet: &Fleet, asked: &HeaderMap, notices: &[String]) -> Response<Body> {
    page(STATUS, fleet, asked, notices)
}

/// `/topology`: the same as a picture of the network.
pub fn topology(fleet: &Fleet, asked: &HeaderMap, notices: &[String]) -> Response<Body> {
    page(TOPOLOGY, fleet, asked, notices)
}

fn page(template: &str, fleet: &Fleet, asked: &HeaderMap, notices: &[String]) -> Response<Body> {
    let text_of = |name| asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words = words::preferred(text_of(header::ACCEPT_LANGUAGE));
    let html = fill(template, &|key| {
        Some(match key {
            "HEAD" => HEAD.to_owned(),
            "SHAPES" => SHAPES.to_owned(),
            "VERSION" => env!("CARGO_PKG_VERSION").to_owned(),
            "HOST" => escaped(text_of(header::HOST)),
            "HEADLINE" => escaped(&table::headline(fleet, words)),
            "TABLE" => table::states(fleet, words),
            "NOTICE" => notices.iter().map(|text| ["<p class=\"notice\">", &escaped(text), "</p>"].concat()).collect(),
            "WORDS" => words.for_scripts(),
            "lang" => words.language.to_owned(),
            word => escaped(words.find(word)?),
        })
    });
    let mut response = secured(reply::whole(StatusCode::OK, "text/html; charset=utf-8", html));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(words.language));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Language"));
    response
}

/// What holds for pages and their parts: nothing comes from elsewhere, nothing inline is run.
fn secured(mut response: Response<Body>) -> Response<Body> {
    let policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in double braces.
    fn keys(template: &str) -> Vec<&str> {
        template.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).collect()
    }

    #[test]
    fn every_name_in_a_page_is_a_word_of_every_language_or_a_part() {
        for template in [STATUS, TOPOLOGY] {
            for key in keys(template).into_iter().filter(|key| key.starts_with(|c: char| c.is_lowercase()) && *key != "lang") {
                assert!(words::ALL.iter().all(|words| words.find(key).is_some()), "{key}");
            }
        }
    }
}
