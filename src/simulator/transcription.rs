//! `/v1/audio/transcriptions`: a form with a file in, a text out.

use hyper::{Response, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use super::Ollama;
use super::body::Body;
use super::generation::{Generation, Piece, Plan};
use super::reply::{self, Refusal};
use super::request::{Call, Fields};

impl Ollama {
    pub(super) async fn transcribe(&self, call: &Call) -> Result<Response<Body>, Refusal> {
        let arrived = Instant::now();
        let form = Form::read(call).ok_or_else(|| Refusal::bad("failed to parse multipart form"))?;
        if form.value("file").is_none() {
            return Err(Refusal::bad("file is required"));
        }
        let name = form.value("model").filter(|name| !name.is_empty()).ok_or_else(|| Refusal::bad("model is required"))?;
        let model = self.model(&name, "chat")?;
        let settings = self.settings();
        let seat = self.engine().seat(&self.want(model, &Fields::default(), None), &settings).await?;
        let plan = Plan { tokens: settings.tokens, first_token: settings.first_token, prompt_tokens: 1, ..Plan::default() };
        let plan = Plan { token_gap: settings.token_gap, word: settings.word.clone(), ..plan };
        let mut generation = Generation::begin(self.tally(), seat, plan, arrived);
        let mut text = String::new();
        while let Some(piece) = generation.next().await {
            if let Piece::Text(word) = piece {
                text.push_str(&word);
            }
        }
        let text = text.trim_end();
        Ok(if form.value("response_format").as_deref() == Some("text") {
            reply::text(StatusCode::OK, "text/plain; charset=utf-8", text)
        } else {
            reply::json_line(StatusCode::OK, &json!({"text": text}))
        })
    }
}

/// The parts of a `multipart/form-data` body.
struct Form<'a> {
    parts: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> Form<'a> {
    fn read(call: &'a Call) -> Option<Self> {
        let kind = call.headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()?;
        let (_, boundary) = kind.strip_prefix("multipart/form-data")?.split_once("boundary=")?;
        let boundary = boundary.split(';').next()?.trim().trim_matches('"');
        let mark = format!("--{boundary}");
        let mut parts = Vec::new();
        let mut rest = after(&call.bytes, mark.as_bytes())?;
        while !rest.starts_with(b"--") {
            let end = find(rest, format!("\r\n{mark}").as_bytes())?;
            let head_end = find(&rest[..end], b"\r\n\r\n")?;
            parts.push((&rest[..head_end], &rest[head_end + 4..end]));
            rest = after(&rest[end..], mark.as_bytes())?;
        }
        Some(Self { parts })
    }

    fn value(&self, name: &str) -> Option<String> {
        let wanted = format!("name=\"{name}\"");
        let part = self.parts.iter().find(|(head, _)| find(head, wanted.as_bytes()).is_some())?;
        Some(String::from_utf8_lossy(part.1).into_owned())
    }
}

fn find(within: &[u8], sought: &[u8]) -> Option<usize> {
    within.windows(sought.len()).position(|window| window == sought)
}

fn after<'a>(within: &'a [u8], sought: &[u8]) -> Option<&'a [u8]> {
    find(within, sought).map(|at| &within[at + sought.len()..])
}
