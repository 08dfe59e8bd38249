//! Which of the two formats a scraper wants, by its `Accept`.

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, which everybody reads.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// OpenMetrics for those who ask for it at least as much as for plain text; the text format for all others,
    /// browsers and `curl` included.
    pub fn accepted(accept: &str) -> Self {
        let (mut open, mut text) = (0.0_f64, 0.0_f64);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut known) = (1.0, true);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    // 0.0.1 is the same format before it was finished; a version to come may be another one.
                    "version" if kind != "text/plain" => known = matches!(value.trim().trim_matches('"'), "1.0.0" | "0.0.1"),
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" if known => open = open.max(quality),
                "text/plain" => text = text.max(quality),
                _ => {}
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// The content type of a page in this format.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_prometheus_gets_openmetrics() {
        let of_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(Format::accepted(of_2_42), Format::OpenMetrics);
        let of_3 =
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=1.0.0;q=0.3,*/*;q=0.2";
        assert_eq!(Format::accepted(of_3), Format::OpenMetrics);
    }

    #[test]
    fn whoever_does_not_ask_for_openmetrics_gets_the_text_format() {
        for accept in ["", "*/*", "text/plain", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json", ",;=,q="] {
            assert_eq!(Format::accepted(accept), Format::Text, "{accept}");
        }
    }

    #[test]
    fn a_refusal_a_lower_rank_and_an_unknown_version_are_heard() {
        for accept in [
            "application/openmetrics-text;q=0",
            "application/openmetrics-text; q=0.5, text/plain; q=0.9",
            "application/openmetrics-text; version=2.0.0",
        ] {
            assert_eq!(Format::accepted(accept), Format::Text, "{accept}");
        }
        assert_eq!(Format::accepted("Application/OpenMetrics-Text; Version=\"1.0.0\""), Format::OpenMetrics);
    }
}
