//! The index says of every name what a look at every node would say.

use std::collections::BTreeMap;
use std::time::SystemTime;

use proptest::prelude::{Just, any, prop, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use tokio::time::Instant;

use super::super::answers::{View, listed};
use super::super::holding::Stamp;
use super::*;
use crate::values::NodeName;

fn listing(names: &[&str]) -> Holding {
    let models: Vec<String> = names.iter().map(|name| format!(r#"{{"name":"{name}"}}"#)).collect();
    let body = format!(r#"{{"models":[{}]}}"#, models.join(","));
    Holding::empty().with_list(body.into(), Stamp { at: Instant::now(), wall: SystemTime::now() }).unwrap()
}

fn slots(index: &Index, name: &str) -> Vec<usize> {
    index.slots(&ModelKey::of(name)).to_vec()
}

#[test]
fn a_model_is_found_on_all_its_nodes_by_ollamas_rules_for_names() {
    let mut index = Index::default();
    index.enter(2, &[], &listing(&["llama3:8b", "qwen3:4b"]));
    index.enter(0, &[], &listing(&["library/LLAMA3:8b"]));
    for name in ["llama3:8b", "LLAMA3:8B", "library/llama3:8b"] {
        assert_eq!(slots(&index, name), [0, 2], "{name}");
    }
    assert_eq!(slots(&index, "qwen3:4b"), [2]);
    assert_eq!(slots(&index, "llama3"), [] as [usize; 0]);
}

#[test]
fn a_new_list_takes_the_place_of_the_old_one_and_a_node_that_goes_leaves_nothing() {
    let mut index = Index::default();
    index.enter(0, &[], &listing(&["a", "b"]));
    index.enter(1, &[], &listing(&["b"]));
    index.enter(0, &[], &listing(&["b", "c"]));
    assert_eq!((slots(&index, "a"), slots(&index, "b"), slots(&index, "c")), (vec![], vec![0, 1], vec![0]));
    index.remove(0);
    index.remove(0);
    index.remove(7);
    assert_eq!((slots(&index, "b"), slots(&index, "c")), (vec![1], vec![]));
    index.remove(1);
    assert!(index.slots.is_empty() && index.nodes == 0 && index.unread == 0);
}

#[test]
fn what_the_owner_states_is_found_before_and_beside_any_list() {
    let mut index = Index::default();
    index.enter(0, &["whisper".to_owned()], &Holding::empty());
    assert_eq!((slots(&index, "Whisper:latest"), index.listed("whisper")), (vec![0], Listed::Yes));
    assert_eq!(index.listed("other"), Listed::Unknown, "its list was never read");
    index.enter(0, &["whisper".to_owned()], &listing(&["whisper", "other"]));
    assert_eq!((slots(&index, "whisper"), slots(&index, "other")), (vec![0], vec![0]));
    index.list(0, &listing(&["third"]));
    assert_eq!((slots(&index, "whisper"), slots(&index, "other"), slots(&index, "third")), (vec![0], vec![], vec![0]));
    index.remove(0);
    index.list(0, &listing(&["whisper"]));
    assert_eq!(slots(&index, "whisper"), [] as [usize; 0], "who takes no part is not entered by a late list");
}

#[test]
fn names_are_the_same_whatever_else_a_list_says() {
    let (empty, known) = (Holding::empty(), listing(&[]));
    assert!(empty.lists_the_same_names(&Holding::empty()) && !empty.lists_the_same_names(&known));
    assert!(listing(&["a", "b"]).lists_the_same_names(&listing(&["library/B", "A:latest"])));
    for other in [&["a"][..], &["a", "c"], &["a", "b", "c"]] {
        assert!(!listing(&["a", "b"]).lists_the_same_names(&listing(other)), "{other:?}");
    }
}

const NAMES: [&str; 5] = ["a", "b:8b", "me/c", "d:cloud", "Org/Odd@v1"];

/// What happens to a slot: a list of some names, no list, or the end.
fn any_step() -> impl Generator<Value = (usize, Option<Option<Vec<&'static str>>>)> {
    let list = prop::collection::vec(prop::sample::select(&NAMES[..]), 0..5);
    (0usize..5, prop_oneof![4 => list.prop_map(|names| Some(Some(names))), 1 => Just(Some(None)), 1 => Just(None)])
}

proptest! {
    #[test]
    fn whatever_came_and_went_the_index_says_what_a_look_at_every_node_says(
        steps in prop::collection::vec(any_step(), 0..20),
        upper in any::<bool>(),
    ) {
        let (mut index, mut nodes) = (Index::default(), BTreeMap::new());
        for (slot, step) in steps {
            match step {
                Some(list) => {
                    let holding = list.map_or_else(Holding::empty, |names| listing(&names));
                    index.enter(slot, &[], &holding);
                    nodes.insert(slot, (NodeName::new(&slot.to_string()), holding));
                }
                None => {
                    index.remove(slot);
                    nodes.remove(&slot);
                }
            }
        }
        let views: Vec<View<'_>> = nodes.values().map(|(node, holding)| View { node, holding }).collect();
        for name in NAMES.into_iter().chain(["never"]) {
            let name = if upper { name.to_uppercase() } else { name.to_owned() };
            let holders = nodes.iter().filter(|(_, (_, holding))| holding.find(&name).is_some()).map(|(slot, _)| *slot);
            prop_assert_eq!(slots(&index, &name), holders.collect::<Vec<_>>());
            prop_assert_eq!(index.listed(&name), listed(&views, &name));
        }
    }
}
