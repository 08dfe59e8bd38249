//! Which program asks, told from its `User-Agent` in a word of a fixed list: records and labels stay bounded, and nothing
//! that a client made up is kept.

/// Parts of a `User-Agent` in lower case with the family they betray; the first that fits counts, so programs stand before
/// the libraries they are made with, and libraries before the browsers that everybody claims to be.
const FAMILIES: [(&str, &str); 30] = [
    ("open-webui", "open-webui"),
    ("openwebui", "open-webui"),
    ("open webui", "open-webui"),
    ("homeassistant", "home-assistant"),
    ("home-assistant", "home-assistant"),
    ("home assistant", "home-assistant"),
    ("uptime-kuma", "uptime-kuma"),
    ("prometheus", "prometheus"),
    ("gethomepage", "homepage"),
    ("continue", "continue"),
    ("cline", "cline"),
    ("codex", "codex"),
    ("claude-cli", "claude-code"),
    ("claude-code", "claude-code"),
    ("copilot", "copilot"),
    ("ollama-python", "ollama-python"),
    ("ollama-js", "ollama-js"),
    ("ollama/", "ollama-cli"),
    ("openai/python", "openai-python"),
    ("asyncopenai/python", "openai-python"),
    ("openai/js", "openai-js"),
    ("anthropic/", "anthropic-sdk"),
    ("curl/", "curl"),
    ("wget/", "wget"),
    ("langchain", "langchain"),
    ("python", "python"),
    ("node", "node"),
    ("undici", "node"),
    ("go-http-client", "go"),
    ("mozilla/", "browser"),
];

/// A longer one says nothing more.
const READ: usize = 256;

/// For each letter the families whose part begins with it, one bit each.
const BEGINNING: [u32; 26] = {
    let (mut letters, mut at) = ([0; 26], 0);
    while at < FAMILIES.len() {
        letters[(FAMILIES[at].0.as_bytes()[0] - b'a') as usize] |= 1 << at;
        at += 1;
    }
    letters
};

/// The family of a `User-Agent`; `unknown` without one, `other` for one that is not listed.
pub fn agent_family(user_agent: &str) -> &'static str {
    if user_agent.trim().is_empty() {
        return "unknown";
    }
    let text = user_agent.as_bytes();
    // One pass over the text: at most places no part begins.
    let begins = |at: usize| {
        let mut families = *BEGINNING.get(usize::from(text[at].to_ascii_lowercase().wrapping_sub(b'a')))?;
        while families != 0 {
            let family = families.trailing_zeros() as usize;
            let part = FAMILIES[family].0.as_bytes();
            if text[at..].get(..part.len()).is_some_and(|text| text.eq_ignore_ascii_case(part)) {
                return Some(family);
            }
            families &= families - 1;
        }
        None
    };
    let found = (0..text.len().min(READ)).filter_map(begins).min();
    found.map_or("other", |at| FAMILIES[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_the_libraries_they_are_made_with() {
        for (agent, family) in [
            ("ollama/0.12.6 (amd64 linux) Go/go1.24", "ollama-cli"),
            ("ollama-python/0.6.1 (x86_64 linux) Python/v3.12", "ollama-python"),
            ("HomeAssistant/2026.1 aiohttp/3.12 Python/3.13", "home-assistant"),
            ("Open WebUI (https://github.com/open-webui/open-webui) Python", "open-webui"),
            ("OpenAI/Python 2.8.1", "openai-python"),
            ("AsyncOpenAI/Python 2.8.1", "openai-python"),
            ("Anthropic/JS 0.71.0", "anthropic-sdk"),
            ("curl/8.5.0", "curl"),
            ("Python/3.11 aiohttp/3.9.5", "python"),
            ("python-requests/2.32", "python"),
            ("node", "node"),
            ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "browser"),
            ("", "unknown"),
            ("  ", "unknown"),
            ("tell nobody this secret", "other"),
        ] {
            assert_eq!(agent_family(agent), family, "{agent}");
        }
    }

    #[test]
    fn what_a_client_makes_up_is_never_kept() {
        let long = format!("{}curl/8", "x".repeat(100_000));
        assert_eq!(agent_family(&long), "other");
        assert_eq!(agent_family("Ünïcödé\u{1f600} curl/1"), "curl");
    }
}
