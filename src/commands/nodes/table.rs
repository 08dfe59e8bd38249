//! The table of nodes: columns as wide as their widest cell, the last one cut to the width of the terminal.

use crate::commands::running::ListedNode;

const HEADS: [&str; 9] = ["NAME", "ADDRESS", "STATE", "SINCE", "MAC", "USUAL WAKE", "RUNNING", "WAITING", "MODELS"];

/// The last column keeps at least so much; a narrower terminal wraps.
const NARROWEST: usize = 12;

/// The table with a line break behind each line. `now` in Unix seconds; `width` in cells, `None`: unbounded.
pub(super) fn draw(nodes: &[ListedNode], now: f64, width: Option<usize>) -> String {
    if nodes.is_empty() {
        return "The proxy has no nodes: set OLLAMA_URL to the GPU PC's address.\n".to_owned();
    }
    let heads = HEADS.map(str::to_owned);
    let rows: Vec<[String; 9]> = std::iter::once(heads).chain(nodes.iter().map(|node| row(node, now))).collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = cells(cell).max(*widest);
        }
    }
    let before: usize = widths[..8].iter().map(|width| width + 2).sum();
    let left = width.map_or(usize::MAX, |width| width.saturating_sub(before).max(NARROWEST));
    rows.iter().map(|row| line(row, &widths, left)).collect()
}

fn line(row: &[String; 9], widths: &[usize; 9], left: usize) -> String {
    let mut line = String::new();
    for (cell, width) in row[..8].iter().zip(widths) {
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', width - cells(cell) + 2));
    }
    line.push_str(&cut(&row[8], left));
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

fn row(node: &ListedNode, now: f64) -> [String; 9] {
    let power = &node.power;
    let dash = || "-".to_owned();
    let port = node.port.map(|port| format!(":{port}")).unwrap_or_default();
    let address = node
        .hosts
        .first()
        .map_or_else(dash, |host| if host.contains(':') { format!("[{host}]{port}") } else { format!("{host}{port}") });
    let mac = power.mac.as_ref().map_or_else(dash, |mac| match power.mac_source.as_deref() {
        Some(source) => format!("{mac} ({source})"),
        None => mac.clone(),
    });
    let models: Vec<&str> = node.models().collect();
    let models = if models.is_empty() { dash() } else { format!("{}: {}", models.len(), models.join(", ")) };
    let always_on = if power.always_on { " (always on)" } else { "" };
    [
        node.name.clone(),
        address,
        format!("{}{always_on}", power.state),
        power.since.map_or_else(dash, |since| span(now - since)),
        mac,
        power.wake_seconds.map_or_else(dash, span),
        node.stats.active_connections.to_string(),
        power.held.to_string(),
        models,
    ]
    .map(|cell| plain(&cell))
}

/// Names come from nodes and from the network: none may move the cursor of a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A span of seconds in one unit: `14 s`, `3 min`, `5 h`, `12 d`.
fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6000.0 => format!("{:.0} min", s / 60.0),
        s if s < 48.0 * 3600.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86400.0),
    }
}

/// How many cells of a terminal a text takes.
fn cells(text: &str) -> usize {
    text.chars().map(cell).sum()
}

/// Two for the scripts that terminals draw wide. An approximation: the ranges of East Asian letters and of pictographs.
fn cell(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 => 2,
        0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

fn cut(text: &str, width: usize) -> String {
    if cells(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for c in text.chars() {
        taken += cell(c);
        if taken > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes() -> Vec<ListedNode> {
        serde_json::from_value(serde_json::json!([
            {
                "name": "node1", "hosts": ["192.168.1.20"], "port": 11434, "stats": {"active_connections": 1},
                "models": ["llama3.2:3b", {"name": "nomic-embed-text:latest"}],
                "power": {"state": "awake", "since": 1000.0, "mac": "02:00:00:00:00:01", "mac_source": "learnt",
                          "wake_seconds": 14.2, "held": 2}
            },
            {"name": "工作站", "hosts": ["fd00::5"], "port": 1, "power": {"state": "asleep", "always_on": false}},
        ]))
        .unwrap()
    }

    #[test]
    fn every_column_begins_in_the_same_cell() {
        let text = draw(&nodes(), 1200.0, None);
        assert_eq!(
            text,
            "NAME    ADDRESS             STATE   SINCE  MAC                         USUAL WAKE  RUNNING  WAITING  MODELS\n\
             node1   192.168.1.20:11434  awake   3 min  02:00:00:00:00:01 (learnt)  14 s        1        2        2: llama3.2:3b, nomic-embed-text:latest\n\
             工作站  [fd00::5]:1         asleep  -      -                           -           0        0        -\n"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in [115, 120, 130, 200] {
            let text = draw(&nodes(), 1200.0, Some(width));
            assert!(text.lines().all(|line| cells(line) <= width), "{width}:\n{text}");
        }
        assert!(draw(&nodes(), 1200.0, Some(120)).contains("2: llama3.2:3b, no…\n"));
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let mut evil = ListedNode::default();
        "a\x1b[2Jb\n".clone_into(&mut evil.name);
        let text = draw(&[evil], 0.0, None);
        assert!(text.contains("a?[2Jb?") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn a_span_is_told_in_one_unit() {
        let texts: Vec<String> = [-3.0, 14.0, 99.0, 600.0, 7200.0, 864_000.0].map(span).into();
        assert_eq!(texts, ["0 s", "14 s", "99 s", "10 min", "2 h", "10 d"]);
    }

    #[test]
    fn without_nodes_it_says_what_is_missing() {
        assert!(draw(&[], 0.0, None).contains("OLLAMA_URL"));
    }
}
