//! Wake URLs, WolGoWeb's among them. Source of its protocol: WolGoWeb 1.8.79, `src/main.go`, `src/wol.go`.
//!
//! WolGoWeb answers 200 always and tells success in `error`. With a KEY it wants `time` and
//! `token = md5(key + mac + time)` per call, refuses a clock more than 1 s ahead, and never tells a good token from a
//! clock that is wrong, except by 102 and 104: then the server's `Date` header corrects us, once per call.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::{Request, Uri, header};

use crate::config::WakeUrl;
use crate::upstream::outward;
use crate::values::{self, Mac, NodeName};

/// One call must not hold up the next: there are several per campaign.
const LIMIT: Duration = Duration::from_secs(5);

/// As much of an answer's body as a wake service may need for its say; whatever else the URL serves is none of ours.
const ENOUGH: usize = 64 * 1024;

/// What fills the placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    /// `{node}`
    pub(crate) node: NodeName,
    /// `{mac}`
    pub(crate) mac: Option<Mac>,
    /// `{ip}`
    pub(crate) ip: Option<IpAddr>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    /// `Err`: what went wrong, for the operator. Never holds the key or the query.
    pub(crate) result: Result<(), String>,
    /// Seconds to add to our clock to have the server's, for the next call.
    pub(crate) skew: i64,
    /// Seconds by which the server's clock is ahead of ours, by the last answer that told its time.
    pub(crate) ahead: Option<i64>,
}

/// Calls the URL, and once more when only the clock was wrong.
pub(crate) async fn call(url: &WakeUrl, fill: &Fill, skew: i64) -> Called {
    let mut ahead = None;
    let first = attempt(url, fill, skew, &mut ahead).await;
    match (first, ahead) {
        (Err(Refusal::Clock(text)), Some(skew)) => {
            // WolGoWeb refuses a `time` it has already accepted, and the header has whole seconds only.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let again = attempt(url, fill, skew, &mut ahead).await;
            Called { result: again.map_err(|refusal| refusal.text(Some(&text))), skew, ahead }
        }
        (other, _) => Called { result: other.map_err(|refusal| refusal.text(None)), skew, ahead },
    }
}

enum Refusal {
    /// The token or time was refused.
    Clock(String),
    Other(String),
}

impl Refusal {
    fn text(self, first: Option<&str>) -> String {
        match (self, first) {
            (Self::Clock(text), Some(_)) => format!("{text}, also after setting our clock by the server's"),
            (Self::Clock(text), None) | (Self::Other(text), _) => text,
        }
    }
}

async fn attempt(url: &WakeUrl, fill: &Fill, skew: i64, ahead: &mut Option<i64>) -> Result<(), Refusal> {
    let request = build(url, fill, unix_now() + skew).map_err(Refusal::Other)?;
    let answer = outward::tell(request, LIMIT, ENOUGH).await.map_err(|trouble| Refusal::Other(trouble.to_string()))?;
    let status = answer.status;
    let server = answer
        .headers
        .get(header::DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok())
        .map(|date| date.timestamp());
    *ahead = server.map(|server| server - unix_now()).or(*ahead);
    if !status.is_success() {
        return Err(Refusal::Other(format!("the wake URL answered {status}")));
    }
    judge(&answer.body)
}

/// What a 2xx answer of a wake service says against its own status, in words for the owner; `None`: a packet went out.
pub fn refusal(body: &[u8]) -> Option<String> {
    judge(body).err().map(|refusal| refusal.text(None))
}

/// Whether a 2xx answer means that a packet went out.
fn judge(body: &[u8]) -> Result<(), Refusal> {
    let code = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|answer| answer.get("error")?.as_i64());
    let text = |why: &str| format!("the wake service answered error {}: {why}", code.unwrap_or_default());
    match code {
        None | Some(0) => Ok(()),
        Some(100) => Err(Refusal::Other(text("it could not send (check mac, ip and interface in the wake URL)"))),
        Some(101) => Err(Refusal::Other(text("it wants a key: set --wake-key to its KEY"))),
        Some(102) => Err(Refusal::Clock(text("our clock and its clock differ"))),
        Some(103) => Err(Refusal::Other(text("it has already had a call in this second"))),
        Some(104) => Err(Refusal::Clock(text("the key is wrong, or the clocks differ (--wake-key)"))),
        Some(_) => Err(Refusal::Other(text("unknown"))),
    }
}

fn build(url: &WakeUrl, fill: &Fill, time: i64) -> Result<Request<Bytes>, String> {
    let mac = fill.mac.map(|mac| mac.to_string());
    let filled = Filled::new(url, fill, mac.as_deref(), time);
    let mut target = values::url(&filled.apply(&url.template)).map_err(|why| format!("the wake URL is no URL: {why}"))?;
    if let Some(key) = &url.key {
        target = signed(&target, key, mac.as_deref(), time)?;
    }
    let mut request = Request::builder().method(url.method.as_str()).uri(target);
    for (name, value) in &url.headers {
        request = request.header(name, filled.apply(value));
    }
    let body = url.body.as_ref().map(|body| filled.apply(body)).unwrap_or_default();
    request.body(body.into()).map_err(|why| format!("the call of the wake URL cannot be made: {why}"))
}

