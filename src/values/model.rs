//! Model names by Ollama's rules.

/// A model name in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelName(String);

/// The size of a model in billions of parameters.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct ModelSize(pub f64);
