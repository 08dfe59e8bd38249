//! The three routes that turn texts into vectors. The same text always gives the same vector.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Ollama;
use super::body::Body;
use super::generation::{Generation, Outcome, Plan};
use super::inference::words;
use super::reply::{self, Refusal};
use super::request::{Call, Fields, KeepAlive, keep_alive};

/// Vectors and what making them took.
struct Embedded {
    vectors: Vec<Vec<f32>>,
    outcome: Outcome,
}

impl Ollama {
    pub(super) async fn embed(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let (name, keep) = (fields.text("model")?, keep_alive(&fields)?);
        let texts = match fields.get("input") {
            None => Vec::new(),
            Some(input) => texts(input).ok_or_else(|| Refusal::bad("invalid input type"))?,
        };
        let model = self.model(name, "embed")?;
        if texts.is_empty() {
            let want = self.want(model, &fields.object("options"), keep);
            self.engine().load(&want, &self.settings()).await?;
            return Ok(reply::json(StatusCode::OK, &json!({"model": name, "embeddings": []})));
        }
        let made = self.vectors(&fields, keep, &texts).await?;
        let vectors: Vec<Vec<f64>> = made.vectors.iter().map(|v| v.iter().copied().map(short).collect()).collect();
        let nanos = |span: std::time::Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let whole = json!({
            "model": name, "embeddings": vectors, "total_duration": nanos(made.outcome.total),
            "load_duration": nanos(made.outcome.load), "prompt_eval_count": made.outcome.prompt_tokens,
        });
        Ok(reply::json(StatusCode::OK, &whole))
    }

    /// The older route: one prompt, the numbers widened to twice their precision.
    pub(super) async fn embeddings(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let (name, prompt, keep) = (fields.text("model")?, fields.text("prompt")?, keep_alive(&fields)?);
        if name.is_empty() {
            return Err(Refusal::bad("model is required"));
        }
        let model = self.model(name, "embed")?;
        if prompt.is_empty() {
            let want = self.want(model, &fields.object("options"), keep);
            self.engine().load(&want, &self.settings()).await?;
            return Ok(reply::json(StatusCode::OK, &json!({"embedding": []})));
        }
        let made = self.vectors(&fields, keep, &[prompt.to_owned()]).await?;
        let vector: Vec<f64> = made.vectors.concat().into_iter().map(f64::from).collect();
        Ok(reply::json(StatusCode::OK, &json!({"embedding": vector})))
    }

    pub(super) async fn v1_embeddings(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let fields = call.fields()?;
        let name = fields.text("model")?;
        let texts = fields.get("input").and_then(texts).filter(|t| !t.is_empty()).ok_or_else(|| Refusal::bad("invalid input"))?;
        let base64 = match fields.text("encoding_format")? {
            "" | "float" => false,
            "base64" => true,
            other => return Err(Refusal::bad(format!("invalid encoding_format: {other}"))),
        };
        self.model(name, "embed")?;
        let made = self.vectors(&fields, None, &texts).await?;
        let written = |vector: &Vec<f32>| {
            if base64 { encoded(vector).into() } else { vector.iter().copied().map(short).collect::<Value>() }
        };
        let entry = |(index, vector)| json!({"object": "embedding", "embedding": written(vector), "index": index});
        let data: Vec<Value> = made.vectors.iter().enumerate().map(entry).collect();
        let tokens = made.outcome.prompt_tokens;
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        let whole = json!({"object": "list", "data": data, "model": name, "usage": usage});
        Ok(reply::json_line(StatusCode::OK, &whole))
    }

    async fn vectors(&self, fields: &Fields, keep: Option<KeepAlive>, texts: &[String]) -> Result<Embedded, Refusal> {
        let arrived = Instant::now();
        let model = self.model(fields.text("model")?, "embed")?;
        let length = fields.number("dimensions").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let length = length.unwrap_or(model.embedding_length).min(model.embedding_length);
        let settings = self.settings();
        let want = self.want(model, &fields.object("options"), keep);
        let seat = self.engine().seat(&want, &settings).await?;
        let prompt_tokens = words(&Value::from(texts)).max(1);
        let plan = Plan { tokens: 1, first_token: settings.first_token, prompt_tokens, ..Plan::default() };
        let mut generation = Generation::begin(self.tally(), seat, plan, arrived);
        while generation.next().await.is_some() {}
        let vectors = texts.iter().map(|text| vector(text, length)).collect();
        Ok(Embedded { vectors, outcome: generation.outcome() })
    }
}

/// One text or a list of them; anything else is refused.
fn texts(input: &Value) -> Option<Vec<String>> {
    match input {
        Value::String(text) if text.is_empty() => Some(Vec::new()),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) => list.iter().map(|v| v.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// A vector of length 1 that depends on nothing but the text.
fn vector(text: &str, length: u64) -> Vec<f32> {
    let raw: Vec<f32> = (0..length)
        .map(|at| {
            let digest = md5::compute(format!("{at} {text}"));
            f32::from(digest[0]) - 127.5
        })
        .collect();
    let norm = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.into_iter().map(|x| x / norm).collect()
}

/// The number whose text is the shortest that still names this `f32`, as Go writes one.
fn short(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_default()
}

/// The vector's bytes, little end first, in Base64.
fn encoded(vector: &[f32]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_in_base64_is_its_little_endian_bytes() {
        assert_eq!(encoded(&[1.0]), "AACAPw==");
        assert_eq!(encoded(&[1.0, -2.0, 0.5]), "AACAPwAAAMAAAAA/");
    }

    #[test]
    fn numbers_are_written_as_short_as_go_writes_them() {
        assert_eq!(short(0.267_261_24).to_string(), "0.26726124");
    }
}
