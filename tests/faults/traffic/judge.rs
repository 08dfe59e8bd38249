//! What an answer is worth: whole and its own, an honest error, or a breach of what the proxy promises.

use serde::Serialize;
use serde_json::Value;

use crate::ask::{Ask, Route};
use crate::wire::{Answer, Ended};

/// The judgement of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Complete, and this request's own.
    Whole,
    /// An error status with a body of its dialect.
    Refused,
    /// A stream that broke off, and says so in its dialect.
    Marked,
    /// A whole answer that broke off with its connection.
    Aborted,
    /// A stream that broke off with its connection: nothing says why.
    Cut,
    /// No byte of an answer.
    Nothing,
    /// A clean end without the whole, another request's words, or an error in no dialect.
    Wrong,
    /// No end within the bound.
    Late,
    /// The client's own network led nowhere.
    Away,
}

/// Judges the answer to `ask`.
pub fn judge(ask: &Ask, answer: &Answer) -> Verdict {
    let clean = matches!(answer.ended, Ended::Clean);
    match (answer.status, &answer.ended) {
        (_, Ended::Late) => Verdict::Late,
        (_, Ended::Away) => Verdict::Away,
        (0, _) => Verdict::Nothing,
        (200, _) => {
            let said = if ask.stream { parts(ask.route, &answer.body) } else { whole(ask.route, &answer.body) };
            let expected = ask.expected();
            if !expected.starts_with(&said.text) {
                return Verdict::Wrong;
            }
            match (clean, ask.stream) {
                (true, _) if said.done && !said.error && !said.broken && said.text == expected => Verdict::Whole,
                (true, true) if said.error && !said.done => Verdict::Marked,
                (true, _) => Verdict::Wrong,
                (false, true) if said.error => Verdict::Marked,
                (false, true) => Verdict::Cut,
                (false, false) => Verdict::Aborted,
            }
        }
        (400.., _) if clean && is_error(ask.route, &answer.body) => Verdict::Refused,
        (400.., _) if !clean => Verdict::Aborted,
        _ => Verdict::Wrong,
    }
}

/// Whether this is an error object of the dialect, and nothing else.
fn is_error(route: Route, body: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return false };
    match route {
        Route::Chat | Route::Generate => value["error"].is_string(),
        Route::OpenAi => value["error"]["message"].is_string(),
        Route::Anthropic => value["type"] == "error" && value["error"]["message"].is_string(),
    }
}

#[derive(Default)]
struct Said {
    text: String,
    /// The dialect's end mark was there.
    done: bool,
    /// The dialect's error was there.
    error: bool,
    /// Something was no JSON: half a line, which only an error may follow.
    broken: bool,
}

fn whole(route: Route, body: &[u8]) -> Said {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return Said { broken: true, ..Said::default() } };
    let text = match route {
        Route::Chat => &value["message"]["content"],
        Route::Generate => &value["response"],
        Route::OpenAi => &value["choices"][0]["message"]["content"],
        Route::Anthropic => &value["content"][0]["text"],
    };
    Said { text: text.as_str().unwrap_or_default().to_owned(), done: text.is_string(), ..Said::default() }
}

fn parts(route: Route, body: &[u8]) -> Said {
    let mut said = Said::default();
    for line in String::from_utf8_lossy(body).lines() {
        let data = match route {
            Route::Chat | Route::Generate => line,
            Route::OpenAi | Route::Anthropic => line.strip_prefix("data: ").unwrap_or_default(),
        };
        match data {
            "" => {}
            "[DONE]" => said.done = true,
            data => match serde_json::from_str::<Value>(data) {
                Ok(value) => part(route, &value, &mut said),
                Err(_) => said.broken = true,
            },
        }
    }
    said
}

fn part(route: Route, value: &Value, said: &mut Said) {
    let text = match route {
        Route::Chat => &value["message"]["content"],
        Route::Generate => &value["response"],
        Route::OpenAi => &value["choices"][0]["delta"]["content"],
        Route::Anthropic => &value["delta"]["text"],
    };
    said.text.push_str(text.as_str().unwrap_or_default());
    said.error |= !value["error"].is_null();
    said.done |= value["done"] == true || value["type"] == "message_stop";
}
