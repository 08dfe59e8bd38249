//! The Ollama of the laboratory's host: the simulator program, which can be stopped, continued, killed and asked.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The running simulator, if any, and how to start it.
pub struct Ollama {
    command: Vec<String>,
    running: Option<(Child, BufReader<ChildStdout>)>,
}

impl Ollama {
    /// Not started yet.
    pub fn new(command: Vec<String>) -> Self {
        Self { command, running: None }
    }

    /// Starts it and waits until it listens. Does nothing when it runs already.
    ///
    /// # Errors
    /// When the program cannot be started or ends at once.
    pub fn start(&mut self) -> io::Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let (program, arguments) = self.command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                return Err(io::Error::other("the simulated Ollama ended before it listened"));
            }
        }
        self.running = Some((child, output));
        Ok(())
    }

    /// Ends the process without ceremony. Does nothing when it does not run.
    pub fn kill(&mut self) {
        if let Some((mut child, _)) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops or continues the process as suspend and resume do.
    ///
    /// # Errors
    /// When the signal could not be sent.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let Some((child, _)) = &self.running else { return Ok(()) };
        let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", child.id())]).status()?;
        if done.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name} failed"))) }
    }

    /// The body of the simulator's answer on its loopback, which no rule of the card touches. The answer must be JSON.
    ///
    /// # Errors
    /// When it does not run or does not answer within 5 s.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<String> {
        if self.running.is_none() {
            return Err(io::Error::other("Ollama does not run"));
        }
        let mut stream = TcpStream::connect(("127.0.0.1", 11434))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Ok(body.trim().replace(['\r', '\n'], " "))
    }
}

/// The bytes of a body in chunks.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let (Ok(size @ 1..), true) = (usize::from_str_radix(size, 16), rest.is_ascii()) else { break };
        let (chunk, rest) = rest.split_at(size.min(rest.len()));
        whole.push_str(chunk);
        body = rest.trim_start_matches("\r\n");
    }
    whole
}

impl Drop for Ollama {
    fn drop(&mut self) {
        self.kill();
    }
}
