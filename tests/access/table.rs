//! SECURITY.md and the tests say the same: each row names a test that there is.

use std::fs;
use std::path::Path;

/// Where the tests are that it names.
const FOLDERS: [&str; 14] = [
    "tests/access",
    "tests/browser",
    "tests/providers",
    "tests/passage",
    "tests/many",
    "tests/tls",
    "tests/cluster",
    "tests/worker",
    "tests/reload",
    "src/catalog/snapshot",
    "src/server",
    "src/proxy",
    "src/front",
    "src/front/access",
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The cells of each row of the table under a heading, without its first row.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = read("SECURITY.md");
    let (_, after) = text.split_once(&format!("## {heading}\n")).unwrap();
    let table = after.split("\n## ").next().unwrap();
    let lines = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    lines.map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

fn all_name_tests(rows: &[Vec<String>], columns: usize) {
    let mut tests = String::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            tests += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        }
    }
    for row in rows {
        assert_eq!(row.len(), columns, "{row:?}");
        let named: Vec<&str> = quoted(row.last().unwrap()).collect();
        assert!(!named.is_empty(), "no test in {row:?}");
        for name in named {
            let found = tests.contains(&format!("fn {name}(")) || tests.contains(&format!("'{name}'"));
            assert!(found, "there is no test {name:?}");
        }
    }
}

#[test]
fn each_row_of_the_threat_model_names_a_test_that_there_is() {
    let rows = rows("Who may do what");
    assert!(rows.len() >= 45, "{}", rows.len());
    all_name_tests(&rows, 4);
}

#[test]
fn each_bound_names_its_setting_how_it_is_counted_and_a_test() {
    let rows = rows("Bounds");
    assert!(rows.len() >= 11, "{}", rows.len());
    all_name_tests(&rows, 5);
    let (settings, words) = (read("src/config/settings.rs"), read("src/proxy/refusal.rs"));
    let metrics = read("src/front/metrics.rs");
    for row in &rows {
        for setting in quoted(&row[1]).filter_map(|flag| flag.strip_prefix("--")) {
            assert!(settings.contains(&format!("\"{setting}\"")), "there is no --{setting}");
        }
        for counted in quoted(&row[3]) {
            let text = if counted.contains("_total") { &metrics } else { &words };
            assert!(text.contains(&format!("\"{counted}\"")), "nothing is counted as {counted}");
        }
    }
}

#[test]
fn each_command_that_listens_says_what_to_publish() {
    let commands: Vec<String> =
        rows("Ports").iter().flat_map(|row| quoted(&row[0]).map(str::to_owned).collect::<Vec<_>>()).collect();
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_ollama-proxy")).arg("--help").output().unwrap();
    let help = String::from_utf8(said.stdout).unwrap();
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let named = list.lines().take_while(|line| line.starts_with("  ")).filter(|line| !line.starts_with("   "));
    let there: Vec<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(there.len() >= 9, "{there:?}");
    for command in there.iter().filter(|command| **command != "help") {
        assert!(commands.iter().any(|known| known == command), "SECURITY.md does not say what `{command}` listens on");
    }
}
