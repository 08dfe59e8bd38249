//! Seals: what is vouched for, what is not, and what was changed.

use super::*;

#[test]
fn what_was_sealed_is_vouched_for_and_nothing_else() {
    let text = sealed(b"{\"a\":1}".to_vec());
    assert_eq!(unsealed(&text), Ok((&b"{\"a\":1}\n"[..], true)));
    assert_eq!(text.len(), 8 + SEAL);
    assert_eq!(unsealed(b"{\"a\":1}"), Ok((&b"{\"a\":1}"[..], false)));
    assert_eq!(unsealed(b""), Ok((&b""[..], false)));
    let mut changed = text.clone();
    changed[5] = b'2';
    assert!(unsealed(&changed).is_err());
    // A seal of something else, and one that stands alone.
    assert!(unsealed(&[b"x", seal(b"y").as_bytes()].concat()).is_err());
    assert_eq!(unsealed(seal(b"").as_bytes()), Ok((&b""[..], true)));
}

#[test]
fn a_file_that_its_owner_took_away_stays_forgotten() {
    let dir = std::env::temp_dir().join(format!("ollama-proxy-storage-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("f");
    let read = |text: &[u8], sealed: bool| Ok((text.to_vec(), sealed));
    for text in ["one", "two"] {
        write(&path, || Ok(text.into())).unwrap();
    }
    assert_eq!(load(&path, 10, read), (Some((b"two\n".to_vec(), true)), vec![]));
    fs::remove_file(&path).unwrap();
    assert_eq!(load(&path, 10, read), (None, vec![]));
    fs::remove_dir_all(&dir).unwrap();
}
