//! What a run came to: per model how many passed, pass@k, and how fast it was.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::records::Record;
use crate::score;

/// One word for a sample.
pub fn word(record: &Record) -> &str {
    match (record.ok, &record.error) {
        (Some(true), _) => "passed",
        (Some(false), _) => "failed",
        (None, Some(error)) => error,
        (None, None) => "answered",
    }
}

/// One object per model. pass@k is there once every sample has run.
pub fn of(models: &[String], records: &[Record], wanted: usize, k: &[u32]) -> Value {
    let each: Vec<Value> = models.iter().map(|model| of_model(model, records, wanted / models.len().max(1), k)).collect();
    json!({ "models": each })
}

fn of_model(model: &str, records: &[Record], wanted: usize, k: &[u32]) -> Value {
    let own: Vec<&Record> = records.iter().filter(|record| record.model == model).collect();
    let answered: Vec<&Record> = own.iter().copied().filter(|record| record.code.is_some()).collect();
    let ran = answered.iter().filter(|record| record.ok.is_some()).count();
    let mut problems: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for record in answered.iter().filter(|record| record.ok.is_some()) {
        let (n, c) = problems.entry(&record.task_id).or_default();
        (*n, *c) = (*n + 1, *c + u32::from(record.ok == Some(true)));
    }
    let counts: Vec<(u32, u32)> = problems.into_values().collect();
    let mut pass = Map::new();
    // A share of what happened to be answered would flatter: the rest may be the hard ones.
    for &k in k.iter().filter(|_| ran == wanted) {
        pass.extend(score::mean(&counts, k).map(|mean| (k.to_string(), json!(mean))));
    }
    json!({
        "model": model,
        "samples": wanted,
        "answered": answered.len(),
        "executed": ran,
        "passed": answered.iter().filter(|record| record.ok == Some(true)).count(),
        "pass_at_k": pass,
        "mean_gen_time_s": mean(answered.iter().map(|record| record.gen_time_s)),
        "mean_eval_tokens_per_sec": mean(answered.iter().filter_map(|record| record.eval_tokens_per_sec)),
    })
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The same for people, a line per model.
pub fn text(summary: &Value) -> String {
    let mut text = String::new();
    for model in summary["models"].as_array().into_iter().flatten() {
        let name = model["model"].as_str().unwrap_or_default();
        let _ = write!(text, "{name}: {} of {} answered", model["answered"], model["samples"]);
        if model["executed"].as_u64() > Some(0) {
            let _ = write!(text, ", {} of {} passed", model["passed"], model["executed"]);
        }
        for (k, share) in model["pass_at_k"].as_object().into_iter().flatten() {
            let _ = write!(text, ", pass@{k} {:.1} %", share.as_f64().unwrap_or(0.0) * 100.0);
        }
        for (field, unit) in [("mean_gen_time_s", "s each"), ("mean_eval_tokens_per_sec", "tokens/s")] {
            if let Some(figure) = model[field].as_f64() {
                let _ = write!(text, ", {figure:.1} {unit}");
            }
        }
        text.push('\n');
    }
    text
}
