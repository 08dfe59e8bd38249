//! What docs/demo.svg, the recording that docs/record.py draws, shows: text by the class of its lines.

const PICTURE: &str = include_str!("../../docs/demo.svg");

/// The texts of all lines of the class, as they were before they were written into XML.
fn lines(class: &str) -> Vec<String> {
    let mark = format!("class=\"line {class}\"");
    let marked = PICTURE.lines().filter(|line| line.contains(&mark));
    let texts = marked.filter_map(|line| line.split_once('>')?.1.strip_suffix("</text>"));
    texts
        .map(|text| {
            text.replace("&quot;", "\"").replace("&#x27;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        })
        .collect()
}

/// What the demo wrote.
pub fn told_by_the_demo() -> Vec<String> {
    lines("told")
}

/// The commands, without their prompt.
pub fn typed() -> Vec<String> {
    lines("typed").into_iter().map(|line| line.trim_start_matches("$ ").to_owned()).collect()
}

/// How long each answer took, in seconds.
pub fn answered_within() -> Vec<f64> {
    let seconds = |line: String| line.split_whitespace().rev().nth(1)?.parse().ok();
    lines("note").into_iter().filter_map(seconds).collect()
}
