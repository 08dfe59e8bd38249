//! Literal pages: what is printed is a contract with scrapers.

use super::*;

fn printed(registry: &Registry, format: Format) -> String {
    let mut page = Page::new(format);
    registry.print(&mut page);
    page.finish()
}

#[test]
fn a_counter_is_named_with_total_in_the_text_format() {
    let registry = Registry::default();
    let wakes = registry.counters("wakes_total", "Wakes so far", ["node"]);
    wakes.with(["pc"]).add(3);
    let text = "# HELP wakes_total Wakes so far\n# TYPE wakes_total counter\nwakes_total{node=\"pc\"} 3\n";
    assert_eq!(printed(&registry, Format::Text), text);
}

#[test]
fn openmetrics_names_the_family_of_a_counter_without_total_and_ends_with_eof() {
    let registry = Registry::default();
    registry.counters("wakes_total", "Wakes so far", ["node"]).with(["pc"]).one();
    let text = "# HELP wakes Wakes so far\n# TYPE wakes counter\nwakes_total{node=\"pc\"} 1\n# EOF\n";
    assert_eq!(printed(&registry, Format::OpenMetrics), text);
}

#[test]
fn only_the_name_of_a_counter_loses_its_total() {
    let registry = Registry::default();
    registry.gauges("seats_total", "Seats", []).with([]).set(2.5);
    assert!(printed(&registry, Format::OpenMetrics).contains("# TYPE seats_total gauge\nseats_total 2.5\n"));
}

#[test]
fn buckets_are_cumulative_and_the_last_equals_the_count() {
    let registry = Registry::default();
    let times = registry.histograms("took_seconds", "Time taken", ["route"], &[0.5, 1.0, 10.0]).with(["/a"]);
    for time in [0.25, 0.5, 0.75, 5.0, 99.5] {
        times.observe(time);
    }
    let text = "# HELP took_seconds Time taken\n# TYPE took_seconds histogram\n\
                took_seconds_bucket{route=\"/a\",le=\"0.5\"} 2\n\
                took_seconds_bucket{route=\"/a\",le=\"1.0\"} 3\n\
                took_seconds_bucket{route=\"/a\",le=\"10.0\"} 4\n\
                took_seconds_bucket{route=\"/a\",le=\"+Inf\"} 5\n\
                took_seconds_sum{route=\"/a\"} 106\n\
                took_seconds_count{route=\"/a\"} 5\n";
    assert_eq!(printed(&registry, Format::Text), text);
    assert!(printed(&registry, Format::OpenMetrics).starts_with(text));
}

#[test]
fn what_is_no_number_does_not_poison_a_sum() {
    let times = Histogram::make(&[1.0]);
    times.observe(f64::NAN);
    times.observe(f64::INFINITY);
    times.observe(0.5);
    let mut page = Page::new(Format::Text);
    times.print(&[], &mut page.family("t", "T", Kind::Histogram));
    assert!(page.finish().contains("t_sum 0.5\nt_count 1\n"));
}

#[test]
fn values_of_labels_are_escaped_and_help_texts_only_where_the_format_wants_it() {
    let registry = Registry::default();
    registry.gauges("g", "a \\ and \"b\"\nand c", ["node"]).with(["x\"y\\z\n"]).set(1.0);
    let text = printed(&registry, Format::Text);
    assert!(text.contains("# HELP g a \\\\ and \"b\"\\nand c\n"), "{text}");
    assert!(text.contains("g{node=\"x\\\"y\\\\z\\n\"} 1\n"), "{text}");
    let open = printed(&registry, Format::OpenMetrics);
    assert!(open.contains("# HELP g a \\\\ and \\\"b\\\"\\nand c\n"), "{open}");
}

#[test]
fn families_come_in_the_order_of_their_names_and_series_in_that_of_their_values() {
    let registry = Registry::default();
    let second = registry.gauges("b", "B", ["node"]);
    second.with(["two"]).set(2.0);
    second.with(["one"]).set(1.0);
    registry.gauges("a", "A", []).with([]).set(0.0);
    let lines = printed(&registry, Format::Text);
    let lines: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["a 0", "b{node=\"one\"} 1", "b{node=\"two\"} 2"]);
}

#[test]
fn handles_of_the_same_values_count_into_one_series() {
    let registry = Registry::default();
    let family = registry.counters("c_total", "C", ["node"]);
    family.with(["pc"]).one();
    family.clone().with(["pc"]).one();
    assert_eq!(family.with(["pc"]).get(), 2);
}

#[test]
#[should_panic(expected = "registered twice")]
fn a_name_is_registered_once() {
    let registry = Registry::default();
    registry.gauges("g", "G", []);
    registry.gauges("g", "G", ["node"]);
}

#[test]
fn special_numbers_are_written_as_scrapers_read_them() {
    let registry = Registry::default();
    let family = registry.gauges("g", "G", ["of"]);
    family.with(["a"]).set(f64::INFINITY);
    family.with(["b"]).set(f64::NEG_INFINITY);
    family.with(["c"]).set(f64::NAN);
    let text = printed(&registry, Format::Text);
    assert!(text.ends_with("g{of=\"a\"} +Inf\ng{of=\"b\"} -Inf\ng{of=\"c\"} NaN\n"), "{text}");
}

#[test]
fn the_series_of_a_forgotten_value_are_gone_and_its_handles_count_for_nobody() {
    let registry = Registry::default();
    let wakes = registry.counters("wakes_total", "Wakes so far", ["kind", "node"]);
    let others = registry.gauges("pc", "A family without that label", ["kind"]);
    others.with(["pc"]).set(1.0);
    let (old, other) = (wakes.with(["url", "pc"]), wakes.with(["pc", "nas"]));
    old.one();
    registry.forget("node", "pc");
    old.one();
    other.one();
    let page = printed(&registry, Format::Text);
    assert!(page.contains("wakes_total{kind=\"pc\",node=\"nas\"} 1\n") && page.contains("pc{kind=\"pc\"} 1\n"), "{page}");
    assert!(!page.contains("node=\"pc\""), "{page}");
    wakes.with(["url", "pc"]).one();
    assert!(printed(&registry, Format::Text).contains("wakes_total{kind=\"url\",node=\"pc\"} 1\n"));
}
