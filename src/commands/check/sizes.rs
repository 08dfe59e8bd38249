//! Judging the nodes' ranges of model sizes: which sizes none of them is meant for. Pure.

use super::report::Line;
use crate::config::{Fallback, ModelRange, NodeConfig};
use crate::values::sort_by;

/// Sizes in billions of parameters between two ranges, the ends left out; without an upper end, all above.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gap {
    above: f64,
    below: Option<f64>,
}

/// The finding, when any node states ranges.
pub(super) fn lines(nodes: &[NodeConfig], fallback: Fallback) -> Vec<Line> {
    let enabled = || nodes.iter().filter(|node| node.enabled);
    if enabled().all(|node| node.model_ranges.is_empty()) {
        return Vec::new();
    }
    // A node without ranges takes every size.
    let all_covered = enabled().any(|node| node.model_ranges.is_empty());
    let gaps = if all_covered { Vec::new() } else { gaps(enabled().flat_map(|node| &node.model_ranges)) };
    if gaps.is_empty() {
        return vec![Line::ok("models of every size have a node that is meant for them")];
    }
    let gaps: Vec<String> = gaps.into_iter().map(words).collect();
    let follows = match fallback {
        Fallback::HaveModel => "a node that has such a model serves it all the same (\"fallback\": \"have_model\")",
        Fallback::Any => "any node may be asked for such a model (\"fallback\": \"any\")",
        Fallback::None => "requests for such a model are refused (\"fallback\": \"none\")",
    };
    let text = format!("no node is meant for models of {} billion parameters: {follows}", gaps.join(", "));
    vec![Line::note(text).with_way_out("widen `supported_model_ranges` of the node that shall serve them")]
}

/// What lies between the ranges, below the first and above the last. Both ends of a range belong to it.
fn gaps<'a>(ranges: impl Iterator<Item = &'a ModelRange>) -> Vec<Gap> {
    let mut ranges: Vec<&ModelRange> = ranges.collect();
    sort_by(&mut ranges, |a, b| a.min_params_b.total_cmp(&b.min_params_b));
    let mut gaps = Vec::new();
    let mut covered = 0.0;
    for range in ranges {
        if range.min_params_b > covered {
            gaps.push(Gap { above: covered, below: Some(range.min_params_b) });
        }
        match range.max_params_b {
            Some(max) => covered = max.max(covered),
            None => return gaps,
        }
    }
    gaps.push(Gap { above: covered, below: None });
    gaps
}

fn words(gap: Gap) -> String {
    match (gap.above, gap.below) {
        (above, None) => format!("more than {above}"),
        (above, Some(below)) if above <= 0.0 => format!("less than {below}"),
        (above, Some(below)) => format!("{above} to {below}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::report::Mark;
    use crate::config::{Env, ServeArgs, load};

    /// One node for each list of ranges.
    fn nodes(ranges: &[&[(f64, Option<f64>)]]) -> Vec<NodeConfig> {
        let args = ServeArgs::default().with("ollama-url", "http://192.0.2.1:1");
        let nowhere = std::env::temp_dir().join("ollama-proxy-sizes-has-no-settings");
        let node = load(&args, &Env::new(), &nowhere).unwrap().nodes.remove(0);
        let with =
            |ranges: &&[(f64, Option<f64>)]| NodeConfig { model_ranges: ranges.iter().map(range).collect(), ..node.clone() };
        ranges.iter().map(with).collect()
    }

    fn range((min_params_b, max_params_b): &(f64, Option<f64>)) -> ModelRange {
        ModelRange { min_params_b: *min_params_b, max_params_b: *max_params_b, description: String::new() }
    }

    #[test]
    fn what_follows_from_a_gap_and_the_way_out_are_told() {
        for (fallback, follows) in
            [(Fallback::HaveModel, "a node that has such a model"), (Fallback::Any, "any node"), (Fallback::None, "are refused")]
        {
            let told = lines(&nodes(&[&[(0.0, Some(8.0))], &[(30.0, None)]]), fallback);
            let [line] = &told[..] else { panic!("{told:?}") };
            assert_eq!((line.mark, line.way_out.is_some()), (Mark::Note, true));
            assert!(line.text.contains("models of 8 to 30 billion parameters") && line.text.contains(follows), "{line}");
        }
    }

    #[test]
    fn a_node_without_ranges_takes_every_size_and_a_disabled_one_none() {
        let one = |nodes: &[NodeConfig]| lines(nodes, Fallback::Any).first().map(|line| line.mark);
        let mut all = nodes(&[&[], &[(1.0, None)]]);
        assert_eq!(one(&all), Some(Mark::Ok));
        all[0].enabled = false;
        assert_eq!(one(&all), Some(Mark::Note));
        assert_eq!((one(&nodes(&[&[]])), one(&[])), (None, None), "nobody states sizes");
    }

    fn gaps_of(ranges: &[(f64, Option<f64>)]) -> Vec<(f64, Option<f64>)> {
        let ranges: Vec<ModelRange> = ranges.iter().map(range).collect();
        gaps(ranges.iter()).into_iter().map(|gap| (gap.above, gap.below)).collect()
    }

    #[test]
    fn the_sizes_that_the_four_nodes_of_the_seed_leave_out_are_found() {
        let seed = [(100.0, None), (30.0, Some(70.0)), (1.0, Some(8.0)), (1.0, Some(8.0))];
        assert_eq!(gaps_of(&seed), [(0.0, Some(1.0)), (8.0, Some(30.0)), (70.0, Some(100.0))]);
    }

    #[test]
    fn ranges_that_touch_or_overlap_leave_no_gap() {
        assert_eq!(gaps_of(&[(0.0, Some(8.0)), (8.0, Some(70.0)), (10.0, Some(20.0)), (60.0, None)]), []);
        assert_eq!(gaps_of(&[(0.0, Some(8.0)), (2.0, Some(4.0))]), [(8.0, None)]);
    }

    #[test]
    fn a_gap_is_told_in_words() {
        let words: Vec<String> = [(0.0, Some(1.0)), (8.0, Some(30.5)), (70.0, None)]
            .into_iter()
            .map(|(above, below)| words(Gap { above, below }))
            .collect();
        assert_eq!(words, ["less than 1", "8 to 30.5", "more than 70"]);
    }
}
