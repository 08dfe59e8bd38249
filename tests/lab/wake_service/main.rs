//! A wake service for the network laboratory, written after WolGoWeb's documented API: `GET /wol?mac=…[&ip=…&port=…]`, always
//! status 200 with `{"error":n,"message":"…"}`, and with a KEY of six or more characters `time` and `token` = md5(KEY + mac + time).
//! It really sends the magic packet, once per call.
//!
//! Usage: `lab_wake_service PORT KEY CLOCK_SECONDS FAIL`. An empty KEY switches authority off; the clock runs CLOCK_SECONDS
//! ahead (negative: behind) in the checks and in the Date header; FAIL is an `error` to answer in any case, 0 for none.
//! A line on standard input is answered with a JSON list of all calls so far. It ends when standard input closes.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// What it was told to be, and what it has seen.
struct Service {
    key: String,
    clock: i64,
    fail: i64,
    calls: Mutex<Vec<serde_json::Value>>,
    last_times: Mutex<HashMap<String, i64>>,
}

impl Service {
    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or_default() + self.clock
    }

    /// The answer's `error` and `message`.
    fn answer(&self, query: &HashMap<String, String>) -> (i64, &'static str) {
        let text = |name: &str| query.get(name).map_or("", String::as_str);
        let mac = text("mac");
        let Some(bytes) = mac_bytes(mac) else { return (100, "mac is not a hardware address") };
        if self.key.len() >= 6 {
            if let Err(refusal) = self.authority(mac, text("time"), text("token")) {
                return refusal;
            }
        }
        if self.fail != 0 {
            return (self.fail, "told to fail");
        }
        let ip = if text("ip").is_empty() { "255.255.255.255" } else { text("ip") };
        let port = text("port").parse().unwrap_or(9);
        match send(bytes, ip, port) {
            Ok(()) => (0, "Wake Success"),
            Err(_) => (100, "could not send"),
        }
    }

    fn authority(&self, mac: &str, time: &str, token: &str) -> Result<(), (i64, &'static str)> {
        let time_number: i64 = time.parse().unwrap_or(0);
        let behind = self.now() - time_number;
        let mut last = self.last_times.lock().unwrap_or_else(PoisonError::into_inner);
        if token.len() != 32 {
            Err((101, "No authority."))
        } else if !(-1..=30).contains(&behind) {
            Err((102, "time out of range"))
        } else if last.get(mac) == Some(&time_number) {
            Err((103, "Time value repetition."))
        } else if format!("{:x}", md5::compute(format!("{}{mac}{time}", self.key))) != token {
            Err((104, "No authority token."))
        } else {
            last.insert(mac.to_owned(), time_number);
            Ok(())
        }
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut line = String::new();
        BufReader::new(stream.try_clone()?).read_line(&mut line)?;
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query: HashMap<String, String> = query.split('&').filter_map(pair).collect();
        let (status, body) = if line.starts_with("GET ") && path == "/wol" {
            let (error, message) = self.answer(&query);
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(json!({ "target": target, "error": error }));
            ("200 OK", json!({ "error": error, "message": message }).to_string())
        } else {
            ("404 Not Found", "404 page not found".to_owned())
        };
        let date = http_date(self.now());
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nDate: {date}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    Some((name.to_owned(), value.replace("%3A", ":").replace("%3a", ":")))
}

/// Exactly six pairs with `:` or `-`, as the real service wants them.
fn mac_bytes(text: &str) -> Option<[u8; 6]> {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|pair| if pair.len() == 2 { u8::from_str_radix(pair, 16).ok() } else { None }).collect();
    bytes?.try_into().ok()
}

fn send(mac: [u8; 6], ip: &str, port: u16) -> io::Result<()> {
    let mut packet = vec![0xff; 6];
    for _ in 0..16 {
        packet.extend(mac);
    }
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_broadcast(true)?;
    socket.send_to(&packet, (ip, port)).map(|_| ())
}

/// Seconds since the epoch as HTTP writes a date.
fn http_date(seconds: i64) -> String {
    chrono::DateTime::from_timestamp(seconds, 0)
        .map(|time| time.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        .unwrap_or_default()
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, key, clock, fail] = &arguments[..] else {
        eprintln!("usage: lab_wake_service PORT KEY CLOCK_SECONDS FAIL");
        std::process::exit(2);
    };
    let service = Arc::new(Service {
        key: key.clone(),
        clock: clock.parse().map_err(io::Error::other)?,
        fail: fail.parse().map_err(io::Error::other)?,
        calls: Mutex::default(),
        last_times: Mutex::default(),
    });
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("ready");
    let at_work = Arc::clone(&service);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let service = Arc::clone(&at_work);
            std::thread::spawn(move || service.serve(stream));
        }
    });
    for _ in io::stdin().lock().lines().map_while(Result::ok) {
        let calls = service.calls.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", serde_json::Value::from(calls.clone()));
    }
    Ok(())
}
