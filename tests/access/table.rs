//! SECURITY.md and the tests say the same: each row names a test that there is.

use std::fs;
use std::path::Path;

#[test]
fn each_row_of_the_threat_model_names_a_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let (_, after) = text.split_once("## Who may do what").unwrap();
    let table = after.split("\n## ").next().unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Who")).collect();
    assert!(rows.len() >= 20, "{rows:?}");
    let mut tests = String::new();
    for folder in [
        "tests/access",
        "tests/browser",
        "tests/providers",
        "tests/passage",
        "tests/tls",
        "tests/cluster",
        "tests/worker",
        "tests/reload",
    ] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            tests += &fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        }
    }
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test in {row}");
        for name in named {
            let found = tests.contains(&format!("fn {name}(")) || tests.contains(&format!("'{name}'"));
            assert!(found, "there is no test {name:?}");
        }
    }
}
