//! The form of netlink(7): a question, the messages of a datagram, the attributes of a message. What they mean is known to
//! those who ask. Damaged bytes end a walk, and never panic.

#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "spoken on Linux, tested everywhere"))]

/// The head of each message.
pub const HEADER: usize = 16;

const DONE: u16 = 3;
const ERROR: u16 = 2;

/// What one datagram held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// More follows.
    More,
    /// The dump is over.
    Done,
    /// The kernel refuses.
    Refused,
}

/// A socket for one of netlink's protocols. Needs no privilege.
///
/// # Errors
/// The system's.
#[cfg(target_os = "linux")]
pub fn socket(protocol: i32) -> std::io::Result<socket2::Socket> {
    use socket2::{Domain, Protocol, Socket, Type};
    const NETLINK: i32 = 16;
    Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(protocol)))
}

/// Asks for all there is of a kind.
pub fn question(kind: u16, body: &[u8]) -> Vec<u8> {
    const REQUEST_AND_DUMP: u16 = 0x301;
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(REQUEST_AND_DUMP.to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(body);
    bytes
}

/// Shows the messages of one datagram: each with its kind, without its head.
pub fn messages(mut bytes: &[u8], mut each: impl FnMut(u16, &[u8])) -> Part {
    while bytes.len() >= HEADER {
        let length = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        if kind == DONE {
            return Part::Done;
        }
        if kind == ERROR || length < HEADER || length > bytes.len() {
            return Part::Refused;
        }
        each(kind, &bytes[HEADER..length]);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Part::More
}

/// The attributes of a message, each with its kind.
pub fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
pub(crate) mod example {
    //! Messages as the kernel writes them, for the tests of those who read them.

    use super::HEADER;

    /// A message with attributes behind its `body`.
    pub(crate) fn message(kind: u16, mut body: Vec<u8>, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        for (kind, value) in attributes {
            body.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut message = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.resize(HEADER, 0);
        message.extend(body);
        message
    }

    /// Every way in which one byte of a message is wrong or its end is missing.
    pub(crate) fn damaged(whole: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let cut = (0..whole.len()).map(|end| whole[..end].to_vec());
        cut.chain((0..whole.len()).map(|at| {
            let mut damaged = whole.to_vec();
            damaged[at] = 0xff;
            damaged
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::example::{damaged, message};
    use super::*;

    fn read(bytes: &[u8]) -> (Vec<(u16, Vec<u8>)>, Part) {
        let mut found = Vec::new();
        let part = messages(bytes, |_, body| found.extend(attributes(body).map(|(kind, value)| (kind, value.to_vec()))));
        (found, part)
    }

    #[test]
    fn messages_and_attributes_come_in_their_order_and_without_padding() {
        let bytes = [message(28, vec![], &[(1, &[7]), (2, &[8, 9])]), message(28, vec![], &[(3, &[1, 2, 3, 4])])].concat();
        let expected = [(1, vec![7]), (2, vec![8, 9]), (3, vec![1, 2, 3, 4])];
        assert_eq!(read(&bytes), (expected.to_vec(), Part::More));
    }

    #[test]
    fn the_end_of_a_dump_is_told_from_a_refusal() {
        assert_eq!(read(&message(DONE, vec![0; 4], &[])).1, Part::Done);
        assert_eq!(read(&message(ERROR, vec![0; 4], &[])).1, Part::Refused);
    }

    #[test]
    fn a_question_is_a_message_itself() {
        let mut seen = Vec::new();
        assert_eq!(messages(&question(20, &[1, 2, 3, 4]), |kind, body| seen.push((kind, body.to_vec()))), Part::More);
        assert_eq!(seen, [(20, vec![1, 2, 3, 4])]);
    }

    #[test]
    fn damaged_bytes_end_the_walk_without_a_panic() {
        for bytes in damaged(&message(28, vec![0; 12], &[(1, &[10, 0, 0, 5]), (2, &[2, 0, 0, 0, 0, 9])])) {
            drop(read(&bytes));
        }
    }
}
