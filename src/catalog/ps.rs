//! One `/api/ps` out of the live answers of several nodes. Never from memory: what was loaded is gone after a sleep.

use std::cmp::Reverse;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{answers, times};

use crate::values::sort_by_key;

#[derive(Deserialize, Serialize)]
struct Running<'a> {
    #[serde(borrow)]
    models: Option<Vec<&'a RawValue>>,
}

/// Joins the bodies of several nodes, the latest `expires_at` first as Ollama sorts. A single answer keeps its bytes;
/// what is no such answer is left out. A model that runs on two nodes is there twice: it is loaded twice.
pub fn ps_merged(bodies: &[Bytes]) -> Bytes {
    let readable = |body: &'_ Bytes| serde_json::from_slice::<Running<'_>>(body).is_ok_and(|body| body.models.is_some());
    if let [only] = bodies {
        if readable(only) {
            return only.clone();
        }
    }
    let lists = bodies.iter().filter_map(|body| serde_json::from_slice::<Running<'_>>(body).ok()?.models);
    let mut models: Vec<_> = lists.flatten().map(|model| (Reverse(expiry(model)), model)).collect();
    sort_by_key(&mut models, |(expiry, _)| *expiry);
    answers::json(&Running { models: Some(models.into_iter().map(|(_, model)| model).collect()) })
}

fn expiry(model: &RawValue) -> Option<times::Moment> {
    #[derive(Deserialize)]
    struct Entry {
        expires_at: String,
    }
    times::read(&serde_json::from_str::<Entry>(model.get()).ok()?.expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(models: &[(&str, &str)]) -> Bytes {
        let entry = |(name, expires): &(&str, &str)| format!(r#"{{"name":"{name}","expires_at":"{expires}","size_vram":1e3}}"#);
        format!(r#"{{"models":[{}]}}"#, models.iter().map(entry).collect::<Vec<_>>().join(",")).into()
    }

    #[test]
    fn without_answers_nothing_runs() {
        assert_eq!(ps_merged(&[]), r#"{"models":[]}"#);
        assert_eq!(ps_merged(&["oops".into()]), r#"{"models":[]}"#);
        assert_eq!(ps_merged(&[r#"{"models":null}"#.into()]), r#"{"models":[]}"#);
    }

    #[test]
    fn a_single_answer_keeps_its_bytes() {
        let spaced = Bytes::from_static(b"{ \"models\": [] , \"new\": 1 }\n");
        assert_eq!(ps_merged(std::slice::from_ref(&spaced)), spaced);
    }

    #[test]
    fn several_answers_are_joined_with_the_latest_expiry_first() {
        let a = body(&[("soon", "2026-11-20T15:35:45.4Z"), ("odd", "?")]);
        let b = body(&[("ever", "2319-03-01T00:00:00Z"), ("later", "2026-11-20T16:35:45.5+01:00")]);
        let sorted = [
            ("ever", "2319-03-01T00:00:00Z"),
            ("later", "2026-11-20T16:35:45.5+01:00"),
            ("soon", "2026-11-20T15:35:45.4Z"),
            ("odd", "?"),
        ];
        assert_eq!(ps_merged(&[a, "broken".into(), b]), body(&sorted));
    }

    #[test]
    fn a_model_that_runs_on_two_nodes_is_there_twice() {
        let one = body(&[("m", "2026-11-20T15:35:45Z")]);
        let twice = body(&[("m", "2026-11-20T15:35:45Z"), ("m", "2026-11-20T15:35:45Z")]);
        assert_eq!(ps_merged(&[one.clone(), one]), twice);
    }
}
