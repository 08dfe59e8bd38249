//! pass@k by the unbiased estimator of the HumanEval paper: of `n` samples `c` passed; how likely is one right among `k` drawn?

/// `1 - C(n-c, k) / C(n, k)`, as a product, for the binomials of 200 samples fit no number. `None` when `k` cannot be drawn.
pub fn pass_at_k(n: u32, c: u32, k: u32) -> Option<f64> {
    if k == 0 || k > n || c > n {
        return None;
    }
    if n - c < k {
        return Some(1.0);
    }
    let none_right: f64 = (n - c + 1..=n).map(|i| 1.0 - f64::from(k) / f64::from(i)).product();
    Some(1.0 - none_right)
}

/// The mean over problems, each with its own `(n, c)`; `None` unless `k` can be drawn for every one.
pub fn mean(problems: &[(u32, u32)], k: u32) -> Option<f64> {
    let count = u32::try_from(problems.len()).ok().filter(|&count| count > 0)?;
    let each: Option<Vec<f64>> = problems.iter().map(|&(n, c)| pass_at_k(n, c, k)).collect();
    Some(each?.iter().sum::<f64>() / f64::from(count))
}
