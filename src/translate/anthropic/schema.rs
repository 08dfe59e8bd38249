//! The schema of an answer, as Anthropic takes it: objects closed, limits of numbers and lengths left out. It refuses what
//! others take, so a client of another dialect cannot know.

use serde_json::{Map, Value};

/// Limits that it refuses; the model is not held to them elsewhere either.
const LIMITS: [&str; 10] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "minProperties",
    "maxProperties",
];

/// Keys whose values are schemas by names of the client's choice.
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];

/// The schema without what is refused. `serde_json` bounds how deep it goes.
pub(super) fn closed(schema: &Value) -> Value {
    match schema {
        Value::Object(keys) => Value::Object(closed_object(keys)),
        Value::Array(list) => list.iter().map(closed).collect(),
        other => other.clone(),
    }
}

fn closed_object(keys: &Map<String, Value>) -> Map<String, Value> {
    let mut schema = Map::new();
    for (key, value) in keys.iter().filter(|(key, _)| !LIMITS.contains(&key.as_str())) {
        let value = match value {
            Value::Object(named) if NAMED.contains(&key.as_str()) => {
                named.iter().map(|(name, schema)| (name.clone(), closed(schema))).collect()
            }
            // What is given as it is, a list of words for one.
            _ if matches!(key.as_str(), "enum" | "const" | "default" | "examples") => value.clone(),
            _ => closed(value),
        };
        schema.insert(key.clone(), value);
    }
    let types = schema.get("type");
    if types.is_some_and(|types| types == "object" || types.as_array().is_some_and(|types| types.contains(&"object".into()))) {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_object_is_closed_and_limits_are_left_out_but_names_and_words_stay() {
        let open = json!({ "type": "object", "additionalProperties": true, "required": ["minimum"], "properties": {
            "minimum": { "type": "integer", "minimum": 3 },
            "list": { "type": "array", "maxItems": 2, "items": { "type": ["object", "null"], "properties": {} } },
            "word": { "enum": ["a"], "default": { "type": "object" } },
            "one": { "anyOf": [{ "type": "object" }, { "type": "string", "maxLength": 3 }] } } });
        let expected = json!({ "type": "object", "additionalProperties": false, "required": ["minimum"], "properties": {
            "minimum": { "type": "integer" },
            "list": { "type": "array", "items": { "type": ["object", "null"], "properties": {}, "additionalProperties": false } },
            "word": { "enum": ["a"], "default": { "type": "object" } },
            "one": { "anyOf": [{ "type": "object", "additionalProperties": false }, { "type": "string" }] } } });
        assert_eq!(closed(&open), expected);
    }
}
