//! What the end of an answer tells about tokens and times, read off the last bytes that passed.
//!
//! All dialects name their counts near the end of their last object, so a short tail is enough and the answer itself is
//! never parsed. A raw quote cannot stand inside a JSON string: what looks like one of these keys is one. Of several the last
//! counts, which is the server's own summary.

use std::time::Duration;

/// So many of the last bytes are looked at: a summary with what follows it fits several times over.
const KEPT: usize = 2 * 1024;

/// The last bytes of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    tail: Vec<u8>,
}

/// What an answer told about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Tokens of the prompt.
    pub(super) input: Option<u64>,
    /// Tokens generated.
    pub(super) output: Option<u64>,
    /// How long the model took to load; only native answers tell it.
    pub(super) load: Option<Duration>,
    /// How long its tokens took to generate; only native answers tell it.
    pub(super) generation: Option<Duration>,
}

#[derive(Clone, Copy)]
enum Figure {
    Input,
    Output,
    Load,
    Generation,
}

/// What a name may begin with, and what it then tells.
type Names = &'static [(&'static [u8], Figure)];

/// The names in the three dialects: their last words, with what may stand before those.
const KEYS: [(&[u8], Names); 3] = [
    (b"count\"", &[(b"\"prompt_eval", Figure::Input), (b"\"eval", Figure::Output)]),
    (
        b"tokens\"",
        &[
            (b"\"prompt", Figure::Input),
            (b"\"input", Figure::Input),
            (b"\"completion", Figure::Output),
            (b"\"output", Figure::Output),
        ],
    ),
    (b"duration\"", &[(b"\"load", Figure::Load), (b"\"eval", Figure::Generation)]),
];

impl Tally {
    /// Takes note of the next bytes, in order.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let chunk = &chunk[chunk.len().saturating_sub(KEPT)..];
        // Moved seldom: the tail may grow to twice its size before its front is dropped.
        if self.tail.len() + chunk.len() > 2 * KEPT {
            let surplus = (self.tail.len() + chunk.len() - KEPT).min(self.tail.len());
            self.tail.drain(..surplus);
        }
        self.tail.extend_from_slice(chunk);
    }

    /// What the answer told, if it told anything.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        // All keys hold a low line, which is rarer than the quotes around them.
        for at in memchr::memchr_iter(b'_', &self.tail) {
            let Some((figure, number)) = named(&self.tail, at) else { continue };
            match figure {
                Figure::Input => figures.input = Some(number),
                Figure::Output => figures.output = Some(number),
                Figure::Load => figures.load = Some(Duration::from_nanos(number)),
                Figure::Generation => figures.generation = Some(Duration::from_nanos(number)),
            }
        }
        figures
    }
}

/// The figure whose key ends with the word behind this low line, with the whole number behind it.
fn named(text: &[u8], low_line: usize) -> Option<(Figure, u64)> {
    let (before, word) = (&text[..low_line], &text[low_line + 1..]);
    let (last, names) = KEYS.iter().find(|(last, _)| word.starts_with(last))?;
    // A quote that is escaped stands within a text.
    let is_named = |name: &[u8]| before.strip_suffix(name).is_some_and(|outside| !outside.ends_with(b"\\"));
    let (_, figure) = names.iter().find(|(name, _)| is_named(name))?;
    let rest = word[last.len()..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
    let add = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add((digit - b'0').into());
    let number = rest[..digits].iter().try_fold(0, add).filter(|_| digits > 0)?;
    Some((*figure, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(text: &str) -> Figures {
        let mut tally = Tally::default();
        tally.feed(text.as_bytes());
        tally.figures()
    }

    fn tokens(input: u64, output: u64) -> Figures {
        Figures { input: Some(input), output: Some(output), ..Figures::default() }
    }

    #[test]
    fn the_last_line_of_a_native_answer_tells_tokens_and_times() {
        let line = r#"{"model":"m","done":true,"done_reason":"stop","total_duration":9,"load_duration":1500000000,"prompt_eval_count":11,"prompt_eval_duration":3,"eval_count":42,"eval_duration":5}"#;
        let told = figures(&format!("{{\"response\":\"a\",\"done\":false}}\n{line}\n"));
        let (load, generation) = (Some(Duration::from_millis(1500)), Some(Duration::from_nanos(5)));
        assert_eq!(told, Figures { load, generation, ..tokens(11, 42) });
    }

    #[test]
    fn the_usage_of_each_compatible_dialect_is_understood() {
        assert_eq!(
            figures(
                "data: {\"usage\": {\"prompt_tokens\": 3, \"completion_tokens\": 4, \"total_tokens\": 7}}\n\ndata: [DONE]\n\n"
            ),
            tokens(3, 4)
        );
        assert_eq!(figures(r#"{"type":"message_delta","usage":{"input_tokens":5,"output_tokens":6}}"#), tokens(5, 6));
    }

    #[test]
    fn words_of_the_model_are_no_figures() {
        assert_eq!(figures(r#"{"message":{"content":"say \"eval_count\":7 and prompt_tokens: 9"}}"#), Figures::default());
        assert_eq!(figures(r#"{"the key \"eval_count":7}"#), Figures::default());
        assert_eq!(figures(r#"{"eval_count":"7","prompt_eval_count":-1,"load_duration":1e99999}"#).output, None);
    }

    #[test]
    fn of_several_the_last_counts() {
        assert_eq!(
            figures(r#"{"arguments":{"eval_count":1,"prompt_eval_count":1}}{"prompt_eval_count":2,"eval_count":3}"#),
            tokens(2, 3)
        );
    }

    #[test]
    fn cuts_between_chunks_make_no_difference_and_memory_is_bounded() {
        let text = format!("{}{}", "x".repeat(100_000), r#"{"prompt_eval_count":12,"eval_count":34}"#);
        for size in [1, 7, 100, KEPT - 1, KEPT, KEPT + 1, 3 * KEPT, text.len()] {
            let mut tally = Tally::default();
            text.as_bytes().chunks(size).for_each(|chunk| tally.feed(chunk));
            assert_eq!(tally.figures(), tokens(12, 34), "chunks of {size}");
            assert!(tally.tail.capacity() <= 4 * KEPT, "{}", tally.tail.capacity());
        }
    }

    #[test]
    fn a_number_too_large_is_none() {
        assert_eq!(figures(r#"{"eval_count":99999999999999999999999}"#), Figures::default());
    }
}
