//! Several hosts of one node: tried in order, the next one as soon as one has failed or is slow.

use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{Link, Trouble, connect, resolve};

use crate::values::boxed;

/// By then all hosts of a node are being tried: before a slow connect begins a wake, at 300 ms.
const ALL_TRIED: Duration = Duration::from_millis(240);

/// One of the hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its last good address, used when the name does not resolve.
    pub last: Option<IpAddr>,
    /// It speaks TLS.
    pub tls: bool,
}

/// Connects to the first of them that answers; its place among them comes with the connection. A host that refuses hands
/// over to the next at once, a silent one a little later, and `limit` bounds their connects together.
///
/// # Errors
/// The most telling trouble: a refusal before silence, silence before a name without an address.
pub async fn connect_in_order(ways: Vec<Way>, limit: Duration) -> Result<(usize, Link), Trouble> {
    if let [only] = &ways[..] {
        return Ok((0, one(only, limit).await?));
    }
    let began = Instant::now();
    let pause = ALL_TRIED.min(limit / 2) / u32::try_from(ways.len().saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    let mut ways = ways.into_iter().enumerate();
    // Dropping the set ends the connects that lost the race.
    let mut race = JoinSet::new();
    let mut trouble: Option<Trouble> = None;
    loop {
        if let Some((place, way)) = ways.next() {
            let left = limit.saturating_sub(began.elapsed());
            race.spawn(boxed(async move { (place, one(&way, left).await) }));
        }
        tokio::select! {
            ended = race.join_next() => match ended {
                Some(Ok((place, Ok(link)))) => return Ok((place, link)),
                Some(Ok((_, Err(found)))) => trouble = Some(more_telling(trouble, found)),
                Some(Err(_)) => {}
                None => return Err(trouble.unwrap_or(Trouble::NoAnswer)),
            },
            () = sleep(pause), if ways.len() > 0 => {}
        }
    }
}

async fn one(way: &Way, limit: Duration) -> Result<Link, Trouble> {
    let link = connect(&resolve(&way.host, way.port, way.last).await?, limit).await?;
    if way.tls { link.secured(&way.host) } else { Ok(link) }
}

fn more_telling(known: Option<Trouble>, found: Trouble) -> Trouble {
    let weight = |trouble: &Trouble| match trouble {
        Trouble::Refused(_) => 2,
        Trouble::NoAddress(_) => 0,
        _ => 1,
    };
    match known {
        Some(known) if weight(&known) >= weight(&found) => known,
        _ => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::net::{TcpListener, TcpSocket};

    const LIMIT: Duration = Duration::from_secs(5);

    fn way(address: SocketAddr) -> Way {
        Way { host: address.ip().to_string(), port: address.port(), last: None, tls: false }
    }

    async fn open() -> (TcpListener, Way) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let way = way(listener.local_addr().unwrap());
        (listener, way)
    }

    async fn closed() -> Way {
        open().await.1
    }

    /// A port whose backlog is full: the kernel drops further SYNs, as a host does that is not there.
    async fn silent() -> (TcpListener, Vec<Link>, Way) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = connect(&[address], Duration::from_millis(200)).await {
            queued.push(stream);
        }
        (listener, queued, way(address))
    }

    #[tokio::test]
    async fn the_first_host_that_answers_is_used_and_the_next_ones_get_nothing() {
        let (_first, first_way) = open().await;
        let (second, second_way) = open().await;
        let (place, link) = connect_in_order(vec![first_way.clone(), second_way], LIMIT).await.unwrap();
        assert_eq!((place, link.peer.port()), (0, first_way.port));
        assert!(tokio::time::timeout(ALL_TRIED * 2, second.accept()).await.is_err());
    }

    #[tokio::test]
    async fn a_host_that_refuses_hands_over_to_the_next() {
        let (_listener, good) = open().await;
        let ways = vec![closed().await, closed().await, good.clone()];
        let (place, link) = connect_in_order(ways, LIMIT).await.unwrap();
        assert_eq!((place, link.peer.port()), (2, good.port));
    }

    #[tokio::test]
    async fn a_silent_host_hands_over_to_the_next_before_a_wake_would_begin() {
        let (_full, _queued, silent) = silent().await;
        let (_listener, good) = open().await;
        let began = Instant::now();
        let (place, _) = connect_in_order(vec![silent, good], LIMIT).await.unwrap();
        assert_eq!(place, 1);
        assert!(began.elapsed() < LIMIT / 2, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_name_without_an_address_hands_over_to_the_next() {
        let (_listener, good) = open().await;
        let nowhere = Way { host: "gone.invalid".to_owned(), port: 1, last: None, tls: false };
        assert_eq!(connect_in_order(vec![nowhere, good], LIMIT).await.unwrap().0, 1);
    }

    #[tokio::test]
    async fn the_limit_holds_for_all_hosts_together_and_a_refusal_tells_more_than_silence() {
        let (_full, _queued, silent) = silent().await;
        let (began, limit) = (Instant::now(), Duration::from_millis(400));
        let silence = connect_in_order(vec![silent.clone(), silent.clone(), silent.clone()], limit).await;
        assert!(matches!(silence, Err(Trouble::NoAnswer)), "{silence:?}");
        assert!(began.elapsed() < limit * 2, "{:?}", began.elapsed());
        let nowhere = Way { host: "gone.invalid".to_owned(), port: 1, last: None, tls: false };
        let refused = connect_in_order(vec![silent, closed().await, nowhere], limit).await;
        assert!(matches!(refused, Err(Trouble::Refused(_))), "{refused:?}");
    }
}
