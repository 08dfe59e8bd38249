//! What this program is made of: allowed licences, one source, no banned crate, locked versions, and the texts that must be
//! handed on. Asks no network; `tests/all supply` lets cargo-deny look, too.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every crate that a build for this machine fetches, those of tests included, as cargo knows it.
fn crates() -> Vec<Value> {
    let host = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]).current_dir(root());
    let said = cargo.output().unwrap();
    assert!(said.status.success(), "is Cargo.lock out of date? {}", String::from_utf8_lossy(&said.stderr));
    let all: Value = serde_json::from_slice(&said.stdout).unwrap();
    let used: BTreeSet<&str> =
        all["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = all["packages"].as_array().unwrap().iter();
    packages.filter(|package| used.contains(package["id"].as_str().unwrap())).cloned().collect()
}

/// The quoted words of one list of deny.toml.
fn listed(list: &str, key: &str) -> Vec<String> {
    let text = read("deny.toml");
    let section = text.split("\n[").find(|section| section.starts_with(list)).unwrap_or_else(|| panic!("no [{list}]"));
    let (_, rest) = section.split_once(&format!("\n{key} = [")).unwrap_or_else(|| panic!("no {key} in [{list}]"));
    let items = rest.split_once("\n]").map_or(rest, |(items, _)| items).split_once("\"]").map_or(rest, |(items, _)| items);
    items.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether somebody may use a crate of this licence who takes the allowed ones alone: `A OR B`, `A AND B`, brackets, and
/// the old `A/B`.
fn allows(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let answer = any(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "cannot be read: {expression}");
    answer
}

fn any(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut answer = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        answer |= all(words, at, allowed);
    }
    answer
}

fn all(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut answer = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        answer &= one(words, at, allowed);
    }
    answer
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    *at += 1;
    if words[*at - 1] == "(" {
        let answer = any(words, at, allowed);
        assert_eq!(words.get(*at), Some(&")"));
        *at += 1;
        return answer;
    }
    let name = words[*at - 1];
    // An exception allows more; it is taken for another licence all the same.
    let excepted = words.get(*at) == Some(&"WITH");
    *at += if excepted { 2 } else { 0 };
    !excepted && allowed.iter().any(|known| known == name)
}

#[test]
fn an_expression_of_licences_is_read_as_it_is_meant() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for yes in ["MIT", "GPL-3.0 OR MIT", "MIT AND ISC", "(GPL-3.0 OR MIT) AND ISC", "Apache-2.0/MIT", "Apache-2.0 WITH x OR MIT"]
    {
        assert!(allows(yes, &allowed), "{yes}");
    }
    for no in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH x", "GPL-3.0 OR AGPL-3.0"] {
        assert!(!allows(no, &allowed), "{no}");
    }
}

#[test]
fn every_crate_has_a_licence_that_is_allowed_and_none_is_banned() {
    let (allowed, banned) = (listed("licenses", "allow"), listed("bans", "deny"));
    assert!(allowed.len() >= 3 && banned.len() >= 10, "{allowed:?} {banned:?}");
    let crates = crates();
    assert!(crates.len() > 100, "{}", crates.len());
    for package in &crates {
        let (name, licence) = (package["name"].as_str().unwrap(), package["license"].as_str().unwrap_or_default());
        assert!(allows(licence, &allowed), "{name}: {licence:?} is not in deny.toml");
    }
    // Of all processors and systems.
    for line in read("Cargo.lock").lines() {
        let Some(name) = line.strip_prefix("name = ") else { continue };
        assert!(!banned.contains(&name.trim_matches('"').to_owned()), "{name} is banned by deny.toml");
    }
}

#[test]
fn every_crate_comes_from_the_one_registry_with_its_checksum() {
    let lock = read("Cargo.lock");
    let mut sources = BTreeSet::new();
    for package in lock.split("[[package]]").skip(1) {
        let value = |key: &str| package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        if value("name") == Some("\"ollama-proxy\"") {
            continue;
        }
        sources.insert(value("source").unwrap_or_else(|| panic!("comes from nowhere: {package}")));
        assert_eq!(value("checksum").map(str::len), Some(66), "{package}");
    }
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("\"registry+https://")), "{sources:?}");
}

/// Every script that builds.
fn scripts() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["tests/all", ".ci/run", "build.ps1"].iter().map(|file| root().join(file)).collect();
    for folder in ["docker", "docker/homeassistant", "tests/container", "tests/static", "tests/engine", "tests/litellm"] {
        files.extend(fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    files
}

#[test]
fn every_script_that_builds_takes_the_locked_versions() {
    let mut seen = 0;
    for file in scripts() {
        let text = fs::read_to_string(&file).unwrap_or_default().replace("\\\n", " ");
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for (at, _) in line.match_indices("cargo ") {
                let command = line[at..].split("&&").next().unwrap();
                let words: Vec<&str> = command.split_whitespace().take(3).collect();
                let resolves = ["build", "test", "run", "clippy", "doc", "install", "tree", "fetch", "deny", "metadata"];
                // A workspace of its own, which is given our versions.
                if command.contains("fuzz/Cargo.toml") {
                    assert!(text.contains("cp Cargo.lock fuzz/Cargo.lock\n"));
                    continue;
                }
                if words.get(2) != Some(&"--version") && resolves.contains(words.get(1).unwrap_or(&"")) {
                    seen += 1;
                    assert!(command.contains("--locked"), "{}: {line}", file.display());
                }
            }
        }
    }
    assert!(seen >= 10, "{seen}");
}

#[cfg(unix)]
#[test]
fn the_texts_of_all_licences_can_be_handed_on_with_a_binary() {
    let written = |fixed: &[(&str, &str)]| {
        let mut script = Command::new("sh");
        script.arg("docker/licences.sh").current_dir(root()).envs(fixed.iter().copied());
        let said = script.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    let text = written(&[]);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let held = cargo.current_dir(root()).output().unwrap();
    let held = String::from_utf8(held.stdout).unwrap();
    let held: BTreeSet<String> = held.lines().map(|line| line.split(" (").next().unwrap().replacen(" v", " ", 1)).collect();
    assert!(held.len() > 60, "{held:?}");
    for package in held.iter().filter(|package| !package.starts_with("ollama-proxy ")) {
        assert!(text.contains(&format!("\n{package}: ")), "{package} is missing");
    }
    let permission = "Permission is hereby granted";
    assert!(text.matches(permission).count() > 20, "{}", text.matches(permission).count());
    // A crate that demands more than MIT brings it.
    assert!(text.contains("ring 0") && text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION"));
    assert!(!text.contains("GNU C Library") && written(&[("STATIC", "1")]).contains("GNU C Library"));
}
