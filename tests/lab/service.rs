//! The wake service of the laboratory as a test declares it and then asks it.

use std::path::Path;

use serde_json::Value;

use crate::program::{Dialogue, example};

/// A WolGoWeb-like service as a test declares it.
#[derive(Clone, Default)]
pub struct WakeService {
    key: String,
    clock: i64,
    fail: i64,
}

impl WakeService {
    /// Without authority, with a right clock, successful.
    pub fn open() -> Self {
        Self::default()
    }

    /// Wants `time` and `token` for this KEY (six characters or more).
    pub fn key(mut self, key: &str) -> Self {
        self.key = key.into();
        self
    }

    /// Its clock is ahead by so many seconds (negative: behind).
    pub fn clock_ahead(mut self, seconds: i64) -> Self {
        self.clock = seconds;
        self
    }

    /// It answers this `error` and sends nothing.
    pub fn fails(mut self, error: i64) -> Self {
        self.fail = error;
        self
    }
}

/// A running wake service on port 9090.
pub struct RunningWakeService {
    dialogue: Dialogue,
}

impl RunningWakeService {
    /// Starts it.
    pub fn start(namespace: &str, logs: &Path, service: &WakeService) -> Self {
        let program = example("lab_wake_service").to_str().unwrap().to_owned();
        let command = [program, "9090".into(), service.key.clone(), service.clock.to_string(), service.fail.to_string()];
        Self { dialogue: Dialogue::start(namespace, logs, "service", &command) }
    }

    /// All calls so far: `{"target": "/wol?…", "error": n}`.
    pub fn calls(&self) -> Vec<Value> {
        serde_json::from_str(&self.dialogue.ask("calls")).unwrap()
    }
}
