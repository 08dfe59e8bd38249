//! Which sizes of models no node is meant for: they fall back on nodes that do not fit. Pure.

use crate::config::{Fallback, NodeConfig};

/// A line about the gaps between the ranges of all nodes that take part; `None` without gaps. A node without ranges takes
/// every size.
pub(super) fn gaps(nodes: &[NodeConfig], fallback: Fallback) -> Option<String> {
    let taking_part = || nodes.iter().filter(|node| node.enabled);
    if taking_part().next().is_none() || taking_part().any(|node| node.model_ranges.is_empty()) {
        return None;
    }
    let mut ranges: Vec<(f64, f64)> = taking_part()
        .flat_map(|node| &node.model_ranges)
        .map(|range| (range.min_params_b, range.max_params_b.unwrap_or(f64::INFINITY)))
        .collect();
    ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut gaps, mut covered) = (Vec::new(), 0.0);
    for (min, max) in ranges {
        if min > covered {
            gaps.push(format!("{covered}B to {min}B"));
        }
        covered = f64::max(covered, max);
    }
    if covered < f64::INFINITY {
        gaps.push(format!("more than {covered}B"));
    }
    let follows = match fallback {
        Fallback::None => "such a model is refused",
        Fallback::HaveModel => "such a model goes to any node that has it",
        Fallback::Any => "such a model goes to any node",
    };
    let gaps = gaps.join(", ");
    (!gaps.is_empty()).then(|| format!("no node's supported_model_ranges take models of these sizes: {gaps}; {follows}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Env, ModelRange, ServeArgs, load};

    /// One node for each list of ranges; an end of 0 stands for none.
    fn nodes(ranges: &[&[(f64, f64)]]) -> Vec<NodeConfig> {
        let args = ServeArgs::default().with("ollama-url", "http://192.0.2.1:1");
        let nowhere = std::env::temp_dir().join("ollama-proxy-coverage-has-no-settings");
        let node = load(&args, &Env::new(), &nowhere).unwrap().nodes.remove(0);
        let range = |&(min, max): &(f64, f64)| ModelRange {
            min_params_b: min,
            max_params_b: Some(max).filter(|max| *max > 0.0),
            description: String::new(),
        };
        let with = |ranges: &&[(f64, f64)]| NodeConfig { model_ranges: ranges.iter().map(range).collect(), ..node.clone() };
        ranges.iter().map(with).collect()
    }

    #[test]
    fn sizes_between_below_and_above_all_ranges_are_named() {
        let seed = nodes(&[&[(100.0, 0.0)], &[(30.0, 70.0)], &[(1.0, 8.0)], &[(1.0, 8.0)]]);
        let line = gaps(&seed, Fallback::HaveModel).unwrap();
        assert!(line.contains("sizes: 0B to 1B, 8B to 30B, 70B to 100B; such a model goes to any node that has it"), "{line}");
        let line = gaps(&nodes(&[&[(0.0, 8.0), (8.0, 9.5)]]), Fallback::None).unwrap();
        assert!(line.contains("sizes: more than 9.5B; such a model is refused"), "{line}");
    }

    #[test]
    fn without_gaps_there_is_nothing_to_say() {
        assert_eq!(gaps(&nodes(&[&[(0.0, 8.0)], &[(8.0, 0.0)]]), Fallback::Any), None);
        assert_eq!(gaps(&nodes(&[&[(1.0, 8.0)], &[]]), Fallback::Any), None, "one takes every size");
        let mut off = nodes(&[&[(0.0, 0.0)], &[(1.0, 0.0)]]);
        assert_eq!(gaps(&off, Fallback::Any), None);
        off[0].enabled = false;
        assert!(gaps(&off, Fallback::Any).unwrap().contains("0B to 1B"));
        assert_eq!(gaps(&[], Fallback::Any), None);
    }
}
