//! The evaluation runner of examples/humaneval: the real program, through the real proxy, with a simulated model that writes
//! right and wrong programs. The three problems are our own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic, its helpers too")]

#[cfg(target_os = "linux")]
mod execution;
mod runner;
mod running;
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../examples/humaneval/score.rs"]
mod score;

#[path = "../shared/example.rs"]
mod built;
#[allow(dead_code, reason = "other tests need other parts of it")]
#[path = "../shared/program.rs"]
mod rig;

/// Each by hand: the product of (n-c-i)/(n-i) for i below k, taken from one.
#[test]
fn pass_at_k_is_what_a_person_computes() {
    let by_hand = [
        (1, 1, 1, 1.0),
        (1, 0, 1, 0.0),
        (5, 2, 1, 0.4),
        // 1 - 3/5 · 2/4
        (5, 2, 2, 0.7),
        // 1 - 3/5 · 2/4 · 1/3
        (5, 2, 3, 0.9),
        // three wrong ones cannot fill four draws
        (5, 2, 4, 1.0),
        // 1 - 9/10 · 8/9 · 7/8 · 6/7 · 5/6
        (10, 1, 5, 0.5),
        // 1 - 7/10 · 6/9
        (10, 3, 2, 8.0 / 15.0),
        (200, 1, 100, 0.5),
        (200, 0, 100, 0.0),
    ];
    for (n, c, k, share) in by_hand {
        let computed = score::pass_at_k(n, c, k).unwrap();
        assert!((computed - share).abs() < 1e-12, "{c} of {n}, k = {k}: {computed} is not {share}");
    }
    for (n, c, k) in [(1, 0, 2), (1, 0, 0), (3, 4, 1)] {
        assert_eq!(score::pass_at_k(n, c, k), None, "{c} of {n}, k = {k}");
    }
}

#[test]
fn the_mean_is_over_problems_and_needs_enough_samples_of_each() {
    let mean = score::mean(&[(5, 2), (5, 0), (1, 1)], 1).unwrap();
    assert!((mean - 1.4 / 3.0).abs() < 1e-12, "{mean}");
    assert_eq!(score::mean(&[(5, 2), (1, 1)], 2), None);
    assert_eq!(score::mean(&[], 1), None);
}
