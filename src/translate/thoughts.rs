//! Signed thoughts. Anthropic's models that think want a turn that called tools back with the thoughts in front of the
//! calls, signed as they were said. No other dialect carries signatures, so they are kept beside the conversation.

use serde_json::{Value, json};

use super::talk::{Message, Role, Talk};

/// Longer thoughts are not kept: their conversation goes on without thinking.
const LONGEST: usize = 256 * 1024;

/// The thoughts in front of an answer's calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thoughts {
    /// The ids of the calls.
    calls: Vec<String>,
    /// As they were said, each with its signature.
    blocks: Vec<Value>,
    /// The words of all blocks.
    text: String,
}

impl Thoughts {
    /// Whether a turn of a conversation is the answer that these belong to: by the id of a call, or, for clients that
    /// drop ids, by the very words of the thoughts.
    fn belong_to(&self, message: &Message) -> bool {
        let by_id = message.calls.iter().any(|call| self.calls.contains(&call.id));
        by_id || (!self.text.is_empty() && message.thinking == self.text)
    }

    /// The bytes that it takes to keep them, roughly.
    pub fn size(&self) -> usize {
        let ids: usize = self.calls.iter().map(String::len).sum();
        let blocks: usize = self.blocks.iter().map(words).sum();
        ids + blocks + self.text.len() + 64 * (self.calls.len() + self.blocks.len())
    }
}

fn words(block: &Value) -> usize {
    ["thinking", "signature", "data"].iter().filter_map(|key| block[key].as_str()).map(str::len).sum()
}

impl Talk {
    /// Whether an answer may call tools after thinking, so that its thoughts will be wanted back.
    pub fn may_call(&self) -> bool {
        !self.tools.is_empty()
    }

    /// Puts back in front of each turn that called tools what was thought before, as far as `kept` has it.
    pub fn recall(&mut self, kept: &[&Thoughts]) {
        for message in self.messages.iter_mut().filter(|message| message.role == Role::Assistant && !message.calls.is_empty()) {
            if let Some(thoughts) = kept.iter().find(|thoughts| thoughts.belong_to(message)) {
                message.signed.clone_from(&thoughts.blocks);
            }
        }
    }

    /// Whether the answer would go on with a turn whose thoughts are lost. Only those since the user last spoke are
    /// wanted back.
    pub(crate) fn has_unsigned_calls(&self) -> bool {
        let since_user = self.messages.iter().rev().take_while(|message| message.role != Role::User);
        let mut calling = since_user.filter(|message| !message.calls.is_empty());
        calling.any(|message| message.signed.is_empty())
    }
}

/// Collects the thoughts of an answer under way.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    thoughts: Thoughts,
    /// The index of the block that grows.
    open: Option<u64>,
    bytes: usize,
}

impl Collected {
    /// A block of thoughts begins.
    pub(crate) fn begin(&mut self, index: Option<u64>, kind: &str, said: &str, signature: &str, data: &str) {
        self.open = index;
        self.bytes += said.len() + signature.len() + data.len();
        self.thoughts.text.push_str(said);
        self.thoughts.blocks.push(match kind {
            "redacted_thinking" => json!({ "type": kind, "data": data }),
            _ => json!({ "type": kind, "thinking": said, "signature": signature }),
        });
    }

    /// A block of thoughts grows.
    pub(crate) fn grow(&mut self, index: Option<u64>, said: &str, signature: &str) {
        self.bytes += said.len() + signature.len();
        if self.bytes > LONGEST || index != self.open {
            return;
        }
        self.thoughts.text.push_str(said);
        let Some(block) = self.thoughts.blocks.last_mut() else { return };
        for (key, more) in [("thinking", said), ("signature", signature)] {
            if let Some(Value::String(text)) = block.get_mut(key) {
                text.push_str(more);
            }
        }
    }

    /// A call begins behind them.
    pub(crate) fn call(&mut self, id: &str) {
        self.thoughts.calls.push(id.to_owned());
    }

    /// The thoughts, if they will be wanted back and are whole.
    pub(crate) fn finish(self) -> Option<Thoughts> {
        let signed = |block: &Value| block.get("signature").is_none_or(|signature| signature != "");
        let Thoughts { calls, blocks, .. } = &self.thoughts;
        let wanted = !calls.is_empty() && !blocks.is_empty();
        (wanted && self.bytes <= LONGEST && blocks.iter().all(signed)).then_some(self.thoughts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_kept_only_whole_signed_and_with_a_call_behind_them() {
        let collected = |said: &str, signature: &str, call: Option<&str>| {
            let mut collected = Collected::default();
            collected.begin(Some(0), "thinking", "", "", "");
            collected.grow(Some(0), said, "");
            collected.grow(Some(0), "", signature);
            collected.begin(Some(1), "redacted_thinking", "", "", "xyz");
            collected.grow(Some(0), "of another block", "");
            if let Some(id) = call {
                collected.call(id);
            }
            collected.finish()
        };
        let kept = collected("hm", "sig", Some("toolu_1")).unwrap();
        let blocks = [
            json!({ "type": "thinking", "thinking": "hm", "signature": "sig" }),
            json!({ "type": "redacted_thinking", "data": "xyz" }),
        ];
        assert_eq!((&kept.blocks[..], kept.text.as_str(), kept.calls), (&blocks[..], "hm", vec!["toolu_1".to_owned()]));
        assert_eq!(collected("hm", "", Some("toolu_1")), None, "unsigned");
        assert_eq!(collected("hm", "sig", None), None, "nobody will ask for them");
        assert_eq!(collected(&"x".repeat(LONGEST + 1), "sig", Some("toolu_1")), None, "too long");
    }
}
