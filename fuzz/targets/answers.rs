//! What nodes answer, as bytes on the wire.

use ollama_proxy::upstream::Reading;

use super::number;

/// An answer over HTTP/1.1: where the network cuts it changes nothing of what is read.
pub fn answers(mut data: &[u8]) {
    let (size, to_head) = (number(&mut data) + 1, number(&mut data) % 8 == 0);
    let (cut, whole) = (Reading::of(data, size, to_head), Reading::of(data, usize::MAX, to_head));
    // A head that is refused may be refused before its end has come, and then for what stands first in it.
    assert_eq!(cut.malformed.is_some(), whole.malformed.is_some());
    assert_eq!((&cut.data, cut.whole), (&whole.data, whole.whole));
    assert!(whole.data.len() <= data.len(), "a body is not longer than what came");
    assert!(!(whole.whole && whole.malformed.is_some()), "what is malformed is not whole");
    let seen = |reading: &Reading| reading.head.as_ref().map(|head| (head.status, head.version, head.headers.clone()));
    assert_eq!(seen(&cut), seen(&whole));
    let Some(head) = whole.head else { return };
    assert!(!head.status.is_informational(), "what only announces an answer is none");
    assert!(whole.malformed.is_some() || !to_head || whole.data.is_empty(), "an answer to HEAD has no body");
}
