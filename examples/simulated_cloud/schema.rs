//! Schemas of answers: what providers refuse of them, and a value that keeps them.

use serde_json::{Map, Value, json};

/// The plainest value that a schema allows.
pub fn instance(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(first) = schema["anyOf"].get(0) {
        return instance(first);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object");
    match kind {
        "string" => json!("Paris"),
        "integer" | "number" => json!(7),
        "boolean" => json!(true),
        "array" => json!([instance(&schema["items"])]),
        "null" => Value::Null,
        _ => {
            let properties = schema["properties"].as_object().cloned().unwrap_or_default();
            Value::Object(properties.iter().map(|(name, schema)| (name.clone(), instance(schema))).collect::<Map<_, _>>())
        }
    }
}

/// Why a schema is not closed, if it is not: each object must forbid what it does not name and, if `all_required`, require
/// all that it names.
pub fn open(schema: &Value, all_required: bool) -> Option<String> {
    let keys = match schema {
        Value::Object(keys) => keys,
        Value::Array(list) => return list.iter().find_map(|schema| open(schema, all_required)),
        _ => return None,
    };
    if schema["type"] == "object" {
        if schema["additionalProperties"] != false {
            return Some("For 'object' type, 'additionalProperties' must be explicitly set to false".to_owned());
        }
        let named = schema["properties"].as_object().into_iter().flat_map(Map::keys);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        if let Some(missing) = named.into_iter().find(|name| all_required && !required.contains(&json!(name))) {
            return Some(format!("'required' is required to be supplied and to include every key. Missing '{missing}'"));
        }
    }
    keys.values().find_map(|schema| open(schema, all_required))
}
