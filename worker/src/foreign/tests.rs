//! Hosts that would lead us astray, each with a listener that counts who comes.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// A host that answers every request with the same bytes, and counts.
struct Host {
    at: SocketAddr,
    visits: Arc<AtomicUsize>,
}

impl Host {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, visits) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (count, answer) = (visits.clone(), answer.into());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut request = [0; 4_096];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(&answer).await;
                    // One that stays open says nothing more.
                    if answer.is_empty() {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        Self { at, visits }
    }

    fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }

    fn allowed(&self) -> Allowed {
        self.at.to_string().parse().unwrap()
    }
}

fn redirect_to(url: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

/// Every name leads there.
fn leads_to(ips: &'static [&'static str]) -> Lookup {
    Arc::new(move |_| {
        Box::pin(async move { Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect()) })
    })
}

async fn refusal(client: &Foreign, url: &str) -> Refused {
    match client.get(url, Known::default(), 1_000).await {
        Err(FetchError::Refused(refused)) => refused,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn a_body_is_had_whole_with_what_its_host_says_of_it() {
    let host = Host::start(
        "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\nbody",
    )
    .await;
    let client = Foreign::new(vec![host.allowed()]).unwrap();
    let url = format!("http://{}/a.png", host.at);
    let fetched = client.get(&url, Known::default(), 4).await.unwrap();
    let Fetched::Body { bytes, etag, content_type, .. } = fetched else { panic!("{fetched:?}") };
    assert_eq!((&bytes[..], etag.as_deref()), (&b"body"[..], Some("\"a\"")));
    assert_eq!(content_type.as_deref(), Some("image/png"));
    let over = client.get(&url, Known::default(), 3).await;
    assert!(matches!(over, Err(FetchError::TooLarge(3))), "{over:?}");
}

#[tokio::test]
async fn redirects_are_judged_hop_by_hop() {
    let secret = Host::start("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    for to in [
        format!("http://{}/", secret.at),
        format!("http://localhost:{}/", secret.at.port()),
        format!("http://[::ffff:127.0.0.1]:{}/", secret.at.port()),
        "http://127.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "http://u:p@example.com/".to_owned(),
    ] {
        let host = Host::start(redirect_to(&to)).await;
        let client = Foreign::new(vec![host.allowed()]).unwrap();
        refusal(&client, &format!("http://{}/", host.at)).await;
        assert_eq!(host.visits(), 1, "{to}");
    }
    assert_eq!(secret.visits(), 0, "nobody came");
}

#[tokio::test]
async fn a_circle_of_redirects_ends() {
    let host = Host::start(redirect_to("/again")).await;
    let client = Foreign::new(vec![host.allowed()]).unwrap();
    let circle = client.get(&format!("http://{}/", host.at), Known::default(), 10).await;
    assert!(matches!(circle, Err(FetchError::Redirects("too often"))), "{circle:?}");
    let nowhere = Host::start("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n").await;
    let client = Foreign::new(vec![nowhere.allowed()]).unwrap();
    let nowhere = client.get(&format!("http://{}/", nowhere.at), Known::default(), 10).await;
    assert!(matches!(nowhere, Err(FetchError::Redirects("to nowhere"))), "{nowhere:?}");
}

#[tokio::test]
async fn names_that_lead_inside_are_refused_before_anything_is_connected_to() {
    for ips in [
        &["127.0.0.1"][..],
        &["::1"],
        &["10.1.2.3"],
        &["169.254.169.254"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        // A public one beside it changes nothing.
        &["1.1.1.1", "127.0.0.1"],
    ] {
        let client = Foreign::with_lookup(vec![], leads_to(ips)).unwrap();
        let refused = refusal(&client, "http://pictures.example/a.jpg").await;
        assert!(matches!(refused, Refused::Address { .. }), "{ips:?}: {refused}");
    }
}

#[tokio::test]
async fn a_name_that_means_something_else_the_next_moment_is_asked_only_once() {
    // The first answer is public, and hardly leads anywhere; the second would lead inside.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let rebinding: Lookup = Arc::new(move |_| {
        let first = count.fetch_add(1, Ordering::SeqCst) == 0;
        Box::pin(
            async move { Ok(vec![if first { "2a00::1" } else { "127.0.0.1" }.parse().unwrap()]) },
        )
    });
    let client = Foreign::with_lookup(vec![], rebinding).unwrap();
    let fetched = client.get("http://rebinding.example/", Known::default(), 10);
    let fetched = tokio::time::timeout(Duration::from_secs(8), fetched).await;
    assert!(!matches!(fetched, Ok(Ok(_))), "{fetched:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "between judging and connecting nobody is asked");
    refusal(&client, "http://again.rebinding.example/").await;
}

#[tokio::test]
async fn a_lying_length_and_an_endless_body_are_cut() {
    let lying = Host::start("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\nx").await;
    let client = Foreign::new(vec![lying.allowed()]).unwrap();
    let cut = client.get(&format!("http://{}/", lying.at), Known::default(), 1_000).await;
    assert!(matches!(cut, Err(FetchError::TooLarge(1_000))), "{cut:?}");
    let mut endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    endless.extend(vec![b'x'; 1 << 20]);
    let endless = Host::start(endless).await;
    let client = Foreign::new(vec![endless.allowed()]).unwrap();
    let cut = client.get(&format!("http://{}/", endless.at), Known::default(), 1_000).await;
    assert!(matches!(cut, Err(FetchError::TooLarge(1_000))), "{cut:?}");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let host = Host::start("HTTP/1.1 304 Not Modified\r\ncontent-length: 0\r\n\r\n").await;
    let client = Foreign::new(vec![host.allowed()]).unwrap();
    let url = format!("http://{}/", host.at);
    let known = Known { etag: Some("\"a\""), last_modified: None };
    assert!(matches!(client.get(&url, known, 10).await, Ok(Fetched::Unchanged)));
    // Who asked for nothing of the kind is not told so.
    let odd = client.get(&url, Known::default(), 10).await;
    assert!(matches!(odd, Err(FetchError::Status(StatusCode::NOT_MODIFIED))), "{odd:?}");
}

#[tokio::test]
async fn a_host_that_drips_or_says_nothing_does_not_hold_its_place() {
    let silent = Host::start("").await;
    let mut client = Foreign::new(vec![silent.allowed()]).unwrap();
    client.whole = Duration::from_millis(200);
    let slow = client.get(&format!("http://{}/", silent.at), Known::default(), 10).await;
    assert!(matches!(slow, Err(FetchError::TooSlow)), "{slow:?}");
    // A byte now and then keeps a connection alive for ever.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4_096]).await;
        let mut said = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n").await;
        while said.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            said = stream.write_all(b"x").await;
        }
    });
    let mut client = Foreign::new(vec![at.to_string().parse().unwrap()]).unwrap();
    client.whole = Duration::from_millis(300);
    let slow = client.get(&format!("http://{at}/"), Known::default(), 10_000).await;
    assert!(matches!(slow, Err(FetchError::TooSlow)), "{slow:?}");
}

