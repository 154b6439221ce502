//! A host of pictures that does as it is told, and counts who comes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What lies under a path.
#[derive(Clone, Debug)]
pub enum Shown {
    /// These bytes, with this status and these headers.
    Bytes(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Bytes without an end.
    Endless,
    /// Nothing, and the connection stays open.
    Silent,
}

impl Shown {
    /// A picture as it should be.
    pub fn picture(bytes: Vec<u8>) -> Self {
        Self::Bytes(200, vec![("content-type", "image/jpeg".to_owned())], bytes)
    }

    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self::Bytes(status, vec![], vec![])
    }
}

type Table = Arc<Mutex<HashMap<String, (Shown, usize)>>>;

/// The host.
#[derive(Clone, Debug)]
pub struct PictureHost {
    /// Where it listens.
    pub at: SocketAddr,
    table: Table,
}

impl PictureHost {
    /// Listens; nothing lies anywhere.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = listener.local_addr().expect("an address");
        let table = Table::default();
        let shown = table.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, shown.clone()));
            }
        });
        Self { at, table }
    }

    /// Puts something under a path; returns its address.
    pub fn show(&self, path: &str, shown: Shown) -> String {
        let mut table = self.table.lock().unwrap();
        let visits = table.get(path).map_or(0, |(_, visits)| *visits);
        table.insert(path.to_owned(), (shown, visits));
        format!("http://{}{path}", self.at)
    }

    /// How often somebody came for it.
    pub fn visits(&self, path: &str) -> usize {
        self.table.lock().unwrap().get(path).map_or(0, |(_, visits)| *visits)
    }
}

async fn answer(mut stream: TcpStream, table: Table) {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let Ok(Some(first)) = lines.next_line().await else { return };
    let mut known = None;
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            break;
        }
        if let Some(tag) = line.to_lowercase().strip_prefix("if-none-match:") {
            known = Some(tag.trim().to_owned());
        }
    }
    let path = first.split_whitespace().nth(1).unwrap_or("/");
    let path = path.split('?').next().unwrap_or(path).to_owned();
    let shown = {
        let mut table = table.lock().unwrap();
        let shown = table.get_mut(&path).map(|(shown, visits)| {
            *visits += 1;
            shown.clone()
        });
        shown.unwrap_or_else(|| Shown::status(404))
    };
    let said = match shown {
        Shown::Silent => std::future::pending().await,
        Shown::Bytes(status, headers, body) => {
            let tag = headers.iter().find(|(name, _)| *name == "etag").map(|(_, tag)| tag.clone());
            let same = tag.is_some() && tag == known;
            let (status, body) = if same { (304, vec![]) } else { (status, body) };
            let mut lines = vec![format!("HTTP/1.1 {status} X"), "connection: close".to_owned()];
            lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
            if !headers.iter().any(|(name, _)| *name == "content-length") {
                lines.push(format!("content-length: {}", body.len()));
            }
            let head = lines.join("\r\n");
            writer.write_all(&[head.as_bytes(), b"\r\n\r\n", &body].concat()).await
        }
        Shown::Endless => {
            let mut written = writer.write_all(b"HTTP/1.1 200 X\r\n\r\n").await;
            let part = vec![0xff; 1 << 16];
            while written.is_ok() {
                written = writer.write_all(&part).await;
            }
            written
        }
    };
    // Whoever has had enough hangs up.
    let _ = said;
}
