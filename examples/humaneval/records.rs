//! `results.jsonl`: one line per sample, appended as it comes, so that a run that was cut off goes on where it was.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One sample, with the fields of the evaluation runner that this one follows, in its order.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Record {
    pub task_id: String,
    pub model: String,
    /// Whether the tests passed; `null` as long as they have not run.
    pub ok: Option<bool>,
    pub sample_index: u32,
    pub gen_time_s: f64,
    pub exec_time_s: Option<f64>,
    pub stdout: String,
    pub stderr: String,
    /// Why there is no answer, or why the program was ended.
    pub error: Option<String>,
    pub eval_count: Option<u64>,
    pub prompt_eval_count: Option<u64>,
    pub eval_tokens_per_sec: Option<f64>,
    pub prompt_tokens_per_sec: Option<f64>,
    pub eval_duration_ns: Option<u64>,
    pub prompt_eval_duration_ns: Option<u64>,
    /// The model's part of the program; `null` when there is no answer.
    pub code: Option<String>,
    pub response_raw: Option<String>,
}

/// What tells one sample from another.
pub type Key = (String, String, u32);

impl Record {
    pub fn key(&self) -> Key {
        (self.model.clone(), self.task_id.clone(), self.sample_index)
    }
}

/// The file with what it holds.
pub struct Results {
    path: PathBuf,
    file: File,
    records: HashMap<Key, Record>,
}

impl Results {
    /// Opens the file or makes it. A last line that was cut off is dropped; later lines of one sample replace earlier ones.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = match fs::read_to_string(path) {
            Err(fault) if fault.kind() == ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("{shown} cannot be read"))?,
        };
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut records = HashMap::new();
        for (at, line) in text[..whole].lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let record: Record = serde_json::from_str(line)
                .with_context(|| format!("{shown}, line {}: not a result; move the file away", at + 1))?;
            records.insert(record.key(), record);
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        let file = File::options().create(true).append(true).open(path).with_context(|| format!("{shown} cannot be written"))?;
        file.set_len(whole as u64)?;
        Ok(Self { path: path.to_owned(), file, records })
    }

    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key)
    }

    /// Writes one sample, at once.
    pub fn put(&mut self, record: Record) -> anyhow::Result<()> {
        let line = format!("{}\n", serde_json::to_string(&record)?);
        self.file.write_all(line.as_bytes()).with_context(|| format!("{} cannot be written", self.path.display()))?;
        self.records.insert(record.key(), record);
        Ok(())
    }

    /// Leaves one line per sample: those of `order` first, then what other runs left.
    pub fn tidy(self, order: &[Key]) -> anyhow::Result<Vec<Record>> {
        let Self { path, file, mut records } = self;
        drop(file);
        let asked: Vec<Record> = order.iter().filter_map(|key| records.remove(key)).collect();
        let mut others: Vec<Record> = records.into_values().collect();
        others.sort_by_key(Record::key);
        let lines: Result<Vec<String>, _> = asked.iter().chain(&others).map(serde_json::to_string).collect();
        replace(&path, &format!("{}\n", lines?.join("\n")))?;
        Ok(asked)
    }
}

/// Puts `text` in a file's place in one step.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("{} cannot be written", path.display()))
}
