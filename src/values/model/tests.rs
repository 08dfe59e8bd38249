//! Vectors for names and sizes.

use proptest::prelude::*;
use std::collections::HashSet;

use super::*;

fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap_or_else(|| panic!("{text} is a valid name"))
}

#[test]
fn all_spellings_of_one_model_are_one_name() {
    let spellings = [
        "llama3",
        "llama3:latest",
        "library/llama3",
        "registry.ollama.ai/library/llama3:latest",
        "https://registry.ollama.ai/library/llama3",
        "  LLAMA3:Latest ",
        "llama3:local",
        "llama3:latest:LOCAL",
    ];
    let names: HashSet<ModelName> = spellings.iter().map(|text| name(text)).collect();
    assert_eq!(names.len(), 1);
    for text in spellings {
        assert_eq!(name(text).canonical(), "registry.ollama.ai/library/llama3:latest");
    }
}

#[test]
fn other_tags_owners_and_registries_are_other_models() {
    let names = ["llama3", "llama3:8b", "me/llama3", "hf.co/library/llama3", "llama3:cloud", "llama3:8b-cloud"];
    assert_eq!(names.iter().map(|text| name(text)).collect::<HashSet<_>>().len(), names.len());
}

#[test]
fn a_name_is_shown_with_its_tag_and_without_the_default_registry_and_owner() {
    for (text, shown) in [
        ("llama3", "llama3:latest"),
        ("library/llama3:8B", "llama3:8B"),
        ("me/llama3", "me/llama3:latest"),
        ("hf.co/user/repo:Q4_K_M", "hf.co/user/repo:Q4_K_M"),
        ("hf.co/library/repo", "hf.co/library/repo:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("gpt-oss:20b:cloud", "gpt-oss:20b-cloud"),
        ("gpt-oss:20b-cloud", "gpt-oss:20b-cloud"),
        ("gpt-oss:cloud", "gpt-oss:cloud"),
        ("gpt-oss:20b:local", "gpt-oss:20b"),
    ] {
        assert_eq!(name(text).display(), shown, "{text}");
    }
}

#[test]
fn a_tag_that_is_too_long_with_the_cloud_s_ending_makes_no_name() {
    let named = |tag: &str| ModelName::parse(&format!("gpt-oss:{tag}:cloud"));
    assert_eq!(named(&"t".repeat(74)).unwrap().tag().len(), 80);
    assert_eq!(named(&"t".repeat(75)), None);
}

#[test]
fn only_explicit_cloud_names_are_in_the_cloud() {
    for (text, cloud) in [
        ("a:cloud", true),
        ("a:CLOUD", true),
        ("a:8b:cloud", true),
        ("a:8b-Cloud", true),
        ("a", false),
        ("cloud", false),
        ("a-cloud", false),
        ("a:cloudy", false),
        ("a:local", false),
        ("host:5000/x/a-cloud", false),
    ] {
        assert_eq!(name(text).is_cloud(), cloud, "{text}");
    }
}

#[test]
fn names_that_ollama_refuses_are_none() {
    let long = "m".repeat(81);
    for text in [
        "",
        "  ",
        ":",
        "a:",
        ":b",
        "/a",
        "a/",
        "a//b",
        "-a",
        ".a",
        "a b",
        "a@sha256:00",
        "n.s/a",
        "h/n.s/a",
        "a:b/c:d:e",
        "ä",
        "a:cloud:local",
        "a:local:cloud",
        "a:8b-cloud:cloud",
        "x/h/n/a",
        long.as_str(),
    ] {
        assert_eq!(ModelName::parse(text), None, "{text}");
    }
    assert!(ModelName::parse(&long[1..]).is_some());
}

fn about(size: Option<ModelSize>, billions: f64) -> bool {
    size.is_some_and(|s| (s.0 - billions).abs() < 1e-9 * billions)
}

#[test]
fn a_stated_parameter_size_is_read_in_all_its_forms() {
    for (text, billions) in [
        ("8.0B", 8.0),
        ("7B", 7.0),
        ("136.73M", 0.13673),
        ("137M", 0.137),
        ("8K", 8e-6),
        ("671.0B", 671.0),
        ("1T", 1000.0),
        ("8x7B", 56.0),
        (" 30.5b ", 30.5),
        ("8030261248", 8.030_261_248),
    ] {
        assert!(about(ModelSize::from_parameter_size(text), billions), "{text}");
    }
}

#[test]
fn free_text_is_no_parameter_size() {
    for text in ["", "B", "large", "8.0 or so", "8.0Billion", "-8B", "0B", "0", "8..0B", ".5B", "NaN", "inf", "1e3B"] {
        assert_eq!(ModelSize::from_parameter_size(text), None, "{text}");
    }
}

#[test]
fn a_size_in_a_name_is_read_with_decimals_millions_and_mixtures() {
    for (text, billions) in [
        ("llama2-70b", 70.0),
        ("qwen2.5-120b", 120.0),
        ("llama2-7b", 7.0),
        ("qwen2:0.5b", 0.5),
        ("deepseek-r1:1.5b", 1.5),
        ("phi3:3.8b", 3.8),
        ("smollm2:135m", 0.135),
        ("gemma3:270m-it-q8_0", 0.27),
        ("mixtral:8x7b", 56.0),
        ("mixtral:8x22b-instruct", 176.0),
        ("llama4:16x17b", 272.0),
        ("gemma3n:e4b", 4.0),
        ("qwen3:30b-a3b", 30.0),
        ("qwen3:a3b-30b", 30.0),
        ("llama7b", 7.0),
        ("llama-7-b", 7.0),
        ("hf.co/me/Qwen2.5-0.5B-GGUF:Q4_K_M", 0.5),
        ("gpt-oss:20b-cloud", 20.0),
        ("kimi-k2:1t-cloud", 1000.0),
        ("phi3:14b-medium-128k-instruct-q4_K_M", 14.0),
        ("localhost:5000/70b/tiny:1b", 1.0),
        ("bloom-7b:latest", 7.0),
    ] {
        let size = ModelSize::from_name(text);
        assert!(about(size, billions), "{text}: {size:?}");
    }
}

#[test]
fn a_name_without_a_size_says_nothing() {
    for text in [
        "",
        "llama3.2",
        "qwen3-coder",
        "nomic-embed-text",
        "bge-m3",
        "phi3:mini-128k",
        "x:q4_k_m",
        "x:iq3_m",
        "x:iq3_xxs",
        "x:4bit",
        "x:fp16",
        "70b/llama3",
        "x:a3b",
        "x:0b",
    ] {
        assert_eq!(ModelSize::from_name(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in any::<String>()) {
        let _ = ModelName::parse(&text);
        let _ = ModelSize::from_name(&text);
        let _ = ModelSize::from_parameter_size(&text);
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same_name(text in "([a-z][a-z.]{0,3}(:[0-9]{2})?/)?([a-zA-Z_]{1,3}/)?[a-zA-Z0-9._-]{1,8}(:[a-zA-Z0-9._-]{1,8})?(:cloud|:local|-cloud)?") {
        if let Some(name) = ModelName::parse(&text) {
            let again = ModelName::parse(&name.display());
            prop_assert_eq!(again.as_ref(), Some(&name));
            prop_assert_eq!(again.map(|n| n.is_cloud()), Some(name.is_cloud()));
        }
    }

    #[test]
    fn names_are_equal_whatever_their_case(text in "[a-z0-9_]{1,5}(/[a-z0-9]{1,5})?(:[a-z0-9-]{1,8})?") {
        prop_assert_eq!(ModelName::parse(&text), ModelName::parse(&text.to_uppercase()));
        if let Some(name) = ModelName::parse(&text) {
            prop_assert!(HashSet::from([name]).contains(&ModelName::parse(&text.to_uppercase()).unwrap()));
        }
    }

    #[test]
    fn ollamas_own_way_of_writing_counts_reads_back(tenths in 1u32..9_999) {
        let size = ModelSize::from_parameter_size(&format!("{}.{}B", tenths / 10, tenths % 10));
        prop_assert!(about(size, f64::from(tenths) / 10.0));
    }
}
