//! One keep-alive connection: whole requests out, whole answers in. Written by hand because the
//! client shares the machine with what it measures: a request is one write, an answer is mostly
//! one read, and neither allocates. It knows what our servers and the peers send (a length, no
//! chunks) and refuses the rest.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use jobs::process::Failure;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What an answer takes at first; it grows to the largest one.
const BUFFER: usize = 16 * 1_024;
/// Digits of the number in a path.
const DIGITS: usize = 12;

/// A request, head and body. `{n}` in its path becomes a number never used before.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// What it is called in errors.
    name: String,
    bytes: Vec<u8>,
    /// Where the number goes.
    number_at: Option<usize>,
}

impl Request {
    pub(super) fn get(path: &str, token: &str) -> Self {
        Self::new("GET", path, token, "", "")
    }

    pub(super) fn post(path: &str, token: &str, more: &str, body: &str) -> Self {
        Self::new("POST", path, token, more, body)
    }

    /// `more` are headers, each with its line end.
    fn new(method: &str, path: &str, token: &str, more: &str, body: &str) -> Self {
        let name = format!("{method} {path}");
        let number_at = name.find("{n}");
        let name = name.replace("{n}", &"0".repeat(DIGITS));
        let mut text = format!("{name} HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n{more}");
        let mut header = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        };
        if !token.is_empty() {
            header("authorization", &format!("Bearer {token}"));
        }
        if method == "POST" {
            header("content-type", "application/json");
            header("content-length", &body.len().to_string());
        }
        text.push_str("\r\n");
        text.push_str(body);
        Self { name, bytes: text.into_bytes(), number_at }
    }

    /// What to send. `scratch` holds it when it has a number.
    fn fill<'a>(&'a self, numbers: &AtomicU64, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let Some(at) = self.number_at else { return &self.bytes };
        scratch.clear();
        scratch.extend_from_slice(&self.bytes);
        let mut number = numbers.fetch_add(1, Ordering::Relaxed);
        for digit in scratch[at..at + DIGITS].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        scratch
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    scratch: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub(super) async fn open(to: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(to).await;
        let stream = stream.map_err(Failure::during(format!("no connection to {to}")))?;
        stream.set_nodelay(true).map_err(Failure::during("a connection"))?;
        Ok(Self::of(stream))
    }

    pub(super) fn of(stream: TcpStream) -> Self {
        Self { stream, scratch: vec![], answer: vec![0; BUFFER] }
    }

    /// Asks, and returns the body of an answer that has this status.
    ///
    /// # Errors
    /// Any other answer is one.
    pub(super) async fn ask(
        &mut self,
        request: &Request,
        numbers: &AtomicU64,
        status: u16,
    ) -> Result<&[u8], Failure> {
        let failed = |why| Failure::new(format!("{}: {why}", request.name));
        let bytes = request.fill(numbers, &mut self.scratch);
        self.stream.write_all(bytes).await.map_err(|error| failed(error.to_string()))?;
        let head = self.read().await.map_err(failed)?;
        let body = &self.answer[head.length..head.length + head.body];
        if head.status == status {
            return Ok(body);
        }
        let said = String::from_utf8_lossy(&body[..body.len().min(300)]);
        Err(failed(format!("answered {}, not {status}: {said}", head.status)))
    }

    /// Reads one whole answer.
    async fn read(&mut self) -> Result<Head, String> {
        let (mut filled, mut known): (usize, Option<Head>) = (0, None);
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await;
            filled += match read.map_err(|error| error.to_string())? {
                0 => return Err("the connection was closed before the answer was whole".to_owned()),
                read => read,
            };
            if known.is_none() {
                known = Head::read(&self.answer[..filled])?;
            }
            match known {
                Some(head) if filled >= head.length + head.body => return Ok(head),
                Some(head) if self.answer.len() < head.length + head.body => {
                    self.answer.resize(head.length + head.body, 0);
                }
                None if filled == self.answer.len() => {
                    return Err("the answer's head has no end".to_owned());
                }
                _ => {}
            }
        }
    }
}

/// What matters of the head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes up to the body.
    length: usize,
    /// Bytes of the body.
    body: usize,
}

impl Head {
    /// `None` while it is not whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = end else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "the head is no text")?;
        let mut lines = head.split("\r\n");
        let first = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = first.and_then(|line| line.get(..3)?.parse().ok());
        let status = status.ok_or("the first line has no status")?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let body = length.ok_or("the answer does not say its length")?;
        Ok(Some(Self { status, length: end + 4, body }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_when_they_are_whole() {
        let answer = b"HTTP/1.1 202 Accepted\r\nX: 1\r\nContent-Length: 5\r\n\r\nhello";
        let head = Head { status: 202, length: answer.len() - 5, body: 5 };
        assert_eq!(Head::read(answer), Ok(Some(head)));
        assert_eq!(Head::read(&answer[..40]), Ok(None));
        assert!(Head::read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::read(b"SSH-2.0-x\r\n\r\n").is_err());
    }

    #[test]
    fn every_number_is_another() {
        let (numbers, mut scratch) = (AtomicU64::new(41), vec![]);
        let request = Request::post("/p{n}/refresh", "t", "prefer: wait=1\r\n", "{}");
        for want in ["000000000041", "000000000042"] {
            let text = String::from_utf8(request.fill(&numbers, &mut scratch).to_vec()).unwrap();
            assert!(text.starts_with(&format!("POST /p{want}/refresh HTTP/1.1\r\n")), "{text}");
            assert!(text.contains("\r\nprefer: wait=1\r\n"), "{text}");
            assert!(text.ends_with("content-length: 2\r\n\r\n{}"), "{text}");
        }
        let plain = Request::get("/", "");
        assert!(!plain.fill(&numbers, &mut scratch).windows(4).any(|four| four == b"auth"));
    }
}
