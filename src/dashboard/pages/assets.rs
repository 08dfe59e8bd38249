//! The parts of the pages, embedded. A browser keeps them and asks whether they changed.

use std::sync::LazyLock;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::secured;
use crate::http::{Body, reply};

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Name below `/ui/`, type, text.
type Part = (&'static str, &'static str, &'static str);

macro_rules! parts {
    ($($kind:expr => $($name:literal),+;)+) => {
        &[$($(($name, $kind, include_str!(concat!("../ui/", $name)))),+),+]
    };
}

const PARTS: &[Part] = parts! {
    STYLE => "base.css", "status.css", "topology.css";
    "image/svg+xml" => "icon.svg";
    "application/manifest+json" => "app.webmanifest";
    SCRIPT => "early.js", "status.js", "topology.js";
    SCRIPT => "words.js", "feed.js", "dom.js", "actions.js", "card.js", "timeline.js", "wakes.js", "energy.js", "client.js";
    SCRIPT => "scene.js", "camera.js", "draw.js", "solids.js", "traffic.js", "facts.js", "steer.js";
};

/// One tag for all: they are made together.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut all = md5::Context::new();
    for (_, _, text) in PARTS {
        all.consume(text);
    }
    HeaderValue::from_str(&format!("\"{:x}\"", all.finalize())).unwrap_or(HeaderValue::from_static("\"0\""))
});

/// The part of that name; 304 when the browser still has it.
pub fn asset(name: &str, asked: &HeaderMap) -> Option<Response<Body>> {
    let (_, kind, text) = PARTS.iter().find(|(known, _, _)| *known == name)?;
    let has_it = asked.get_all(header::IF_NONE_MATCH).iter().any(|held| holds_tag(held, &TAG));
    let mut response = if has_it { reply::bare(StatusCode::NOT_MODIFIED) } else { reply::whole(StatusCode::OK, kind, *text) };
    response.headers_mut().insert(header::ETAG, TAG.clone());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(secured(response))
}

/// A proxy that compresses makes the tag a weak one.
fn holds_tag(held: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(held), Ok(tag)) = (held.to_str(), tag.to_str()) else { return false };
    held.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use super::super::{HEAD, SHAPES, STATUS, TOPOLOGY};
    use super::*;

    fn of(kind: &str) -> impl Iterator<Item = &'static Part> {
        PARTS.iter().filter(move |(_, other, _)| *other == kind)
    }

    #[test]
    fn all_parts_together_stay_small() {
        let parts: usize = PARTS.iter().map(|(_, _, text)| text.len()).sum();
        let pages: usize = [HEAD, SHAPES, STATUS, TOPOLOGY].iter().map(|text| text.len()).sum();
        let words = include_str!("../ui/words.json").len();
        assert!(parts + pages + words <= 112 * 1024, "{} bytes", parts + pages + words);
    }

    #[test]
    fn nothing_names_another_origin_or_an_absolute_path() {
        for (name, _, text) in PARTS.iter().filter(|(name, _, _)| *name != "icon.svg") {
            for absolute in ["http://", "https://", "url(/", "fetch(\"/", "EventSource(\"/", "from \"/", "\"//"] {
                assert!(!text.contains(absolute), "{absolute} in {name}");
            }
        }
        for text in [HEAD, STATUS, TOPOLOGY] {
            assert!(!["=\"/", "=\"http", "style=", "onclick="].iter().any(|bad| text.contains(bad)));
        }
    }

    #[test]
    fn scripts_put_data_into_the_page_as_text_only() {
        for (name, _, text) in of(SCRIPT) {
            for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
                assert!(!text.contains(way), "{way} in {name}");
            }
            assert!(text.lines().count() < 300, "{name} is long");
        }
    }

    #[test]
    fn a_browser_that_has_a_part_is_not_sent_it_again() {
        let mut asked = HeaderMap::new();
        let first = asset("base.css", &asked).unwrap();
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        asked.insert(header::IF_NONE_MATCH, HeaderValue::from_str(&format!("\"other\", W/{tag}")).unwrap());
        assert_eq!((first.status(), asset("base.css", &asked).unwrap().status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        assert!(asset("../words.rs", &asked).is_none());
    }
}
