//! `/v1/responses`: numbered events around one growing response; no `[DONE]`.

use chrono::Utc;
use serde_json::{Value, json};

use super::super::generation::{Outcome, Piece, ToolCall};
use super::super::reply;
use super::{Voice, text_of, tools_of};

/// `/v1/responses`. `model` is the name as the client sent it.
pub(in super::super) struct Responses {
    number: u64,
    model: String,
    created: i64,
    sequence: u64,
    text: String,
    /// Whether the item that holds text was announced.
    announced: bool,
    output: Vec<Value>,
}

impl Responses {
    pub(in super::super) fn new(model: &str) -> Self {
        Self {
            number: super::number(999_999),
            model: model.to_owned(),
            created: Utc::now().timestamp(),
            sequence: 0,
            text: String::new(),
            announced: false,
            output: Vec::new(),
        }
    }

    /// One event; the fields of real ones are in alphabetical order.
    fn event(&mut self, kind: &str, fields: Value) -> String {
        let mut fields = if let Value::Object(fields) = fields { fields } else { serde_json::Map::new() };
        fields.insert("sequence_number".to_owned(), self.sequence.into());
        fields.insert("type".to_owned(), kind.into());
        fields.sort_keys();
        self.sequence += 1;
        format!("event: {kind}\ndata: {}\n\n", reply::marshal(&Value::Object(fields)))
    }

    fn response(&self, outcome: Option<&Outcome>) -> Value {
        let usage = outcome.map(|o| {
            json!({
                "input_tokens": o.prompt_tokens, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": o.tokens, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": o.prompt_tokens + o.tokens,
            })
        });
        json!({
            "background": false, "completed_at": outcome.map(|_| Utc::now().timestamp()), "created_at": self.created,
            "error": null, "frequency_penalty": 0, "id": format!("resp_{}", self.number),
            "incomplete_details": null, "instructions": null, "max_output_tokens": null, "max_tool_calls": null,
            "metadata": {}, "model": self.model, "object": "response", "output": self.output,
            "parallel_tool_calls": true, "presence_penalty": 0, "previous_response_id": null,
            "prompt_cache_key": null, "reasoning": null, "safety_identifier": null, "service_tier": "default",
            "status": if outcome.is_some() { "completed" } else { "in_progress" }, "store": false, "temperature": 1,
            "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1,
            "truncation": "disabled", "usage": usage,
        })
    }

    fn message_id(&self) -> String {
        format!("msg_{}", self.number)
    }

    fn message(&self, status: &str, content: &Value) -> Value {
        json!({"content": content, "id": self.message_id(), "role": "assistant", "status": status, "type": "message"})
    }

    fn call(call: &ToolCall, status: &str, arguments: &str) -> Value {
        json!({
            "arguments": arguments, "call_id": call.id, "id": format!("fc_{}", call.id), "name": call.name,
            "status": status, "type": "function_call",
        })
    }

    fn text(&mut self, text: &str) -> Vec<String> {
        let (id, index) = (self.message_id(), self.output.len());
        let mut events = Vec::new();
        if !self.announced {
            self.announced = true;
            let item = self.message("in_progress", &json!([]));
            events.push(self.event("response.output_item.added", json!({"item": item, "output_index": index})));
            let fields = json!({"content_index": 0, "item_id": id, "output_index": index, "part": part("")});
            events.push(self.event("response.content_part.added", fields));
        }
        self.text.push_str(text);
        let fields = json!({"content_index": 0, "delta": text, "item_id": id, "logprobs": [], "output_index": index});
        events.push(self.event("response.output_text.delta", fields));
        events
    }

    fn text_done(&mut self) -> Vec<String> {
        let (id, index, text) = (self.message_id(), self.output.len(), std::mem::take(&mut self.text));
        let item = self.message("completed", &json!([part(&text)]));
        let fields = json!({"content_index": 0, "item_id": id, "logprobs": [], "output_index": index, "text": text});
        let mut events = vec![self.event("response.output_text.done", fields)];
        let fields = json!({"content_index": 0, "item_id": id, "output_index": index, "part": part(&text)});
        events.push(self.event("response.content_part.done", fields));
        events.push(self.event("response.output_item.done", json!({"item": item, "output_index": index})));
        self.output.push(item);
        events
    }

    fn tool(&mut self, call: &ToolCall) -> Vec<String> {
        let (index, arguments) = (self.output.len(), call.arguments.to_string());
        let id = format!("fc_{}", call.id);
        let item = Self::call(call, "in_progress", "");
        let mut events = vec![self.event("response.output_item.added", json!({"item": item, "output_index": index}))];
        let fields = json!({"delta": arguments, "item_id": id, "output_index": index});
        events.push(self.event("response.function_call_arguments.delta", fields));
        let fields = json!({"arguments": arguments, "item_id": id, "output_index": index});
        events.push(self.event("response.function_call_arguments.done", fields));
        let item = Self::call(call, "completed", &arguments);
        events.push(self.event("response.output_item.done", json!({"item": item, "output_index": index})));
        self.output.push(item);
        events
    }
}

fn part(text: &str) -> Value {
    json!({"annotations": [], "logprobs": [], "text": text, "type": "output_text"})
}

impl Voice for Responses {
    fn opening(&mut self, _prompt_tokens: u64) -> Vec<String> {
        let response = self.response(None);
        ["response.created", "response.in_progress"].map(|kind| self.event(kind, json!({"response": response}))).into()
    }

    fn piece(&mut self, piece: &Piece) -> Vec<String> {
        match piece {
            Piece::Text(text) => self.text(text),
            Piece::Tool(call) => self.tool(call),
            // Reasoning summaries are not simulated.
            Piece::Thinking(_) => Vec::new(),
        }
    }

    fn closing(&mut self, outcome: &Outcome) -> Vec<String> {
        let mut events = if self.announced { self.text_done() } else { Vec::new() };
        let response = self.response(Some(outcome));
        events.push(self.event("response.completed", json!({"response": response})));
        events
    }

    fn whole(&mut self, pieces: &[Piece], outcome: &Outcome) -> Value {
        let text = text_of(pieces);
        if !text.is_empty() {
            self.output.push(self.message("completed", &json!([part(&text)])));
        }
        for call in tools_of(pieces) {
            self.output.push(Self::call(call, "completed", &call.arguments.to_string()));
        }
        self.response(Some(outcome))
    }
}
