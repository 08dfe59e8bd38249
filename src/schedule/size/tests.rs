//! Sizes as the originals state them, as names hint at them, and as the node file corrects them.

use bytes::Bytes;
use std::time::SystemTime;
use tokio::time::Instant;

use super::*;
use crate::catalog::{Holding, Stamp};

fn listed(name: &str, parameter_size: &str, more: &str) -> Holding {
    let body = format!(r#"{{"models":[{{"name":"{name}","details":{{"parameter_size":"{parameter_size}"}}{more}}}]}}"#);
    let read = Stamp { at: Instant::now(), wall: SystemTime::now() };
    Holding::empty().with_list(Bytes::from(body), read).unwrap()
}

fn rules(mapping: &[(&str, f64)], patterns: &[(&str, f64)]) -> SizeRules {
    let owned = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
    SizeRules { mapping: owned(mapping), patterns: owned(patterns) }
}

fn size_of(name: &str, listed: Option<&Model>, rules: &SizeRules) -> Option<Size> {
    Asked::of(name, rules).size(listed)
}

fn billions(name: &str, rules: &SizeRules) -> Option<f64> {
    size_of(name, None, rules).map(|known| known.size.0)
}

fn ranges(ends: &[(f64, Option<f64>)]) -> Vec<ModelRange> {
    let range = |(min_params_b, max_params_b): &(f64, Option<f64>)| ModelRange {
        min_params_b: *min_params_b,
        max_params_b: *max_params_b,
        description: String::new(),
    };
    ends.iter().map(range).collect()
}

#[test]
fn names_that_the_original_misread_are_read_rightly() {
    for (name, size) in [
        ("llama2-70b", 70.0),
        ("qwen2.5-120b", 120.0),
        ("llama2-7b", 7.0),
        ("qwen2.5:0.5b", 0.5),
        ("deepseek-r1:1.5b", 1.5),
        ("phi3:3.8b", 3.8),
        ("mixtral:8x7b", 56.0),
        ("mixtral:8x22b", 176.0),
        ("llama4:16x17b", 272.0),
        ("smollm2:135m", 0.135),
        ("gemma3:270m", 0.27),
        ("gemma3n:e4b", 4.0),
        ("qwen3:30b-a3b", 30.0),
    ] {
        let known = size_of(name, None, &SizeRules::default()).unwrap();
        assert!((known.size.0 - size).abs() < 1e-9 && known.source == Source::Name, "{name}: {known:?}");
    }
    for name in ["llama3.2", "qwen3-coder", "nomic-embed-text"] {
        assert_eq!(size_of(name, None, &SizeRules::default()), None, "{name}");
    }
}

#[test]
fn the_list_comes_before_the_mapping_the_patterns_and_the_name() {
    let rules = rules(&[("qwen3:70b", 71.0)], &[("70b", 72.0)]);
    let holding = listed("qwen3:70b", "46.7B", "");
    let known = size_of("qwen3:70b", holding.find("qwen3:70b"), &rules).unwrap();
    assert_eq!((known.size.0, known.source), (46.7, Source::List));
    assert_eq!(billions("qwen3:70b", &rules), Some(71.0));
    assert_eq!(billions("llama2-70b", &rules), Some(72.0));
    assert_eq!(billions("llama2-7b", &rules), Some(7.0));
    let free_text = listed("qwen3:70b", "large", "");
    assert_eq!(size_of("qwen3:70b", free_text.find("qwen3:70b"), &rules).unwrap().source, Source::Mapping);
}

#[test]
fn a_mapped_name_is_meant_by_ollamas_rules() {
    let rules = rules(&[("llama3.2", 3.2), ("no/valid/name/at/all", 9.0)], &[]);
    assert_eq!(billions("library/LLAMA3.2:latest", &rules), Some(3.2));
    assert_eq!(billions("llama3.2:instruct", &rules), None);
    assert_eq!(billions("no/valid/NAME/at/all", &rules), Some(9.0));
}

#[test]
fn a_pattern_does_not_match_within_another_number() {
    let rules = rules(&[], &[("8b", 8.0), ("120b", 120.0), ("70b", 70.0), ("coder", 30.0)]);
    for (name, size) in [
        ("llama3:8b", Some(8.0)),
        ("llama3-8B-instruct", Some(8.0)),
        ("llama8b", Some(8.0)),
        ("x:48b", Some(48.0)),
        ("x:1.8b", Some(1.8)),
        ("mixtral:8x8b", Some(64.0)),
        ("x:8bit", None),
        ("qwen3-coder", Some(30.0)),
        ("gpt-oss-120b-distilled-8b", Some(120.0)),
    ] {
        assert_eq!(billions(name, &rules), size, "{name}");
    }
}

#[test]
fn a_model_in_the_cloud_has_no_size_here() {
    let rules = rules(&[], &[("120b", 120.0)]);
    assert_eq!(billions("gpt-oss:120b-cloud", &rules), None);
    let stub = listed("gpt-oss:120b", "116.8B", r#","remote_host":"https://ollama.com""#);
    assert_eq!(size_of("gpt-oss:120b", stub.find("gpt-oss:120b"), &rules), None);
}

#[test]
fn both_ends_of_a_range_belong_to_it() {
    let size = |billions| Some(Size { size: ModelSize(billions), source: Source::Name });
    let node = ranges(&[(1.0, Some(8.0)), (30.0, Some(70.0))]);
    for (billions, fits) in [(0.999, false), (1.0, true), (8.0, true), (8.001, false), (30.0, true), (70.0, true), (70.1, false)]
    {
        assert_eq!(fit(size(billions), &node).is_some(), fits, "{billions}");
    }
    assert_eq!(fit(size(8.0), &node), Some(7.0));
    assert_eq!(fit(size(405.0), &ranges(&[(100.0, None)])), Some(f64::INFINITY));
    assert_eq!(fit(None, &node), Some(f64::INFINITY), "a model of unknown size fits everywhere");
    assert_eq!(fit(size(1000.0), &[]), Some(f64::INFINITY), "a node without ranges takes everything");
}

/// The seed's rules: 120B to node1, 30 to 70B to node2, 1 to 8B to node3 and node4.
#[test]
fn the_four_nodes_of_the_seed_are_chosen_by_size() {
    let nodes =
        [ranges(&[(100.0, None)]), ranges(&[(30.0, Some(70.0))]), ranges(&[(1.0, Some(8.0))]), ranges(&[(1.0, Some(8.0))])];
    let rules = rules(&[], &[("120b", 120.0), ("70b", 70.0), ("8b", 8.0)]);
    let fitting = |name| -> Vec<usize> {
        let size = size_of(name, None, &rules);
        (1..=4).filter(|number| fit(size, &nodes[number - 1]).is_some()).collect()
    };
    assert_eq!(fitting("qwen2.5-120b"), [1]);
    assert_eq!(fitting("llama2-70b"), [2]);
    assert_eq!(fitting("qwen2.5:32b"), [2]);
    assert_eq!(fitting("llama2-7b"), [3, 4]);
    assert_eq!(fitting("llama3:8b"), [3, 4]);
    assert_eq!(fitting("gemma3:12b"), [] as [usize; 0]);
}
