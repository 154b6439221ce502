//! A host of checkpoints on this machine that keeps to the protocol, or does not.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use url::Url;

/// What comes of a request for a file.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The content, from where it is asked for.
    Whole(Vec<u8>),
    /// The content from its beginning, whatever is asked for.
    Anew(Vec<u8>),
    /// So many bytes of it, then the connection is cut.
    Cut(Vec<u8>, usize),
    /// The content under a length that is not its own.
    Lying(Vec<u8>, u64),
    /// The content without any length.
    Endless(Vec<u8>),
    /// No content.
    Status(u16),
}

#[derive(Debug, Default)]
struct Shelf {
    /// By path: the answers in turn, the last one again and again.
    answers: HashMap<String, Vec<Answer>>,
    /// Path and range of each request.
    asked: Vec<String>,
}

/// Answers until the test ends.
#[derive(Debug)]
pub(super) struct TestHost {
    pub(super) endpoint: Url,
    shelf: Arc<Mutex<Shelf>>,
}

impl TestHost {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let shared = Arc::clone(&shelf);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let shelf = Arc::clone(&shared);
                // A client that hangs up is what some tests are about.
                std::thread::spawn(move || drop(serve(stream.unwrap(), &shelf)));
            }
        });
        Self { endpoint: Url::parse(&endpoint).unwrap(), shelf }
    }

    /// What is answered for a path, in turn; the last one stays.
    pub(super) fn answers(&self, path: &str, answers: &[Answer]) {
        self.shelf.lock().unwrap().answers.insert(path.to_owned(), answers.to_vec());
    }

    /// The requests since the last time, as `/path` or `/path from 5`.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shelf.lock().unwrap().asked)
    }
}

fn serve(stream: TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or(Ok(String::new()))?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut from = 0;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
    }
    let answer = {
        let mut shelf = shelf.lock().unwrap();
        let mut asked = path.clone();
        if from > 0 {
            let _ = write!(asked, " from {from}");
        }
        shelf.asked.push(asked);
        match shelf.answers.get_mut(&path) {
            None => Answer::Status(404),
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0].clone(),
        }
    };
    write(stream, answer, from)
}

fn write(mut stream: TcpStream, answer: Answer, from: usize) -> std::io::Result<()> {
    let head = |status: &str, length: Option<u64>, more: &str| {
        let length = length.map_or_else(String::new, |n| format!("Content-Length: {n}\r\n"));
        format!("HTTP/1.1 {status}\r\nConnection: close\r\n{length}{more}\r\n")
    };
    let ranged = |content: &[u8]| {
        let (all, left) = (content.len(), (content.len() - from) as u64);
        if from == 0 {
            return head("200 OK", Some(left), "");
        }
        let range = format!("Content-Range: bytes {from}-{}/{all}\r\n", all - 1);
        head("206 Partial Content", Some(left), &range)
    };
    let (head, body) = match answer {
        Answer::Status(status) => (head(&format!("{status} So"), Some(0), ""), vec![]),
        Answer::Whole(content) => (ranged(&content), content[from..].to_vec()),
        Answer::Anew(content) => (head("200 OK", Some(content.len() as u64), ""), content),
        Answer::Cut(content, end) => (ranged(&content), content[from..end.max(from)].to_vec()),
        Answer::Lying(content, length) => (head("200 OK", Some(length), ""), content),
        Answer::Endless(content) => (head("200 OK", None, ""), content),
    };
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    stream.shutdown(Shutdown::Write)
}
