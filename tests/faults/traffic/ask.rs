//! One request of the traffic: what is asked, and what the whole answer must say.

use serde_json::{Value, json};

use crate::dice::Dice;

/// A route and the way its answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/api/chat`.
    Chat,
    /// `/api/generate`.
    Generate,
    /// `/v1/chat/completions`.
    OpenAi,
    /// `/v1/messages`.
    Anthropic,
}

/// A request for inference.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Where to.
    pub route: Route,
    /// Whether the answer is to come in parts.
    pub stream: bool,
    model: &'static str,
    tag: String,
    tokens: u64,
}

/// The first is on every machine, the next two on one sleeper each, the last ones are a provider's.
const MODELS: [&str; 8] = [
    "llama3.2:3b",
    "llama3.2:3b",
    "llama3.2:3b",
    "deep:7b",
    "deep:7b",
    "wide:7b",
    "openai/gpt-4o-mini",
    "anthropic/claude-second",
];

impl Ask {
    /// Any request; `number` makes its tag its own.
    pub fn roll(dice: &mut Dice, name: &str, number: u64) -> Self {
        Self {
            route: dice.one_of(&[Route::Chat, Route::Generate, Route::OpenAi, Route::Anthropic]),
            stream: dice.percent(70),
            model: dice.one_of(&MODELS),
            tag: format!("{name}-{number}"),
            // A node that is told to fail does so behind the first two parts: a shorter answer would be over by then.
            tokens: dice.between(3, 40),
        }
    }

    /// Whether no machine of the house has the model.
    pub fn is_of_provider(&self) -> bool {
        self.model.contains('/')
    }

    /// The path.
    pub fn path(&self) -> &'static str {
        match self.route {
            Route::Chat => "/api/chat",
            Route::Generate => "/api/generate",
            Route::OpenAi => "/v1/chat/completions",
            Route::Anthropic => "/v1/messages",
        }
    }

    /// The body.
    pub fn body(&self) -> Value {
        let (model, stream, tokens) = (self.model, self.stream, self.tokens);
        let prompt = format!("Please answer-with:{} now.", self.tag);
        let messages = json!([{ "role": "user", "content": prompt }]);
        match self.route {
            Route::Chat => {
                json!({ "model": model, "stream": stream, "messages": messages, "options": { "num_predict": tokens } })
            }
            Route::Generate => {
                json!({ "model": model, "stream": stream, "prompt": prompt, "options": { "num_predict": tokens } })
            }
            Route::OpenAi | Route::Anthropic => {
                json!({ "model": model, "stream": stream, "messages": messages, "max_tokens": tokens })
            }
        }
    }

    /// The text of the whole answer: no other request has the same.
    pub fn expected(&self) -> String {
        (1..=self.tokens).flat_map(|number| [self.tag.clone(), format!(" {number} ")]).collect()
    }
}
