//! The states as a plain table: what the page is without JavaScript, and while its scripts cannot run.

use std::time::SystemTime;

use super::Words;
use super::template::escaped;
use crate::fleet::power::Power;
use crate::fleet::{Fleet, Node, View};

/// Who is awake, in one sentence.
pub(super) fn headline(fleet: &Fleet, words: &Words) -> String {
    let roster = fleet.nodes();
    let nodes: Vec<&Node> = roster.enabled().collect();
    if let [node] = nodes[..] {
        let (name, state) = (node.name().as_str(), node.state());
        let key = if state == "asleep" { "headline_one_asleep" } else { "headline_one" };
        return words.say(key, &[("state", words.find(state).unwrap_or(state)), ("name", name)]);
    }
    let count = |word: &str| nodes.iter().filter(|node| node.state() == word).count();
    let total = nodes.len();
    let key = match total {
        0 => "headline_none",
        _ if count("asleep") == total => "headline_asleep",
        _ => "headline",
    };
    words.say(key, &[("awake", &count("awake").to_string()), ("total", &total.to_string())])
}

/// Every node in a row, with a button that works without scripts.
pub(super) fn states(fleet: &Fleet, words: &Words) -> String {
    const COLUMNS: [&str; 6] = ["node", "state", "since", "address", "models", "requests"];
    let heads: String = COLUMNS.iter().map(|name| ["<th role=\"columnheader\">", &word(words, name), "</th>"].concat()).collect();
    let rows: String = fleet.nodes().iter().map(|node| row(node, words)).collect();
    format!(
        "<table role=\"table\" aria-label=\"{}\"><thead role=\"rowgroup\"><tr role=\"row\">{heads}<td role=\"cell\"></td></tr></thead>\
         <tbody role=\"rowgroup\">{rows}</tbody></table>",
        word(words, "nodes")
    )
}

fn row(node: &Node, words: &Words) -> String {
    let view = node.view();
    let state = node.state();
    let cell = |name: &str, html: &str| format!("<td role=\"cell\" data-label=\"{}\">{html}</td>", word(words, name));
    let drawing = if node.config().enabled { state } else { "unknown" };
    let shown = format!(
        "<svg class=\"shape {drawing}\" aria-hidden=\"true\"><use href=\"#s-{drawing}\"/></svg> <b>{}</b>{}",
        word(words, state),
        remarks(node, &view, words),
    );
    let load = words.say(
        "connections_now",
        &[("running", &node.active().saturating_sub(node.held()).to_string()), ("waiting", &node.held().to_string())],
    );
    [
        "<tr role=\"row\">".to_owned(),
        format!("<th role=\"rowheader\">{}</th>", escaped(node.name().as_str())),
        cell("state", &shown),
        cell("since", &escaped(&since(node, &view, words))),
        cell("address", &escaped(node.host().to_str().unwrap_or_default())),
        cell("models", &models(&view, words)),
        cell("requests", &escaped(&load)),
        format!("<td role=\"cell\">{}</td></tr>", wake_form(node, &view, words)),
    ]
    .concat()
}

/// What was observed against it, and what its owner should know. That a sleeping machine does not answer is no trouble.
fn remarks(node: &Node, view: &View, words: &Words) -> String {
    let asleep = view.power == Power::Asleep;
    let trouble = view.trouble.as_ref().filter(|_| !asleep);
    let told = [trouble, view.hindrance.as_ref(), view.advice.as_ref()].into_iter().flatten().map(|text| words.said(text));
    let lost = asleep && node.config().enabled && !node.config().always_on && !view.means.any();
    let told = told.chain(lost.then(|| words.find("no_means")).flatten());
    told.map(|text| ["<br><small>", &escaped(text), "</small>"].concat()).collect()
}

fn since(node: &Node, view: &View, words: &Words) -> String {
    if view.power == Power::Unknown || !node.config().enabled {
        return String::new();
    }
    let age = SystemTime::now().duration_since(view.since).unwrap_or_default();
    words.say("for_long", &[("for", &words.span(age.as_secs()))])
}

fn models(view: &View, words: &Words) -> String {
    let names: Vec<String> = view.holding.models().iter().map(|model| escaped(&model.name)).collect();
    if names.is_empty() { word(words, "unknown") } else { names.join("<br>") }
}

fn wake_form(node: &Node, view: &View, words: &Words) -> String {
    if !view.means.any() || !node.config().enabled {
        return String::new();
    }
    let name = node.name().as_str();
    let label = words.say("of_node", &[("what", words.find("wake").unwrap_or("wake")), ("name", name)]);
    format!(
        "<form method=\"post\" action=\"nodes/{}/wake\"><button aria-label=\"{}\">{}</button></form>",
        escaped(name),
        escaped(&label),
        word(words, "wake")
    )
}

fn word(words: &Words, name: &str) -> String {
    escaped(words.find(name).unwrap_or(name))
}
