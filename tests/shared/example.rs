//! The example programs, built in the same profile as the tests that run them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;

/// The path of an example. `cargo test --test NAME` alone builds none, so the first call does; `which` tells cargo those that
/// this suite needs.
pub fn example(name: &str, which: &[&str]) -> PathBuf {
    static BUILD: Once = Once::new();
    let tests = std::env::current_exe().unwrap();
    let profile_dir = tests.parent().unwrap().parent().unwrap().to_owned();
    BUILD.call_once(|| {
        let profile = match profile_dir.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            other => other,
        };
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo tells test programs about their package would look to build scripts like a changed environment.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|told| name.to_string_lossy().starts_with(told)) {
                cargo.env_remove(name);
            }
        }
        cargo.args(["build", "--quiet", "--offline", "--profile", profile]).args(which);
        let done = cargo.arg("--target-dir").arg(profile_dir.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR")).status();
        assert!(done.is_ok_and(|status| status.success()), "the examples could not be built");
    });
    profile_dir.join("examples").join(name).with_extension(std::env::consts::EXE_EXTENSION)
}
