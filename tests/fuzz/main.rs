//! Every fuzz target over the bytes that are kept in `fuzz/corpus`, and over bytes that dice made of them: a finding of the fuzzer
//! that was put there stays found. The fuzzer itself: `tests/all fuzz`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

#[allow(dead_code, reason = "the fault laboratory needs more of it")]
#[path = "../faults/dice.rs"]
mod dice;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use dice::Dice;
use targets::TARGETS;
use tokio::time::Instant;

/// For the dice, each target.
const TIME: Duration = Duration::from_secs(1);

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = std::fs::read_dir(&dir).unwrap_or_else(|fault| panic!("{}: {fault}", dir.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn what_was_kept_makes_no_target_fail() {
    for (name, target) in TARGETS {
        let kept = corpus(name);
        assert!(!kept.is_empty(), "{name} has no corpus");
        for bytes in kept {
            target(&bytes);
        }
    }
}

#[test]
fn what_dice_make_of_it_makes_no_target_fail() {
    let seed = RandomState::new().hash_one(0);
    for (name, target) in TARGETS {
        let (kept, mut dice, begun) = (corpus(name), Dice::new(seed), Instant::now());
        while begun.elapsed() < TIME {
            let bytes = thrown(&kept, &mut dice);
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name} fails; keep this in fuzz/corpus/{name}: {:?}", bytes.escape_ascii().to_string());
        }
    }
}

/// A kept input with a few bytes changed, lost, doubled, or exchanged for a part of another.
fn thrown(kept: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let place = |dice: &mut Dice, length: usize| usize::try_from(dice.between(0, length as u64)).unwrap();
    let numbers: Vec<usize> = (0..kept.len()).collect();
    let mut bytes = kept[dice.one_of(&numbers)].clone();
    for _ in 0..dice.between(1, 4) {
        let (from, to) = (place(dice, bytes.len()), place(dice, bytes.len()));
        let part = from.min(to)..from.max(to);
        match dice.between(0, 4) {
            0 => bytes.insert(from, u8::try_from(dice.between(0, 255)).unwrap()),
            1 => drop(bytes.drain(part)),
            2 => {
                let doubled = bytes[part].to_vec();
                bytes.splice(from..from, doubled);
            }
            3 => {
                let other = &kept[dice.one_of(&numbers)];
                let at = place(dice, other.len());
                bytes.splice(part, other[at..].iter().copied());
            }
            _ => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= 1 << dice.between(0, 7)),
        }
    }
    bytes.truncate(64 * 1024);
    bytes
}
