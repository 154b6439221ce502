use std::net::Ipv4Addr;

use bytes::Bytes;
use futures_util::stream;
use poem::endpoint::make;
use poem::http::StatusCode;
use poem::{Body, EndpointExt, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);
/// Long enough for a client that is quick.
const SHORT: Duration = Duration::from_millis(700);
/// More than the kernel keeps for a client that reads nothing.
const BIG: usize = 32 << 20;

struct Scene {
    at: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<io::Result<()>>,
    /// Fires once for each begun request to `/wait`; it is answered when `go` is cancelled.
    begun: mpsc::UnboundedReceiver<()>,
    go: CancellationToken,
    /// Fires when the answer of `/big` is thrown away.
    dropped: mpsc::UnboundedReceiver<()>,
}

/// Tells when it is gone.
struct Told(mpsc::UnboundedSender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Scene {
    async fn open(waits: Waits) -> Self {
        let (begin, begun) = mpsc::unbounded_channel();
        let (drop, dropped) = mpsc::unbounded_channel();
        let (stop, go) = (CancellationToken::new(), CancellationToken::new());
        let went = go.clone();
        let wait = make(move |_| {
            let (begin, went) = (begin.clone(), went.clone());
            async move {
                let _ = begin.send(());
                went.cancelled().await;
                "done"
            }
        });
        let big = make(move |_| {
            let told = Told(drop.clone());
            async move {
                let parts = (0..BIG >> 16).map(move |_| {
                    let _whole = &told;
                    Ok::<_, io::Error>(Bytes::from(vec![b'x'; 1 << 16]))
                });
                Body::from_bytes_stream(stream::iter(parts))
            }
        });
        let hello = make(|_| async { "hello" });
        let app = Route::new().at("/", hello).at("/wait", wait).at("/big", big).map_to_response();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let at = listener.local_addr().unwrap();
        let served = tokio::spawn(serve(listener, app, stop.clone(), waits));
        Self { at, stop, served, begun, go, dropped }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }
}

fn waits(head: Duration, unread: Duration, grace: Duration) -> Waits {
    Waits { head, unread, grace }
}

async fn send(client: &mut TcpStream, text: &str) {
    client.write_all(text.as_bytes()).await.unwrap();
}

/// All until the server closes.
async fn rest(client: &mut TcpStream) -> String {
    let mut all = vec![];
    timeout(LONG, client.read_to_end(&mut all)).await.unwrap().unwrap();
    String::from_utf8(all).unwrap()
}

/// An answer whose body ends with these words, on a connection that stays open.
async fn until(client: &mut TcpStream, words: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(words) {
        let mut some = [0; 4096];
        let count = timeout(LONG, client.read(&mut some)).await.unwrap().unwrap();
        assert_ne!(count, 0, "closed after: {all}");
        all.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    all
}

#[tokio::test]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let scene = Scene::open(waits(SHORT, LONG, LONG)).await;
    let (mut silent, mut slow) = (scene.client().await, scene.client().await);
    let mut usual = scene.client().await;
    send(&mut slow, "GET / HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
    send(&mut usual, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(until(&mut usual, "hello").await.starts_with("HTTP/1.1 200"));
    assert_eq!(rest(&mut silent).await, "");
    let slow = rest(&mut slow).await;
    assert!(slow.is_empty() || slow.starts_with("HTTP/1.1 408"), "{slow}");
    // Nor is the next one of a connection.
    assert_eq!(rest(&mut usual).await, "");
}

#[tokio::test]
async fn a_request_may_take_longer_than_its_head_may() {
    let mut scene = Scene::open(waits(SHORT, LONG, LONG)).await;
    let mut client = scene.client().await;
    send(&mut client, "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    scene.begun.recv().await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    scene.go.cancel();
    until(&mut client, "done").await;
}

#[tokio::test]
async fn who_reads_nothing_is_let_go() {
    let mut scene = Scene::open(waits(LONG, SHORT, LONG)).await;
    let mut client = scene.client().await;
    send(&mut client, "GET /big HTTP/1.1\r\nhost: a\r\n\r\n").await;
    timeout(LONG, scene.dropped.recv()).await.unwrap().unwrap();
    let read = client.read_to_end(&mut vec![]).await;
    assert!(read.map_or(true, |count| count < BIG));
}

#[tokio::test]
async fn who_reads_gets_all() {
    let scene = Scene::open(waits(LONG, LONG, LONG)).await;
    let mut client = scene.client().await;
    send(&mut client, "GET /big HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert_eq!(rest(&mut client).await.matches('x').count(), BIG);
}

#[tokio::test]
async fn at_the_end_open_requests_are_answered_and_no_more_are_taken() {
    let mut scene = Scene::open(waits(LONG, LONG, LONG)).await;
    let (mut idle, mut open) = (scene.client().await, scene.client().await);
    send(&mut idle, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(&mut idle, "hello").await;
    send(&mut open, "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    scene.begun.recv().await.unwrap();
    scene.stop.cancel();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(scene.at).await.is_err());
    scene.go.cancel();
    assert!(rest(&mut open).await.ends_with("done"));
    timeout(LONG, scene.served).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let mut scene = Scene::open(waits(LONG, LONG, SHORT)).await;
    let mut open = scene.client().await;
    send(&mut open, "GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await;
    scene.begun.recv().await.unwrap();
    scene.stop.cancel();
    timeout(LONG, scene.served).await.unwrap().unwrap().unwrap();
    assert_eq!(rest(&mut open).await, "");
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let scene = Scene::open(waits(LONG, LONG, LONG)).await;
    let mut client = scene.client().await;
    let head = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD + 1));
    send(&mut client, &head).await;
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    assert!(rest(&mut client).await.starts_with(&format!("HTTP/1.1 {}", status.as_u16())));
}
