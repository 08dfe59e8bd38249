//! The routes that change what lies on the disk: pull, push, create, copy, delete.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::Ollama;
use super::body::{self, Body};
use super::names;
use super::reply::{self, NDJSON, Refusal};
use super::request::{Call, Fields};
use super::settings::SimulatedModel;

/// Progress lines, and what happens when the last one is due: nothing has changed before it.
struct Progress {
    lines: VecDeque<Value>,
    gap: Duration,
    end: Option<Box<dyn FnOnce() + Send>>,
}

impl Progress {
    async fn next(&mut self) -> Option<Value> {
        let line = self.lines.pop_front()?;
        if !self.gap.is_zero() {
            tokio::time::sleep(self.gap).await;
        }
        if self.lines.is_empty() {
            if let Some(end) = self.end.take() {
                end();
            }
        }
        Some(line)
    }

    async fn reply(mut self, stream: bool) -> Response<Body> {
        if stream {
            let Some(first) = self.next().await else { return reply::empty(StatusCode::OK) };
            let lines = body::chunks((Some(first), self), |(ready, mut progress)| async move {
                let line = match ready {
                    Some(line) => line,
                    None => progress.next().await?,
                };
                Some((Bytes::from(reply::marshal(&line) + "\n"), (None, progress)))
            });
            return reply::stream(NDJSON, false, lines);
        }
        let mut last = json!({});
        while let Some(line) = self.next().await {
            last = line;
        }
        let status = if last.get("error").is_some() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        reply::json(status, &last)
    }
}

fn status(text: &str) -> Value {
    json!({"status": text})
}

fn invalid() -> Refusal {
    Refusal::bad("invalid model name")
}

impl Ollama {
    fn progress(&self, lines: Vec<Value>, end: impl FnOnce() + Send + 'static) -> Progress {
        Progress { lines: lines.into(), gap: self.settings().token_gap, end: Some(Box::new(end)) }
    }

    /// A name with "missing" in it is one that no registry has.
    pub(super) async fn pull(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let stream = fields.flag("stream", true)?;
        let (base, _cloud) = names::source(fields.model_or_name()?)?;
        let name = names::shortest(base).ok_or_else(invalid)?;
        if name.contains("missing") {
            return Ok(self.progress(no_manifest(), || {}).reply(stream).await);
        }
        let mut model = self.shelf().find(base).unwrap_or_else(|| pulled(&name));
        model.modified = Utc::now();
        let mut lines = vec![status("pulling manifest")];
        lines.extend(transfer("pulling", &model.weights(), model.size));
        lines.extend(transfer("pulling", &model.digest(), 1_024));
        lines.extend(["verifying sha256 digest", "writing manifest", "success"].map(status));
        let disk = self.clone();
        Ok(self.progress(lines, move || disk.shelf().put(model)).reply(stream).await)
    }

    pub(super) async fn push(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let stream = fields.flag("stream", true)?;
        let asked = fields.model_or_name()?;
        let name = names::shortest(asked).ok_or_else(invalid)?;
        let mut lines = vec![status("retrieving manifest")];
        match self.shelf().find(asked) {
            None => lines.push(json!({"error": format!("couldn't find model '{name}'")})),
            Some(model) => {
                lines.extend(transfer("pushing", &model.weights(), model.size));
                lines.extend(["pushing manifest", "success"].map(status));
            }
        }
        Ok(self.progress(lines, || {}).reply(stream).await)
    }

    pub(super) async fn create(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let stream = fields.flag("stream", true)?;
        let name = names::shortest(fields.model_or_name()?).ok_or_else(invalid)?;
        let from = fields.text("from")?.to_owned();
        let mut model = if from.is_empty() {
            self.built(&name, &fields)?
        } else {
            match self.shelf().find(&from) {
                Some(model) => model,
                // Ollama pulls what it does not have; the simulated registry does not have it either.
                None => return Ok(self.progress(no_manifest(), || {}).reply(stream).await),
            }
        };
        let layer = format!("using existing layer sha256:{}", model.weights());
        model.content = format!("{name} from {}", model.content);
        model.name = name;
        model.modified = Utc::now();
        let lines = [&layer, "writing manifest", "success"].map(status).into();
        let disk = self.clone();
        Ok(self.progress(lines, move || disk.shelf().put(model)).reply(stream).await)
    }

    /// A model out of uploaded blobs.
    fn built(&self, name: &str, fields: &Fields) -> Result<SimulatedModel, Refusal> {
        let files = fields.object("files");
        let Some(digest) = files.0.values().find_map(Value::as_str) else {
            return Err(Refusal::bad("neither 'from' or 'files' was specified"));
        };
        let size = self.shelf().blob_size(&digest.replacen('-', ":", 1));
        let size = size.ok_or_else(|| Refusal::bad(format!("open blob {digest}: no such file or directory")))?;
        Ok(SimulatedModel::chat(name, "1.2B", size))
    }

    pub(super) fn copy(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let (source, destination) = (fields.text("source")?, fields.text("destination")?);
        let bad = |what: &str, name: &str| Refusal::bad(format!("{what} {name:?} is invalid"));
        names::shortest(source).ok_or_else(|| bad("source", source))?;
        let name = names::shortest(destination).ok_or_else(|| bad("destination", destination))?;
        let missing = || Refusal::missing(format!("model {source:?} not found"));
        let model = self.shelf().find(source).ok_or_else(missing)?;
        self.shelf().put(SimulatedModel { name, modified: Utc::now(), ..model });
        Ok(reply::empty(StatusCode::OK))
    }

    pub(super) fn delete(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let asked = fields.model_or_name()?;
        names::shortest(asked).ok_or_else(|| Refusal::bad(format!("name {asked:?} is invalid")))?;
        let model = self.shelf().find(asked).ok_or_else(|| Refusal::missing(format!("model '{asked}' not found")))?;
        self.shelf().remove(&model);
        Ok(reply::empty(StatusCode::OK))
    }
}

fn pulled(name: &str) -> SimulatedModel {
    if name.contains("embed") {
        SimulatedModel::embedding(name, "137M", 274_302_450)
    } else {
        SimulatedModel::chat(name, "1.2B", 1_321_098_329)
    }
}

fn no_manifest() -> Vec<Value> {
    vec![status("pulling manifest"), json!({"error": "pull model manifest: file does not exist"})]
}

/// The lines of one layer on its way: first without `completed`, then in four steps.
fn transfer(verb: &str, digest: &str, total: u64) -> Vec<Value> {
    let line = |completed: Option<u64>| {
        let mut line = status(&format!("{verb} {}", &digest[..12]));
        line["digest"] = format!("sha256:{digest}").into();
        line["total"] = total.into();
        if let Some(completed) = completed {
            line["completed"] = completed.into();
        }
        line
    };
    let steps = (1..=4).map(|quarter| line(Some(total * quarter / 4)));
    std::iter::once(line(None)).chain(steps).collect()
}
