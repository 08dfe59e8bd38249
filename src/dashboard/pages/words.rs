//! The words of the pages in three languages, chosen by what the browser prefers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Name of a text, and the text in each language. What the proxy says in English is its own name behind `said`.
static TEXTS: LazyLock<BTreeMap<&str, [&str; 3]>> = LazyLock::new(|| {
    // A file that is damaged has no words; a test reads it.
    serde_json::from_str(include_str!("../ui/words.json")).unwrap_or_default()
});

/// The words of one language.
pub(super) struct Words {
    /// As `lang` and `Content-Language` name it.
    pub(super) language: &'static str,
    column: usize,
}

/// Every language; the first is taken when none is wished for.
pub(super) static ALL: [Words; 3] =
    [Words { language: "en", column: 0 }, Words { language: "zh-Hans", column: 1 }, Words { language: "zh-Hant", column: 2 }];

impl Words {
    /// The text of that name.
    pub(super) fn find(&self, name: &str) -> Option<&'static str> {
        TEXTS.get(name).map(|texts| texts[self.column])
    }

    /// What the proxy says, in this language where that is known; else as it was said.
    pub(super) fn said<'a>(&self, text: &'a str) -> &'a str {
        self.find(&format!("said {text}")).filter(|known| !known.is_empty()).unwrap_or(text)
    }

    /// The text of that name with its places filled in; the name itself when there is no such text.
    pub(super) fn say(&self, name: &str, places: &[(&str, &str)]) -> String {
        let text = self.find(name).unwrap_or(name);
        places.iter().fold(text.to_owned(), |text, (place, value)| text.replace(&format!("{{{place}}}"), value))
    }

    /// All of them as JSON that may stand in a script element: no tag can begin or end in it.
    pub(super) fn for_scripts(&self) -> String {
        let texts: BTreeMap<&str, &str> = TEXTS.iter().map(|(name, texts)| (*name, texts[self.column])).collect();
        serde_json::to_string(&texts).unwrap_or_default().replace('<', "\\u003c")
    }

    /// A span of time in its two largest units.
    pub(super) fn span(&self, seconds: u64) -> String {
        let unit = |name: &str, n: u64| self.say(name, &[("n", &n.to_string())]);
        let (first, second) = match seconds {
            0..60 => return unit("unit_s", seconds),
            60..3600 => return unit("unit_min", seconds / 60),
            3600..86_400 => (unit("unit_h", seconds / 3600), (seconds % 3600 / 60, "unit_min")),
            _ => (unit("unit_d", seconds / 86_400), (seconds % 86_400 / 3600, "unit_h")),
        };
        if second.0 == 0 { first } else { format!("{first} {}", unit(second.1, second.0)) }
    }
}

/// The words for an `Accept-Language`.
pub(super) fn preferred(accept: &str) -> &'static Words {
    let mut best: Option<(f32, usize)> = None;
    for range in accept.split(',').take(32) {
        let (tag, quality) = range.split_once(';').unwrap_or((range, "q=1"));
        let quality = quality.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(0.0);
        if let Some(index) = language_of(tag.trim()) {
            if quality > 0.0 && best.is_none_or(|(least, _)| quality > least) {
                best = Some((quality, index));
            }
        }
    }
    &ALL[best.map_or(0, |(_, index)| index)]
}

/// Which of `ALL` a tag means. Chinese without a script is told by its region.
fn language_of(tag: &str) -> Option<usize> {
    let tag = tag.to_ascii_lowercase();
    let mut parts = tag.split(['-', '_']);
    match parts.next()? {
        "en" | "*" => Some(0),
        "zh" => {
            let parts: Vec<&str> = parts.collect();
            let traditional = |part: &&str| matches!(*part, "hant" | "tw" | "hk" | "mo");
            Some(if parts.contains(&"hans") || !parts.iter().any(traditional) { 1 } else { 2 })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_the_one_the_browser_likes_best() {
        for (accept, language) in [
            ("", "en"),
            ("de-DE,de;q=0.9", "en"),
            ("de,zh-CN;q=0.8,en;q=0.5", "zh-Hans"),
            ("zh-TW", "zh-Hant"),
            ("zh_HK;q=0.9, en;q=0.2", "zh-Hant"),
            ("zh-Hans-HK", "zh-Hans"),
            ("zh", "zh-Hans"),
            ("zh-CN;q=0, en", "en"),
            ("zh;q=oh,;;,=", "en"),
        ] {
            assert_eq!(preferred(accept).language, language, "{accept:?}");
        }
    }

    #[test]
    fn every_language_has_every_word_with_the_same_places() {
        let places = |text: &str| {
            let mut found: Vec<String> =
                text.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default().to_owned()).collect();
            found.sort();
            found
        };
        assert!(TEXTS.len() > 100, "{}", TEXTS.len());
        for (name, texts) in TEXTS.iter() {
            for text in texts {
                // What the proxy says may show a place to fill in.
                let said = name.starts_with("said ");
                assert!(!text.is_empty() || (said && *text == texts[0]), "{name}");
                assert!(said || !text.contains(['<', '>']), "{name}");
                assert_eq!(places(text), places(texts[0]), "{name}");
            }
        }
    }

    #[test]
    fn what_the_proxy_says_is_found_by_its_own_words() {
        use crate::upstream::Trouble;
        let troubles =
            [Trouble::Refused(std::time::Duration::ZERO), Trouble::NoAnswer, Trouble::Silent].map(|one| one.to_string());
        let known: Vec<&str> = TEXTS.keys().filter_map(|name| name.strip_prefix("said ")).collect();
        for said in troubles.iter().map(String::as_str).chain(known) {
            assert_eq!(ALL[0].said(said), said);
            assert!(ALL[1..].iter().all(|words| words.said(said) != said), "{said}");
        }
        assert_eq!(ALL[1].said("something else"), "something else");
    }

    #[test]
    fn spans_are_said_in_their_two_largest_units() {
        let spans = [59, 60, 3600, 3660, 90_000, 172_800].map(|seconds| ALL[0].span(seconds));
        assert_eq!(spans, ["59 s", "1 min", "1 h", "1 h 1 min", "1 d 1 h", "2 d"]);
    }
}
