//! What the tests read out of the READMEs and their further pages: fenced blocks, the table of settings, headings and links.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The page itself.
pub const ENGLISH: Page = Page { text: include_str!("../../README.md"), folder: "" };

/// What the README leaves to pages of their own, with the README itself: each in English and in Chinese.
pub const TWINS: [(Page, Page); 3] = [
    (ENGLISH, Page { text: include_str!("../../README.zh-CN.md"), folder: "" }),
    (
        Page { text: include_str!("../../docs/many-machines.md"), folder: "docs" },
        Page { text: include_str!("../../docs/many-machines.zh-CN.md"), folder: "docs" },
    ),
    (
        Page { text: include_str!("../../docs/behind-another-server.md"), folder: "docs" },
        Page { text: include_str!("../../docs/behind-another-server.zh-CN.md"), folder: "docs" },
    ),
];

/// A page in Markdown.
#[derive(Clone, Copy)]
pub struct Page {
    pub text: &'static str,
    folder: &'static str,
}

/// The command lines of all English pages.
pub fn commands() -> Vec<&'static str> {
    TWINS.iter().flat_map(|(english, _)| english.commands()).collect()
}

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
        for line in self.text.lines() {
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
        for line in self.text.lines().filter(|line| line.starts_with("| `--")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [flag, env, default, text] = cells[..] else { panic!("not four cells: {line}") };
            assert!(!text.is_empty(), "nothing is said about {flag}");
            let said = Said { env: env.split(", ").map(bare).collect(), default: bare(default) };
            assert!(settings.insert(bare(flag), said).is_none(), "{flag} stands there twice");
        }
        settings
    }

    /// What links lead to: a file or folder, none for the page itself, and the heading there that is named.
    pub fn links(self) -> Vec<(Option<PathBuf>, Option<&'static str>)> {
        let links = self.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let within = links.filter(|link| !link.contains("://"));
        let parted = within.map(|link| link.split_once('#').map_or((link, None), |(file, at)| (file, Some(at))));
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder);
        parted.map(|(file, at)| ((!file.is_empty()).then(|| here.join(file)), at)).collect()
    }
}

/// The names under which links find the headings of a page.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(|heading| heading.to_lowercase().replace(' ', "-").replace(['`', ',', '，', '、', '（', '）'], "")).collect()
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
