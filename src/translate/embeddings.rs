//! Embeddings from dialect to dialect: Ollama's two routes and OpenAI's one.

use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::client::{Now, push_json};
use super::fields::{Fields, bad};
use super::images::BASE64;
use super::trouble::broken;
use crate::values::{Fault, sort_by_key};

/// The routes on which clients ask for embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedRoute {
    /// `/api/embed`
    Embed,
    /// `/api/embeddings`, its older form with one prompt.
    Embeddings,
    /// `/v1/embeddings`
    OpenAi,
}

impl EmbedRoute {
    /// By its template.
    pub fn of_template(template: &str) -> Option<Self> {
        Some(match template {
            "/api/embed" => Self::Embed,
            "/api/embeddings" => Self::Embeddings,
            "/v1/embeddings" => Self::OpenAi,
            _ => return None,
        })
    }
}

/// A request for embeddings, in no dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbedRequest {
    route: EmbedRoute,
    /// As the client named it.
    model: String,
    input: Value,
    dimensions: Option<Value>,
    user: Option<String>,
    /// An OpenAI client wants numbers as base64, which its SDKs do by default.
    base64: bool,
}

impl EmbedRequest {
    /// Understands a request.
    ///
    /// # Errors
    /// `BadRequest` for what is malformed.
    pub fn of(route: EmbedRoute, body: &[u8]) -> Result<Self, Fault> {
        let mut fields = Fields::of_body(body, route != EmbedRoute::OpenAi)?;
        let key = if route == EmbedRoute::Embeddings { "prompt" } else { "input" };
        let input = fields.take(key).unwrap_or_else(|| json!([]));
        let texts = input.is_string() || input.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        let fits = texts || (route == EmbedRoute::OpenAi && input.is_array());
        if !fits || (route == EmbedRoute::Embeddings && input.is_array() && input != json!([])) {
            return Err(bad("invalid input type"));
        }
        let encoding = fields.text("encoding_format")?;
        if let Some(other) = encoding.as_deref().filter(|word| !matches!(*word, "float" | "base64")) {
            return Err(bad(format!("invalid encoding_format {other:?}: it must be \"float\" or \"base64\"")));
        }
        Ok(Self {
            route,
            model: fields.text("model")?.unwrap_or_default(),
            input,
            dimensions: fields.number("dimensions")?.map(Value::from),
            user: fields.text("user")?,
            base64: route == EmbedRoute::OpenAi && encoding.as_deref() == Some("base64"),
        })
    }

    /// The answer to a request without any input, which native clients send to load the model.
    pub fn nothing_said(&self, now: Now) -> Option<Vec<u8>> {
        let empty = self.input == json!([]) || self.input == "";
        (empty && self.route != EmbedRoute::OpenAi).then(|| self.write(&[], None, now))
    }

    /// The body for OpenAI's route. Base64 is a quarter of the bytes.
    pub fn for_openai(&self, model: &str) -> Vec<u8> {
        let mut body = json!({ "model": model, "input": self.input, "encoding_format": "base64" });
        let also = [("dimensions", self.dimensions.clone()), ("user", self.user.as_deref().map(Value::from))];
        for (key, value) in also {
            if let Some(value) = value {
                body[key] = value;
            }
        }
        body.to_string().into_bytes()
    }

    /// The same for other servers, of which some refuse to be asked for base64.
    pub fn for_compatible(&self, model: &str) -> Vec<u8> {
        let mut body = json!({ "model": model, "input": self.input });
        if let Some(dimensions) = &self.dimensions {
            body["dimensions"] = dimensions.clone();
        }
        body.to_string().into_bytes()
    }

    /// The body for Ollama's `/api/embed`.
    ///
    /// # Errors
    /// Tokens instead of texts: no node takes those.
    pub fn for_native(&self, model: &str) -> Result<Vec<u8>, Fault> {
        if !self.input.is_string() && !self.input.as_array().is_some_and(|list| list.iter().all(Value::is_string)) {
            return Err(bad("invalid input type: this model takes texts, no tokens"));
        }
        let mut body = Map::new();
        body.insert("model".to_owned(), model.into());
        body.insert("input".to_owned(), self.input.clone());
        if let Some(dimensions) = &self.dimensions {
            body.insert("dimensions".to_owned(), dimensions.clone());
        }
        Ok(Value::Object(body).to_string().into_bytes())
    }

