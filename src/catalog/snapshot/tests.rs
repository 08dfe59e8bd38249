//! The state file: what comes back from it, and that no damage to it is ever more than a loss of memory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::{ProptestConfig, any, proptest};
use tokio::time::Instant;

use super::file::{FILE, LARGEST};
use super::*;
use crate::storage::sealed;

const UNFINISHED: &str = "state.json.new";
const BEFORE: &str = "state.json.old";

/// A directory of this test's own, removed at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ollama-proxy-snapshot-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const NOW: u64 = 1_795_188_645;
const LIST: &str = r#"{"models":[ {"name":"tiny:1b","digest":"acc7"},{"name":"emb:latest","digest":"e735"}]}"#;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn stamp(seconds: u64) -> Stamp {
    Stamp { at: Instant::now(), wall: at(seconds) }
}

fn known() -> Holding {
    let holding = Holding::empty().with_list(LIST.into(), stamp(NOW - 60)).unwrap();
    let holding = holding.with_version(r#"{"version":"0.33.0"}"#.into(), stamp(NOW - 50)).unwrap();
    holding.with_status(r#"{"cloud":{"disabled":true}}"#.into(), stamp(NOW - 40)).unwrap()
}

fn sample() -> Snapshot {
    let (node, shows) = (NodeName::new("gpu"), Shows::default());
    shows.put(&node, "acc7", r#"{"template":"{{ .Prompt }}", "é":1}"#.into()).unwrap();
    shows.put(&node, "unlisted", "{}".into()).unwrap();
    let woken = NodeSnapshot {
        mac: Some("a8:a1:59:01:02:03".to_owned()),
        mac_source: Some("neighbour table".to_owned()),
        address: Some("192.168.1.5:11434".to_owned()),
        wake_seconds: vec![12.5, 9.0],
        last_seen: Some(NOW - 30),
        ..NodeSnapshot::default()
    };
    let nodes = [("gpu".to_owned(), woken.with_catalog(&node, &known(), &shows))];
    Snapshot { nodes: nodes.into(), ..Snapshot::default() }
}

#[test]
fn what_was_saved_is_loaded() {
    let dir = Dir::new();
    save(&dir.0, sample).unwrap();
    assert_eq!(load(&dir.0, at(NOW)), (sample(), None));
    assert_eq!(dir.names(), [FILE]);
}

#[test]
fn a_later_save_replaces_the_earlier_one() {
    let dir = Dir::new();
    save(&dir.0, Snapshot::default).unwrap();
    save(&dir.0, sample).unwrap();
    assert_eq!(load(&dir.0, at(NOW)).0, sample());
}

#[test]
fn a_holding_and_its_shows_survive_a_restart_with_their_age() {
    let (node, shows, now) = (NodeName::new("gpu"), Shows::default(), stamp(NOW));
    let kept = &sample().nodes["gpu"];
    let holding = kept.restore(&node, &shows, now);
    assert_eq!(holding.list_answer().unwrap().body, LIST);
    assert_eq!(holding.age(now.at), Some(Duration::from_secs(60)));
    assert_eq!(holding.version_answer().unwrap().read.age(now.at), Duration::from_secs(50));
    assert_eq!(holding.status_answer().unwrap().body, r#"{"cloud":{"disabled":true}}"#);
    assert_eq!(shows.get(&node, "acc7").unwrap(), r#"{"template":"{{ .Prompt }}", "é":1}"#);
    assert_eq!(shows.get(&node, "unlisted"), None);
    assert_eq!(kept.clone().with_catalog(&node, &holding, &shows), *kept);
}

#[test]
fn what_is_kept_but_not_readable_is_as_if_never_read() {
    let text = r#"{"nodes":{"gpu":{"tags":{"read_unix":5,"body":"oops"},"version":{"body":{"version":"?"}},"status":{},"shows":{"d":7}}}}"#;
    let snapshot: Snapshot = serde_json::from_str(text).unwrap();
    let holding = snapshot.nodes["gpu"].restore(&NodeName::new("gpu"), &Shows::default(), stamp(NOW));
    assert!(!holding.is_known() && holding.version_answer().is_none() && holding.status_answer().is_none());
}

#[test]
fn a_missing_file_or_directory_is_an_empty_snapshot() {
    let dir = Dir::new();
    assert_eq!(load(&dir.0, at(NOW)), (Snapshot::default(), None));
    assert_eq!(load(&dir.0.join("absent"), at(NOW)), (Snapshot::default(), None));
}

#[test]
fn unknown_fields_are_ignored_and_absent_ones_empty() {
    let dir = Dir::new();
    fs::write(dir.file(), r#"{"version":1,"checksum":"x","nodes":{"gpu":{"mac":null,"colour":"red"},"b":{}}}"#).unwrap();
    let (snapshot, note) = load(&dir.0, at(NOW));
    assert_eq!((snapshot.nodes.len(), note), (2, None));
    assert_eq!(snapshot.nodes["gpu"], NodeSnapshot::default());
}

#[test]
fn a_file_of_another_format_is_set_aside() {
    let dir = Dir::new();
    fs::write(dir.file(), r#"{"version":3,"nodes":{"gpu":{}}}"#).unwrap();
    let (snapshot, note) = load(&dir.0, at(NOW));
    assert_eq!(snapshot, Snapshot::default());
    assert!(note.unwrap().0.contains("format is 3"));
    assert_eq!(dir.names(), ["state.json.damaged-1"]);
}

#[test]
fn times_that_lie_ahead_count_as_now() {
    let dir = Dir::new();
    save(&dir.0, sample).unwrap();
    let early = NOW - 3600;
    let kept = load(&dir.0, at(early)).0.nodes["gpu"].clone();
    assert_eq!(kept.last_seen, Some(early));
    for answer in [kept.tags, kept.version, kept.status] {
        assert_eq!(answer.unwrap().read_unix, early);
    }
}

#[test]
fn absurd_times_and_durations_do_no_harm() {
    let dir = Dir::new();
    let kept = format!(r#"{{"read_unix":{},"body":{LIST}}}"#, u64::MAX);
    fs::write(dir.file(), format!(r#"{{"nodes":{{"gpu":{{"wake_seconds":[-1,5e300,3],"tags":{kept}}}}}}}"#)).unwrap();
    let (snapshot, note) = load(&dir.0, at(NOW));
    assert_eq!((note, &snapshot.nodes["gpu"].wake_seconds[..]), (None, &[5e300, 3.0][..]));
    let unclamped: NodeSnapshot = serde_json::from_str(&format!(r#"{{"tags":{kept}}}"#)).unwrap();
    let (name, shows) = (NodeName::new("gpu"), Shows::default());
    for kept in [unclamped, snapshot.nodes["gpu"].clone()] {
        let now = stamp(NOW);
        assert_eq!(kept.restore(&name, &shows, now).age(now.at), Some(Duration::ZERO));
    }
}

/// The two last files as [`save`] leaves them, with this text in the place of the last.
fn cut(dir: &Dir, before: &[u8], last: &[u8]) {
    fs::write(dir.0.join(BEFORE), before).unwrap();
    fs::write(dir.file(), last).unwrap();
}

fn written(snapshot: &Snapshot) -> Vec<u8> {
    sealed(serde_json::to_vec(snapshot).unwrap())
}

/// What is known before the last change.
fn earlier() -> Snapshot {
    let mut earlier = sample();
    earlier.nodes.get_mut("gpu").unwrap().wake_seconds.pop();
    earlier
}

#[test]
fn a_file_cut_off_at_any_byte_gives_way_to_the_one_before_it() {
    let (before, last) = (written(&earlier()), written(&sample()));
    for end in 0..last.len() {
        let dir = Dir::new();
        cut(&dir, &before, &last[..end]);
        let (snapshot, note) = load(&dir.0, at(NOW));
        assert_eq!(snapshot, earlier(), "cut at {end}");
        assert!(note.is_some_and(|note| note.0.contains("set aside")), "cut at {end}");
        assert_eq!(fs::read(dir.0.join("state.json.damaged-1")).unwrap(), last[..end]);
        // And it stays known when nothing is written before the next start.
        assert_eq!(load(&dir.0, at(NOW)), (earlier(), None), "cut at {end}");
    }
}

#[test]
fn a_write_cut_off_at_any_byte_leaves_what_was_known() {
    let (before, next) = (written(&earlier()), written(&sample()));
    for end in 0..=next.len() {
        let dir = Dir::new();
        fs::write(dir.file(), &before).unwrap();
        fs::write(dir.0.join(UNFINISHED), &next[..end]).unwrap();
        assert_eq!(load(&dir.0, at(NOW)), (earlier(), None), "cut at {end}");
    }
}

#[test]
fn when_both_files_are_cut_nothing_is_known_and_nothing_invented() {
    let (before, last) = (written(&earlier()), written(&sample()));
    for (first, second) in [(0, 0), (5, 80), (before.len() - 1, last.len() - 1), (before.len() - 90, last.len() - 90)] {
        let dir = Dir::new();
        cut(&dir, &before[..first], &last[..second]);
        assert_eq!(load(&dir.0, at(NOW)).0, Snapshot::default(), "{first} {second}");
    }
}

#[test]
fn a_file_of_the_earlier_format_is_read_without_a_checksum() {
    let dir = Dir::new();
    let text = serde_json::to_string(&sample()).unwrap().replacen("\"version\":2", "\"version\":1", 1);
    fs::write(dir.file(), &text).unwrap();
    assert_eq!(load(&dir.0, at(NOW)), (sample(), None));
}

#[test]
fn saves_that_overlap_leave_the_newest_knowledge() {
    let dir = Dir::new();
    let count = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let known = || {
                    let mut newest = sample();
                    newest.nodes.get_mut("gpu").unwrap().last_seen = Some(u64::from(count.fetch_add(1, Ordering::SeqCst)));
                    // Whoever came later must not be overtaken.
                    std::thread::yield_now();
                    newest
                };
                save(&dir.0, known).unwrap();
            });
        }
    });
    assert_eq!(load(&dir.0, at(NOW)).0.nodes["gpu"].last_seen, Some(7));
    assert_eq!(dir.names(), [FILE, BEFORE]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_with_any_byte_changed_gives_way_to_the_one_before_it(at_byte in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let dir = Dir::new();
        let mut text = written(&sample());
        let at_byte = at_byte.index(text.len());
        let same = text[at_byte] == byte;
        text[at_byte] = byte;
        cut(&dir, &written(&earlier()), &text);
        let (snapshot, note) = load(&dir.0, at(NOW));
        assert_eq!(note.is_none(), same);
        assert_eq!(snapshot, if same { sample() } else { earlier() });
    }

    #[test]
    fn an_unsealed_file_with_any_byte_changed_is_loaded_or_set_aside(at_byte in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let dir = Dir::new();
        let mut text = serde_json::to_string(&sample()).unwrap().replacen("\"version\":2", "\"version\":1", 1).into_bytes();
        let at_byte = at_byte.index(text.len());
        text[at_byte] = byte;
        fs::write(dir.file(), &text).unwrap();
        let (snapshot, note) = load(&dir.0, at(NOW));
        assert_eq!(dir.file().exists(), note.is_none());
        for (name, node) in &snapshot.nodes {
            node.restore(&NodeName::new(name), &Shows::default(), stamp(NOW));
        }
    }
}

#[test]
fn damaged_files_are_numbered_and_bounded() {
    let dir = Dir::new();
    for round in 0..12 {
        fs::write(dir.file(), format!("damage {round}")).unwrap();
        assert!(load(&dir.0, at(NOW)).1.is_some());
    }
    assert_eq!(dir.names().len(), 9);
    assert_eq!(fs::read(dir.0.join("state.json.damaged-1")).unwrap(), b"damage 0");
    assert_eq!(fs::read(dir.0.join("state.json.damaged-9")).unwrap(), b"damage 11");
}

#[test]
fn the_file_is_its_owners_only_whatever_was_there_before() {
    let dir = Dir::new();
    for leftover in [FILE, UNFINISHED] {
        fs::write(dir.0.join(leftover), "left over").unwrap();
        fs::set_permissions(dir.0.join(leftover), fs::Permissions::from_mode(0o666)).unwrap();
    }
    save(&dir.0, sample).unwrap();
    for name in dir.names() {
        assert_eq!(fs::metadata(dir.0.join(&name)).unwrap().mode() & 0o777, 0o600, "{name}");
    }
    assert_eq!(dir.names(), [FILE, BEFORE]);
}

#[test]
fn a_link_left_in_the_way_is_not_written_through() {
    let dir = Dir::new();
    let elsewhere = dir.0.join("elsewhere");
    fs::write(&elsewhere, "precious").unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.0.join(UNFINISHED)).unwrap();
    save(&dir.0, sample).unwrap();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error_and_the_old_file_stays() {
    let dir = Dir::new();
    assert_eq!(save(&dir.0.join("absent"), sample).unwrap_err().kind(), io::ErrorKind::NotFound);
    save(&dir.0, sample).unwrap();
    assert!(save(&dir.file(), sample).is_err());
    // A directory in the place of the new file stops even root, whom permissions do not.
    fs::create_dir(dir.0.join(UNFINISHED)).unwrap();
    assert!(save(&dir.0, Snapshot::default).is_err());
    assert_eq!(load(&dir.0, at(NOW)).0, sample());
}

#[test]
fn a_file_that_cannot_be_replaced_leaves_no_half_file_behind() {
    let dir = Dir::new();
    fs::create_dir(dir.file()).unwrap();
    assert!(save(&dir.0, sample).is_err());
    assert_eq!(dir.names(), [FILE]);
}

#[test]
fn a_file_that_cannot_be_read_stays_where_it_is_with_a_note() {
    let dir = Dir::new();
    fs::create_dir(dir.file()).unwrap();
    let (snapshot, note) = load(&dir.0, at(NOW));
    assert_eq!(snapshot, Snapshot::default());
    assert!(note.unwrap().to_string().contains("cannot be read"));
    assert_eq!(dir.names(), [FILE]);
}

#[test]
fn a_file_far_too_large_is_set_aside_unread() {
    let dir = Dir::new();
    File::create(dir.file()).unwrap().set_len(LARGEST + 1024).unwrap();
    assert!(load(&dir.0, at(NOW)).1.unwrap().0.contains("too large"));
    assert_eq!(dir.names(), ["state.json.damaged-1"]);
}

#[test]
fn times_and_the_order_of_lists_are_no_new_knowledge() {
    let (node, shows) = (NodeName::new("gpu"), Shows::default());
    let old = sample();
    let changed = |change: &dyn Fn(&mut NodeSnapshot)| {
        let mut new = old.clone();
        change(new.nodes.get_mut("gpu").unwrap());
        old.same_knowledge(&new)
    };
    let list = |text: &str| Some(Kept { read_unix: NOW, body: RawJson::new(text.as_bytes()).unwrap() });
    assert!(changed(&|_| ()));
    assert!(changed(&|node| node.last_seen = Some(NOW)));
    assert!(changed(
        &|node| node.tags = list(r#"{"models":[{"name":"emb:latest","digest":"e735"},{"name":"tiny:1b","digest":"acc7"}]}"#)
    ));
    assert!(!changed(&|node| node.tags = list(r#"{"models":[{"name":"tiny:1b","digest":"acc7"}]}"#)));
    assert!(!changed(&|node| node.version = list(r#"{"version":"0.34.0"}"#)));
    assert!(!changed(&|node| node.status = None));
    assert!(!changed(&|node| node.mac = None));
    assert!(!changed(&|node| node.wake_seconds.push(3.0)));
    assert!(!changed(&|kept| *kept = kept.clone().with_catalog(&node, &known(), &shows)));
    assert!(!old.same_knowledge(&Snapshot::default()));
}

/// The most memory that this process ever had, in KiB.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_list_that_names_one_model_a_thousand_times_keeps_its_show_once() {
    let names: Vec<String> = (0..1000).map(|at| format!(r#"{{"name":"m{at}:latest","digest":"d"}}"#)).collect();
    let now = Stamp { at: Instant::now(), wall: SystemTime::now() };
    let body = format!(r#"{{"models":[{}]}}"#, names.join(","));
    let holding = Holding::empty().with_list(body.into(), now).unwrap();
    let (node, shows) = (NodeName::new("a"), Shows::default());
    shows.put(&node, "d", format!(r#"{{"license":"{}"}}"#, "x".repeat(1024 * 1024)).into()).unwrap();
    let before = peak_kib();
    let kept = NodeSnapshot::default().with_catalog(&node, &holding, &shows);
    let taken = peak_kib() - before;
    assert_eq!(kept.shows.len(), 1);
    assert!(taken < 512 * 1024, "{taken} KiB for one show of a MiB");
}
