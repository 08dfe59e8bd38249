//! Puts the provider's name for a model in the place of the client's, and leaves every other byte of the body alone.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::bad;
use crate::values::Fault;

/// The body with another `model`.
///
/// # Errors
/// It is no JSON object with a `model`.
pub fn with_model(body: &[u8], model: &str) -> Result<Vec<u8>, Fault> {
    #[derive(Deserialize)]
    struct Model<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let text = std::str::from_utf8(body).map_err(|_| bad("the request body is not valid JSON"))?;
    let found = Model::deserialize(&mut serde_json::Deserializer::from_str(text));
    let old = found.map_err(|why| bad(format!("the request body is not valid JSON: {why}")))?.model.get();
    // The value is a slice of the text, so its address tells where it stands.
    let at = old.as_ptr() as usize - text.as_ptr() as usize;
    let new = serde_json::Value::from(model).to_string();
    Ok([&text[..at], &new, &text[at + old.len()..]].concat().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_changes() {
        let body = "{ \"a\":{\"model\":\"x\"}, \"model\" :  \"openai/gpt-4o\" ,\"z\":1.50e0,\"ü\":\"\\u00fc\"} ";
        let expected = "{ \"a\":{\"model\":\"x\"}, \"model\" :  \"gpt \\\"4\\\"\" ,\"z\":1.50e0,\"ü\":\"\\u00fc\"} ";
        assert_eq!(String::from_utf8(with_model(body.as_bytes(), "gpt \"4\"").unwrap()).unwrap(), expected);
        for body in ["", "[]", "{}", "{\"model\":\"a\",\"model\":\"b\"}"] {
            assert!(with_model(body.as_bytes(), "x").is_err(), "{body}");
        }
    }
}
