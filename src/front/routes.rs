//! The routes of our own. What stands here never goes on to a node, and nothing else is answered here; `tests/surface` holds
//! `docs/openapi.json` against it.

use crate::cluster::{Controller, Door};
use crate::dashboard;

/// A route: its path, in which `{…}` stands for one part, and what it takes.
pub type Route = (&'static str, &'static str);

/// Only looked at.
const LOOK: &str = "GET, HEAD";

/// Always ours.
const ALWAYS: [Route; 11] = [
    ("/", LOOK),
    ("/health", LOOK),
    ("/nodes", LOOK),
    ("/nodes/{name}/wake", "POST"),
    ("/nodes/{name}/sleep", "POST"),
    ("/nodes/{name}/refresh", "POST"),
    ("/route", LOOK),
    ("/metrics", LOOK),
    ("/topology", LOOK),
    // Where an older gateway had its picture.
    ("/static/topology-3d.html", LOOK),
    ("/ui/{file}", LOOK),
];

/// Ours where there is a key to log in with.
pub(super) const LOGIN: [Route; 2] = [("/login", "GET, HEAD, POST"), ("/logout", "GET, HEAD, POST")];

/// What a path takes that is always ours; `None`: it is a node's.
pub(super) fn methods(path: &str) -> Option<&'static str> {
    if dashboard::PATHS.contains(&path) {
        return Some(LOOK);
    }
    ALWAYS.iter().find(|(template, _)| is(path, template)).map(|(_, methods)| *methods)
}

/// Whether a path is ours by how it begins: what is unknown there is not a node's either.
pub(super) fn is_below_ours(path: &str) -> bool {
    path.starts_with("/ui/") || super::is_action(path)
}

fn is(path: &str, template: &str) -> bool {
    let (parts, known) = (path.split('/'), template.split('/'));
    let same = |(part, known): (&str, &str)| part == known || (known.starts_with('{') && !part.is_empty());
    parts.clone().count() == known.clone().count() && parts.zip(known).all(same)
}

/// All of them, with those that only a controller, a worker, or a proxy with keys has.
pub fn all() -> Vec<Route> {
    let looked_at = dashboard::PATHS.map(|path| (path, LOOK));
    [&ALWAYS[..], &looked_at, &LOGIN, &Controller::ROUTES, &Door::ROUTES].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_ours_as_a_whole_or_not_at_all() {
        for (path, ours) in [
            ("/", Some("GET, HEAD")),
            ("/nodes", Some("GET, HEAD")),
            ("/nodes/", None),
            ("/nodes/a/wake", Some("POST")),
            ("/nodes//wake", None),
            ("/nodes/a/wake/b", None),
            ("/ui/base.css", Some("GET, HEAD")),
            ("/ui/", None),
            ("/summary", Some("GET, HEAD")),
            ("/api/tags", None),
            ("//health", None),
        ] {
            assert_eq!(methods(path), ours, "{path}");
        }
    }
}
