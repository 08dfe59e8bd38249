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
const LOGIN: &str = include_str!("ui/login.html");

/// What a page offers about logging in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Nothing: there is no key.
    Open,
    /// The way in.
    Outside,
    /// The way out.
    Inside,
}

/// `/`: the nodes, what they do, and what wakes them. `notices` are what the owner should know.
pub fn status(fleet: &Fleet, asked: &HeaderMap, notices: &[String], visit: Visit) -> Response<Body> {
    page(STATUS, fleet, asked, notices, visit)
}

/// `/topology`: the same as a picture of the network.
pub fn topology(fleet: &Fleet, asked: &HeaderMap, notices: &[String], visit: Visit) -> Response<Body> {
    page(TOPOLOGY, fleet, asked, notices, visit)
}

/// `/login`: a form for a key. `wrong` says why the last one did not open.
pub fn login(asked: &HeaderMap, wrong: Option<&str>) -> Response<Body> {
    let words = words::preferred(text_of(asked, header::ACCEPT_LANGUAGE));
    let html = fill(LOGIN, &|key| {
        Some(match key {
            "WRONG" => wrong
                .map(|why| ["<p class=\"notice\" role=\"alert\">", &escaped(words.said(why)), "</p>"].concat())
                .unwrap_or_default(),
            key => shared(key, words)?,
        })
    });
    finished(html, words)
}

fn text_of(asked: &HeaderMap, name: header::HeaderName) -> &str {
    asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// A link or a button that works without scripts.
fn way(visit: Visit, words: &Words) -> String {
    let word = |name| escaped(words.find(name).unwrap_or(name));
    match visit {
        Visit::Open => String::new(),
        Visit::Outside => format!("<a href=\"login\">{}</a>", word("log_in")),
        Visit::Inside => {
            format!("<form method=\"post\" action=\"logout\"><button class=\"quiet\">{}</button></form>", word("log_out"))
        }
    }
}

fn page(template: &str, fleet: &Fleet, asked: &HeaderMap, notices: &[String], visit: Visit) -> Response<Body> {
    let words = words::preferred(text_of(asked, header::ACCEPT_LANGUAGE));
    let html = fill(template, &|key| {
        Some(match key {
            "HOST" => escaped(text_of(asked, header::HOST)),
            "HEADLINE" => escaped(&table::headline(fleet, words)),
            "VISIT" => way(visit, words),
            "TABLE" => table::states(fleet, words),
            "NOTICE" => {
                notices.iter().map(|text| ["<p class=\"notice\">", &escaped(words.said(text)), "</p>"].concat()).collect()
            }
            "WORDS" => words.for_scripts(),
            key => shared(key, words)?,
        })
    });
    finished(html, words)
}

/// What stands in every page: its parts, and the words of the reader's language.
fn shared(key: &str, words: &Words) -> Option<String> {
    Some(match key {
        "HEAD" => HEAD.to_owned(),
        "SHAPES" => SHAPES.to_owned(),
        "VERSION" => env!("CARGO_PKG_VERSION").to_owned(),
        "lang" => words.language.to_owned(),
        word => escaped(words.find(word)?),
    })
}

fn finished(html: String, words: &Words) -> Response<Body> {
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
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("permissions-policy", HeaderValue::from_static("camera=(), geolocation=(), microphone=()"));
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
        for template in [STATUS, TOPOLOGY, LOGIN] {
            for key in keys(template).into_iter().filter(|key| key.starts_with(|c: char| c.is_lowercase()) && *key != "lang") {
                assert!(words::ALL.iter().all(|words| words.find(key).is_some()), "{key}");
            }
        }
    }
}
