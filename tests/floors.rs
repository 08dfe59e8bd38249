//! Holds the table of floors (`src/lib.rs`) against the imports of `src/`: a room looks only down.
//!
//! Edges must be visible, so grouped `crate::{…}` imports are refused too.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: &[(&str, u8)] = &[
    ("main", 8),
    ("commands", 8),
    ("app", 8),
    ("front", 7),
    ("proxy", 6),
    ("dashboard", 6),
    ("cluster", 6),
    ("notify", 6),
    ("schedule", 5),
    ("fleet", 4),
    ("catalog", 3),
    ("translate", 3),
    ("upstream", 3),
    ("provider", 3),
    ("simulator", 3),
    ("classify", 2),
    ("server", 2),
    ("storage", 2),
    // Knows sockets and counters, and nothing of nodes or requests: it runs on another machine than the proxy.
    ("exporter", 2),
    ("http", 1),
    ("config", 1),
    ("telemetry", 1),
    ("netlink", 1),
    ("values", 0),
];

/// Sight on one floor that is allowed, each with its reason.
const SIDEWAYS: &[(&str, &str)] = &[
    ("main", "commands"),      // the thin binary calls its commands
    ("commands", "app"),       // a command is a way to run the wiring
    ("provider", "translate"), // whose model it is decides how it is spoken to
];

fn floor(room: &str) -> u8 {
    FLOORS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{room} has no floor: add it to the table")).1
}

fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// The code of a file without comments and without its in-file tests, which may look anywhere.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_room_looks_only_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut faults = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        if inside == Path::new("lib.rs") || file.file_name().unwrap() == "tests.rs" {
            continue;
        }
        let room = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let code = code(&file);
        for root_name in ["crate::", "ollama_proxy::"] {
            for (at, _) in code.match_indices(root_name) {
                let rest = &code[at + root_name.len()..];
                let seen: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if seen.is_empty() {
                    faults.push(format!("{}: grouped import {root_name}{{…}} hides edges", inside.display()));
                } else if seen != room && !SIDEWAYS.contains(&(room.as_str(), seen.as_str())) && floor(&seen) >= floor(&room) {
                    faults.push(format!(
                        "{}: {room} (floor {}) sees {seen} (floor {})",
                        inside.display(),
                        floor(&room),
                        floor(&seen)
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
