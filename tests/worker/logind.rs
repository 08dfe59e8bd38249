//! A stand-in for logind on a D-Bus of its own, to which the system's real `systemd-inhibit` and `busctl` talk. It does what
//! logind does with inhibitors: it hands out a descriptor, and the lock lives until the last copy of that is closed.

use std::io::{IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::house::LOOKS;
use crate::rig::{PATIENCE, Scratch, pause};

/// One inhibitor: what, who, why, mode, and our end of its descriptor.
struct Inhibitor([String; 4], UnixStream);

impl Inhibitor {
    fn lives(&self) -> bool {
        let mut end = &self.1;
        !matches!(end.read(&mut [0; 1]), Ok(0))
    }
}

#[derive(Default)]
struct State {
    inhibitors: Vec<Inhibitor>,
    taken: usize,
    /// Microseconds since 1970, when the last person left; `None`: one is there.
    idle_since: Option<u64>,
    /// Inhibitors of others, for the list.
    others: Vec<[String; 4]>,
}

/// The bus with the stand-in on it; both end when it is dropped.
pub struct Logind {
    bus: Child,
    address: String,
    state: Arc<Mutex<State>>,
}

impl Logind {
    /// `None`: this machine has not the programs.
    pub fn start(scratch: &Scratch) -> Option<Self> {
        if ["dbus-daemon", "systemd-inhibit", "busctl"]
            .iter()
            .any(|program| Command::new(program).arg("--version").output().is_err())
        {
            // Past the test harness, which shows what failed tests print only.
            let _ = writeln!(std::io::stderr(), "SKIPPED: dbus-daemon, systemd-inhibit and busctl are needed");
            return None;
        }
        // Short: the kernel takes no longer path for a socket.
        let socket = std::env::temp_dir().join(format!("bus-{}-{}", std::process::id(), scratch.path().file_name()?.to_str()?));
        let config = scratch.join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><policy context=\"default\"><allow send_destination=\"*\" \
             eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.args([&format!("--config-file={config}"), "--nofork", "--nopidfile"]).stdin(Stdio::null()).stderr(Stdio::null());
        let bus = command.spawn().unwrap();
        let mut connected = None;
        for _ in 0..PATIENCE.as_millis() / 20 {
            connected = UnixStream::connect(&socket).ok();
            if connected.is_some() {
                break;
            }
            pause();
        }
        let mut stream = connected.expect("the bus does not listen");
        let state = Arc::new(Mutex::new(State { idle_since: Some(1), ..State::default() }));
        sign_on(&mut stream);
        let served = state.clone();
        std::thread::spawn(move || serve(stream, &served));
        Some(Self { bus, address: format!("unix:path={}", socket.display()), state })
    }

    /// The environment in which this is the system's bus.
    pub fn environment(&self) -> (&'static str, &str) {
        ("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
    }

    /// What, who, why and mode of the inhibitors that live now.
    pub fn held(&self) -> Vec<[String; 4]> {
        let mut state = self.state.lock().unwrap();
        state.inhibitors.retain(Inhibitor::lives);
        state.inhibitors.iter().map(|inhibitor| inhibitor.0.clone()).collect()
    }

    /// How many were ever taken.
    pub fn taken(&self) -> usize {
        self.state.lock().unwrap().taken
    }

    /// Waits until so many inhibitors live.
    pub fn until_held(&self, count: usize) {
        for _ in 0..LOOKS {
            if self.held().len() == count {
                return;
            }
            pause();
        }
        panic!("{:?} are held and not {count}", self.held());
    }

    /// Somebody else takes an inhibitor.
    pub fn inhibit(&self, what: &str, who: &str, mode: &str) {
        self.state.lock().unwrap().others.push([what, who, "its own reason", mode].map(str::to_owned));
    }

    /// Somebody sits down at the machine.
    pub fn somebody_comes(&self) {
        self.state.lock().unwrap().idle_since = None;
    }
}

impl Drop for Logind {
    fn drop(&mut self) {
        drop(self.bus.kill());
        drop(self.bus.wait());
        drop(std::fs::remove_file(self.address.trim_start_matches("unix:path=")));
    }
}

/// As every program does that offers something: authenticate, greet, take the name.
fn sign_on(stream: &mut UnixStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let uid = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap();
    // Digits in hexadecimal are a 3 and themselves.
    let hex: String = uid.to_string().chars().flat_map(|digit| ['3', digit]).collect();
    stream.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes()).unwrap();
    assert!(line(stream).starts_with("OK"));
    stream.write_all(b"NEGOTIATE_UNIX_FD\r\n").unwrap();
    assert!(line(stream).starts_with("AGREE"));
    stream.write_all(b"BEGIN\r\n").unwrap();
    let bus = "org.freedesktop.DBus";
    let call = |member: &str, serial: u32, signature: &str, body: &[u8]| {
        let fields = [(1, "o", "/org/freedesktop/DBus"), (2, "s", bus), (3, "s", member), (6, "s", bus)];
        message(1, serial, &fields, None, signature, 0, body)
    };
    stream.write_all(&call("Hello", 1, "", &[])).unwrap();
    let mut body = Vec::new();
    put_text(&mut body, "org.freedesktop.login1");
    put_u32(&mut body, 4);
    stream.write_all(&call("RequestName", 2, "su", &body)).unwrap();
    stream.set_read_timeout(None).unwrap();
}

fn line(stream: &mut UnixStream) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with("\r\n") {
        stream.read_exact(&mut byte).unwrap();
        text.push(char::from(byte[0]));
    }
    text
}