/// Sets `mac`, `time` and `token`. The text of a `mac` that the user wrote stays: it goes into the hash as it is.
fn signed(target: &Uri, key: &str, mac: Option<&str>, time: i64) -> Result<Uri, String> {
    let pairs: Vec<(&str, &str)> = target.query().unwrap_or_default().split('&').map(|pair| (name_of(pair), pair)).collect();
    let value = |pair: &str| pair.split_once('=').map(|(_, value)| values::decoded(&value.replace('+', " ")));
    let written = pairs.iter().find(|(name, _)| *name == "mac").and_then(|(_, pair)| value(pair));
    let mac = written.or(mac.map(str::to_owned)).ok_or("the wake URL needs a MAC: set --wake-mac, or mac= in the URL")?;
    let ours = [format!("mac={}&time={time}&token={}", values::encoded_part(&mac), token(key, &mac, time))];
    let kept = pairs.iter().filter(|(name, _)| !matches!(*name, "" | "mac" | "time" | "token")).map(|(_, pair)| *pair);
    let query: Vec<&str> = kept.chain(ours.iter().map(String::as_str)).collect();
    let text = target.to_string();
    let bare = text.split('?').next().unwrap_or_default();
    values::url(&format!("{bare}?{}", query.join("&"))).map_err(str::to_owned)
}

/// The name in front of a value in a query.
fn name_of(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

/// `md5(key + mac + time)` in lower-case hex.
fn token(key: &str, mac: &str, time: i64) -> String {
    format!("{:x}", md5::compute(format!("{key}{mac}{time}")))
}

struct Filled {
    pairs: Vec<(&'static str, String)>,
}

impl Filled {
    fn new(url: &WakeUrl, fill: &Fill, mac: Option<&str>, time: i64) -> Self {
        let key = url.key.as_deref().unwrap_or_default();
        let mac = mac.unwrap_or_default().to_owned();
        let pairs = vec![
            ("{token}", token(key, &mac, time)),
            ("{mac}", mac),
            ("{ip}", fill.ip.map(|ip| ip.to_string()).unwrap_or_default()),
            ("{node}", fill.node.to_string()),
            ("{time}", time.to_string()),
        ];
        Self { pairs }
    }

    fn apply(&self, text: &str) -> String {
        self.pairs.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(template: &str, key: Option<&str>) -> WakeUrl {
        WakeUrl { template: template.into(), method: "GET".into(), headers: vec![], body: None, key: key.map(str::to_owned) }
    }

    fn fill() -> Fill {
        Fill { node: NodeName::new("node1"), mac: "a8:a1:59:01:02:03".parse().ok(), ip: "10.0.0.5".parse().ok() }
    }

    fn built(url: &WakeUrl) -> String {
        build(url, &fill(), 1_594_452_205).unwrap().uri().to_string()
    }

    #[test]
    fn the_token_is_that_of_wolgowebs_own_example() {
        assert_eq!(token("123456", "00-00-00-00-00-00", 1_594_452_205), "eb3515003672b3e0324196ecd78438a2");
    }

    #[test]
    fn placeholders_are_filled() {
        assert_eq!(
            built(&url("http://h/{node}?m={mac}&i={ip}&t={time}", None)),
            "http://h/node1?m=a8:a1:59:01:02:03&i=10.0.0.5&t=1594452205"
        );
    }

    #[test]
    fn a_key_sets_mac_time_and_token_and_keeps_the_mac_as_written() {
        let text = built(&url("http://h:9090/wol?mac=A8-A1-59-01-02-03&ip=10.0.0.255", Some("secret1")));
        let expected = token("secret1", "A8-A1-59-01-02-03", 1_594_452_205);
        assert_eq!(text, format!("http://h:9090/wol?ip=10.0.0.255&mac=A8-A1-59-01-02-03&time=1594452205&token={expected}"));
    }

    #[test]
    fn a_200_with_an_error_is_a_failure_and_names_the_way_out() {
        assert!(judge(br#"{"error":0,"message":"Wake Success"}"#).is_ok());
        assert!(judge(b"<html>whatever</html>").is_ok());
        let text = |body: &[u8]| refusal(body).unwrap();
        assert!(text(br#"{"error":101,"message":"No authority."}"#).contains("--wake-key"));
        assert!(text(br#"{"error":100,"message":""}"#).contains("error 100"));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_read_no_further_than_any_wake_service_speaks() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        });
        let started = tokio::time::Instant::now();
        let called = call(&url(&format!("http://{at}/"), None), &fill(), 0).await;
        assert_eq!(called.result, Ok(()));
        assert!(started.elapsed() < LIMIT);
    }
}