#[tokio::test]
async fn of_thirty_addresses_that_lead_inside_none_is_connected_to() {
    let inside = Host::start("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret").await;
    let port = inside.at.port();
    let client = Foreign::with_lookup(vec![], leads_to(&["127.0.0.1"])).unwrap();
    let urls = [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::ffff:7f00:1]:{port}/"),
        format!("http://[::127.0.0.1]:{port}/"),
        format!("http://[64:ff9b::7f00:1]:{port}/"),
        format!("http://[2002:7f00:1::]:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f000001:{port}/"),
        format!("http://017700000001:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://127.0.0.1.:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://0:{port}/"),
        format!("http://user@127.0.0.1:{port}/"),
        format!("http://example.com@127.0.0.1:{port}/"),
        format!("http://127.0.0.1:{port}@example.com/"),
        format!("https://127.0.0.1:{port}/"),
        format!("ftp://127.0.0.1:{port}/"),
        format!("gopher://127.0.0.1:{port}/"),
        "http://127.0.0.1/".to_owned(),
        "http://localhost/".to_owned(),
        "http://localhost./".to_owned(),
        "http://anything.internal/".to_owned(),
        "http://metadata.google.internal/computeMetadata/v1/".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "http://192.168.1.1/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "data:image/png;base64,AAAA".to_owned(),
        "//127.0.0.1/".to_owned(),
        String::new(),
    ];
    for url in &urls {
        refusal(&client, url).await;
    }
    assert!(urls.len() >= 30);
    assert_eq!(inside.visits(), 0, "nobody came");
}
