//! HumanEval's problems: read from JSON lines, plain or gzipped, and put together with an answer into a program.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

/// The largest file of problems that is read, unpacked: HumanEval's own has 0.2 MiB.
const MOST: u64 = 64 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One problem. `canonical_solution` and further fields of the file are left alone.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    pub task_id: String,
    /// The head of the function to write, with imports, sometimes other functions, and a docstring.
    pub prompt: String,
    /// The function's name.
    pub entry_point: String,
    /// Defines `check(candidate)`, and does not call it.
    pub test: String,
}

/// Reads all problems of a file; its first bytes tell whether it is gzipped, not its name.
pub fn read(path: &Path, limit: Option<usize>) -> anyhow::Result<Vec<Problem>> {
    let shown = path.display();
    let mut file = BufReader::new(File::open(path).with_context(|| format!("{shown} cannot be opened"))?);
    let packed = file.fill_buf().with_context(|| format!("{shown} cannot be read"))?.starts_with(&GZIP);
    let bytes: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut text = String::new();
    bytes.take(MOST + 1).read_to_string(&mut text).with_context(|| format!("{shown} cannot be read"))?;
    anyhow::ensure!(text.len() as u64 <= MOST, "{shown} has more than {} MiB", MOST >> 20);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let problems: Vec<Problem> = lines
        .take(limit.unwrap_or(usize::MAX))
        .map(|(at, line)| serde_json::from_str(line).with_context(|| format!("{shown}, line {}: not a problem", at + 1)))
        .collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!problems.is_empty(), "{shown} has no problems");
    for problem in &problems {
        let name = &problem.entry_point;
        let plain = !name.is_empty() && name.chars().all(|c| c == '_' || c.is_alphanumeric());
        anyhow::ensure!(plain, "{}: the entry point {name:?} is no name of a function", problem.task_id);
    }
    Ok(problems)
}

impl Problem {
    /// The program's part that the model wrote: its first fenced block, or all it said.
    ///
    /// A whole function gets what stands before it in the prompt, since models leave out imports and functions that were given;
    /// a mere body is put behind the prompt.
    pub fn solution(&self, said: &str) -> String {
        let code = fenced(said).unwrap_or(said).trim_end();
        let head = format!("def {}(", self.entry_point);
        if !code.lines().any(|line| line.starts_with(&head)) {
            return format!("{}{code}\n", self.prompt);
        }
        let before = self.prompt.find(&head).and_then(|at| self.prompt.get(..at)).unwrap_or_default();
        format!("{before}{code}\n")
    }

    /// The whole program: it says `proof` once `check` has come back. The end of the process alone proves nothing: a solution
    /// may call `exit`.
    pub fn program(&self, solution: &str, proof: &str) -> String {
        format!("{solution}\n{}\n\ncheck({})\nprint('\\n{proof}')\n", self.test, self.entry_point)
    }
}

/// What stands within the first pair of fences; an answer that was cut off may lack the second.
fn fenced(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("```")?;
    let (_, code) = rest.split_once('\n')?;
    Some(code.split("```").next().unwrap_or(code))
}
