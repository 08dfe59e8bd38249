//! What the tests read out of the READMEs: fenced blocks, the table of settings, headings and links.

use std::collections::BTreeMap;

/// The page itself.
pub const ENGLISH: Page = Page(include_str!("../../README.md"));

/// The same in Chinese.
pub const CHINESE: Page = Page(include_str!("../../README.zh-CN.md"));

/// A page in Markdown.
#[derive(Clone, Copy)]
pub struct Page(pub &'static str);

/// The languages of blocks whose lines are commands.
const SHELLS: [&str; 5] = ["sh", "shell", "bash", "console", "powershell"];

/// One fenced block.
pub struct Block {
    pub language: String,
    pub lines: Vec<&'static str>,
}

impl Page {
    /// All fenced blocks in their order.
    pub fn blocks(self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for line in self.0.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(language), None) => open = Some(Block { language: language.to_owned(), lines: Vec::new() }),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.lines.push(line),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "a block is not closed");
        blocks
    }

    /// The command lines of all shell blocks.
    pub fn commands(self) -> Vec<&'static str> {
        let shells = self.blocks().into_iter().filter(|block| SHELLS.contains(&block.language.as_str()));
        shells.flat_map(|block| block.lines).filter(|line| !line.trim().is_empty()).collect()
    }

    /// The text of the first block of a language that holds `part`.
    pub fn block(self, language: &str, part: &str) -> String {
        let found = self.blocks().into_iter().map(|block| (block.language, block.lines.join("\n")));
        let (_, text) = found
            .into_iter()
            .find(|(other, text)| other == language && text.contains(part))
            .unwrap_or_else(|| panic!("no {language} block with {part:?}"));
        text
    }

    /// The table of settings, by flag.
    pub fn settings(self) -> BTreeMap<String, Said> {
        let mut settings = BTreeMap::new();
        for line in self.0.lines().filter(|line| line.starts_with("| `--")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [flag, env, default, text] = cells[..] else { panic!("not four cells: {line}") };
            assert!(!text.is_empty(), "nothing is said about {flag}");
            let said = Said { env: env.split(", ").map(bare).collect(), default: bare(default) };
            assert!(settings.insert(bare(flag), said).is_none(), "{flag} stands there twice");
        }
        settings
    }

    /// The places that links within the page name, and those that there are.
    pub fn anchors(self) -> (Vec<String>, Vec<String>) {
        let named = self.0.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect();
        let headings = self.0.lines().filter_map(|line| line.strip_prefix("## "));
        let there = headings
            .map(|heading| heading.to_lowercase().replace(' ', "-").replace(['`', ',', '，', '、', '（', '）'], ""))
            .collect();
        (named, there)
    }

    /// The files that the page links to or shows.
    pub fn files(self) -> Vec<String> {
        let links = self.0.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.filter(|link| !link.contains("://") && !link.starts_with('#')).map(str::to_owned).collect()
    }
}

/// What is said about one flag: its environment names, and its default (empty: none).
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub env: Vec<String>,
    pub default: String,
}

/// The same out of the text of `--help`.
pub fn settings_of_help(help: &str) -> BTreeMap<String, Said> {
    let mut settings = BTreeMap::new();
    let mut flag = None;
    for line in help.lines() {
        let text = line.trim();
        if text.starts_with("--") {
            flag = text.split([' ', '[', '=']).next().map(str::to_owned);
        } else if let Some(names) = between(text, "[env: ") {
            let env = names.split(" or ").map(str::to_owned).collect();
            let default = between(text, "[default: ").unwrap_or_default().to_owned();
            settings.insert(flag.take().unwrap_or_else(|| panic!("no flag before {text}")), Said { env, default });
        }
    }
    settings
}

fn between<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark)?.1.split(']').next()
}

fn bare(cell: &str) -> String {
    cell.trim_matches('`').to_owned()
}
