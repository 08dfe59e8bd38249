//! Model names by Ollama's rules, written apart from the rest of the crate so that the two can be held against each other.

use super::reply::Refusal;

const HOST: &str = "registry.ollama.ai";
const NAMESPACE: &str = "library";

/// The shortest form in which Ollama shows a name, always with its tag. `None` when no model can be called so.
pub(super) fn shortest(name: &str) -> Option<String> {
    let [host, namespace, model, tag] = parts(name)?;
    let mut shown = String::new();
    if host != HOST {
        shown = format!("{host}/{namespace}/");
    } else if namespace != NAMESPACE {
        shown = format!("{namespace}/");
    }
    Some(format!("{shown}{model}:{tag}"))
}

/// The name with everything spelt out.
pub(super) fn longest(name: &str) -> Option<String> {
    let [host, namespace, model, tag] = parts(name)?;
    Some(format!("{host}/{namespace}/{model}:{tag}"))
}

/// The namespace of a name, which `/v1/models` calls its owner.
pub(super) fn owner(name: &str) -> String {
    parts(name).map_or_else(|| NAMESPACE.to_owned(), |[_, namespace, ..]| namespace)
}

/// A name without its source suffix, and whether it asks for the cloud.
pub(super) fn source(name: &str) -> Result<(&str, bool), Refusal> {
    let both = || Refusal::bad(format!("use either :local or :cloud, not both: {name:?}"));
    let name = name.trim();
    let Some((base, cloud)) = strip_suffix(name) else { return Ok((name, false)) };
    if strip_suffix(base).is_some() { Err(both()) } else { Ok((base, cloud)) }
}

fn strip_suffix(name: &str) -> Option<(&str, bool)> {
    let (base, suffix) = name.rsplit_once(':')?;
    if suffix.eq_ignore_ascii_case("cloud") {
        Some((base, true))
    } else if suffix.eq_ignore_ascii_case("local") {
        Some((base, false))
    } else if suffix.len() > 6 && !suffix.contains('/') && suffix.to_ascii_lowercase().ends_with("-cloud") {
        Some((&name[..name.len() - "-cloud".len()], true))
    } else {
        None
    }
}

fn parts(name: &str) -> Option<[String; 4]> {
    let name = name.trim();
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (path, tag) = match name[slash..].rfind(':') {
        Some(colon) => (&name[..slash + colon], &name[slash + colon + 1..]),
        None => (name, "latest"),
    };
    let pieces: Vec<&str> = path.split('/').collect();
    let (host, namespace, model) = match pieces[..] {
        [model] => (HOST, NAMESPACE, model),
        [namespace, model] => (HOST, namespace, model),
        [host, namespace, model] => (host, namespace, model),
        _ => return None,
    };
    let good = part(host, 350, "-_.:") && part(namespace, 80, "-_") && part(model, 80, "-_.") && part(tag, 80, "-_.");
    good.then(|| [host, namespace, model, tag].map(str::to_owned))
}

fn part(text: &str, longest: usize, also: &str) -> bool {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    first && text.len() <= longest && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}