/// Answers until the bus is gone.
fn serve(mut stream: UnixStream, state: &Mutex<State>) {
    let mut serial = 10;
    while let Some(call) = Call::read(&mut stream) {
        if call.kind != 1 {
            continue;
        }
        serial += 1;
        let (signature, body, lock) = answer(&call, &mut state.lock().unwrap());
        let fields = [(6, "s", call.sender.as_str())];
        let reply = message(2, serial, &fields, Some(call.serial), signature, u32::from(lock.is_some()), &body);
        let fds: Vec<_> = lock.iter().map(AsFd::as_fd).collect();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        }
        if sendmsg(&stream, &[IoSlice::new(&reply)], &mut ancillary, SendFlags::empty()).is_err() {
            return;
        }
    }
}

/// Signature and body of the answer, and the descriptor that goes with it.
fn answer(call: &Call, state: &mut State) -> (&'static str, Vec<u8>, Option<UnixStream>) {
    let mut body = Vec::new();
    let texts = call.texts();
    match (call.member.as_str(), texts.as_slice()) {
        ("Inhibit", [what, who, why, mode]) => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            state.inhibitors.push(Inhibitor([what, who, why, mode].map(Clone::clone), ours));
            state.taken += 1;
            put_u32(&mut body, 0);
            ("h", body, Some(theirs))
        }
        ("ListInhibitors", _) => {
            state.inhibitors.retain(Inhibitor::lives);
            let all = state.inhibitors.iter().map(|inhibitor| &inhibitor.0).chain(&state.others);
            let mut list = Vec::new();
            for inhibitor in all {
                align(&mut list, 8);
                for text in inhibitor {
                    put_text(&mut list, text);
                }
                put_u32(&mut list, 0);
                put_u32(&mut list, 1);
            }
            put_u32(&mut body, u32::try_from(list.len()).unwrap());
            align(&mut body, 8);
            body.extend(list);
            ("a(ssssuu)", body, None)
        }
        ("Get", [_, property]) if property == "IdleHint" => {
            body.extend([1, b'b', 0]);
            put_u32(&mut body, u32::from(state.idle_since.is_some()));
            ("v", body, None)
        }
        ("Get", _) => {
            body.extend([1, b't', 0]);
            align(&mut body, 8);
            body.extend(state.idle_since.unwrap_or(1).to_le_bytes());
            ("v", body, None)
        }
        _ => ("", body, None),
    }
}

/// A message as it came.
struct Call {
    kind: u8,
    serial: u32,
    member: String,
    sender: String,
    body: Vec<u8>,
}

impl Call {
    fn read(stream: &mut UnixStream) -> Option<Self> {
        let mut start = [0; 16];
        stream.read_exact(&mut start).ok()?;
        let number = |at: usize| u32::from_le_bytes(start[at..at + 4].try_into().unwrap());
        let (body, fields) = (number(4) as usize, number(12) as usize);
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        stream.read_exact(&mut rest).ok()?;
        let mut call = Self { kind: start[1], serial: number(8), member: String::new(), sender: String::new(), body: Vec::new() };
        let mut at = 0;
        while at < fields {
            at = at.next_multiple_of(8);
            let (code, of) = (rest[at], rest[at + 2]);
            at += 4;
            match of {
                b's' | b'o' => {
                    let text = text_at(&rest, &mut at);
                    match code {
                        3 => call.member = text,
                        7 => call.sender = text,
                        _ => {}
                    }
                }
                b'g' => at += usize::from(rest[at]) + 2,
                _ => at += 4,
            }
        }
        call.body = rest.split_off(fields.next_multiple_of(8));
        Some(call)
    }

    /// A body that is texts and nothing else.
    fn texts(&self) -> Vec<String> {
        let (mut texts, mut at) = (Vec::new(), 0);
        while at < self.body.len() {
            texts.push(text_at(&self.body, &mut at));
        }
        texts
    }
}

fn text_at(bytes: &[u8], at: &mut usize) -> String {
    *at = at.next_multiple_of(4);
    let length = u32::from_le_bytes(bytes[*at..*at + 4].try_into().unwrap()) as usize;
    let text = String::from_utf8_lossy(&bytes[*at + 4..*at + 4 + length]).into_owned();
    *at += 4 + length + 1;
    text
}

fn align(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_u32(bytes: &mut Vec<u8>, value: u32) {
    align(bytes, 4);
    bytes.extend(value.to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_u32(bytes, u32::try_from(text.len()).unwrap());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn message(
    kind: u8,
    serial: u32,
    fields: &[(u8, &str, &str)],
    reply_to: Option<u32>,
    signature: &str,
    fds: u32,
    body: &[u8],
) -> Vec<u8> {
    let mut header = Vec::new();
    for (code, of, text) in fields {
        align(&mut header, 8);
        header.extend([*code, 1, of.as_bytes()[0], 0]);
        put_text(&mut header, text);
    }
    for (code, value) in [(5, reply_to), (9, Some(fds).filter(|count| *count > 0))] {
        let Some(value) = value else { continue };
        align(&mut header, 8);
        header.extend([code, 1, b'u', 0]);
        put_u32(&mut header, value);
    }
    if !signature.is_empty() {
        align(&mut header, 8);
        header.extend([8, 1, b'g', 0, u8::try_from(signature.len()).unwrap()]);
        header.extend(signature.as_bytes());
        header.push(0);
    }
    let mut bytes = vec![b'l', kind, 0, 1];
    put_u32(&mut bytes, u32::try_from(body.len()).unwrap());
    put_u32(&mut bytes, serial);
    put_u32(&mut bytes, u32::try_from(header.len()).unwrap());
    bytes.extend(header);
    align(&mut bytes, 8);
    bytes.extend(body);
    bytes
}
