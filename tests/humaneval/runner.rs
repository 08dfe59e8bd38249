//! What does not need Python: asking, order, results, going on after a break.

use std::fs;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::running::{House, PROBLEMS, RIGHT};

#[test]
fn without_execute_programs_are_written_and_not_run() {
    let house = House::of("open('/nowhere/at/all')\n");
    let said = house.run(&[]).well().said();
    assert!(said.contains("[########################] 3/3") && said.contains("3 of 3 answered"), "{said}");
    let results = house.results();
    let fields: Vec<&str> = results[0].as_object().unwrap().keys().map(String::as_str).collect();
    let seed = "task_id model ok sample_index gen_time_s exec_time_s stdout stderr error eval_count prompt_eval_count eval_tokens_per_sec \
                prompt_tokens_per_sec eval_duration_ns prompt_eval_duration_ns code response_raw";
    assert_eq!(fields, seed.split(' ').collect::<Vec<_>>());
    assert!(results.iter().all(|record| record["ok"].is_null() && record["error"].is_null()), "{results:?}");
    assert_eq!(results[0]["eval_count"], 1);
    assert!(house.summary()["pass_at_k"].as_object().unwrap().is_empty());
}

#[test]
fn a_solution_gets_what_stands_before_it_in_the_prompt() {
    let house = House::of(RIGHT);
    house.run(&[]).well();
    let code = |at: usize| house.results()[at]["code"].as_str().unwrap().to_owned();
    assert!(code(0).starts_with("from typing import List\n"), "{}", code(0));
    assert!(code(1).starts_with("def is_vowel("), "{}", code(1));
    assert!(code(2).starts_with("import math\n") && !code(2).contains("Here it is"), "{}", code(2));
}

#[test]
fn a_body_alone_is_put_behind_its_prompt() {
    let house = House::of("    return 7\n");
    house.run(&["--limit", "1"]).well();
    let results = house.results();
    let code = results[0]["code"].as_str().unwrap();
    assert!(code.contains("def running_total") && code.ends_with("    \"\"\"\n    return 7\n"), "{code}");
}

#[test]
fn gzipped_problems_are_read_whatever_their_name() {
    let house = House::of(RIGHT);
    let packed = house.scratch.join("problems");
    let mut gzip = GzEncoder::new(fs::File::create(&packed).unwrap(), Compression::default());
    gzip.write_all(&fs::read(PROBLEMS).unwrap()).unwrap();
    gzip.finish().unwrap();
    let text = fs::read(&packed).unwrap();
    assert_eq!(text[..2], [0x1f, 0x8b]);
    house.run_on(&packed, &[]).well();
    assert_eq!(house.results().len(), 3);
    // Half of a file is no file.
    fs::write(&packed, &text[..text.len() / 2]).unwrap();
    assert!(house.run_on(&packed, &[]).badly().said().contains("cannot be read"));
}

#[test]
fn samples_are_asked_model_by_model_so_that_each_loads_once() {
    let house = House::of_models(RIGHT, &["first:3b", "second:3b"]);
    house.run(&["--model", "first:3b,second:3b", "--num-samples", "2"]).well();
    assert_eq!(house.asked(), 12);
    assert_eq!(house.node.counters().loads_started, 2);
    let results = house.results();
    let order: Vec<_> =
        results.iter().map(|record| (record["model"].as_str().unwrap(), record["sample_index"].as_u64().unwrap())).collect();
    assert_eq!(order[..3], [("first:3b", 0), ("first:3b", 1), ("first:3b", 0)]);
    assert_eq!(order[6], ("second:3b", 0));
}

#[test]
fn a_second_run_asks_only_for_what_is_missing_and_drops_half_a_line() {
    let house = House::of(RIGHT);
    house.run(&[]).well();
    assert_eq!(house.asked(), 3);
    house.run(&[]).well();
    assert_eq!(house.asked(), 3);
    let text = fs::read_to_string(house.out()).unwrap();
    let third = text.lines().nth(2).unwrap();
    fs::write(house.out(), &text[..text.len() - third.len() / 2]).unwrap();
    house.run(&[]).well();
    assert_eq!((house.asked(), house.results().len()), (4, 3));
    house.run(&["--num-samples", "2"]).well();
    assert_eq!((house.asked(), house.results().len()), (7, 6));
}

#[test]
fn an_unknown_model_is_told_and_asked_again_the_next_time() {
    let house = House::of(RIGHT);
    let said = house.run(&["--model", "nobody:3b"]).badly().said();
    assert!(said.contains("model 'nobody:3b' not found") && said.contains("0 of 3 answered"), "{said}");
    assert!(house.results().iter().all(|record| record["code"].is_null() && record["ok"].is_null()));
    let before = house.asked();
    house.run(&["--model", "nobody:3b"]).badly();
    assert_eq!(house.asked(), 2 * before);
}

#[test]
fn results_of_something_else_are_not_written_over() {
    let house = House::of(RIGHT);
    fs::write(house.out(), "a shopping list\n").unwrap();
    let said = house.run(&[]).badly().said();
    assert!(said.contains("line 1: not a result"), "{said}");
    assert_eq!(fs::read_to_string(house.out()).unwrap(), "a shopping list\n");
}
