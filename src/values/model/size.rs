//! Sizes of models, as Ollama states them or as names hint at them.

/// The size of a model in billions of parameters.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct ModelSize(pub f64);

impl ModelSize {
    /// Reads `details.parameter_size` of a listing: `8.0B`, `136.73M`, `8K`, `8x7B`, or bare digits (a plain count).
    /// `None` for free text, which cloud stubs carry, and for zero.
    pub fn from_parameter_size(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let billions = match Token::at(&text) {
            Some(token) if token.len == text.len() => token.billions,
            Some(_) => return None,
            None => Number::at(&text).filter(|n| n.len == text.len())?.value / 1e9,
        };
        Self::checked(billions)
    }

    /// Reads a hint in a name: first the tag, then the model's own name (not the host or the namespace). A mixture
    /// such as `8x7b` counts as the product, so it is never thought smaller than it is; of `30b-a3b` the total counts,
    /// not the active part. `None` when the name says nothing.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.trim().to_ascii_lowercase();
        let last = name.rsplit('/').next().unwrap_or(&name);
        let (model, tag) = last.split_once(':').map_or((last, None), |(model, tag)| (model, Some(tag)));
        tag.and_then(hint).or_else(|| hint(model)).and_then(Self::checked)
    }

    fn checked(billions: f64) -> Option<Self> {
        (billions.is_finite() && billions > 0.0).then_some(Self(billions))
    }
}

/// The first size within one part of a name, in billions.
fn hint(part: &str) -> Option<f64> {
    let bytes = part.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let starts_number = bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit());
        if starts_number && !counts_active_only(&bytes[..at]) {
            // `8k` in a tag is a context length, `q4_k` a quantisation: thousands never count in names.
            if let Some(token) = Token::at(&part[at..]).filter(|token| token.unit != 'k') {
                return Some(token.billions);
            }
        }
        at += 1;
    }
    None
}

/// Whether what stands before a number is the `a` of `a3b`: the active parameters of a mixture.
fn counts_active_only(before: &[u8]) -> bool {
    match before {
        [b'a'] => true,
        [.., last, b'a'] => !last.is_ascii_alphanumeric(),
        _ => false,
    }
}

/// A number with a unit at the beginning of a text: `7b`, `8x7b`, `70-b`.
struct Token {
    billions: f64,
    unit: char,
    len: usize,
}

impl Token {
    /// The text must be in lower case.
    fn at(text: &str) -> Option<Self> {
        let first = Number::at(text)?;
        let mut value = first.value;
        let mut len = first.len;
        if let Some(second) = text[len..].strip_prefix('x').and_then(Number::at) {
            value *= second.value;
            len += 1 + second.len;
        }
        // Only `b` may stand apart (`70-b`): `iq3_m` is a quantisation.
        let apart = usize::from(matches!(text.as_bytes().get(len..len + 2), Some([b'-' | b'_' | b' ', b'b'])));
        let unit = text[len + apart..].chars().next()?;
        let billions = value
            * match unit {
                'k' => 1e-6,
                'm' => 1e-3,
                'b' => 1.0,
                't' => 1e3,
                _ => return None,
            };
        len += apart + 1;
        let ends = !text[len..].starts_with(|c: char| c.is_ascii_alphanumeric());
        ends.then_some(Self { billions, unit, len })
    }
}

/// Digits with an optional fraction at the beginning of a text.
struct Number {
    value: f64,
    len: usize,
}

impl Number {
    fn at(text: &str) -> Option<Self> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(text);
        let fraction = text[whole..].strip_prefix('.').map_or(0, digits);
        let len = if fraction > 0 { whole + 1 + fraction } else { whole };
        let value = text[..len].parse().ok().filter(|_| whole > 0)?;
        Some(Self { value, len })
    }
}
