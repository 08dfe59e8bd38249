//! What a process takes over time, and whether it takes ever more.

use std::fs;

/// One look.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Seconds since the beginning.
    pub at: f64,
    /// Resident memory in KiB.
    pub memory: f64,
    pub descriptors: usize,
    pub threads: usize,
}

impl Sample {
    /// Looks at the process now.
    pub fn of(process: u32, at: f64) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u32>().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
        Self { at, memory: number("VmRSS:").into(), descriptors, threads: usize::try_from(number("Threads:")).unwrap() }
    }
}

/// By how much the line through these points (least squares) rises from the first to the last.
pub fn rise(points: &[(f64, f64)]) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let count: f64 = points.iter().map(|_| 1.0).sum();
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let (mut covariance, mut variance) = (0.0, 0.0);
    for (x, y) in points {
        covariance += (x - mean_x) * (y - mean_y);
        variance += (x - mean_x).powi(2);
    }
    if variance > 0.0 { covariance / variance * (last.0 - first.0) } else { 0.0 }
}

#[test]
fn a_line_rises_by_what_it_rises_and_waves_that_come_back_hardly_do() {
    let points = |of: &dyn Fn(f64) -> f64| (0..150).map(|at| (f64::from(at), of(f64::from(at)))).collect::<Vec<_>>();
    assert!((rise(&points(&|at| 20_000.0 + 10.0 * at)) - 1490.0).abs() < 1.0);
    assert!(rise(&points(&|_| 20_000.0)).abs() < 1.0);
    assert!(rise(&points(&|at| 20_000.0 + 300.0 * (at / 30.0 * std::f64::consts::TAU).sin())).abs() < 250.0);
    assert!(rise(&[]).abs() < 0.1 && rise(&[(1.0, 5.0)]).abs() < 0.1);
}