    /// OpenAI's answer in the client's words.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn from_openai(&self, body: &[u8], now: Now) -> Result<Vec<u8>, Fault> {
        let answer: FromOpenAi<'_> = serde_json::from_slice(body).map_err(|_| broken("it holds no embeddings that we know"))?;
        let mut data = answer.data;
        sort_by_key(&mut data, |one| one.index);
        let numbers: Option<Vec<Vec<f32>>> = data.iter().map(FromItem::numbers).collect();
        let numbers = numbers.ok_or_else(|| broken("its embeddings are neither numbers nor valid base64"))?;
        let tokens = answer.usage.and_then(|usage| usage.get("prompt_tokens").and_then(Value::as_u64));
        Ok(self.write(&numbers, tokens, now))
    }

    /// The answer of Ollama's `/api/embed` in the client's words.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn from_native(&self, body: &[u8], now: Now) -> Result<Vec<u8>, Fault> {
        let answer: FromNative = serde_json::from_slice(body).map_err(|_| broken("it holds no embeddings that we know"))?;
        Ok(self.write(&answer.embeddings, answer.prompt_eval_count, now))
    }

    fn write(&self, numbers: &[Vec<f32>], tokens: Option<u64>, now: Now) -> Vec<u8> {
        let mut out = Vec::new();
        match self.route {
            EmbedRoute::Embed => {
                let total_duration = u64::try_from(now.since.as_nanos()).unwrap_or(u64::MAX).max(1);
                let answer = Embedded { model: &self.model, embeddings: numbers, total_duration, prompt_eval_count: tokens };
                push_json(&mut out, &answer);
            }
            EmbedRoute::Embeddings => {
                let first = numbers.first().map(Vec::as_slice).unwrap_or_default();
                push_json(&mut out, &One { embedding: first });
            }
            EmbedRoute::OpenAi => {
                let data = numbers.iter().enumerate().map(|(index, numbers)| {
                    let embedding = if self.base64 { Vector::Base64(encoded(numbers)) } else { Vector::Floats(numbers.clone()) };
                    Item { object: "embedding", index, embedding }
                });
                let tokens = tokens.unwrap_or(0);
                let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
                push_json(&mut out, &List { object: "list", data: data.collect(), model: &self.model, usage });
            }
        }
        out
    }
}

/// Little-endian, 32 bits each.
fn encoded(numbers: &[f32]) -> String {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    BASE64.encode(bytes)
}

#[derive(Deserialize)]
struct FromOpenAi<'a> {
    #[serde(borrow)]
    data: Vec<FromItem<'a>>,
    usage: Option<Value>,
}

#[derive(Deserialize)]
struct FromItem<'a> {
    #[serde(default)]
    index: u64,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

impl FromItem<'_> {
    /// Servers that do not know base64 send floats all the same.
    fn numbers(&self) -> Option<Vec<f32>> {
        let json = self.embedding.get().as_bytes();
        if let Ok(numbers) = serde_json::from_slice(json) {
            return Some(numbers);
        }
        let bytes = BASE64.decode(serde_json::from_slice::<String>(json).ok()?).ok()?;
        let numbers = bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        (bytes.len() % 4 == 0).then(|| numbers.collect())
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Base64(String),
    Floats(Vec<f32>),
}

#[derive(Deserialize)]
struct FromNative {
    embeddings: Vec<Vec<f32>>,
    prompt_eval_count: Option<u64>,
}

#[derive(Serialize)]
struct Embedded<'a> {
    model: &'a str,
    embeddings: &'a [Vec<f32>],
    total_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
}

#[derive(Serialize)]
struct One<'a> {
    embedding: &'a [f32],
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Item>,
    model: &'a str,
    usage: Value,
}

#[derive(Serialize)]
struct Item {
    object: &'static str,
    index: usize,
    embedding: Vector,
}
