//! What the tools of macOS and Windows print about TCP sockets, read by state.

#![cfg_attr(target_os = "linux", allow(dead_code, reason = "read on other systems, tested on all"))]

use std::collections::BTreeSet;

use super::states::Counts;

/// `lsof -nP -iTCP:PORT`: both ends of local connections, each once per process that holds it.
pub(super) fn lsof(text: &str, port: u16) -> Counts {
    let mut counts = Counts::default();
    let mut seen = BTreeSet::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = fields.iter().position(|field| *field == "TCP") else { continue };
        let (Some(name), Some(state)) = (fields.get(at + 1), fields.get(at + 2)) else { continue };
        let local = name.split("->").next().unwrap_or_default();
        let kind = at.checked_sub(3).and_then(|at| fields.get(at).copied());
        if port_of(local) == Some(port) && seen.insert((kind, *name)) {
            counts.add(state);
        }
    }
    counts
}

/// `netstat -an`, of macOS, Linux (`tcp 0 0 local remote STATE`) or Windows (`TCP local remote STATE`).
pub(super) fn netstat(text: &str, port: u16) -> Counts {
    let mut counts = Counts::default();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state) = match fields[..] {
            [kind, _, _, local, _, state, ..] if is_tcp(kind) => (local, state),
            [kind, local, _, state, ..] if is_tcp(kind) => (local, state),
            _ => continue,
        };
        if port_of(local) == Some(port) {
            counts.add(state);
        }
    }
    counts
}

/// `Get-NetTCPConnection | ConvertTo-Csv`, whatever its columns and their order. `None`: no header, so no answer of it.
pub(super) fn net_tcp_connection(text: &str, port: u16) -> Option<Counts> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("#TYPE"));
    let header = lines.next()?;
    let column = |name: &str| cells(header).position(|cell| cell.eq_ignore_ascii_case(name));
    let (local_port, state) = (column("LocalPort")?, column("State")?);
    let mut counts = Counts::default();
    for line in lines {
        let cells: Vec<&str> = cells(line).collect();
        let of_port = cells.get(local_port).and_then(|text| text.parse().ok()) == Some(port);
        if let Some(word) = cells.get(state).filter(|_| of_port) {
            counts.add(word);
        }
    }
    Some(counts)
}

/// No cell of these holds a comma or a quote.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(|cell| cell.trim().trim_matches('"'))
}

fn is_tcp(kind: &str) -> bool {
    kind.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("tcp"))
}

/// Behind the last colon, or the last dot as macOS writes it.
fn port_of(address: &str) -> Option<u16> {
    address.rsplit([':', '.']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [&str; 5] = ["LISTEN", "ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT", "OTHER"];

    fn of(counts: &Counts) -> [u64; 5] {
        STATES.map(|name| counts.get(name))
    }

    #[test]
    fn lsof_counts_the_server_s_ends_once() {
        let text = "COMMAND   PID USER   FD   TYPE             DEVICE SIZE/OFF NODE NAME\n\
                    ollama    611 anna    3u  IPv4 0x8f1a2b3c4d5e6f70      0t0  TCP 127.0.0.1:11434 (LISTEN)\n\
                    ollama    611 anna    4u  IPv6 0x8f1a2b3c4d5e6f71      0t0  TCP [::1]:11434 (LISTEN)\n\
                    ollama    611 anna    9u  IPv4 0x8f1a2b3c4d5e6f72      0t0  TCP 127.0.0.1:11434->127.0.0.1:50100 (ESTABLISHED)\n\
                    ollama\\x20r 612 anna 9u  IPv4 0x8f1a2b3c4d5e6f72      0t0  TCP 127.0.0.1:11434->127.0.0.1:50100 (ESTABLISHED)\n\
                    curl      700 anna    5u  IPv4 0x8f1a2b3c4d5e6f73      0t0  TCP 127.0.0.1:50100->127.0.0.1:11434 (ESTABLISHED)\n\
                    ollama    611 anna   10u  IPv4 0x8f1a2b3c4d5e6f74      0t0  TCP 192.168.1.9:11434->192.168.1.2:50101 (CLOSE_WAIT)\n";
        assert_eq!(of(&lsof(text, 11434)), [2, 1, 0, 1, 0]);
        assert_eq!(lsof("", 11434), Counts::default());
    }

    #[test]
    fn netstat_of_macos_is_read() {
        let text = "Active Internet connections (including servers)\n\
                    Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)\n\
                    tcp4       0      0  127.0.0.1.11434        127.0.0.1.50100        ESTABLISHED\n\
                    tcp4       0      0  127.0.0.1.50100        127.0.0.1.11434        ESTABLISHED\n\
                    tcp46      0      0  *.11434                *.*                    LISTEN\n\
                    tcp6       0      0  fe80::1%lo0.11434      fe80::1%lo0.50102      TIME_WAIT\n\
                    udp4       0      0  *.11434                *.*\n";
        assert_eq!(of(&netstat(text, 11434)), [1, 1, 1, 0, 0]);
    }

    #[test]
    fn netstat_of_windows_is_read_whatever_its_language() {
        let text = "\r\nAktive Verbindungen\r\n\r\n  Proto  Lokale Adresse  Remoteadresse  Status\r\n\
                    \x20 TCP    0.0.0.0:11434          0.0.0.0:0              LISTENING\r\n\
                    \x20 TCP    192.168.1.9:11434      192.168.1.2:50100      ESTABLISHED\r\n\
                    \x20 TCP    192.168.1.9:11434      192.168.1.2:50101      HERGESTELLT\r\n\
                    \x20 TCP    [::1]:11434            [::1]:50102            CLOSE_WAIT       4711\r\n\
                    \x20 TCP    192.168.1.9:50100      192.168.1.7:11434      ESTABLISHED\r\n\
                    \x20 UDP    0.0.0.0:11434          *:*\r\n";
        assert_eq!(of(&netstat(text, 11434)), [1, 1, 0, 1, 1]);
    }

    #[test]
    fn powershell_s_csv_is_read_by_its_header() {
        let text = "#TYPE Selected.Microsoft.Management.Infrastructure.CimInstance\r\n\
                    \"LocalAddress\",\"LocalPort\",\"RemoteAddress\",\"RemotePort\",\"State\"\r\n\
                    \"::\",\"11434\",\"::\",\"0\",\"Listen\"\r\n\
                    \"192.168.1.9\",\"11434\",\"192.168.1.2\",\"50100\",\"Established\"\r\n\
                    \"192.168.1.9\",\"11434\",\"192.168.1.2\",\"50101\",\"TimeWait\"\r\n\
                    \"192.168.1.9\",\"50100\",\"192.168.1.7\",\"11434\",\"Established\"\r\n";
        assert_eq!(net_tcp_connection(text, 11434).map(|counts| of(&counts)), Some([1, 1, 1, 0, 0]));
        assert_eq!(net_tcp_connection("State,LocalPort\nListen,11434\n", 11434).map(|counts| of(&counts)), Some([1, 0, 0, 0, 0]));
        assert_eq!(net_tcp_connection("", 11434), None);
        assert_eq!(net_tcp_connection("Get-NetTCPConnection : not recognized\n", 11434), None);
    }
}
