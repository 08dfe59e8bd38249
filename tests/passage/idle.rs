//! With nobody asking and no page open the real program sleeps: no record, account or stream wakes it from time to time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::post;
use crate::events::Reader;
use crate::program::{self, Node, Scratch};

/// The last writes of the records and the end of what the requests began: both come once.
const SETTLING: Duration = Duration::from_secs(15);
const WATCHED: Duration = Duration::from_secs(20);
/// Anything that ticked once a second would need twice as many.
const MOST: u64 = 10;

const CHAT: &str = r#"{"model":"llama3.2:3b","messages":[{"role":"user","content":"hello"}]}"#;

/// How often each thread of the process has gone to sleep by itself, by number.
fn rests(process: u32) -> BTreeMap<PathBuf, u64> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |path: PathBuf| {
        let status = std::fs::read_to_string(path.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some((path, line.trim().parse().unwrap()))
    };
    threads.filter_map(|thread| of(thread.unwrap().path())).collect()
}

#[tokio::test]
async fn after_requests_and_a_page_that_was_closed_nothing_wakes_the_idle_program() {
    let (node, scratch) = (Node::start(), Scratch::new());
    // A PC that may sleep: the check of one that is always on is its owner's wish.
    let wake = ["--wake-mac", "02:00:00:00:00:09", "--wake-broadcast", "127.0.0.1", "--wake-port", "9"];
    let proxy = program::Proxy::before(&node, &scratch, &wake);
    let mut page = Reader::of(proxy.address).await;
    for _ in 0..5 {
        assert_eq!(post(proxy.address, "/api/chat", CHAT).await.status(), 200);
    }
    page.until("journal", |entry| entry["outcome"] == "done").await;
    drop(page);
    tokio::time::sleep(SETTLING).await;
    let before = rests(proxy.pid());
    assert!(before.values().sum::<u64>() > 0, "{before:?}");
    // Idle time itself is the subject. The minute in which a page may come back has not passed yet.
    tokio::time::sleep(WATCHED).await;
    let after = rests(proxy.pid());
    let woken: u64 = after.iter().map(|(thread, count)| count - before.get(thread).unwrap_or(&0)).sum();
    assert!(woken <= MOST, "woken {woken} times in {WATCHED:?}: {before:?} {after:?}");
    println!("woken {woken} times in {WATCHED:?}");
}
