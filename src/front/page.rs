//! The page for browsers: state by word, shape and colour, with Wake and Refresh. Readable without JavaScript, no request
//! to any other origin, relative URLs only, so that it works behind a path prefix.

use std::fmt::Write;

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::nodes::is_healthy;
use crate::fleet::{Fleet, Node};
use crate::http::{Body, reply};

const HTML: &str = include_str!("ui/page.html");
pub(super) const CSS: &str = include_str!("ui/page.css");
pub(super) const JS: &str = include_str!("ui/page.js");

/// A part of the page.
pub(super) fn asset(content_type: &'static str, text: &'static str) -> Response<Body> {
    secured(reply::whole(StatusCode::OK, content_type, text))
}

/// The page with the state as it is now.
pub(super) fn page(fleet: &Fleet, missing: Option<&str>, config_error: Option<&str>) -> Response<Body> {
    let mut cards = String::new();
    for node in &*fleet.nodes() {
        card(&mut cards, node);
    }
    let stale = config_error.map(|why| format!("The node file cannot be used, and the nodes stay as they were: {why}"));
    let notices = missing.into_iter().chain(stale.as_deref());
    let notice = notices.fold(String::new(), |all, text| all + "<p class=\"notice\">" + &escaped(text) + "</p>");
    let html = HTML.replace("{{notice}}", &notice).replace("{{nodes}}", &cards).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    secured(reply::whole(StatusCode::OK, "text/html; charset=utf-8", html))
}

fn card(into: &mut String, node: &Node) {
    let view = node.view();
    let (name, state) = (escaped(node.name().as_str()), node.state());
    let host = escaped(node.host().to_str().unwrap_or_default());
    let models: Vec<String> = view.holding.models().iter().map(|model| escaped(&model.name)).collect();
    let mac = view.mac.map_or("not known yet".to_owned(), |known| format!("{} ({})", known.mac, known.source.word()));
    let usual = view.usual_wake().map_or("not known yet".to_owned(), |usual| format!("{:.0} s", usual.as_secs_f64()));
    let told: Vec<String> =
        [&view.trouble, &view.hindrance, &view.advice].into_iter().flatten().map(|text| escaped(text)).collect();
    let healthy = if node.config().enabled && is_healthy(&view) { "well" } else { "ill" };
    let buttons = format!(
        "<form method=\"post\" action=\"nodes/{name}/wake\"><button>Wake</button></form>\
         <form method=\"post\" action=\"nodes/{name}/refresh\"><button class=\"quiet\">Refresh</button></form>"
    );
    // Writing into a String cannot fail.
    let _ = write!(
        into,
        "<article class=\"card {state} {healthy}\" data-node=\"{name}\">\
         <h2><span class=\"shape\" aria-hidden=\"true\"></span>{name}: <span data-state>{state}</span></h2>\
         <p data-told role=\"status\">{}</p>\
         <dl><dt>Address</dt><dd>{host}</dd><dt>MAC</dt><dd data-mac>{mac}</dd><dt>Usual wake</dt><dd data-usual>{usual}</dd>\
         <dt>Running, waiting</dt><dd data-load>{}, {}</dd><dt>Models</dt><dd data-models>{}</dd></dl>{}</article>",
        told.join("; "),
        node.active(),
        node.held(),
        if models.is_empty() { "not known yet".to_owned() } else { models.join(", ") },
        if node.config().enabled { buttons } else { String::new() },
    );
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
        safe
    })
}

fn secured(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_are_called_cannot_become_markup() {
        assert_eq!(escaped("<img src=x onerror='a'>&\""), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn the_page_asks_no_other_origin_for_anything() {
        for text in [HTML, CSS, JS] {
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("//cdn"));
            assert!(!text.contains("src=\"/") && !text.contains("href=\"/") && !text.contains("fetch(\"/"), "absolute path");
        }
    }
}
