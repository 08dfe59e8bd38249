//! One question to a model, through the proxy, in Ollama's own dialect.

use std::time::Duration;

use anyhow::Context;
use hyper::Request;
use ollama_proxy::upstream::outward;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use crate::problem::Problem;
use crate::records::Record;

const SYSTEM: &str = "You complete Python functions. Return only valid Python code: the whole function with its imports, in one \
                      fenced block, without explanations, examples or tests.";

/// Of an answer no more is read.
const LONGEST: usize = 16 << 20;

/// How models are asked.
pub struct Interview {
    pub timeout: Duration,
    pub base_url: String,
    pub temperature: f64,
    pub top_p: f64,
    pub seed: Option<u64>,
    pub num_predict: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    response: String,
    done: bool,
    error: Option<String>,
    eval_count: Option<u64>,
    eval_duration: Option<u64>,
    prompt_eval_count: Option<u64>,
    prompt_eval_duration: Option<u64>,
}

impl Interview {
    /// Asks once. A failure is a record too: it says why, and has no code.
    pub async fn ask(&self, model: &str, problem: &Problem, sample: u32) -> Record {
        let began = Instant::now();
        let asked = self.generate(model, problem, sample).await;
        let blank = Record {
            task_id: problem.task_id.clone(),
            model: model.to_owned(),
            sample_index: sample,
            gen_time_s: seconds(began.elapsed()),
            ..Record::default()
        };
        match asked {
            Err(fault) => Record { error: Some(format!("{fault:#}")), ..blank },
            Ok(answer) => Record {
                code: Some(problem.solution(&answer.response)),
                eval_count: answer.eval_count,
                prompt_eval_count: answer.prompt_eval_count,
                eval_tokens_per_sec: rate(answer.eval_count, answer.eval_duration),
                prompt_tokens_per_sec: rate(answer.prompt_eval_count, answer.prompt_eval_duration),
                eval_duration_ns: answer.eval_duration,
                prompt_eval_duration_ns: answer.prompt_eval_duration,
                response_raw: Some(answer.response),
                ..blank
            },
        }
    }

    async fn generate(&self, model: &str, problem: &Problem, sample: u32) -> anyhow::Result<Answer> {
        let mut options = json!({"temperature": self.temperature, "top_p": self.top_p});
        if let Some(seed) = self.seed {
            // The same seed for every sample would give the same answer.
            options["seed"] = json!(seed.wrapping_add(u64::from(sample)));
        }
        if let Some(most) = self.num_predict {
            options["num_predict"] = json!(most);
        }
        let prompt = format!("Complete this function:\n\n```python\n{}```\n", problem.prompt);
        let body = json!({"model": model, "system": SYSTEM, "prompt": prompt, "stream": false, "options": options});
        let url = format!("{}/api/generate", self.base_url);
        let request = Request::post(url).header("content-type", "application/json").body(body.to_string().into())?;
        let reply = outward::tell(request, self.timeout, LONGEST).await.context("no answer")?;
        let status = reply.status;
        let answer: Answer = serde_json::from_slice(&reply.body).with_context(|| format!("{status}: not an answer of Ollama"))?;
        if let Some(error) = answer.error {
            anyhow::bail!("{status}: {error}");
        }
        anyhow::ensure!(status.is_success() && answer.done, "{status}: the answer is not complete");
        Ok(answer)
    }
}

/// To the millisecond.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: Option<u64>, nanos: Option<u64>) -> Option<f64> {
    let (count, nanos) = (count?, nanos.filter(|&nanos| nanos > 0)?);
    Some((count as f64 * 1e11 / nanos as f64).round() / 100.0)
}
