//! The states of TCP by one set of names, whatever a system calls them.

/// The names that Linux and the seeds' dashboards use; the last one is for words that no system is known to use.
const NAMES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "OTHER",
];

/// How many sockets are in each state. Every state has its series, so that a graph shows a fall to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; NAMES.len()]);

impl Counts {
    /// One more in the state of this name.
    pub(super) fn add(&mut self, word: &str) {
        let plain: String = word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        let name = match plain.as_str() {
            "LISTENING" => "LISTEN",
            "SYNRCVD" | "SYNRECEIVED" => "SYNRECV",
            "CLOSED" | "BOUND" | "DELETETCB" => "CLOSE",
            other => other,
        };
        let known = NAMES.iter().position(|known| known.chars().filter(|c| *c != '_').eq(name.chars()));
        self.0[known.unwrap_or(NAMES.len() - 1)] += 1;
    }

    /// One more in the state of this number of Linux'.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "used on Linux, tested everywhere"))]
    pub(super) fn add_number(&mut self, number: u8) {
        // 12 is a connection of which the kernel keeps less than a socket.
        let at = if number == 12 { 3 } else { usize::from(number) };
        self.0[at.checked_sub(1).filter(|at| *at < NAMES.len()).unwrap_or(NAMES.len() - 1)] += 1;
    }

    /// How many there are in a state.
    pub(super) fn get(&self, name: &str) -> u64 {
        self.all().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }

    /// All states.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.into_iter().zip(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_s_words_lead_to_one_name() {
        for (name, words) in [
            ("ESTABLISHED", &["ESTABLISHED", "Established"][..]),
            ("LISTEN", &["LISTEN", "LISTENING", "Listen"]),
            ("SYN_RECV", &["SYN_RCVD", "SYN_RECEIVED", "SynReceived", "SYN_RECV"]),
            ("FIN_WAIT1", &["FIN_WAIT_1", "FinWait1", "FIN_WAIT1"]),
            ("TIME_WAIT", &["TIME_WAIT", "TimeWait"]),
            ("CLOSE", &["CLOSED", "Bound", "DeleteTCB"]),
            ("OTHER", &["HERGESTELLT", ""]),
        ] {
            let mut counts = Counts::default();
            for word in words {
                counts.add(word);
            }
            assert_eq!(counts.get(name), words.len() as u64, "{name}");
        }
    }

    #[test]
    fn linux_numbers_are_its_names() {
        let mut counts = Counts::default();
        for number in [1, 10, 6, 3, 12, 0, 200] {
            counts.add_number(number);
        }
        let of = |name| counts.get(name);
        assert_eq!([of("ESTABLISHED"), of("LISTEN"), of("TIME_WAIT"), of("SYN_RECV"), of("OTHER")], [1, 1, 1, 2, 2]);
    }
}
