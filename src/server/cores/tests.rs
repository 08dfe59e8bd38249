//! Two threads that really run, and sockets that really move from one to the other.

use std::sync::mpsc::{Sender, channel};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot::Receiver;

use super::*;

const SOON: Duration = Duration::from_secs(30);

/// A client and the connection that was accepted from it.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

/// Deals a connection that says on which thread it is and stays until it is told to go.
async fn stays(cores: &Cores) -> (TcpStream, thread::ThreadId, oneshot::Sender<()>, JoinHandle<()>) {
    let (client, accepted) = pair().await;
    let ((here, at), (go, told)) = (oneshot::channel(), oneshot::channel());
    let served = cores.deal(accepted, |mut stream| async move {
        here.send(thread::current().id()).unwrap();
        stream.write_all(b"!").await.unwrap();
        let _ = told.await;
    });
    (client, soon(at).await, go, served.unwrap())
}

async fn soon<T>(awaited: Receiver<T>) -> T {
    tokio::time::timeout(SOON, awaited).await.expect("it never comes").unwrap()
}

#[test]
fn a_connection_goes_to_whoever_has_the_fewest_and_stays_where_it_came_when_that_is_as_good() {
    let main = thread::current().id();
    Threads::of(2).unwrap().run(async |cores| {
        let (mut client, first, _go, _) = stays(&cores).await;
        assert_eq!(first, main);
        let (mut other, second, leave, leaves) = stays(&cores).await;
        assert_ne!(second, main);
        for client in [&mut client, &mut other] {
            assert_eq!(client.read_u8().await.unwrap(), b'!');
        }
        leave.send(()).unwrap();
        leaves.await.unwrap();
        // In turn it would be the main thread's, which has one already.
        let (_, third, _stay, _) = stays(&cores).await;
        assert_eq!(third, second);
        assert_eq!(stays(&cores).await.1, main);
    });
}

#[test]
fn one_that_computes_for_long_does_not_keep_those_of_the_other_thread_waiting() {
    Threads::of(2).unwrap().run(async |cores| {
        let (_client, _, _go, _) = stays(&cores).await;
        let (_other, accepted) = pair().await;
        let ((say, said), (begin, begun)): ((Sender<()>, _), _) = (channel(), oneshot::channel());
        let computes = cores.deal(accepted, |_| async move {
            begin.send(()).unwrap();
            said.recv_timeout(SOON).expect("the main thread stands still, too");
        });
        soon(begun).await;
        say.send(()).unwrap();
        computes.unwrap().await.unwrap();
    });
}

#[test]
fn a_panic_ends_its_connection_and_nothing_else() {
    Threads::of(2).unwrap().run(async |cores| {
        let (_client, main, _go, _) = stays(&cores).await;
        let (mut client, accepted) = pair().await;
        let panics = cores.deal(accepted, |_stream| async { panic!("as a fault of ours would") });
        assert!(panics.unwrap().await.unwrap_err().is_panic());
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        assert_ne!(stays(&cores).await.1, main);
        assert!(!*cores.lost.borrow());
    });
}

#[test]
fn a_thread_that_ends_is_told_of_and_keeps_no_client_waiting() {
    let (main, (lose, lost)) = (runtime().unwrap(), watch::channel(false));
    let mut beside = Beside::start(lose).unwrap();
    let cores = Cores::new([main.handle().clone(), beside.runtime.clone()], lost);
    beside.stay.take();
    main.block_on(async {
        tokio::time::timeout(SOON, cores.clone().lost()).await.expect("nobody notices");
        let (_client, _, _go, _) = stays(&cores).await;
        let (mut client, accepted) = pair().await;
        assert!(cores.deal(accepted, |_| std::future::pending()).unwrap().await.unwrap_err().is_cancelled());
        assert_eq!(tokio::time::timeout(SOON, client.read(&mut [0])).await.expect("it waits").unwrap(), 0);
    });
}

#[test]
fn at_the_end_what_still_runs_beside_is_dropped_with_its_guards() {
    let threads = Threads::of(2).unwrap();
    let (guard, gone): (Sender<()>, _) = channel();
    threads.run(async |cores| {
        let (_client, _, _go, _) = stays(&cores).await;
        let (_other, accepted) = pair().await;
        let (begin, begun) = oneshot::channel();
        let stays = cores.deal(accepted, |_| async move {
            begin.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(guard);
        });
        assert!(!stays.unwrap().is_finished());
        soon(begun).await;
    });
    drop(threads);
    assert_eq!(gone.recv_timeout(SOON), Err(mpsc::RecvTimeoutError::Disconnected));
}
