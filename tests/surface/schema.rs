//! As much of JSON Schema as the description uses. A word that it does not know is a failure, not a silence.

use serde_json::Value;

/// The description, as it lies in `docs`.
pub fn description() -> Value {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// What a `$ref` of the description points to.
pub fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(to) => document.pointer(to.trim_start_matches('#')).unwrap_or_else(|| panic!("{to} leads nowhere")),
        None => value,
    }
}

/// Why `value` is not as `schema` says; `at` is where it stands.
pub fn differs(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let schema = resolved(document, schema);
    let words = schema.as_object().unwrap_or_else(|| panic!("no schema for {at}"));
    words.iter().find_map(|(word, rule)| {
        let wrong = |why: String| Some(format!("{at}: {why} ({value})"));
        match word.as_str() {
            "type" if !is_of(rule, value) => wrong(format!("is no {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => wrong(format!("is none of {rule}")),
            "anyOf" => {
                let all: Option<Vec<String>> =
                    rule.as_array().unwrap().iter().map(|schema| differs(document, schema, value, at)).collect();
                all.and_then(|why| wrong(format!("fits nothing: {}", why.join("; "))))
            }
            "required" => {
                let missing = |name: &&Value| value.is_object() && value.get(name.as_str().unwrap()).is_none();
                rule.as_array().unwrap().iter().find(missing).and_then(|name| wrong(format!("has no {name}")))
            }
            "properties" => {
                let inner =
                    |(name, schema): (&String, &Value)| differs(document, schema, value.get(name)?, &format!("{at}.{name}"));
                rule.as_object().unwrap().iter().find_map(inner)
            }
            "additionalProperties" => {
                let more = value.as_object()?.iter().filter(|(name, _)| schema["properties"].get(name).is_none());
                let mut more = more.filter_map(|(name, value)| match rule {
                    Value::Bool(true) => None,
                    Value::Bool(false) => Some(format!("{at}.{name} is not described ({value})")),
                    rule => differs(document, rule, value, &format!("{at}.{name}")),
                });
                more.next()
            }
            "items" => {
                let inner = |(number, value)| differs(document, rule, value, &format!("{at}[{number}]"));
                value.as_array()?.iter().enumerate().find_map(inner)
            }
            "minimum" => (value.as_f64()? < rule.as_f64().unwrap()).then(|| format!("{at}: {value} is less than {rule}")),
            "maximum" => (value.as_f64()? > rule.as_f64().unwrap()).then(|| format!("{at}: {value} is more than {rule}")),
            // Of what is sent to us, and of words that mean something to readers only.
            "type" | "enum" | "pattern" | "minLength" | "maxLength" | "exclusiveMinimum" | "format" | "description" => None,
            unknown => panic!("{at}: the schema has the word {unknown:?}, which is not understood here"),
        }
    })
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        unknown => panic!("no kind {unknown:?}"),
    };
    kinds.as_array().map_or_else(|| is(kinds), |kinds| kinds.iter().any(is))
}
